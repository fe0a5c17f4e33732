"""Resample the test examples of targets, once for all runs and languages: analysis/bootstrap/<target>.npz.

Reads the statistics of examples beside the scores. Without --scores every cell of the config must be there; with it,
the cells that it calls done are resampled.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.analysis.configured import configured, declared_cells
from stiltgrid.analysis.jobs import resample_target
from stiltgrid.analysis.replicates import write_replicates
from stiltgrid.collect import read_scores
from stiltgrid.config import load
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.grid import Grid
from stiltgrid.progress import reporter
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
python workflow/scripts/bootstrap.py --config config/demo.yaml --target xnli
python workflow/scripts/bootstrap.py --config config/demo.yaml --scores scores-so-far.parquet --out so-far
"""


def main(argv: Sequence[str] | None) -> None:
    """Resample and write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--target", action="append", help="a name of `targets`; may be repeated (default: all)")
    options.add_argument("--scores", help="collected scores; says which cells are done (default: all are)")
    options.add_argument("--replicates", type=int, help="number of draws (default: the config's)")
    options.add_argument("--out", help="folder (default: results/<grid>/analysis/bootstrap)")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    for target in args.target or ():
        if target not in grid.config.targets:
            raise StiltgridError(f"--target {target}: no target; {nearest(target, grid.config.targets)}")
    replicates = configured(grid).replicates if args.replicates is None else args.replicates
    if replicates < 2:
        raise StiltgridError(f"--replicates {replicates}: expected at least 2")
    frame = read_scores(args.scores) if args.scores else declared_cells(grid)
    running = dict.fromkeys(run.target for run in grid.runs)
    for target in args.target or running:
        path = Path(args.out) / f"{target}.npz" if args.out else Path(grid.paths.bootstrap(target))
        found = resample_target(grid, frame, target, replicates=replicates, progress=reporter(target, "cells"))
        write_replicates(path, found)
        logging.info("%s: %d cells, %d draws", path, len(found.cells), replicates)


if __name__ == "__main__":
    run_main(main)
