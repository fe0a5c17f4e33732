"""What of a grid can stand beside a benchmark's own numbers, by its declaration alone. Imports no pandas.

The rules name their outputs by it, so each job's own process reads it.
"""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from stiltgrid.grid import Grid
from stiltgrid.submission.leaderboard import LEADERBOARDS, leaderboard

FILE = Path(__file__).with_name("reference_results.csv")
DEMO = "demo:"


class Published(NamedTuple):
    """A published score, 0 to 100; `variant` tells systems of one name apart (size, release, translated data)."""

    task: str
    metric: str
    language: str
    system: str
    variant: str
    value: float
    source: str


@cache
def published() -> tuple[Published, ...]:
    """Return every published score."""
    with FILE.open(encoding="utf-8", newline="") as handle:
        return tuple(Published(**{**row, "value": float(row["value"])}) for row in csv.DictReader(handle))


def whole_target(grid: Grid, name: str) -> str | None:
    """Return the target that evaluates a task as its benchmark does, whole, on test, from English; else None."""
    for target, row in grid.tasks.items():
        asked = grid.config.targets[target]
        as_released = asked.eval_split == "test" and grid.languages(target) == row.languages
        if row.name == name and as_released and asked.source_language == "en":
            return target
    return None


def official_averages(grid: Grid) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the averages that a grid declares whole: (suite, name) -> targets."""
    found = {}
    for suite in LEADERBOARDS:
        board, rows = leaderboard(suite)
        for name, folders in board.averages.items():
            targets = [whole_target(grid, rows[folder].name) for folder in folders]
            if None not in targets:
                found[suite, name] = tuple(t for t in targets if t is not None)
    return found


def comparable_targets(grid: Grid) -> dict[str, tuple[str, ...]]:
    """Return the targets that published scores are of, by declaration: target -> the metrics that have some.

    That is: trained on English, the official test split in all official languages, from original files, not the
    miniature's.
    """
    found = {}
    for task in dict.fromkeys(row.task for row in published()):
        target, source = whole_target(grid, task), grid.source(task)
        if target is None or (source is not None and source.path.startswith(DEMO)):
            continue
        known = {row.metric for row in published() if row.task == task}
        if metrics := tuple(m for m in grid.tasks[target].metrics if m in known):
            found[target] = metrics
    return {target: found[target] for target in grid.config.targets if target in found}
