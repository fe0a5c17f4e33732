"""Index one language's plain text for denoising: its lines, and a fingerprint of the file.

Writes results/<grid>/text/<language>.npy and its sidecar; the text stays where it is.
"""

import logging
from collections.abc import Sequence

from stiltgrid.config import expanded, load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.scripting import parser, run_main
from stiltgrid.texts import index_text

EXAMPLES = "python workflow/scripts/text.py --config config.yaml --language de"


def main(argv: Sequence[str] | None) -> None:
    """Read once, write the index."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--language", required=True, help="one of `denoising_text.languages`")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    text = grid.config.denoising_text
    if text is None or args.language not in text.languages:
        known = ", ".join(text.languages) if text else "no languages"
        raise StiltgridError(f"denoising_text: no text of {args.language!r}; it names {known}")
    path = grid.paths.text(args.language)
    record = index_text(expanded(text.path).replace("{lang}", args.language), path, args.language)
    logging.info("%s: %d lines, fingerprint %s", path, record["lines"], record["fingerprint"][:12])


if __name__ == "__main__":
    run_main(main)
