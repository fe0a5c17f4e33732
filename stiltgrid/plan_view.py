"""The plan for reading: tables of what is left and what it costs, for a terminal and for files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stiltgrid.artifacts import write_json, write_text
from stiltgrid.paper.render import pipe_table
from stiltgrid.plan import Line, Plan

if TYPE_CHECKING:
    from rich.console import Console


def hours_text(hours: float) -> str:
    """Return hours readably: minutes below one hour, one decimal below 100."""
    if hours < 1:
        return "0" if hours == 0 else "< 1 min" if hours < 1 / 60 else f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 100 else f"{hours:,.0f} h"


def bytes_text(size: float | None) -> str:
    """Return bytes readably, in powers of 1000 as disks are sold; `unknown` for None."""
    if size is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit in ("B", "kB") or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def _hours_left(known: float | None, unknown: int, left: int) -> str:
    if known is None or not left:
        return ""
    if unknown == left:
        return "unknown"
    return hours_text(known) if not unknown else f"≥ {hours_text(known)} + {unknown} unknown"


def _basis(line: Line) -> str:
    if len(line.basis) == 1:
        return next(iter(line.basis))
    return ", ".join(f"{name}: {count} runs" for name, count in line.basis.items())


HEADS = ("stage", "model", "total", "done", "left", "device hours left", "basis", "longest run")
DISK_HEADS = (
    "model",
    "storage",
    "each",
    "to write",
    "basis",
    "while one trains",
    "at the peak",
    "each further at once",
    "when all is done",
)


def _stage_rows(plan: Plan) -> list[tuple[str, ...]]:
    rows = []
    for line in plan.lines:
        wall = ""
        if line.longest is not None and line.left and line.stage != "predict":  # a job predicts many cells
            wall = hours_text(line.longest / line.devices) + (f" on {line.devices}" if line.devices > 1 else "")
        counts = (f"{line.total:,}", f"{line.done:,}", f"{line.left:,}" if line.left else "✔")
        hours = _hours_left(line.known_hours, line.unknown, line.left)
        rows.append((line.stage, line.model, *counts, hours, _basis(line), wall))
    return rows


def _disk_rows(plan: Plan) -> list[tuple[str, ...]]:
    def times(count: int, each: float | None) -> str:
        return bytes_text(None if each is None else count * each)

    return [
        (d.model, d.storage, bytes_text(d.each), times(d.left, d.each), d.basis,
         f"+ {bytes_text(d.transient)}" if d.transient else "unknown", bytes_text(d.peak),
         f"+ {bytes_text(d.further)}" if d.further else "unknown", times(d.kept, d.each))
        for d in plan.disk
    ]  # fmt: skip


def _blocks(plan: Plan) -> list[tuple[tuple[str, ...], list[tuple[str, ...]], tuple[int, ...]]]:
    """Return heads, rows and left-aligned columns of the two tables."""
    return [(HEADS, _stage_rows(plan), (0, 1, 6)), (DISK_HEADS, _disk_rows(plan), (0, 1, 4))]


def _summary(plan: Plan) -> str:
    left = sum(line.left for line in plan.lines if line.known_hours is not None)
    if not left:
        return "No training or prediction is left."
    parts = [f"{hours_text(plan.known_hours)} of device time" if plan.unknown < left else "device time unknown"]
    if plan.unknown:
        parts.append(f"{plan.unknown:,} of {left:,} runs and cells have unknown cost")
    if all(d.peak is not None for d in plan.disk):
        parts.append(f"{bytes_text(sum(d.peak or 0.0 for d in plan.disk))} of disk at the peak")
    return f"Left: {'; '.join(parts)}."


def render_plan(plan: Plan, console: "Console") -> None:
    """Print the plan: a table of stages, a table of disk, the sum, the warnings."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    for heads, rows, left in _blocks(plan):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for k, head in enumerate(heads):
            table.add_column(head, justify="left" if k in left else "right", no_wrap=k < 2 or head == "basis")
        previous = ""
        for row in rows:
            first = "" if heads is HEADS and row[0] == previous else row[0]
            previous = row[0]
            styles = ["green" if text == "✔" else "yellow" if "unknown" in text else "" for text in row[1:]]
            table.add_row(first, *(Text(text, style=style) for text, style in zip(row[1:], styles, strict=True)))
        console.print(table)
        console.print()
    console.print(_summary(plan), style="bold", highlight=False)
    for warning in plan.warnings:
        console.print(f"[yellow]![/] {escape(warning)}", highlight=False)


def plan_markdown(plan: Plan, memory: Mapping[str, Sequence[Sequence[str]]] | None = None) -> str:
    """Return the plan as Markdown, with each model's table of `memory_view`."""
    lines = [f"# Plan of {plan.title}", "", _summary(plan), ""]
    for heads, rows, left in _blocks(plan):
        lines += [*pipe_table([heads, *rows], left), ""]
    lines += [*(f"- {warning}" for warning in plan.warnings), *([""] if plan.warnings else [])]
    lines.append("Hours and bytes: estimated from the model's `cost`, or measured on completed runs.")
    for model, rows in (memory or {}).items():
        lines += ["", f"## Memory and time of {model} on other machines (docs/memory.md)", "", *pipe_table(rows, (0,))]
    return "\n".join(lines) + "\n"


def write_plan(
    plan: Plan, folder: Path | str, memory: Mapping[str, Sequence[Sequence[str]]] | None = None
) -> list[Path]:
    """Write `plan.md` and `plan.json` into a folder, atomically.

    Args:
        plan: the plan.
        folder: receives both.
        memory: model -> rows of `memory_view.memory_rows`, heads first.
    """
    folder = Path(folder)
    record = {
        "schema_version": 1,
        "title": plan.title,
        "lines": [{**asdict(line), "left": line.left} for line in plan.lines],
        "disk": [{**asdict(entry), "peak": entry.peak, "further": entry.further} for entry in plan.disk],
        "known_hours": plan.known_hours,
        "unknown": plan.unknown,
        "warnings": list(plan.warnings),
        "memory": {
            model: [dict(zip(rows[0], row, strict=True)) for row in rows[1:]] for model, rows in (memory or {}).items()
        },
    }
    write_text(folder / "plan.md", plan_markdown(plan, memory))
    write_json(folder / "plan.json", record)
    return [folder / "plan.md", folder / "plan.json"]
