"""Variances to plan with: declared ones, or those of a pilot (statistics.md 1.5).

All are of a target's mean over its zero-shot languages, in points, so that no correlation between languages has to be
guessed: it is in the pilot's numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from stiltgrid.analysis.contrast import Contrast, Place, mean
from stiltgrid.analysis.declaration import Declaration
from stiltgrid.analysis.evidence import Evidence
from stiltgrid.analysis.seeds import Pools
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid

ASSUMED_UNITS = 1000
DISAGREEMENT = 0.1


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of a target's zero-shot mean, points.

    Attributes:
        chains: between the scores of chains that differ in their seed alone, as they are observed.
        run: from the test examples, of what is a run's own; means over seeds shrink it.
        arm: from the test examples, of what all runs of an arm share and other arms do not; seeds do not shrink it.
    """

    chains: float
    run: float
    arm: float = 0.0


@dataclass(frozen=True)
class Variances:
    """Spreads of a grid.

    Attributes:
        spreads: (model, is it the baseline?, target) -> spread.
        checkpoint: share of the variance between chains that is the intermediate checkpoint's, which all targets of a
            chain share; averaging over targets does not shrink it.
        source: where they are from, a line a table prints.
        notes: what was assumed.
    """

    spreads: Mapping[tuple[str, bool, str], Spread]
    checkpoint: float = 0.0
    source: str = "declared"
    notes: tuple[str, ...] = ()


def assumed(
    grid: Grid,
    declaration: Declaration,
    seed_sd: Mapping[str, float],
    *,
    baseline_sd: Mapping[str, float] | None = None,
    disagreement: float = DISAGREEMENT,
    checkpoint: float = 0.0,
) -> Variances:
    """Return variances without a pilot.

    Two runs of one arm answer a share of the examples differently, one of them right and one wrong; with n examples,
    the run's own variance is then 10,000 / n times half that share. Languages of a parallel test set count as one, the
    others as independent; sizes are the published ones.

    Args:
        grid: the expanded config.
        declaration: what is asked.
        seed_sd: model -> standard deviation between seeds, points.
        baseline_sd: the same for the baseline; None: as `seed_sd`.
        disagreement: share of examples, 0 to 1.
        checkpoint: `Variances.checkpoint`.

    Raises:
        StiltgridError: if a model has no standard deviation.
    """
    if lacking := [m for m in declaration.models if m not in seed_sd]:
        raise StiltgridError(
            f"analysis.power: no seed standard deviation of model {lacking[0]!r}; declare it, in points"
        )
    spreads, unknown = {}, []
    for target, languages in declaration.zero_shot.items():
        row, split = grid.tasks[target], grid.config.targets[target].eval_split
        sizes = [row.sizes.get(f"{split}.{x}", row.sizes.get(split)) for x in languages]
        if not languages:
            continue
        if None in sizes:
            unknown.append(target)
        noise = [1e4 * disagreement / 2 / (n or ASSUMED_UNITS) for n in sizes]
        run = math.sqrt(max(noise) if row.parallel else sum(noise) / len(noise) ** 2)
        for model in declaration.models:
            for role in (False, True):
                sd = (baseline_sd or {}).get(model, seed_sd[model]) if role else seed_sd[model]
                spreads[model, role, target] = Spread(sd, run)
    notes = [f"{ASSUMED_UNITS} test examples a language are assumed of {', '.join(unknown)}"] if unknown else []
    numbers = ", ".join(f"{model} {sd:g}" for model, sd in seed_sd.items())
    source = f"declared: seed SD {numbers}; two seeds answer {100 * disagreement:g} % of the examples differently"
    return Variances(spreads, checkpoint, source, tuple(notes))


