"""Render the result tables in Markdown, CSV and LaTeX from the collected scores, runs and estimated contrasts.

Nothing is computed here but means; a missing cell shows as missing, and no average hides one. Beside the tables:
answer.md, numbers.tex (a macro for every number) and contrasts.csv.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.collect import read_scores
from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.paper.findings import read_findings
from stiltgrid.paper.manifest import write_manifest
from stiltgrid.paper.tables import read_records, write_tables
from stiltgrid.scripting import parser, run_main

EXAMPLES = "python workflow/scripts/tables.py --config config/demo.yaml --show"


def main(argv: Sequence[str] | None) -> None:
    """Write every table."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--scores", help="collected scores (default: results/<grid>/analysis/scores.parquet)")
    options.add_argument("--contrasts", help="folder of contrasts and headline (default: results/<grid>/analysis)")
    options.add_argument("--runs", help="folder of runs and training (default: results/<grid>/analysis)")
    options.add_argument("--out", help="folder (default: results/<grid>/tables)")
    options.add_argument("--show", action="store_true", help="print the main table and the answer")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    folder = Path(args.out or grid.paths.tables)
    frame = read_scores(args.scores or grid.paths.scores)
    contrasts = Path(args.contrasts or Path(grid.paths.contrasts).parent)
    findings = read_findings(grid, contrasts)
    runs = Path(args.runs or Path(grid.paths.runs).parent)
    records = read_records(runs / "runs.parquet", runs / "training.parquet")
    written = write_tables(grid, frame, folder, findings, records)
    sources = [args.scores or grid.paths.scores, contrasts / "contrasts.parquet", contrasts / "headline.json"]
    write_manifest(folder, "tables", written, [*sources, runs / "runs.parquet", runs / "training.parquet"])
    logging.info("%s: %d files", folder, len(written))
    if args.show:
        print((folder / "main.md").read_text(encoding="utf-8"))
        print((folder / "answer.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_main(main)
