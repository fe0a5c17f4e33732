"""The matrix of what is done: for a terminal, for a file, and cell by cell as CSV."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.artifacts import write_text
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.paper.render import pipe_table
from stiltgrid.status import State

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STAGES = {
    "": "not begun: no pretrained model yet",
    "pretrained": "to be trained",
    "intermediate": "to be trained on the target; phase (ii) is done",
    "training": "in training, or interrupted and to be taken up",
    "trained": "to be predicted",
    "predicted": "to be scored",
    "scored": "scored",
}
"""Stage that a cell has reached -> what that means for a cell that is not done."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of the matrix: the cells of a model, an arm and a target, over languages and seeds."""

    done: int
    failed: int
    total: int
    begun: bool
    excluded: bool

    @property
    def kind(self) -> str:
        """A key of `KINDS`."""
        if self.excluded:
            return "excluded"
        if self.failed:
            return "failed"
        if self.done == self.total:
            return "done"
        return "part" if self.done else "begun" if self.begun else "missing"

    @property
    def text(self) -> str:
        """Symbol and count: colour is never the only sign."""
        sign = KINDS[self.kind][0]
        return sign if self.excluded else f"{sign} {self.done}/{self.total}"


KINDS = {
    "done": ("✔", "green", "done"),
    "part": ("◐", "yellow", "partly done"),
    "begun": ("◔", "cyan", "in training or trained"),
    "missing": ("·", "dim", "not begun"),
    "failed": ("✗", "bold red", "has failures"),
    "excluded": ("–", "dim", "excluded"),
}
"""Kind of a matrix field -> symbol, colour, meaning."""

COLLAPSED = "runs no better on English dev than the trivial baseline, or with one answer for all; their scores count"

COUNTS = "n/m: n cells done of m, languages times seeds"


def matrix(grid: Grid, states: Mapping[Cell, State]) -> dict[tuple[str, str, str], Entry]:
    """Return the matrix: (model, intermediate, target) -> counts over languages and seeds."""
    grouped: dict[tuple[str, str, str], list[State]] = defaultdict(list)
    for cell, state in states.items():
        grouped[cell.model, cell.intermediate, cell.target].append(state)
    return {
        key: Entry(
            done=sum(s.status == "done" for s in group),
            failed=sum(s.status == "failed" for s in group),
            total=len(group),
            begun=any(s.stage in ("training", "trained", "predicted") for s in group),
            excluded=key in grid.excluded,
        )
        for key, group in grouped.items()
    }


def totals(states: Mapping[Cell, State]) -> Counter[str]:
    """Return the number of cells by status."""
    return Counter(state.status for state in states.values())


def collapsed(states: Mapping[Cell, State]) -> dict[Run, int]:
    """Return the runs that collapsed, with the number of their cells that are done."""
    return dict(Counter(cell.run for cell, s in states.items() if s.status == "done" and s.collapsed))


def _counts(states: Mapping[Cell, State]) -> str:
    """Return the number of cells by status, and how many of those done are of collapsed runs."""
    count, fallen = totals(states), sum(collapsed(states).values())
    of_which = f" (of which {fallen} collapsed)" if fallen else ""
    return f"{count['done']} done{of_which}, " + ", ".join(f"{count[s]} {s}" for s in ("missing", "failed", "excluded"))


def _collapsed_lines(states: Mapping[Cell, State]) -> list[str]:
    """Name each collapsed run."""
    return [f"{run.model} / {run.intermediate} / {run.target} / seed{run.seed}" for run in collapsed(states)]


def _languages(cells: list[Cell]) -> str:
    """Name the languages of a run's cells, shortly."""
    names = [cell.language for cell in cells]
    return " ".join(names) if len(names) <= 4 else f"{len(names)} languages"


def failures(states: Mapping[Cell, State]) -> list[tuple[str, str, str]]:
    """Return (run and languages, reason, log) of everything that failed, one entry a run and reason."""
    grouped: dict[tuple[Run, str, str], list[Cell]] = defaultdict(list)
    for cell, state in states.items():
        if state.status == "failed":
            grouped[cell.run, state.reason, state.log].append(cell)
    return [
        (
            f"{run.model} / {run.intermediate} / {run.target} / seed{run.seed} ({_languages(cells)})",
            reason,
            log,
        )
        for (run, reason, log), cells in grouped.items()
    ]


def exclusions(grid: Grid, targets: Collection[str] | None = None) -> list[tuple[str, str]]:
    """Return (reason, what it excludes) for all that the config declares and that cannot run.

    Args:
        grid: the expanded config.
        targets: the targets that matter; None: all.
    """
    grouped: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for key, reason in grid.excluded.items():
        if targets is None or key[2] in targets:
            grouped[reason].append(key)
    lines = []
    for reason, keys in grouped.items():
        models, arms, names = (list(dict.fromkeys(column)) for column in zip(*keys, strict=True))
        everywhere = len(arms) == len(grid.config.intermediates)
        what = f"target {', '.join(names)}" if everywhere else f"intermediate {', '.join(arms)}"
        lines.append((reason, what if len(models) == len(grid.config.models) else f"{', '.join(models)}: {what}"))
    return lines


def waiting(states: Mapping[Cell, State]) -> list[tuple[int, str]]:
    """Return (number of cells, what they wait for) of the missing cells, earliest stage first."""
    found = Counter(state.stage for state in states.values() if state.status == "missing")
    return [(found[stage], meaning) for stage, meaning in STAGES.items() if found[stage]]