def pilot(declaration: Declaration, evidence: Evidence, *, checkpoint: float = 0.0) -> Variances:
    """Return the variances of what has been run so far.

    A (model, role, target) that the pilot lacks has the mean of the variances of what it does have, first of the same
    model and role, then of the same role, then of all.

    Args:
        declaration: what is asked.
        evidence: of at least one arm with two seeds and all zero-shot languages of one target.
        checkpoint: `Variances.checkpoint`.

    Raises:
        StiltgridError: if there is none.
    """
    pools = Pools(evidence)
    found: dict[tuple[str, bool, str], Spread] = {}
    for target, languages in declaration.zero_shot.items():
        if not languages:
            continue
        spots = tuple(sorted((target, x) for x in languages))
        weights = (1 / len(spots),) * len(spots)
        for model in declaration.models:
            per_arm = {arm: _examples(evidence, model, arm, spots) for arm in (*declaration.arms, declaration.baseline)}
            runs = {arm: run for arm, run in per_arm.items() if run is not None}
            arm_part = _arm_part(evidence, model, target, languages, runs, declaration.baseline)
            for role in (False, True):
                variance, freedom = pools.variance(model, role, spots, weights)
                own = [run for arm, run in runs.items() if (arm == declaration.baseline) == role]
                if freedom and own:
                    found[model, role, target] = Spread(math.sqrt(variance), math.sqrt(fmean(own)), math.sqrt(arm_part))
    if not found:
        raise StiltgridError(
            "the pilot has no arm with two seeds and all languages of a target; run one, or declare the variances"
        )
    filled, borrowed = {}, 0
    for target in (t for t, own in declaration.zero_shot.items() if own):
        for model in declaration.models:
            for role in (False, True):
                filled[model, role, target] = found.get((model, role, target)) or _like(found, model, role)
                borrowed += (model, role, target) not in found
    notes = [f"{borrowed} of {len(filled)} spreads are means of the others"] if borrowed else []
    return Variances(filled, checkpoint, "the pilot's", tuple(notes))


def _examples(evidence: Evidence, model: str, arm: str | None, spots: tuple[tuple[str, str], ...]) -> float | None:
    """Return the example variance of a target's mean that is a run's own; None below two seeds."""
    places = [Place(model, arm or "", *spot) for spot in spots]
    if any(p not in evidence.scores or evidence.seeds(p) < 2 for p in places):
        return None
    shares = np.mean([np.asarray(evidence.replicates[p], dtype=np.float64) for p in places], axis=0)
    apart = shares - shares.mean(axis=0)
    return float(apart.var(axis=1, ddof=1).sum() / (len(shares) - 1))


def _arm_part(
    evidence: Evidence,
    model: str,
    target: str,
    languages: tuple[str, ...],
    runs: Mapping[str | None, float],
    baseline: str | None,
) -> float:
    """Return half of what seeds would leave of a gain's example variance, the mean over intermediates."""
    if baseline not in runs:
        return 0.0

    def of(arm: str | None) -> Contrast:
        return mean(Contrast.of(Place(model, arm or "", target, x)) for x in languages)

    def seeds(arm: str | None) -> int:
        return evidence.seeds(Place(model, arm or "", target, languages[0]))

    parts = []
    for arm, run in runs.items():
        if arm != baseline:
            whole = float(np.var(evidence.replicated(of(arm) - of(baseline)), ddof=1))
            parts.append((whole - run / seeds(arm) - runs[baseline] / seeds(baseline)) / 2)
    return max(0.0, fmean(parts)) if parts else 0.0


def _like(found: Mapping[tuple[str, bool, str], Spread], model: str, role: bool) -> Spread:
    """Return the mean spread (of variances) of what is most like a (model, role)."""
    for near in (
        [s for (m, r, _), s in found.items() if (m, r) == (model, role)],
        [s for (_, r, _), s in found.items() if r == role],
        list(found.values()),
    ):
        if near:
            break
    return Spread(*(math.sqrt(fmean(getattr(s, part) ** 2 for s in near)) for part in ("chains", "run", "arm")))
