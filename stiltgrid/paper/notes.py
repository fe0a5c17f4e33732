"""The lines below a table: what its signs mean, what is absent and why, how many seeds it rests on."""

from collections import defaultdict
from collections.abc import Iterable

from stiltgrid.grid import Grid
from stiltgrid.paper.cells import Cell
from stiltgrid.paper.scores import Scores
from stiltgrid.status_view import exclusions


def model_title(grid: Grid, model: str) -> str:
    """Return the name of a model in tables."""
    return grid.config.models[model].title or model


def _count(names: Iterable[str]) -> str:
    """Join names, each once, at most four of them."""
    names = list(dict.fromkeys(names))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _short(reason: str) -> str:
    """Return a reason on one line of at most 160 characters."""
    line = " ".join(reason.split())
    return line if len(line) <= 160 else line[:159] + "\N{HORIZONTAL ELLIPSIS}"


def legend(scores: Scores, targets: Iterable[str]) -> list[str]:
    """Return the lines that explain every cell of these targets that holds no number, with the reasons."""
    grid, targets = scores.grid, frozenset(targets)
    cells: dict[str, int] = defaultdict(int)
    failed: dict[str, list[str]] = defaultdict(list)
    missing: list[str] = []
    for c in grid.cells():
        if c.target not in targets:
            continue
        status, reason = scores.state(c)
        cells[status] += 1
        run = f"{c.model}/{c.intermediate}/{c.target}/seed{c.seed}"
        if status == "failed":
            failed[_short(reason)].append(run)
        elif status == "missing":
            missing.append(run)
    lines = []
    if failed:
        why = "; ".join(f"{_count(runs)}: {reason}" for reason, runs in failed.items())
        lines.append(f"failed: {_cells(cells['failed'])} ({why}).")
    if missing:
        lines.append(f"missing: {_cells(cells['missing'])} of {_count(missing)}.")
    lines += [f"excl.: {what} ({_short(reason)})." for reason, what in exclusions(grid, targets)]
    return lines


def _cells(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def seed_counts(scores: Scores) -> str:
    """Say how many seeds the means rest on."""
    grid, baseline = scores.grid, scores.baseline
    parts = []
    for model in grid.config.models:
        others = {len(grid.seeds(model, arm)) for arm in scores.arms if arm != baseline}
        own = len(grid.seeds(model, baseline)) if baseline is not None else None
        text = f"{model_title(grid, model)} {', '.join(map(str, sorted(others or {own})))}"
        parts.append(text + (f", baseline {own}" if others and own not in (None, *others) else ""))
    return f"Seeds: {'; '.join(parts)}."


def notes(scores: Scores, targets: Iterable[str], cells: Iterable[Cell]) -> tuple[str, ...]:
    """Return the lines below a table: the signs that its cells use, the reasons, the config's note."""
    states = {c.status for c in cells}
    lines = []
    if "incomplete" in states:
        lines.append("(k/n): k of n seeds, languages or targets are complete; averages that lack one are withheld.")
    if "incomparable" in states:
        lines.append("(base): withheld, since the column's baseline is not complete or covers other targets.")
    lines += legend(scores, targets)
    if scores.grid.config.note:
        lines.append(scores.grid.config.note)
    return tuple(lines)
