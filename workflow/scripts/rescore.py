"""Score every run again whose predictions are all there; no model is loaded.

Rewrites results/<grid>/scores/ (scores and statistics of examples) in several processes and says in
results/<grid>/rescore.md what changed. Runs without predictions are left out and counted. Predictions that are
truncated, misaligned or older than their checkpoint are set aside and named, and the command fails after all others
are done. Afterwards `snakemake` makes the tables again, where a score changed.
"""

import logging
import os
import time
from collections.abc import Sequence

from stiltgrid.artifacts import write_text
from stiltgrid.config import load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.progress import reporter
from stiltgrid.rescore import chosen, report, rescore, run_name, split_by_predictions
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
snakemake rescore --configfile config/demo.yaml
python workflow/scripts/rescore.py --config config/demo.yaml
python workflow/scripts/rescore.py --config config.yaml --processes 2 --runs 'mt5-base/*/mlqa/seed1'
"""


def main(argv: Sequence[str] | None) -> None:
    """Choose, rescore, report."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="worker processes (default: one a core)"
    )
    options.add_argument("--runs", metavar="PATTERN", help="shell pattern of model/intermediate/target/seedN")
    args = options.parse_args(argv)
    if args.processes < 1:
        raise StiltgridError(f"--processes {args.processes}: expected at least 1")
    grid = Grid(load(args.config))
    runs, left_out = split_by_predictions(grid, chosen(grid, args.runs))
    logging.info("%d runs to score again, %d left out: predictions missing", len(runs), len(left_out))
    started = time.monotonic()
    outcomes = rescore(grid, runs, args.processes, reporter("rescore", "runs"))
    wall = time.monotonic() - started
    path = f"{grid.paths.root}/rescore.md"
    write_text(path, report(grid, outcomes, left_out, args.processes, wall))
    logging.info(
        "%d runs, %d examples, %d changed scores in %.1f s: %s",
        len(outcomes),
        sum(o.examples for o in outcomes),
        sum(len(o.changes) for o in outcomes),
        wall,
        path,
    )
    if failed := [o for o in outcomes if o.error]:
        lines = "\n".join(f"  {run_name(o.run)}: {o.error}" for o in failed)
        raise StiltgridError(f"{len(failed)} of {len(outcomes)} runs could not be scored again:\n{lines}")


if __name__ == "__main__":
    run_main(main)
