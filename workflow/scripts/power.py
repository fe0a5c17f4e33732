"""Print the smallest effects that a grid would detect with power 0.8, before any GPU is used.

From the variances that the config declares (`analysis: {power: {seed_sd: ...}}`) and, where scores of two seeds are
there, from theirs.
"""

import logging
from collections.abc import Sequence

from stiltgrid.analysis.configured import configured, planned
from stiltgrid.analysis.declaration import Declaration
from stiltgrid.analysis.evidence import gather
from stiltgrid.analysis.jobs import resample_target
from stiltgrid.analysis.power import designs, detectable, families, power_table
from stiltgrid.analysis.variances import Variances, pilot
from stiltgrid.artifacts import write_text
from stiltgrid.collect import collect
from stiltgrid.config import load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.progress import reporter
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
snakemake power
python workflow/scripts/power.py --config config.yaml
"""

REPLICATES = 500


def of_pilot(grid: Grid, declaration: Declaration) -> Variances:
    """Return the variances of the scores that are there.

    Raises:
        StiltgridError: if they are not enough, or do not belong together.
    """
    frame = collect(grid, partial=True)
    targets = dict.fromkeys(frame.loc[frame["status"] == "done", "target"])
    drawn = {
        t: resample_target(grid, frame, t, replicates=REPLICATES, progress=reporter(f"resample {t}", "cells"))
        for t in targets
    }
    evidence = gather(grid, frame, drawn, declaration.metrics)
    return pilot(declaration, evidence, checkpoint=grid.config.analysis.power.checkpoint)


def main(argv: Sequence[str] | None) -> None:
    """Reckon, print, write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--out", help="Markdown file (default: results/<grid>/power.md)")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    declaration = configured(grid)
    if not families(declaration):
        raise StiltgridError(
            f"grid {grid.config.grid} tests nothing: gains need a row without intermediate training, one with it, and "
            "a language other than the training language"
        )
    found, reasons = [], []
    for source in (planned, of_pilot):
        try:
            found.append(source(grid, declaration))
        except StiltgridError as error:
            reasons.append(str(error))
    if not found:
        raise StiltgridError("\n".join(reasons))
    for reason in reasons:
        logging.info("left out: %s", reason)
    pages = [power_table(detectable(declaration, designs(grid, declaration), v), v) for v in found]
    title = f"# What {grid.config.title or grid.config.grid} would detect"
    text = "\n".join([title, "", "\n".join(pages)])
    write_text(args.out or f"{grid.paths.root}/power.md", text)
    print(text)


if __name__ == "__main__":
    run_main(main)
