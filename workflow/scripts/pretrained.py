"""Phase (i): pin a pretrained model by a manifest.

A folder is hashed, so is a hub model where `snakemake fetch` has put it, a demo model is built. No network is used.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.config import expanded, load
from stiltgrid.failures import noting_failure
from stiltgrid.grid import Grid
from stiltgrid.pretrained import prepare
from stiltgrid.scripting import parser, run_main

EXAMPLES = "python workflow/scripts/pretrained.py --config config/demo.yaml --model tiny-base"


def main(argv: Sequence[str] | None) -> None:
    """Prepare one model."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--model", required=True, help="a name of `models`")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    row = grid.config.models[args.model]
    manifest = Path(grid.paths.pretrained(args.model))
    with noting_failure(manifest.parent):
        record = prepare(row.source, row.revision, row.family, manifest, Path(expanded(grid.config.hub.folder)))
    logging.info("%s: %s, digest %s", manifest, row.source, record["digest"][:12])


if __name__ == "__main__":
    run_main(main)
