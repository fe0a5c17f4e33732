"""Estimate every declared comparison from scores and resamples: analysis/contrasts.parquet, analysis/headline.json.

A comparison that needs a cell which is not done is there as incomplete, with the cells that it lacks; so is the
headline. docs/analysis.md says what each column means.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.analysis.configured import configured
from stiltgrid.analysis.jobs import estimate
from stiltgrid.artifacts import read_json
from stiltgrid.collect import read_scores
from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.progress import reporter
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
python workflow/scripts/contrasts.py --config config/demo.yaml
python workflow/scripts/contrasts.py --config config/demo.yaml --scores so-far.parquet --bootstrap so-far --out so-far
"""


def main(argv: Sequence[str] | None) -> None:
    """Estimate and write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--scores", help="collected scores (default: results/<grid>/analysis/scores.parquet)")
    options.add_argument("--bootstrap", help="folder of resamples (default: results/<grid>/analysis/bootstrap)")
    options.add_argument("--out", help="folder (default: results/<grid>/analysis)")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    names = dict.fromkeys(run.target for run in grid.runs)
    folder = Path(args.bootstrap) if args.bootstrap else Path(grid.paths.bootstrap("any")).parent
    out = Path(args.out) if args.out else Path(grid.paths.contrasts).parent
    frame = read_scores(args.scores or grid.paths.scores)
    files = {target: folder / f"{target}.npz" for target in names}
    table = estimate(grid, configured(grid), frame, files, out, progress=reporter("contrasts", "contrasts"))
    logging.info("%s: %d contrasts, %s", out, len(table), table["status"].value_counts().to_dict())
    record = read_json(out / "headline.json")
    logging.info("headline: %s %s", record["status"], record["reason"])


if __name__ == "__main__":
    run_main(main)
