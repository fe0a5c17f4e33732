"""Would it hold on other tasks? The targets' values as a sample of tasks (statistics.md 1.4, step 4).

The interval of a contrast speaks of this benchmark, whose tasks are fixed; what is here speaks of tasks like these.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

EXACT = 16
"""Tasks up to which all 2^n flips are tried; beyond, 99,999 random ones."""
TRIM = 0.25


@dataclass(frozen=True, slots=True)
class Generality:
    """The mean of the targets' values as an estimate for other tasks.

    Attributes:
        tasks: their number.
        value: the mean.
        p: exact two-sided p of the sign-flip test; NaN below two tasks.
        low: lower end of the t interval; NaN below two tasks or where the values do not differ.
        high: upper end.
        lowest: the smallest mean without one of the tasks, and that task; None below two tasks.
        highest: the largest, likewise.
        interquartile: mean of the middle half, a quarter of the tasks (rounded down) cut off at either end.
    """

    tasks: int
    value: float
    p: float
    low: float
    high: float
    lowest: tuple[float, str] | None
    highest: tuple[float, str] | None
    interquartile: float


def sign_flip(values: list[float]) -> float:
    """Return the two-sided p of the sign-flip test that values are symmetric about 0.

    All flips are tried up to `EXACT` values; the smallest p of n values is then 2 / 2^n.
    """
    if len(values) < 2:
        return math.nan
    number = math.inf if len(values) <= EXACT else 99_999
    found = stats.permutation_test(
        (np.asarray(values),),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=number,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def middle(values: Mapping[str, float]) -> list[str]:
    """Return the tasks whose values the interquartile mean averages."""
    order = sorted(values, key=lambda task: (values[task], task))
    cut = int(TRIM * len(order))
    return order[cut : len(order) - cut]


def generality(values: Mapping[str, float], alpha: float = 0.05) -> Generality:
    """Treat the values of targets as a sample.

    Args:
        values: target -> value, at least one.
        alpha: 1 - coverage of the interval.
    """
    numbers = [values[task] for task in sorted(values)]
    number, value = len(numbers), math.fsum(numbers) / len(numbers)
    low = high = math.nan
    lowest = highest = None
    if number > 1:
        spread = float(np.std(numbers, ddof=1))
        if spread > 0:
            half = float(stats.t.ppf(1 - alpha / 2, number - 1)) * spread / math.sqrt(number)
            low, high = value - half, value + half
        without = [(math.fsum(v for other, v in values.items() if other != t) / (number - 1), t) for t in values]
        lowest, highest = min(without), max(without)
    trimmed = float(stats.trim_mean(numbers, TRIM))
    return Generality(number, value, sign_flip(numbers), low, high, lowest, highest, trimmed)
