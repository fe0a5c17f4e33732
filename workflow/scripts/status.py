"""Show which cells are done, missing, failed or excluded, and write the same to files.

Writes results/<grid>/status.md and status.csv; colours follow the terminal and NO_COLOR.
"""

from collections.abc import Sequence

from rich.console import Console

from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.scripting import parser, run_main
from stiltgrid.status import cell_states
from stiltgrid.status_view import render_status, write_status

EXAMPLES = """
snakemake status --configfile config/demo.yaml
python workflow/scripts/status.py --config config/demo.yaml
"""


def main(argv: Sequence[str] | None) -> None:
    """Look, print, write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    states = cell_states(grid)
    console = Console()
    render_status(grid, states, console)
    for path in write_status(grid, states, grid.paths.root):
        console.print(f"written: {path}", style="dim", highlight=False)


if __name__ == "__main__":
    run_main(main, announce=False)
