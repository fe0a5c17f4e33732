"""The lines below a table: what its signs mean, what is absent and why, how many seeds it rests on."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from stiltgrid.grid import Grid
from stiltgrid.metrics import METRICS
from stiltgrid.paper.cells import Cell
from stiltgrid.paper.findings import DAGGER, Findings, tested
from stiltgrid.paper.scores import Scores
from stiltgrid.status_view import exclusions


def model_title(grid: Grid, model: str) -> str:
    """Return the name of a model in tables."""
    return grid.config.models[model].title or model


def metric_title(name: str) -> str:
    """Return what a column header calls a metric; one that this version does not compute goes by its name."""
    return METRICS[name].title if name in METRICS else name.replace("_", " ")


def target_title(grid: Grid, target: str) -> str:
    """Return the name of a target in tables; trained in another language than English it says so."""
    row = grid.config.targets[target]
    source = "" if row.source_language == "en" else f" (from {row.source_language})"
    return row.title or f"{grid.tasks[target].title}{source}"


def arm_title(grid: Grid, arm: str) -> str:
    """Return the name of an intermediate arm in tables."""
    return grid.config.intermediates[arm].title or arm


def score_title(metrics: Sequence[str]) -> str:
    """Return what a column header calls the score of a target: its metric, or the mean of several."""
    titles = [metric_title(name) for name in metrics]
    return titles[0] if len(titles) == 1 else f"mean of {', '.join(titles)}"


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
    fallen = [c for c in grid.cells() if c in scores.collapsed and c.target in targets]
    if fallen:
        runs = (f"{c.model}/{c.intermediate}/{c.target}/seed{c.seed}" for c in fallen)
        lines.append(f"collapsed: {_cells(len(fallen))} of {_count(runs)} learned nothing; they are in every mean.")
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


def gain_tests(findings: Findings) -> list[str]:
    """Return the lines that say what a dagger on a gain means, and which gains can have none."""
    family = findings.family("gains")
    if not family:
        return []
    lines = [
        f"{DAGGER}: the gain in the languages other than the training language differs from 0 "
        f"({tested('gains', findings)})."
    ]
    seeds: dict[str, set[str]] = defaultdict(set)
    for row in family:
        if row.estimated:
            seeds[row.model].add(row.seed_status)
    unmeasured = [model for model, found in seeds.items() if "measured" not in found]
    if unmeasured:
        names = ", ".join(model_title(findings.grid, model) for model in unmeasured)
        lines.append(f"No gain of {names} is marked: its seed noise is not measured.")
    return lines
