"""Accuracy: of labels, and of tags token by token."""

from collections.abc import Sequence

from stiltgrid.examples import Example
from stiltgrid.metrics.metric import Metric, ratio
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow


def label_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `correct` (0 or 1) an example."""
    pairs = zip(examples, predictions, strict=True)
    return {"correct": [int(example.label == said.label) for example, said in pairs]}


def token_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `tokens_correct` and `tokens` a sentence."""
    pairs = list(zip(examples, predictions, strict=True))
    return {
        "tokens_correct": [
            sum(gold == tag for gold, tag in zip(example.tags, said.tags, strict=True)) for example, said in pairs
        ],
        "tokens": [len(example.tags) for example, _ in pairs],
    }


ACCURACY = Metric(
    "accuracy", "accuracy", "example", label_statistics, ("correct",), ratio({"correct": 1}, {"units": 1})
)
POS_ACCURACY = Metric(
    "pos_accuracy",
    "token accuracy",
    "sentence",
    token_statistics,
    ("tokens_correct", "tokens"),
    ratio({"tokens_correct": 1}, {"tokens": 1}),
)
