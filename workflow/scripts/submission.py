"""Write a model's predictions of one seed in the leaderboard's layout, with a manifest; no model is loaded.

Refuses predictions that are missing, truncated, misaligned or older than their checkpoint, and grids that lack tasks or
languages of the leaderboard, unless the config says `submission: {partial: true}`.
"""

import logging
from collections.abc import Sequence

from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.scripting import parser, run_main
from stiltgrid.submission.contents import folder
from stiltgrid.submission.export import export

EXAMPLES = """
snakemake submission
python workflow/scripts/submission.py --config config.yaml --model mt5-base --intermediate none --seed 1
"""


def main(argv: Sequence[str] | None) -> None:
    """Export one submission."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--model", required=True, help="a name of `models`")
    options.add_argument("--intermediate", required=True, help="a name of `intermediates`")
    options.add_argument("--seed", required=True, type=int)
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    record = export(grid, args.model, args.intermediate, args.seed)
    where = folder(grid, args.model, args.intermediate, args.seed)
    logging.info("%s: %s, %d files, split %s", where, record["status"], len(record["files"]), record["split"])


if __name__ == "__main__":
    run_main(main)
