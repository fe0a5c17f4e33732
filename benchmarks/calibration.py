"""False positives and power of the intervals, on simulated grids whose truth is known.

A grid of two models, a baseline and ten intermediates, one target in four parallel languages. Each test item is
harder or easier for everybody, for a model, an arm and a language; each chain (model, arm, seed) is better or worse
as a whole, by a seed noise that all its languages share; answers are right or wrong at random. Under the null, no
intermediate helps in the population of chains and items, so every "significant" result is false. Beside the intervals
of `stiltgrid.analysis` stands the field's habit, the paired bootstrap over examples that takes the trained models as
given.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from measure import machine, parser, table, timed
from numpy.typing import NDArray

from stiltgrid.analysis.contrast import Contrast, Place
from stiltgrid.analysis.estimate import Estimator
from stiltgrid.analysis.evidence import Evidence, evidence
from stiltgrid.analysis.quantities import average, gain, interaction
from stiltgrid.analysis.resampling import draws

EXAMPLES = """  python benchmarks/calibration.py                      minutes
  python benchmarks/calibration.py --grids 100 --items 500
"""
BASELINE, TARGET = "none", "target"
MODELS = ("base", "xxl")
LEVEL = {"base": 1.8, "xxl": 3.6}
"""Log odds of an average item; about 64 % and 77 % right."""
SPREAD = {"item": 4.0, "model": 1.5, "arm": 0.7, "language": 1.5}
"""Standard deviations of the parts of an item's difficulty, in log odds: two seeds disagree on 12 to 15 % of items."""


@dataclass(frozen=True)
class Truth:
    """What is simulated.

    Attributes:
        seeds: of an intermediate arm.
        baseline_seeds: of the baseline.
        noise: standard deviation of the seed noise in points, by model.
        baseline_noise: how many times as much the baseline has.
        effect: points that the intermediates give the second model, in every arm; 0 is the null.
        arms: intermediates.
        languages: their number.
        items: of the test set.
        replicates: bootstrap draws.
    """

    seeds: int = 3
    baseline_seeds: int = 3
    noise: tuple[float, float] = (0.7, 0.5)
    baseline_noise: float = 1.0
    effect: float = 0.0
    arms: int = 10
    languages: int = 4
    items: int = 1500
    replicates: int = 500


def answers(truth: Truth, rng: np.random.Generator) -> Iterator[tuple[Place, NDArray[np.float32]]]:
    """Yield each cell's right answers, shape (seeds, items), 0 or 1."""
    names = [BASELINE, *(f"arm{k}" for k in range(truth.arms))]
    languages = [f"l{k}" for k in range(truth.languages)]
    item = SPREAD["item"] * rng.normal(size=truth.items)
    of_language = SPREAD["language"] * rng.normal(size=(truth.languages, truth.items))
    for model, noise in zip(MODELS, truth.noise, strict=True):
        of_model = LEVEL[model] + item + SPREAD["model"] * rng.normal(size=truth.items)
        for arm in names:
            seeds = truth.baseline_seeds if arm == BASELINE else truth.seeds
            sd = noise * (truth.baseline_noise if arm == BASELINE else 1.0)
            points = sd * rng.normal(size=seeds) + truth.effect * (arm != BASELINE and model == MODELS[1])
            own = of_model + SPREAD["arm"] * rng.normal(size=truth.items)
            for k, language in enumerate(languages):
                odds = own + of_language[k]
                right = 1 / (1 + np.exp(-odds))
                # log odds by which a chain moves all items, so that their mean moves by its points
                steps = points[:, None] / 100 / np.mean(right * (1 - right))
                chances = 1 / (1 + np.exp(-(odds + steps)))
                yield Place(model, arm, TARGET, language), (rng.random(chances.shape) < chances).astype(np.float32)


def simulate(truth: Truth, seed: int) -> Evidence:
    """Return the evidence of one simulated grid."""
    found = dict(answers(truth, np.random.default_rng([seed, truth.seeds, truth.baseline_seeds])))
    stacked = np.concatenate(list(found.values())).T
    values = np.empty((truth.replicates, stacked.shape[1]), dtype=np.float32)
    for rows, counts in draws(seed, truth.items, truth.replicates):
        values[rows] = 100 * (counts @ stacked) / truth.items
    ends = np.cumsum([len(x) for x in found.values()])[:-1]
    replicates = dict(zip(found, np.split(values.T, ends), strict=True))
    return evidence({p: 100 * x.mean(axis=1, dtype=np.float64) for p, x in found.items()}, replicates)


