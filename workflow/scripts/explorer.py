"""Write explorer.html: every cell with its interval, seeds, diagnostics, recipe and example predictions, on one page.

The page is one file that needs no network. Scores and intervals are those of the analysis; example predictions are
chosen by a seeded rule from the saved predictions.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.artifacts import write_text
from stiltgrid.collect import read_scores
from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.paper.explorer.chains import read_chains
from stiltgrid.paper.explorer.examples import gather
from stiltgrid.paper.explorer.page import page
from stiltgrid.paper.explorer.payload import payload
from stiltgrid.paper.findings import read_findings
from stiltgrid.progress import reporter
from stiltgrid.scripting import parser, run_main

EXAMPLES = "python workflow/scripts/explorer.py --config config/demo.yaml"


def main(argv: Sequence[str] | None) -> None:
    """Gather and write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--scores", help="collected scores (default: results/<grid>/analysis/scores.parquet)")
    options.add_argument("--contrasts", help="folder of contrasts and headline (default: results/<grid>/analysis)")
    options.add_argument("--out", help="file (default: results/<grid>/report/explorer.html)")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    out = args.out or grid.paths.explorer
    frame = read_scores(args.scores or grid.paths.scores)
    findings = read_findings(grid, args.contrasts or Path(grid.paths.contrasts).parent)
    examples = gather(grid, frame, progress=reporter("explorer", "cells"))
    data = payload(grid, frame, findings, read_chains(grid), examples)
    text = page(data)
    write_text(out, text)
    logging.info("%s: %d cells, %.1f MB", out, len(data["rows"]["model"]), len(text.encode()) / 1e6)


if __name__ == "__main__":
    run_main(main)
