"""Memory and time of a model's training for reading: one table, for a terminal and for pages."""

from typing import TYPE_CHECKING

from stiltgrid.grid import Grid
from stiltgrid.memory import Line, lines
from stiltgrid.paper.render import pipe_table
from stiltgrid.plan import longest_run

if TYPE_CHECKING:
    from rich.console import Console

HEADS = (
    "machines",
    "inputs a device",
    "weights",
    "gradients",
    "optimizer",
    "gathered",
    "activations",
    "a device, GB",
    "fits",
    "a host, GB",
    "tokens/s",
    "longest run",
)
FITS = {True: "yes", False: "no", None: ""}


def _row(line: Line, tokens: float | None) -> tuple[str, ...]:
    memory, speed = line.memory, line.tokens_a_second
    parts = ["unknown"] * 7
    if memory is not None:
        each = (memory.weights, memory.gradients, memory.optimizer, memory.gathered, memory.activations)
        parts = [f"{value / 1e9:.1f}" for value in (*each, memory.device, memory.host)]
    hours = f"{tokens / speed / 3600:.1f} h" if tokens and speed else "unknown"
    rate = f"{speed:,.0f}" if speed else "unknown"
    return (line.setup.title, str(line.batch), *parts[:6], FITS[line.fits], parts[6], rate, hours)


def memory_rows(grid: Grid, model: str) -> list[tuple[str, ...]]:
    """Return the table's rows, heads first; bytes in GB (1e9).

    Raises:
        StiltgridError: if the model's row has no `cost`.
    """
    longest = longest_run(grid, model)
    return [HEADS, *(_row(line, longest[1] if longest else None) for line in lines(grid, model))]


def memory_notes(grid: Grid, model: str) -> str:
    """Return what the numbers rest on, in one sentence."""
    row, longest = grid.config.models[model], longest_run(grid, model)
    cost = row.cost
    what = f"The longest run is {longest[0]}, {longest[1] / 1e6:,.0f} million input tokens. " if longest else ""
    checkpointing = "recomputed" if row.execution.gradient_checkpointing else "kept"
    return (
        f"{what}{cost.parameters / 1e9:.2f} billion parameters, utilisation {cost.utilisation:.0%}, activations "
        f"{checkpointing}; estimates by the arithmetic of docs/memory.md, which names what they leave out."
    )


def memory_markdown(grid: Grid, model: str) -> str:
    """Return the table and its note as Markdown."""
    return "\n".join([*pipe_table(memory_rows(grid, model), (0,)), "", memory_notes(grid, model)])


def render_memory(grid: Grid, model: str, console: "Console") -> None:
    """Print the table and its note."""
    from rich import box
    from rich.table import Table

    heads, *rows = memory_rows(grid, model)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right", no_wrap=head == heads[0])
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(memory_notes(grid, model), highlight=False)
