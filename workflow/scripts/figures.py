"""Draw the figures as PDF, SVG and PNG from the collected scores, the estimated contrasts and the training runs.

Nothing is estimated here. With --partial a figure whose comparisons are missing is left out, with a note; without it
that is an error.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.collect import read_scores
from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.paper.figures import write_figures
from stiltgrid.paper.figures.drawing import Material
from stiltgrid.paper.findings import read_findings
from stiltgrid.paper.scores import Scores
from stiltgrid.paper.tables import read_records
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
python workflow/scripts/figures.py --config config/demo.yaml
python workflow/scripts/figures.py --config config/demo.yaml --partial --out preview
"""


def main(argv: Sequence[str] | None) -> None:
    """Draw every figure."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--scores", help="collected scores (default: results/<grid>/analysis/scores.parquet)")
    options.add_argument("--contrasts", help="folder of contrasts and headline (default: results/<grid>/analysis)")
    options.add_argument("--runs", help="folder of runs and training (default: results/<grid>/analysis)")
    options.add_argument("--out", help="folder (default: results/<grid>/figures)")
    options.add_argument("--partial", action="store_true", help="leave out what cannot be drawn yet")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    runs = Path(args.runs or Path(grid.paths.runs).parent)
    material = Material(
        grid,
        Scores(grid, read_scores(args.scores or grid.paths.scores)),
        read_findings(grid, args.contrasts or Path(grid.paths.contrasts).parent),
        read_records(runs / "runs.parquet", runs / "training.parquet"),
    )
    folder = Path(args.out or grid.paths.figures)
    written, left_out = write_figures(material, folder, partial=args.partial)
    for name, reason in left_out.items():
        logging.warning("%s is left out: %s", name, reason)
    logging.info("%s: %d files", folder, len(written))


if __name__ == "__main__":
    run_main(main)
