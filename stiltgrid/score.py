"""From one language's predictions to its scores and the statistics that they rest on."""

from collections.abc import Sequence
from typing import Any

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.examples import Example
from stiltgrid.metrics import METRICS, Metric
from stiltgrid.metrics.ranking import queries
from stiltgrid.predictions import Prediction, check_alignment
from stiltgrid.tasks.registry import TaskRow


def task_metrics(task: TaskRow) -> list[Metric]:
    """Return the metrics of a task, main one first.

    Raises:
        StiltgridError: if a name is unknown, or the metrics do not share one unit.
    """
    unknown = [name for name in task.metrics if name not in METRICS]
    if unknown:
        raise StiltgridError(f"{task.name}: unknown metric {unknown[0]!r}; {nearest(unknown[0], METRICS)}")
    found = [METRICS[name] for name in task.metrics]
    if len(units := {metric.unit for metric in found}) != 1:
        raise StiltgridError(f"{task.name}: metrics {task.metrics} have units {sorted(units)}, expected one")
    return found


def score_language(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction], where: str
) -> tuple[dict[str, Any], dict[str, list]]:
    """Score one language of one run.

    Args:
        task: the task row.
        language: of the examples; question answering is normalised by its rules.
        examples: the gold rows.
        predictions: one for each, same order.
        where: the prediction file's name, for messages.

    Returns:
        The record, `{metric: score from 0 to 100, ..., "n": units, "unit": kind of unit, "examples": rows}`,
        and the table, one list of length n a column: `unit` (id of an example or sentence, group of a query),
        `group` (the cluster that is resampled as one), and the statistics of all metrics.

    Raises:
        StiltgridError: if predictions and examples do not match row by row (nothing is padded), or no unit is
            left.
    """
    metrics = task_metrics(task)
    check_alignment(examples, predictions, tuple(task.labels), where)
    if metrics[0].unit == "query":
        names = [examples[rows[0]].group for rows in queries(examples)]
        table: dict[str, list] = {"unit": names, "group": list(names)}
    else:
        table = {"unit": [e.id for e in examples], "group": [e.group for e in examples]}
    if not table["unit"]:
        need = "no query has two or more rows" if examples else "no examples"
        raise StiltgridError(f"{where}: {need}, so {task.name} has no score; check the evaluation split")
    record: dict[str, Any] = {}
    counted = set()
    for metric in metrics:
        # metrics that rest on the same statistics, as F1 and exact match, share one count
        if metric.statistics not in counted:
            counted.add(metric.statistics)
            table |= metric.statistics(task, language, examples, predictions)
        record[metric.name] = metric.score(table)
    return record | {"n": len(table["unit"]), "unit": metrics[0].unit, "examples": len(examples)}, table
