"""Families of tests and their corrections, as declared before any score is seen (statistics.md 1.4, step 3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from stiltgrid.analysis.estimate import Estimate

Method = Literal["none", "holm", "benjamini-hochberg"]


@dataclass(frozen=True, slots=True)
class Family:
    """Tests that are corrected together."""

    name: str
    title: str
    method: Method


FAMILIES = {
    family.name: family
    for family in (
        Family("headline", "the headline", "none"),
        Family("targets", "interaction by target task", "holm"),
        Family("intermediates", "interaction by intermediate task", "holm"),
        Family("gains", "gains by model, intermediate and target", "benjamini-hochberg"),
    )
}


@dataclass(frozen=True, slots=True)
class Decision:
    """A test's p within its family.

    Attributes:
        adjusted: the smallest level at which the family's procedure rejects it.
        rejected: whether it does at the declared level.
    """

    adjusted: float
    rejected: bool


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return Holm's (1979) adjusted p, shape (tests,): family-wise error, whatever the dependence.

    The i-th smallest of m, counted from 0, is multiplied by m - i, and none is below a smaller one's.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def adjust(p: ArrayLike, method: Method) -> NDArray[np.float64]:
    """Return adjusted p by a method (Benjamini and Hochberg 1995: false discovery rate)."""
    p = np.asarray(p, dtype=np.float64)
    if method == "none" or not len(p):
        return p
    return holm(p) if method == "holm" else stats.false_discovery_control(p, method="bh")


def decide(family: Family, estimates: Sequence[Estimate | None], level: float) -> list[Decision]:
    """Decide the tests of a family.

    A test that cannot be made (a cell is missing, nothing varied) or must not be marked (its seed noise was not
    measured) counts with p = 1: the family keeps its declared size, and no other test gets easier.

    Args:
        family: the family.
        estimates: one a declared test; None: it cannot be made.
        level: alpha, or q of Benjamini-Hochberg.
    """
    p = [e.p if e is not None and e.status == "measured" and not math.isnan(e.p) else 1.0 for e in estimates]
    return [Decision(float(a), bool(a < level)) for a in adjust(p, family.method)]


def replicability(decisions: Sequence[Decision]) -> int:
    """Return in how many tests of a Holm family an effect is there, with confidence 1 - alpha (Dror et al. 2017).

    The partial conjunction "in at least u of n" holds for every u up to the number of rejections.
    """
    return sum(d.rejected for d in decisions)
