"""Runs that learned nothing: their scores are data and stay in every mean; they are counted and named."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

MARGIN = 1.0
"""Points above the trivial baseline within which a run counts as collapsed."""
FEWEST = 10
"""Dev examples below which equal answers say nothing."""


def answers(predictions: Sequence[Prediction]) -> int:
    """Return the number of different answers: labels, tags (of words, over all rows) or texts."""
    said: set[Any] = set()
    for one in predictions:
        said.update(one.tags if one.tags is not None else [one.label if one.label is not None else one.text])
    return len(said)


def trivial(row: TaskRow, dev: Sequence[Example]) -> float:
    """Return the score of the trivial baseline, 0 to 100: the task's `chance`, or dev's commonest label if higher.

    Where questions may have no answer, that is to answer none.
    """
    if row.no_answer is not None and dev:
        return max(row.chance, 100 * sum(not e.references for e in dev) / len(dev))
    if row.kind not in ("classification", "choice") or not dev:
        return row.chance
    return max(row.chance, 100 * max(Counter(e.label for e in dev).values()) / len(dev))


def _wanted(dev: Sequence[Example]) -> int:
    """Return the number of different right answers."""
    said: set[Any] = set()
    for one in dev:
        said.update(one.tags if one.tags is not None else one.references or [one.label])
    return len(said)


def collapse(
    rows: Mapping[str, TaskRow],
    dev: Mapping[str, Sequence[Example]],
    scores: Mapping[str, Mapping[str, float | None]],
    said: Mapping[str, int],
) -> dict[str, Any]:
    """Tell whether a run collapsed, by its chosen weights on dev.

    It did if, on every one of its tasks, all dev inputs got one answer, or the main metric is not more than `MARGIN`
    above the trivial baseline, where that is known.

    Args:
        rows: the run's tasks.
        dev: their dev examples.
        scores: task -> metric -> value.
        said: task -> number of different answers.

    Returns:
        `value`, and for each task `metric`, `score`, `trivial` (0: not known), `answers`, `collapsed`.
    """
    tasks = {}
    for name, row in rows.items():
        metric, bar = row.metrics[0], trivial(row, dev[name])
        score, number = scores[name][metric], said.get(name)
        same = number == 1 and len(dev[name]) >= FEWEST and _wanted(dev[name]) > 1
        low = bar > 0 and score is not None and score <= bar + MARGIN
        tasks[name] = {
            "metric": metric,
            "score": score,
            "trivial": round(bar, 2),
            "answers": number,
            "collapsed": bool(same or low),
        }
    return {"value": all(task["collapsed"] for task in tasks.values()), "tasks": tasks}
