"""Check the file of neighbours of a target with `robust: {kind: synonyms}`, and take its fingerprint.

Writes results/<grid>/neighbours/<target>.tsv and its sidecar.
"""

import logging
from collections.abc import Sequence

from stiltgrid.config import expanded, load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.scripting import parser, run_main
from stiltgrid.synonyms import write_neighbours

EXAMPLES = "python workflow/scripts/neighbours.py --config config.yaml --target pawsx"


def main(argv: Sequence[str] | None) -> None:
    """Read, check, write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--target", required=True, help="a name of `targets`")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    source = grid.neighbours_source(args.target)
    if source is None:
        raise StiltgridError(f"targets.{args.target}: no `robust: {{kind: synonyms, ...}}`, so no file of neighbours")
    path = grid.paths.neighbours(args.target)
    record = write_neighbours(expanded(source), path)
    logging.info("%s: %d words, fingerprint %s", path, record["words"], record["fingerprint"][:12])


if __name__ == "__main__":
    run_main(main)
