"""Does the answer depend on the scale? Odds, relative error, chance-normalised points (statistics.md 1.4, step 5).

A large model has less headroom, so its gain may be smaller in points alone. An interaction that keeps its sign on the
logit scale is not removed by that choice (Loftus 1978).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stiltgrid.analysis.contrast import Contrast, Place
from stiltgrid.analysis.evidence import Evidence
from stiltgrid.analysis.quantities import Leaf
from stiltgrid.errors import StiltgridError


def logit(score: NDArray[np.float64], units: int) -> NDArray[np.float64]:
    """Return log(y / (100 - y)) of scores, 0 to 100.

    It is infinite at 0 and 100; there a score is taken to be half a unit off, as the empirical logit does (Cox 1970).
    """
    edge = min(50.0 / units, 50.0)
    inside = np.clip(score, edge, 100 - edge)
    return np.log(inside / (100 - inside))


def logits(evidence: Evidence) -> Evidence:
    """Return the evidence in log odds: each seed's score and each replicate transformed, then averaged."""
    return evidence.transformed(logit)


def relative_gain(evidence: Evidence, model: str, baseline: str) -> Leaf:
    """Return the leaf that is the relative error reduction 100 (y_b - y_0) / (100 - y_0) of cell means, in percent.

    It bends in y_0, so its variance is that of its tangent at the means (delta method): the contrast has the tangent's
    coefficients, and a constant that makes its value the reduction itself.

    Raises:
        StiltgridError: if a baseline's mean is 100, which leaves no error to reduce.
    """

    def leaf(arm: str, target: str, language: str) -> Contrast:
        with_task, without = Place(model, arm, target, language), Place(model, baseline, target, language)
        evidence.check("relative error", (with_task, without))
        y, y0 = evidence.mean(with_task), evidence.mean(without)
        if y0 == 100:
            raise StiltgridError(f"relative error: {without} is 100 in every seed, there is no error to reduce")
        reduction = 100 * (y - y0) / (100 - y0)
        # floats: exact fractions of two means would grow with every sum
        up, down = float(100 / (100 - y0)), float(-100 * (100 - y) / (100 - y0) ** 2)
        tangent = Contrast.of(with_task, up) + Contrast.of(without, down)
        return tangent.plus(float(reduction) - evidence.value(tangent))

    return leaf


def relative_interaction(evidence: Evidence, small: str, large: str, baseline: str) -> Leaf:
    """Return the leaf that is the large model's relative error reduction minus the small one's."""
    less, more = relative_gain(evidence, small, baseline), relative_gain(evidence, large, baseline)
    return lambda arm, target, language: more(arm, target, language) - less(arm, target, language)


def chance_normalised(leaf: Leaf, chance: Mapping[str, float]) -> Leaf:
    """Return a leaf with each score y replaced by 100 (y - c) / (100 - c), c the chance level of its target."""

    def scaled(arm: str, target: str, language: str) -> Contrast:
        contrast, c = leaf(arm, target, language), chance[target]
        shift = sum(contrast.coefficients.values()) * c
        return contrast.plus(-shift) * (100 / (100 - c))

    return scaled


def direction(points: float, odds: float) -> str:
    """Return how the large model's gain compares with the small one's, on both scales.

    Args:
        points: the interaction in points.
        odds: on the logit scale.

    Returns:
        `more` or `less` only if both agree; else e.g. `less in points, not in odds`. Says nothing of significance.
    """
    if points == 0:
        return "equally"
    word = "more" if points > 0 else "less"
    return word if points * odds > 0 else f"{word} in points, not in odds"
