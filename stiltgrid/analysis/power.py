"""What could be seen: the smallest effect that a grid would detect, before any GPU is used (statistics.md 1.5)."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy import optimize, special

from stiltgrid.analysis.contrast import Contrast
from stiltgrid.analysis.declaration import Declaration
from stiltgrid.analysis.families import FAMILIES
from stiltgrid.analysis.results import questions
from stiltgrid.analysis.variances import Variances
from stiltgrid.grid import Grid

POWER = 0.8
NORMAL = 1e4
"""Degrees of freedom from which t is normal, to four digits."""
POINTS = 2000


@dataclass(frozen=True, slots=True)
class Design:
    """Seeds of a grid.

    Attributes:
        name: for tables.
        seeds: (model, arm) -> number of seeds.
    """

    name: str
    seeds: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Precision:
    """The standard error that an analysis would report, and its degrees of freedom."""

    se: float
    freedom: float


@dataclass(frozen=True, slots=True)
class Detectable:
    """The smallest effects of a family, in points.

    Attributes:
        design: its name.
        family: its name.
        tests: their number.
        normal: with known standard deviations: the normal approximation, median over the family's tests.
        single: with variances estimated from the seeds, uncorrected, median.
        corrected: the same at alpha / tests, the first step of the correction, which one effect alone has to pass.
        freedom: degrees of freedom, median.
    """

    design: str
    family: str
    tests: int
    normal: float
    single: float
    corrected: float
    freedom: float


def precision(contrast: Contrast, design: Design, variances: Variances, baseline: str | None) -> Precision:
    """Return what the analysis of a contrast of zero-shot means would have as standard error.

    Chains of one target are independent of another target's but for the intermediate checkpoint's share. The variance
    between chains holds a run's example noise too, as the analysis counts it: slightly too much.

    Args:
        contrast: coefficients of one (arm, target) are summed over languages.
        design: the seeds.
        variances: of each target's mean.
        baseline: the arm without intermediate training.
    """
    weights: dict[tuple[str, str], dict[str, float]] = {}
    for place, c in contrast.coefficients.items():
        of_arm = weights.setdefault((place.model, place.intermediate), {})
        of_arm[place.target] = of_arm.get(place.target, 0.0) + float(c)
    examples, pools = 0.0, {}
    for (model, arm), by_target in weights.items():
        role, number = arm == baseline, design.seeds[model, arm]
        spreads = {t: variances.spreads[model, role, t] for t in by_target}
        shares = [w * spreads[t].chains for t, w in by_target.items()]
        common = 0.0 if role else variances.checkpoint
        chains = (1 - common) * sum(s * s for s in shares) + common * sum(shares) ** 2
        pools[model, role] = pools.get((model, role), 0.0) + chains / number
        examples += sum(w * w * (spreads[t].run ** 2 / number + spreads[t].arm ** 2) for t, w in by_target.items())
    square = examples + sum(pools.values())
    below = 0.0
    for key, variance in pools.items():
        nu = _freedom(design, key, baseline)
        below += variance**2 / nu if nu else math.inf
    return Precision(math.sqrt(square), square**2 / below if below else math.inf)


def _freedom(design: Design, pool: tuple[str, bool], baseline: str | None) -> int:
    """Return the degrees of freedom of a pool, or of the one that it would borrow: the same role in other models."""

    def own(model: str) -> int:
        return sum(n - 1 for (m, arm), n in design.seeds.items() if (m, arm == baseline) == (model, pool[1]))

    others = {m for m, _ in design.seeds} - {pool[0]}
    return own(pool[0]) or sum(map(own, others))


def smallest_effect(found: Precision, alpha: float = 0.05, power: float = POWER) -> float:
    """Return the effect whose two-sided t test has a power; infinite where there is no degree of freedom."""
    if found.freedom <= 0:
        return math.inf
    if found.freedom > NORMAL:
        return normal_effect(found.se, alpha, power)
    critical = float(special.stdtrit(found.freedom, 1 - alpha / 2))
    # the noncentral t as a mean over what the standard error may come out as (scipy's own fails far out in the tail)
    shares = (np.arange(POINTS) + 0.5) / POINTS
    bars = critical * np.sqrt(2 * special.gammaincinv(found.freedom / 2, shares) / found.freedom)

    def short(shift: float) -> float:
        return float(np.mean(special.ndtr(shift - bars) + special.ndtr(-shift - bars))) - power

    top = 2 * critical
    while short(top) < 0:
        top *= 2
    return found.se * float(optimize.brentq(short, 0.0, top))


def normal_effect(se: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Return the effect whose two-sided test has a power where the standard error is known."""
    return se * float(special.ndtri(1 - alpha / 2) + special.ndtri(power))


