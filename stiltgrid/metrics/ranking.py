"""nDCG as XGLUE's evaluator computes it for web page ranking (WPR)."""

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics.metric import Metric, ratio
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow


def ndcg(gains: Sequence[float], values: Sequence[float]) -> float:
    """Return the normalised discounted cumulative gain of one ranking, 0 to 1, over its full depth.

    DCG = sum of gain / log2(rank + 1), with the gain itself, not 2^gain - 1. Documents with equal values
    share the mean gain of their block. The ideal DCG is that of the gains in descending order. If all gains
    are 0, the result is 0 (as scikit-learn's ndcg_score).

    Args:
        gains: relevance of each document, at least 0, shape (documents,).
        values: predicted relevance, same shape; a higher one ranks first.
    """
    gain, value = np.asarray(gains, dtype=np.float64), np.asarray(values, dtype=np.float64)
    discount = 1 / np.log2(np.arange(len(gain)) + 2)
    ideal = np.sort(gain)[::-1] @ discount
    if ideal == 0:
        return 0.0
    _, block, size = np.unique(-value, return_inverse=True, return_counts=True)
    mean_gain = np.bincount(block, weights=gain) / size
    return float(np.repeat(mean_gain, size) @ discount / ideal)


def queries(examples: Sequence[Example]) -> list[list[int]]:
    """Return the row indices of each query that is scored: two or more consecutive rows of one group."""
    blocks = (list(rows) for _, rows in groupby(range(len(examples)), key=lambda row: examples[row].group))
    return [rows for rows in blocks if len(rows) > 1]


def query_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `ndcg` (0 to 1) a query with two or more rows; queries without a relevant row score 0 and stay.

    Raises:
        StiltgridError: if a prediction has no finite value, naming its id.
    """
    for said in predictions:
        if said.value is None or not math.isfinite(said.value):
            raise StiltgridError(
                f"{task.name}: the prediction for {said.id!r} has value {said.value}; expected a finite "
                "number, the expected relevance (the run predicted without it, or diverged)"
            )
    return {
        "ndcg": [
            ndcg([float(examples[row].label) for row in rows], [predictions[row].value for row in rows])
            for rows in queries(examples)
        ]
    }


NDCG = Metric("ndcg", "nDCG", "query", query_statistics, ("ndcg",), ratio({"ndcg": 1}, {"units": 1}))
