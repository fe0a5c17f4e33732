"""Show what is left to run, and the device hours and disk that it takes.

Estimates come from the models' `cost` rows and, where runs have been measured, from them. Writes results/<grid>/plan.md
and plan.json, which also hold each model's memory and time on other machines (`stiltgrid memory` prints them).
"""

from collections.abc import Sequence

from rich.console import Console

from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.memory_view import memory_rows
from stiltgrid.plan import plan
from stiltgrid.plan_view import render_plan, write_plan
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
snakemake plan
python workflow/scripts/plan.py --config config.yaml
"""


def main(argv: Sequence[str] | None) -> None:
    """Reckon, print, write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    reckoned = plan(grid)
    console = Console()
    render_plan(reckoned, console)
    memory = {name: memory_rows(grid, name) for name, row in grid.config.models.items() if row.cost}
    for path in write_plan(reckoned, grid.paths.root, memory):
        console.print(f"written: {path}", style="dim", highlight=False)


if __name__ == "__main__":
    run_main(main, announce=False)
