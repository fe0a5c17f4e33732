import math
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from stiltgrid.analysis.contrast import Place
from stiltgrid.analysis.declaration import declared
from stiltgrid.analysis.estimate import Estimator
from stiltgrid.analysis.evidence import Evidence, evidence
from stiltgrid.analysis.power import (
    Design,
    Precision,
    designs,
    detectable,
    families,
    normal_effect,
    power_table,
    precision,
    smallest_effect,
)
from stiltgrid.analysis.variances import Spread, Variances, assumed, pilot
from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid

ARMS = ("none", "mnli", "qqp", "hellaswag")
RAW = {
    "grid": "small",
    "seeds": 3,
    "models": {"base": {"source": "demo:base"}, "xxl": {"source": "demo:xxl"}},
    "intermediates": {"none": {}} | {arm: {"tasks": ["mnli"]} for arm in ARMS[1:]},
    "targets": {
        "xnli": {"task": "xglue/xnli", "languages": ["en", "de", "fr"]},
        "nc": {"task": "xglue/nc", "languages": ["en", "de"]},
    },
}


@pytest.fixture(scope="module")
def grid():
    return Grid(validate(RAW))


def flat(grid, chains, run=0.0, arm=0.0, checkpoint=0.0):
    """The same spread everywhere."""
    keys = [(m, role, t) for m in grid.config.models for role in (False, True) for t in grid.config.targets]
    return Variances(dict.fromkeys(keys, Spread(chains, run, arm)), checkpoint)


def even(grid, seeds, baseline=None):
    names = [(m, arm) for m in grid.config.models for arm in grid.config.intermediates]
    return Design("even", {key: (baseline or seeds) if key[1] == "none" else seeds for key in names})


def headline_of(grid):
    [contrast] = families(declared(grid))["headline"]
    return contrast


@pytest.mark.parametrize(("freedom", "alpha"), [(2, 0.05), (6.5, 0.05), (40, 0.01)])
def test_the_smallest_effect_has_the_power_that_was_asked_for(freedom, alpha):
    effect = smallest_effect(Precision(2.0, freedom), alpha, 0.8)
    t = stats.t.ppf(1 - alpha / 2, freedom)
    reached = stats.nct.sf(t, freedom, effect / 2) + stats.nct.cdf(-t, freedom, effect / 2)
    assert reached == pytest.approx(0.8, abs=1e-4)


def test_known_variances_are_the_normal_approximation():
    expected = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.5
    assert normal_effect(0.5) == pytest.approx(expected)
    assert smallest_effect(Precision(0.5, math.inf)) == pytest.approx(expected)
    assert smallest_effect(Precision(0.5, 3000.0)) == pytest.approx(expected, rel=2e-3)


def test_the_standard_error_by_hand(grid):
    """Three arms against a baseline, two models, two targets, seed SD .6, run SD .3."""
    found = precision(headline_of(grid), even(grid, 3, 9), flat(grid, 0.6, 0.3), "none")
    per_model = (1 / 3) / 3 + 1 / 9  # mean of three arms of 3 seeds, baseline of 9
    assert found.se**2 == pytest.approx(2 * (0.36 + 0.09) * per_model / 2)
    parts = [0.36 / 2 / 9, 0.36 / 2 / 9]
    assert found.freedom == pytest.approx(found.se**4 / (2 * parts[0] ** 2 / 6 + 2 * parts[1] ** 2 / 8))


def test_averaging_over_targets_does_not_shrink_the_checkpoint_s_part(grid):
    design = even(grid, 3)
    alone, shared = (precision(headline_of(grid), design, flat(grid, 0.6, 0.0, 0.0, c), "none") for c in (0.0, 1.0))
    arms, base = 2 * 0.36 / 9, 2 * 0.36 / 3  # intermediate arms and baselines, of one target
    assert alone.se**2 == pytest.approx((arms + base) / 2)
    assert shared.se**2 == pytest.approx(arms + base / 2)


def test_more_seeds_see_more_and_the_arm_s_part_stays(grid):
    variances = flat(grid, 0.6, 0.3, 0.2)
    effects = [detectable(declared(grid), [even(grid, n)], variances)[0].single for n in (3, 5, 9, 1000)]
    assert effects == sorted(effects, reverse=True)
    floor = normal_effect(math.sqrt(2 * 0.04 * (1 / 3 + 1) / 2))
    assert effects[-1] == pytest.approx(floor, rel=0.02)


def test_an_estimated_variance_costs_power_and_a_correction_more(grid):
    for row in detectable(declared(grid), [even(grid, 3)], flat(grid, 0.6, 0.3)):
        assert row.normal < row.single <= row.corrected
        assert (row.single == row.corrected) == (row.tests == 1)


