"""Gather every cell's scores into one tidy table, the only source of the result tables.

Refuses to mix cells whose data or recipes differ where they must agree.
"""

import logging
from collections.abc import Sequence

from stiltgrid.collect import collect, write_scores
from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
python workflow/scripts/collect.py --config config/demo.yaml
python workflow/scripts/collect.py --config config/demo.yaml --partial --out scores-so-far.parquet
"""


def main(argv: Sequence[str] | None) -> None:
    """Collect and write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--partial", action="store_true", help="what is there, the rest marked missing or failed")
    options.add_argument("--out", help="Parquet file (default: results/<grid>/analysis/scores.parquet)")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    frame = collect(grid, partial=args.partial)
    path = args.out or grid.paths.scores
    write_scores(path, frame)
    logging.info("%s: %d rows, %s", path, len(frame), frame["status"].value_counts().to_dict())


if __name__ == "__main__":
    run_main(main)
