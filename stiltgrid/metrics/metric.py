"""What a metric is: statistics of each unit, and a score that is a function of their (weighted) sums."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

Unit = Literal["example", "sentence", "query"]
Statistics = Callable[[TaskRow, Sequence[Example], Sequence[Prediction]], dict[str, list]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that can be computed again on any resample of its units (statistics.md 1.4, step 0).

    Attributes:
        name: key in task rows and score files.
        title: name in tables.
        unit: what one row of statistics describes.
        statistics: sufficient statistics by column name, one value a unit, in file order.
        numerator: column -> coefficient; the score is 100 * weighted sum of these ...
        denominator: ... over the weighted sum of these; empty: over the number of units.
    """

    name: str
    title: str
    unit: Unit
    statistics: Statistics
    numerator: Mapping[str, float]
    denominator: Mapping[str, float]

    def score(self, columns: Mapping[str, ArrayLike], weights: ArrayLike | None = None) -> float | NDArray[np.float64]:
        """Return the score, 0 to 100, of the units or of resamples of them.

        Args:
            columns: the statistics, each of shape (units,).
            weights: how often each unit is drawn, shape (units,) or (resamples, units); None: once each.

        Returns:
            A float, or an array of shape (resamples,) for two-dimensional weights. 0 where the denominator is
            0.
        """
        top = _combine(self.numerator, columns)
        bottom = _combine(self.denominator, columns) if self.denominator else np.ones_like(top)
        if weights is None:
            above, below = top.sum(), bottom.sum()
        else:
            drawn = np.asarray(weights, dtype=np.float64)
            above, below = drawn @ top, drawn @ bottom
        # the ratio first, then the percentage: the last digit of the official evaluators' fractions is kept
        ratio = np.divide(above, below, out=np.zeros_like(np.asarray(above)), where=np.asarray(below) > 0)
        return 100.0 * ratio if np.ndim(ratio) else float(100.0 * ratio)


def _combine(terms: Mapping[str, float], columns: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    return sum(coefficient * np.asarray(columns[name], dtype=np.float64) for name, coefficient in terms.items())  # type: ignore[return-value]
