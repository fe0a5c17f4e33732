"""A contrast's estimate, interval and p: its variance is of examples and of seeds (statistics.md 1.4, step 2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special, stats

from stiltgrid.analysis.contrast import Contrast
from stiltgrid.analysis.evidence import Evidence
from stiltgrid.analysis.seeds import Pools

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate in the units of its scale, points unless it is transformed.

    Attributes:
        value: the contrast of the plain means.
        se: standard error; 0 where nothing varied.
        freedom: Welch-Satterthwaite degrees of freedom, infinite without seed noise.
        low: lower end of the interval; NaN, as `high` and `p`, where the standard error is 0: that nothing varied in a
            sample is no certainty.
        high: upper end.
        p: two-sided, of the value 0; below `alpha` exactly where the interval excludes 0.
        examples: variance from the test examples.
        seeds: variance from the seeds.
        status: `measured`, `borrowed` or `none`: where the seed variance is from (`seeds.SeedNoise`).
        borrowed: what was borrowed from where.
        tipping: the seed standard deviation of one target, equal in all arms, at which the interval would touch 0; 0 if
            it does without any. Only where seed noise is not measured, else None.
        wilson: whether the interval is Wilson's, of a score of 0 or 100.
        alpha: 1 - coverage of the interval.
    """

    value: float
    se: float
    freedom: float
    low: float
    high: float
    p: float
    examples: float
    seeds: float
    status: str
    borrowed: tuple[str, ...] = ()
    tipping: float | None = None
    wilson: bool = False
    alpha: float = ALPHA

    @property
    def marked(self) -> bool:
        """Whether 0 is excluded, by a seed variance that was measured; without one nothing is marked."""
        return self.status == "measured" and self.p < self.alpha


class Estimator:
    """Estimates contrasts on one scale.

    Args:
        evidence: scores and replicates.
        alpha: 1 - coverage of the intervals.
    """

    def __init__(self, evidence: Evidence, alpha: float = ALPHA) -> None:
        self.evidence, self.alpha = evidence, alpha

    @cached_property
    def pools(self) -> Pools:
        """The scores by pool of seed variance."""
        return Pools(self.evidence)

    def __call__(self, name: str, contrast: Contrast) -> Estimate:
        """Estimate a contrast.

        Args:
            name: for messages.
            contrast: of cells that are all complete.

        Raises:
            IncompleteError: if a cell is not, naming it.
        """
        self.evidence.check(name, contrast.coefficients)
        value = self.evidence.value(contrast)
        examples = float(np.var(self.evidence.replicated(contrast), ddof=1))
        noise = self.pools.noise(contrast)
        seeds = noise.variance
        square = examples + seeds
        shown = (examples, seeds, noise.status, noise.borrowed)
        if square < TINY:
            return self._constant(contrast, value, shown)
        below = sum(part.variance**2 / part.freedom for part in noise.parts)
        freedom = square**2 / below if below else math.inf
        se, t = math.sqrt(square), float(special.stdtrit(freedom, 1 - self.alpha / 2))
        p = 2 * float(special.stdtr(freedom, -abs(value) / se))
        tipping = None
        if noise.status != "measured" and noise.unit:
            tipping = math.sqrt(max(0.0, (abs(value) / t) ** 2 - examples) / noise.unit)
        return Estimate(
            value, se, freedom, value - t * se, value + t * se, p, *shown, tipping=tipping, alpha=self.alpha
        )

    def _constant(self, contrast: Contrast, value: float, shown: Sequence) -> Estimate:
        """Return the estimate of what did not vary: Wilson's interval for one cell at 0 or 100, else none."""
        nothing, low, high, wilson = math.nan, math.nan, math.nan, False
        if contrast.constant == 0 and list(contrast.coefficients.values()) == [1] and value in (0.0, 100.0):
            [place] = contrast.coefficients
            if number := self.evidence.clusters.get(place[2:]):
                # clusters, not units: rows of one premise are not independent
                found = stats.binomtest(round(number * value / 100), number).proportion_ci(1 - self.alpha, "wilson")
                low, high, wilson = 100 * found.low, 100 * found.high, True
        return Estimate(value, 0.0, math.inf, low, high, nothing, *shown, wilson=wilson, alpha=self.alpha)


TINY = 1e-18
"""Variances below it, in points squared, are rounding."""