def _bar(done: int, total: int, width: int = 24) -> str:
    full = width * done // total if total else 0
    return "█" * full + "░" * (width - full)


def render_status(grid: Grid, states: Mapping[Cell, State], console: "Console", most: int = 12) -> None:
    """Print the matrix, its legend, the totals, what failed and what is excluded.

    Args:
        grid: the expanded config.
        states: from `cell_states`.
        console: a rich console; it knows whether to colour (terminal, NO_COLOR) and how wide the lines are.
        most: failures that are listed before "and n more".
    """
    from rich.markup import escape

    entries, config = matrix(grid, states), grid.config
    for model in config.models:
        own = {cell: s for cell, s in states.items() if cell.model == model}
        count = totals(own)
        total = len(own) - count["excluded"]
        console.print(f"[bold]{escape(model)}[/]  {_bar(count['done'], total)}  {count['done']}/{total} cells done")
        for table in _tables(grid, entries, model, console.width):
            console.print(table)
    legend = "   ".join(f"[{colour}]{sign}[/] {meaning}" for sign, colour, meaning in KINDS.values())
    console.print(f"{legend}\n{COUNTS}\n", highlight=False)
    console.print(f"[bold]{len(states)} cells[/]: {_counts(states)}", highlight=False)
    for number, meaning in waiting(states):
        console.print(f"  {number:>6} {meaning}", highlight=False)
    if found := failures(states):
        console.print("\n[bold red]failed[/]")
        for what, reason, log in found[:most]:
            console.print(f"  ✗ {escape(what)}", highlight=False)
            console.print(f"    {escape(reason)}", highlight=False, style="red")
            if log:
                console.print(f"    log: {escape(log)}", highlight=False)
        if len(found) > most:
            console.print(f"  … and {len(found) - most} more")
    if fallen := _collapsed_lines(states):
        console.print(f"\n[bold]collapsed[/]: {COLLAPSED}")
        for what in fallen[:most]:
            console.print(f"  ↓ {escape(what)}", highlight=False)
        if len(fallen) > most:
            console.print(f"  … and {len(fallen) - most} more")
    if gone := exclusions(grid):
        console.print("\n[bold]excluded[/]")
        for reason, what in gone:
            console.print(f"  – {escape(what)}: {escape(reason)}", highlight=False)


def _tables(grid: Grid, entries: Mapping[tuple[str, str, str], Entry], model: str, width: int) -> list[Any]:
    """Return a model's matrix as rich tables, cut into as many as the console's width asks for."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def field(arm: str, target: str) -> "Text":
        entry = entries[model, arm, target]
        return Text(entry.text, style=KINDS[entry.kind][1])

    arms, targets = list(grid.config.intermediates), list(grid.config.targets)
    need = {t: max(len(t), *(len(entries[model, a, t].text) for a in arms)) + 3 for t in targets}
    label = max(map(len, arms)) + 3
    blocks: list[list[str]] = [[]]
    for target in targets:
        if blocks[-1] and label + sum(need[t] for t in blocks[-1]) + need[target] > width:
            blocks.append([])
        blocks[-1].append(target)
    tables = []
    for block in blocks:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
        table.add_column("", no_wrap=True)
        for target in block:
            table.add_column(target, justify="right", no_wrap=True)
        for arm in arms:
            table.add_row(arm, *(field(arm, target) for target in block))
        tables.append(table)
        tables.append("")
    return tables


def status_markdown(grid: Grid, states: Mapping[Cell, State]) -> str:
    """Return the matrix and what goes with it as Markdown; equal states give equal bytes."""
    entries, config = matrix(grid, states), grid.config
    lines = [f"# Status of {config.title or config.grid}", ""]
    lines += [f"{len(states)} cells: {_counts(states)}", ""]
    lines += [f"- {number} {meaning}" for number, meaning in waiting(states)] + [""]
    for model in config.models:
        rows = [[f"**{model}**", *config.targets]]
        rows += [[arm, *(entries[model, arm, t].text for t in config.targets)] for arm in config.intermediates]
        lines += [*pipe_table(rows), ""]
    lines += [", ".join(f"{sign} {meaning}" for sign, _, meaning in KINDS.values()) + f"; {COUNTS}", ""]
    if found := failures(states):
        lines += ["## Failed", ""]
        lines += [f"- {what}: {reason}" + (f" (log: `{log}`)" if log else "") for what, reason, log in found] + [""]
    if fallen := _collapsed_lines(states):
        lines += ["## Collapsed", "", COLLAPSED, "", *(f"- {what}" for what in fallen), ""]
    if gone := exclusions(grid):
        lines += ["## Excluded", "", *(f"- {what}: {reason}" for reason, what in gone), ""]
    return "\n".join(lines)


def write_status(grid: Grid, states: Mapping[Cell, State], folder: Path | str) -> list[Path]:
    """Write `status.md` (the matrix) and `status.csv` (one row a cell) into a folder, atomically."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*Cell._fields, "status", "stage", "reason", "log", "collapsed"])
    writer.writerows(
        [*cell, state.status, state.stage, state.reason, state.log, int(state.collapsed)]
        for cell, state in states.items()
    )
    files = {
        Path(folder) / "status.md": status_markdown(grid, states),
        Path(folder) / "status.csv": out.getvalue(),
    }
    for path, text in files.items():
        write_text(path, text)
    return list(files)
