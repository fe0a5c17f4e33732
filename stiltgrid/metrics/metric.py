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
Statistics = Callable[[TaskRow, str, Sequence[Example], Sequence[Prediction]], dict[str, list]]
Sums = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that can be computed again on any resample of its units (statistics.md 1.4, step 0).

    Attributes:
        name: key in task rows and score files.
        title: name in tables.
        unit: what one row of statistics describes.
        statistics: of (task, language, examples, predictions): sufficient statistics by column name, one value a
            unit, in file order.
        columns: the columns whose (weighted) sums the score is a function of.
        of_sums: the score, 0 to 100, from these sums and `units`, the (weighted) number of units; arrays in, array
            out, elementwise.
    """

    name: str
    title: str
    unit: Unit
    statistics: Statistics
    columns: tuple[str, ...]
    of_sums: Callable[[Sums], NDArray[np.float64]]

    def score(self, columns: Mapping[str, ArrayLike], weights: ArrayLike | None = None) -> float | NDArray[np.float64]:
        """Return the score, 0 to 100, of the units or of resamples of them.

        Args:
            columns: the statistics, each of shape (units,).
            weights: how often each unit is drawn, shape (units,) or (resamples, units); None: once each.

        Returns:
            A float, or an array of shape (resamples,) for two-dimensional weights. 0 where the denominator is
            0.
        """
        table = np.stack([np.asarray(columns[name], dtype=np.float64) for name in self.columns])
        units = table.shape[1]
        if weights is None:
            sums, number = table.sum(axis=1), np.float64(units)
        else:
            drawn = np.asarray(weights, dtype=np.float64)
            sums, number = table @ drawn.T, drawn.sum(axis=-1)
        named = dict(zip(self.columns, sums, strict=True)) | {"units": number}
        score = self.of_sums({name: np.asarray(value) for name, value in named.items()})
        return score if np.ndim(score) else float(score)


def ratio(numerator: Mapping[str, float], denominator: Mapping[str, float]) -> Callable[[Sums], NDArray[np.float64]]:
    """Return the function 100 * numerator / denominator of sums; 0 where the denominator is 0.

    Args:
        numerator: column -> coefficient.
        denominator: likewise; `{"units": 1}` for a mean over units.
    """

    def of_sums(sums: Sums) -> NDArray[np.float64]:
        above, below = (
            np.asarray(sum(coefficient * sums[name] for name, coefficient in terms.items()), dtype=np.float64)
            for terms in (numerator, denominator)
        )
        # the ratio first, then the percentage: the last digit of the official evaluators' fractions is kept
        return 100.0 * np.divide(above, below, out=np.zeros_like(above), where=below > 0)

    return of_sums
