"""Seed noise of a contrast: the variance between chains, pooled in two pools a model (statistics.md 1.4).

A chain is a (model, intermediate, seed): its evaluations in several languages are of one model, and its targets start
from one checkpoint, so what varies is the whole of a chain's share of the contrast, z = sum of w y over targets and
languages. The variance of z is estimated in a pool: a model's arms of one role, the baseline alone or all intermediate
arms together, also those that the contrast does not name, each with the same weights w. One pool for both would be too
narrow where the baseline is noisier.

A role for which a model has no arm of two seeds borrows its pool, in this order: the same role in the other models, the
other role in its own, the other role in the others. The first keeps baseline and intermediates apart; none is a
measurement, and the estimate says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stiltgrid.analysis.contrast import Contrast
from stiltgrid.analysis.evidence import Evidence

Role = bool
"""Whether an arm is the baseline."""
Spots = tuple[tuple[str, str], ...]
"""(target, language) pairs that an arm has in a contrast, sorted."""


@dataclass(frozen=True, slots=True)
class Part:
    """What the chains of one pool add to the variance of a contrast.

    Attributes:
        variance: of the contrast, points squared.
        freedom: degrees of freedom of the pool's variance.
    """

    variance: float
    freedom: int


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """The seed component of a contrast's variance.

    Attributes:
        parts: a part a pool; two arms that rest on one pool are in one part.
        status: `measured`; `borrowed` if some arm's pool is another model's or role's; `none` if there is no pool at
            all, in which case the seed noise is left out.
        borrowed: what was borrowed from where, as text.
        unit: the contrast's seed variance if every chain had a variance of 1 in each target: sum over arms and
            targets of (sum over languages of w)^2 / seeds.
    """

    parts: tuple[Part, ...]
    status: str
    borrowed: tuple[str, ...]
    unit: float

    @property
    def variance(self) -> float:
        """The seed variance of the contrast."""
        return sum(part.variance for part in self.parts)


class Pools:
    """Every arm's scores, by model and role, for the variances of contrasts.

    Args:
        evidence: the scores.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._known: dict[tuple, tuple[float, int]] = {}

    @cached_property
    def _spots(self) -> dict[tuple[str, str], int]:
        found = sorted({(p.target, p.language) for p in self.evidence.scores})
        return {spot: k for k, spot in enumerate(found)}

    @cached_property
    def _tables(self) -> dict[tuple[str, Role], list[NDArray[np.float64]]]:
        """(model, role) -> arrays of shape (arms, seeds, spots), one a number of seeds; NaN where a cell is lacking."""
        arms: dict[tuple[str, str], NDArray[np.float64]] = {}
        for place, values in self.evidence.scores.items():
            key = (place.model, place.intermediate)
            if key not in arms:
                arms[key] = np.full((len(values), len(self._spots)), np.nan)
            arms[key][:, self._spots[place.target, place.language]] = values
        groups: dict[tuple[str, Role], dict[int, list[NDArray]]] = {}
        for (model, arm), table in sorted(arms.items()):
            by_seeds = groups.setdefault((model, arm == self.evidence.baseline), {})
            by_seeds.setdefault(len(table), []).append(table)
        return {
            key: [np.stack(tables) for seeds, tables in sorted(by_seeds.items()) if seeds > 1]
            for key, by_seeds in groups.items()
        }

    def variance(self, model: str, role: Role, spots: Spots, weights: tuple[float, ...]) -> tuple[float, int]:
        """Return the pooled variance of one chain's share of a contrast, and its degrees of freedom (0: no pool).

        Args:
            model: whose arms.
            role: which arms.
            spots: the (target, language) pairs.
            weights: of each pair, in points a point.
        """
        if weights[0] < 0:  # a variance has no sign, so gains of opposite signs share one entry
            weights = tuple(-w for w in weights)
        key = (model, role, spots, weights)
        if not self._spots.keys() >= set(spots):
            return 0.0, 0
        if key not in self._known:
            columns, w = [self._spots[s] for s in spots], np.array(weights)
            squares, freedom = 0.0, 0
            for table in self._tables.get((model, role), ()):
                share = table[:, :, columns] @ w
                share = share[np.isfinite(share).all(axis=1)]
                squares += float(share.var(axis=1, ddof=1).sum()) * (table.shape[1] - 1)
                freedom += len(share) * (table.shape[1] - 1)
            self._known[key] = (squares / freedom if freedom else 0.0, freedom)
        return self._known[key]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models that have a score."""
        return tuple(sorted({place.model for place in self.evidence.scores}))

    def lenders(self, model: str, role: Role) -> list[list[tuple[str, Role]]]:
        """Return the pools that an arm may rest on, best first; those of one entry are joined."""
        others = [m for m in self.models if m != model]
        return [[(model, role)], [(m, role) for m in others], [(model, not role)], [(m, not role) for m in others]]

    def noise(self, contrast: Contrast) -> SeedNoise:
        """Return the seed component of a contrast's variance. All its cells must be complete."""
        profiles: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
        seeds: dict[tuple[str, str], int] = {}
        for place, c in contrast.coefficients.items():
            profiles.setdefault(place[:2], {})[place[2:]] = float(c)
            seeds[place[:2]] = self.evidence.seeds(place)
        found: dict[tuple, Part] = {}
        borrowed: dict[str, None] = {}
        unit, without = 0.0, False
        for (model, arm), profile in sorted(profiles.items()):
            role, number = arm == self.evidence.baseline, seeds[model, arm]
            spots, weights = zip(*sorted(profile.items()), strict=True)
            unit += _per_target(profile) / number
            for lenders in self.lenders(model, role):
                pools = [self.variance(m, r, spots, weights) for m, r in lenders]
                freedom = sum(nu for _, nu in pools)
                if freedom:
                    break
            else:
                without = True
                continue
            variance = sum(s * nu for s, nu in pools) / freedom / number
            # the pools that were found: two arms that borrow the same ones share their degrees of freedom
            source = tuple(lender for lender, (_, nu) in zip(lenders, pools, strict=True) if nu)
            before = found.get(source, Part(0.0, freedom))
            found[source] = Part(before.variance + variance, min(before.freedom, freedom))
            if source != ((model, role),):
                names = ", ".join(f"{m}'s {_name(r)}" for m, r in source)
                borrowed[f"{model}'s {_name(role)}: from {names}"] = None
        status = "none" if without else "borrowed" if borrowed else "measured"
        return SeedNoise(tuple(found.values()), status, tuple(borrowed), unit)


def _name(role: Role) -> str:
    return "baseline" if role else "intermediates"


def _per_target(profile: Mapping[tuple[str, str], float]) -> float:
    """Return the sum over targets of the squared sum over languages of the weights."""
    sums: dict[str, float] = {}
    for (target, _), weight in profile.items():
        sums[target] = sums.get(target, 0.0) + weight
    return sum(s * s for s in sums.values())