def contrasts(truth: Truth) -> dict[str, Contrast]:
    """Return the contrasts that are tested."""
    languages = {TARGET: [f"l{k}" for k in range(truth.languages)]}
    one, nine = ["arm0"], [f"arm{k}" for k in range(max(1, truth.arms - 1))]
    more = interaction(*MODELS, BASELINE)
    return {
        "gain, one arm": average("", gain(MODELS[1], BASELINE), one, languages).contrast,
        "interaction, one arm": average("", more, one, languages).contrast,
        f"interaction, mean of {len(nine)}": average("", more, nine, languages).contrast,
    }


def naive(found: Evidence, contrast: Contrast, *, one_seed: bool) -> bool:
    """Tell whether a paired bootstrap over examples calls a contrast significant: 0 is not in its percentile interval.

    Args:
        found: scores and replicates.
        contrast: what is tested.
        one_seed: of the first seed's models alone, or of means over seeds.
    """
    total = 0.0
    for place, c in contrast.coefficients.items():
        values = found.replicates[place]
        total = total + float(c) * (values[0] if one_seed else values.mean(axis=0))
    low, high = np.percentile(total, [2.5, 97.5])
    return not low <= 0 <= high


METHODS = ("paired bootstrap, one seed", "paired bootstrap, mean of seeds", "stiltgrid")


def rates(truth: Truth, grids: int, seed: int = 0) -> dict[tuple[str, str], float]:
    """Return how often each method calls each contrast significant, in percent of simulated grids."""
    counts: dict[tuple[str, str], int] = {}
    asked = contrasts(truth)
    for k in range(grids):
        found = simulate(truth, seed + k)
        estimate = Estimator(found)
        for name, contrast in asked.items():
            said = (
                naive(found, contrast, one_seed=True),
                naive(found, contrast, one_seed=False),
                estimate(name, contrast).marked,
            )
            for method, yes in zip(METHODS, said, strict=True):
                counts[name, method] = counts.get((name, method), 0) + yes
    return {key: 100 * count / grids for key, count in counts.items()}


def cases(truth: Truth, effect: float) -> Mapping[str, Truth]:
    """Return the simulated worlds by name."""
    worlds = {}
    for seeds in (3, 5):
        worlds[f"{seeds} seeds"] = replace(truth, seeds=seeds, baseline_seeds=seeds)
    worlds["3 seeds, baseline 9"] = replace(truth, baseline_seeds=9)
    worlds["3 seeds, baseline twice as noisy"] = replace(truth, baseline_noise=2.0)
    planted = {f"{name}, {effect:g} points": replace(w, effect=effect) for name, w in list(worlds.items())[:3]}
    return worlds | planted


def main() -> None:
    """Print rates of rejection."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--grids", type=int, default=400, help="simulated grids a case")
    options.add_argument("--items", type=int, default=1500, help="of the test set")
    options.add_argument("--effect", type=float, default=2.0, help="planted points")
    args = options.parse_args()
    rows, cpu = [], 0.0
    for name, truth in cases(Truth(items=args.items), args.effect).items():
        found, seconds = timed(lambda truth=truth: rates(truth, args.grids))
        cpu += seconds.cpu
        asked = contrasts(truth)
        # the effect is planted in the second model's gain, so every contrast has it
        rows += [[name, c, *(f"{found[c, m]:.1f}" for m in METHODS)] for c in asked]
        print(f"{name}: {seconds.wall:.0f} s", flush=True)
    print("\n" + table(["grid", "contrast", *METHODS], rows))
    error = 100 * np.sqrt(0.05 * 0.95 / args.grids)
    print(f"\nPercent of {args.grids} grids that are called significant at 5 % (Monte-Carlo error {error:.1f}).")
    print(f"{cpu:.0f} CPU s. {machine('numpy', 'scipy', 'stiltgrid')}")


if __name__ == "__main__":
    main()
