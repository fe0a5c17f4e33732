"""Accuracy of nearest neighbours (Tatoeba), F1 of mined pairs (BUCC 2018), as XTREME's evaluator has them."""

from collections.abc import Sequence

from stiltgrid.examples import Example
from stiltgrid.metrics.metric import Metric, ratio
from stiltgrid.predictions import Prediction
from stiltgrid.readers.bitext import TUNING
from stiltgrid.tasks.registry import TaskRow


def found_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `correct` (0 or 1) a query: is the sentence that it found its own translation?"""
    pairs = zip(examples, predictions, strict=True)
    return {"correct": [int(said.text in (example.references or ())) for example, said in pairs]}


def mined_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `pairs_right`, `pairs_mined` and `pairs_gold` a sentence; rows to tune a threshold on count nothing."""
    right, mined, gold = [], [], []
    for example, said in zip(examples, predictions, strict=True):
        counted = not example.id.startswith(TUNING)
        references = example.references or ()
        right.append(int(counted and said.text in references))
        mined.append(int(counted and bool(said.text)))
        gold.append(len(references) if counted else 0)
    return {"pairs_right": right, "pairs_mined": mined, "pairs_gold": gold}


RETRIEVAL_ACCURACY = Metric(
    "retrieval_accuracy", "accuracy", "example", found_statistics, ("correct",), ratio({"correct": 1}, {"units": 1})
)
MINING_F1 = Metric(
    "mining_f1",
    "F1",
    "example",
    mined_statistics,
    ("pairs_right", "pairs_mined", "pairs_gold"),
    ratio({"pairs_right": 2}, {"pairs_mined": 1, "pairs_gold": 1}),
)
