"""Write the pages of the report: every table as HTML, the reproducibility checklist, the data card.

`snakemake --report report.zip` gathers them with the figures and the explorer.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.artifacts import write_text
from stiltgrid.collect import read_scores
from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.paper.built import built_tables
from stiltgrid.paper.data_card import data_card
from stiltgrid.paper.findings import read_findings
from stiltgrid.paper.html_tables import html
from stiltgrid.paper.reproducibility import checklist, read_manifests
from stiltgrid.scripting import parser, run_main

EXAMPLES = "python workflow/scripts/report_pages.py --config config/demo.yaml"


def main(argv: Sequence[str] | None) -> None:
    """Write every page."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--scores", help="collected scores (default: results/<grid>/analysis/scores.parquet)")
    options.add_argument("--contrasts", help="folder of contrasts and headline (default: results/<grid>/analysis)")
    options.add_argument("--out", help="folder (default: results/<grid>/report)")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    folder = Path(args.out or grid.paths.report)
    frame = read_scores(args.scores or grid.paths.scores)
    findings = read_findings(grid, args.contrasts or Path(grid.paths.contrasts).parent)
    pages = {f"tables/{table.name}.html": html(table) for table in built_tables(grid, frame, findings)}
    pages["reproducibility.md"] = checklist(grid, findings, read_manifests(grid))
    pages["data_card.md"] = data_card(grid)
    for name, text in pages.items():
        write_text(folder / name, text)
    logging.info("%s: %d pages", folder, len(pages))


if __name__ == "__main__":
    run_main(main)
