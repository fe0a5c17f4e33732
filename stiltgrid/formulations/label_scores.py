"""From scores of labels to predictions: classification, ranking, choice and tagging, in both families."""

import math
from collections.abc import Sequence

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import Feature, Setup, diverged
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow


def check_ranking(row: TaskRow) -> None:
    """Check that a ranking task's labels are numbers.

    Raises:
        StiltgridError: if one is not.
    """
    if row.kind == "ranking":
        for label in row.labels:
            try:
                float(label)
            except ValueError:
                raise StiltgridError(f"{row.name}: ranking label {label!r} is not a number") from None


def decode(
    setup: Setup,
    row: TaskRow,
    examples: Sequence[Example],
    features: Sequence[Feature],
    said: Sequence[Sequence[Sequence[float]]],
) -> list[Prediction]:
    """Turn label scores into one prediction an example, in the order of the examples.

    Args:
        setup: the formulation's setup.
        row: the task.
        examples: what was encoded.
        features: their inputs, in any order; together they cover every unit once.
        said: for each feature, for each unit, the log-probability of each label in the row's order, or of each of the
            example's choices.

    Returns:
        Tagging: the best tag of each word. Classification, choice: the best label and all scores. Ranking: besides, the
        expected relevance.

    Raises:
        StiltgridError: if a score is not finite (the largest of NaNs is the first label), or if an example has no
            feature, or a word no score (a fault of the formulation).
    """
    labels = list(row.labels)
    found: list[dict[int, Sequence[float]]] = [{} for _ in examples]
    for feature, units in zip(features, said, strict=True):
        for offset, unit in enumerate(units):
            found[feature.row][feature.first + offset] = unit
    predictions = []
    for example, units in zip(examples, found, strict=True):
        expected = len(example.words or ()) if row.kind == "tagging" else 1
        if len(units) != expected:
            raise StiltgridError(f"{row.name}: {example.id!r} has scores for {len(units)} of {expected} units")
        if not all(math.isfinite(score) for unit in units.values() for score in unit):
            raise diverged(row, example)
        # as many scores as labels, or as the example has choices
        best = [labels[max(range(len(units[i])), key=units[i].__getitem__)] for i in range(expected)]
        if row.kind == "tagging":
            predictions.append(Prediction(id=example.id, tags=tuple(best)))
            continue
        value = None
        if row.kind == "ranking":
            value = sum(math.exp(s) * float(label) for s, label in zip(units[0], labels, strict=True))
        predictions.append(Prediction(id=example.id, label=best[0], scores=tuple(units[0]), value=value))
    return predictions
