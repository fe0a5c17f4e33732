"""Collect what every training run cost and how it went, from manifests, training logs and prediction files.

Writes analysis/runs.parquet (a row a run: time, energy, disk) and analysis/training.parquet (loss and dev scores by
step); docs/results.md names their columns. A run that is not there is a row with status missing.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.runs import collect_runs, write_runs
from stiltgrid.scripting import parser, run_main

EXAMPLES = "python workflow/scripts/runs.py --config config/demo.yaml"


def main(argv: Sequence[str] | None) -> None:
    """Collect the runs."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--out", help="folder (default: results/<grid>/analysis)")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    folder = Path(args.out or Path(grid.paths.scores).parent)
    runs, training = collect_runs(grid)
    write_runs(folder / "runs.parquet", runs, "runs")
    write_runs(folder / "training.parquet", training, "training")
    trained = runs[runs["status"] != "untrained"]
    logging.info("%s: %d of %d runs done", folder, int((trained["status"] == "done").sum()), len(trained))


if __name__ == "__main__":
    run_main(main)