def designs(grid: Grid, declaration: Declaration) -> list[Design]:
    """Return the config's seeds and others to consider, no two alike."""
    names = [(m, arm) for m in declaration.models for arm in grid.config.intermediates]
    own = {key: len(grid.seeds(*key)) for key in names}

    def base(key: tuple[str, str]) -> bool:
        return key[1] == declaration.baseline

    found = [Design("this config", own)]
    if declaration.large is not None:
        found.append(Design("large model 1 seed", {k: 1 if k[0] == declaration.large else n for k, n in own.items()}))
    found += [
        Design("3 seeds", dict.fromkeys(names, 3)),
        Design("3 seeds, baseline 9", {key: 9 if base(key) else 3 for key in names}),
        Design("5 seeds", dict.fromkeys(names, 5)),
    ]
    return [d for k, d in enumerate(found) if all(d.seeds != other.seeds for other in found[:k])]


def families(declaration: Declaration) -> dict[str, list[Contrast]]:
    """Return the contrasts of the headline and of each family, as if every cell were complete."""
    found: dict[str, list[Contrast]] = {}
    for question in questions(declaration):
        if question.family:
            found.setdefault(question.family, []).append(question.build().contrast)
    return found


def detectable(
    declaration: Declaration, designs: Iterable[Design], variances: Variances, power: float = POWER
) -> list[Detectable]:
    """Return the smallest effects of the headline and each family, design by design."""
    asked = families(declaration)
    return [row for design in designs for row in _of_design(declaration, asked, design, variances, power)]


def _of_design(
    declaration: Declaration,
    asked: Mapping[str, list[Contrast]],
    design: Design,
    variances: Variances,
    power: float,
) -> list[Detectable]:
    rows = []
    for name, contrasts in asked.items():
        members = [precision(c, design, variances, declaration.baseline) for c in contrasts]
        level = declaration.q if FAMILIES[name].method == "benjamini-hochberg" else declaration.alpha
        # the middle member stands for its family: solving for each would only sharpen the median
        typical = sorted(members, key=lambda p: p.se)[len(members) // 2]
        rows.append(
            Detectable(
                design.name,
                name,
                len(members),
                normal_effect(median(p.se for p in members), level, power),
                smallest_effect(typical, level, power),
                smallest_effect(typical, level / len(members), power),
                typical.freedom,
            )
        )
    return rows


def power_table(rows: Iterable[Detectable], variances: Variances, power: float = POWER) -> str:
    """Return the smallest effects as Markdown."""

    def number(x: float) -> str:
        return f"{x:.2f}" if math.isfinite(x) else "none"

    lines = [
        "| seeds | family | tests | known SD | estimated SD | corrected | df |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in rows:
        freedom = f"{r.freedom:.0f}" if math.isfinite(r.freedom) else "inf"
        effects = " | ".join(map(number, (r.normal, r.single, r.corrected)))
        lines.append(f"| {r.design} | {FAMILIES[r.family].title} | {r.tests} | {effects} | {freedom} |")
    lines += ["", f"Smallest effects, points, that are detected with power {100 * power:.0f} %: two-sided tests."]
    shared = (
        f"{100 * variances.checkpoint:g} % of the seed variance is the intermediate checkpoint's"
        if (variances.checkpoint)
        else "seeds are taken to be independent between targets, although they share an intermediate checkpoint"
    )
    lines.append(f"Variances: {variances.source}; {shared}.")
    lines += [f"{note}." for note in variances.notes]
    return "\n".join(lines) + "\n"