def test_the_reference_s_table_is_met_within_an_eighth():
    """Statistics reference 1.5, one target, mean of 9: seed SD .7 and .5, run SD of its simulation fitted at .48."""
    arms = {f"a{k}": {"tasks": ["mnli"]} for k in range(9)}
    grid = Grid(validate(RAW | {"intermediates": {"none": {}} | arms, "targets": {"xnli": RAW["targets"]["xnli"]}}))
    spreads = {(m, r, "xnli"): Spread(sd, 0.48, 0.15) for m, sd in (("base", 0.7), ("xxl", 0.5)) for r in (False, True)}
    for seeds, baseline, expected in ((3, 3, 2.0), (3, 9, 1.5), (5, 5, 1.7)):
        found = precision(headline_of(grid), even(grid, seeds, baseline), Variances(spreads), "none")
        assert normal_effect(found.se) == pytest.approx(expected, rel=0.125)


def test_without_degrees_of_freedom_nothing_is_detected(grid):
    rows = detectable(declared(grid), [even(grid, 1)], flat(grid, 0.6))
    assert all(math.isinf(row.single) for row in rows)
    assert "| none |" in power_table(rows, flat(grid, 0.6))


def test_declared_variances_follow_the_test_sets_sizes(grid):
    found = assumed(grid, declared(grid), {"base": 0.7, "xxl": 0.5}, disagreement=0.1)
    sizes = grid.tasks["xnli"].sizes
    units = sizes.get("test.de", sizes.get("test"))
    assert found.spreads["base", False, "xnli"] == Spread(0.7, math.sqrt(1e4 * 0.05 / units))
    with pytest.raises(StiltgridError, match="model 'xxl'"):
        assumed(grid, declared(grid), {"base": 0.7})


def test_the_table_says_what_it_rests_on(grid):
    d = declared(grid)
    variances = assumed(grid, d, {"base": 0.7, "xxl": 0.5})
    text = power_table(detectable(d, designs(grid, d), variances), variances)
    assert "| this config | the headline | 1 |" in text
    assert "| 3 seeds |" not in text  # what the config has is not listed twice
    assert "| 3 seeds, baseline 9 | gains by model, intermediate and target | 12 |" in text
    assert "power 80 %" in text
    assert "seed SD base 0.7, xxl 0.5" in text


def simulated(chains, run, arm, seeds, key, replicates=1500):
    """A grid whose variances are known."""
    rng = np.random.default_rng(key)
    scores, drawn = {}, {}
    for m in ("base", "xxl"):
        for a in ARMS:
            shared = arm * rng.normal(size=replicates)
            own = run * rng.normal(size=(seeds, replicates))
            for t, languages in (("xnli", ("de", "fr")), ("nc", ("de",))):
                chain = chains * rng.normal(size=seeds)
                for x in languages:
                    scores[Place(m, a, t, x)] = 60 + chain
                    drawn[Place(m, a, t, x)] = scores[Place(m, a, t, x)][:, None] + shared + own
    return evidence(scores, drawn)


def test_a_pilot_s_variances_are_recovered(grid):
    found = pilot(declared(grid), simulated(0.6, 0.4, 0.3, 40, 0))
    assert fmean(s.chains for s in found.spreads.values()) == pytest.approx(0.6, rel=0.1)
    assert fmean(s.run for s in found.spreads.values()) == pytest.approx(0.4, rel=0.05)
    assert fmean(s.arm for s in found.spreads.values()) == pytest.approx(0.3, rel=0.1)


def test_a_pilot_predicts_the_standard_error_of_its_own_design(grid):
    """Per target the prediction rests on the variances that the analysis itself finds."""
    pilot_run = simulated(0.6, 0.4, 0.3, 4, 1)
    d = declared(grid)
    for contrast in families(d)["targets"]:
        expected = Estimator(pilot_run)("", contrast)
        found = precision(contrast, even(grid, 4), pilot(d, pilot_run), "none")
        assert found.se == pytest.approx(expected.se, rel=0.1)
        assert found.freedom == pytest.approx(expected.freedom, rel=0.5)


def test_what_a_pilot_lacks_is_filled_and_said(grid):
    whole = simulated(0.6, 0.4, 0.3, 3, 2)
    kept = [p for p in whole.scores if p.model == "base" and p.target == "xnli"]
    part = Evidence({p: whole.scores[p] for p in kept}, {p: whole.replicates[p] for p in kept})
    found = pilot(declared(grid), part)
    assert found.spreads["xxl", True, "nc"] == found.spreads["base", True, "xnli"]
    assert found.notes == ("6 of 8 spreads are means of the others",)
    with pytest.raises(StiltgridError, match="no arm with two seeds"):
        pilot(declared(grid), Evidence({}, {}))
