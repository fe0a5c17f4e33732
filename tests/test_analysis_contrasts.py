import math
from dataclasses import replace
from fractions import Fraction
from statistics import mean as plain_mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stiltgrid.analysis.contrast import Contrast, Place, mean
from stiltgrid.analysis.estimate import Estimator
from stiltgrid.analysis.evidence import Evidence, IncompleteError, evidence
from stiltgrid.analysis.quantities import Coverage, average, gain, interaction, score

ARMS = ("none", "mnli", "qqp", "squad")
SPACE = {"xnli": ("de", "fr", "ur"), "ner": ("de", "es")}
ALL = dict.fromkeys(ARMS, 3)


def world(seeds=None, models=("base", "xxl"), replicates=300, key=0, noise=1.0):
    """Evidence of a small grid: seed noise by chain, example noise shared by arms."""
    rng = np.random.default_rng(key)
    scores, drawn = {}, {}
    for m in models:
        for arm in ARMS:
            number = (seeds or {}).get((m, arm), 3)
            chain = noise * rng.normal(size=number)
            for t, languages in SPACE.items():
                for x in languages:
                    place = Place(m, arm, t, x)
                    scores[place] = 60 + chain + 0.3 * rng.normal(size=number)
                    own = np.random.default_rng(hash((len(t), len(x))) % 1000).normal(size=replicates)
                    drawn[place] = scores[place][:, None] + own + 0.5 * rng.normal(size=(number, replicates))
    return evidence(scores, drawn, clusters={(t, x): 500 for t, xs in SPACE.items() for x in xs})


def delta(arms=ARMS[1:], present=None, space=SPACE):
    return average("delta", interaction("base", "xxl", "none"), arms, space, present)


def swap(contrast):
    """The same contrast with the models exchanged."""
    names = {"base": "xxl", "xxl": "base"}
    return Contrast({p._replace(model=names[p.model]): c for p, c in contrast.coefficients.items()})


numbers = st.floats(-5, 5).map(lambda x: round(x, 3))
places = st.builds(Place, *(st.sampled_from(x) for x in (("base", "xxl"), ARMS, ("xnli",), ("de", "fr"))))


@given(st.dictionaries(places, numbers, max_size=6), st.dictionaries(places, numbers, max_size=6), numbers)
@settings(max_examples=50, deadline=None)
def test_contrasts_add_and_scale_as_numbers_do(a, b, factor):
    a, b = (mean([Contrast.of(p, c) for p, c in x.items()]) if x else Contrast() for x in (a, b))
    assert (a + b) - b == a
    assert (a - b) == -(b - a)
    assert (a + b) * factor == a * factor + b * factor


def test_thirds_add_up_to_one():
    place = Place("base", "none", "xnli", "de")
    assert (Contrast.of(place) / 3 + Contrast.of(place) / 3 + Contrast.of(place) / 3) == Contrast.of(place)


def test_the_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no contrasts"):
        mean([])


def test_point_estimates_are_plain_means():
    """Exactly: fractions of the same floats, rounded once."""
    found, exact = world(), Fraction

    def cell(m, arm, t, x):
        return plain_mean(map(exact, found.scores[Place(m, arm, t, x)].tolist()))

    def gain_of(m, arm, t, x):
        return cell(m, arm, t, x) - cell(m, "none", t, x)

    assert found.value(score("base")("mnli", "xnli", "de")) == float(cell("base", "mnli", "xnli", "de"))
    assert found.value(gain("xxl", "none")("qqp", "ner", "es")) == float(gain_of("xxl", "qqp", "ner", "es"))
    by_hand = plain_mean(
        plain_mean(
            plain_mean(gain_of("xxl", arm, t, x) - gain_of("base", arm, t, x) for x in languages) for arm in ARMS[1:]
        )
        for t, languages in SPACE.items()
    )
    assert found.value(delta().contrast) == float(by_hand)


def test_each_target_weighs_the_same_whatever_its_languages():
    contrast = average("", score("base"), ["mnli"], SPACE).contrast
    assert contrast.coefficients[Place("base", "mnli", "xnli", "de")] == Fraction(1, 6)
    assert contrast.coefficients[Place("base", "mnli", "ner", "de")] == Fraction(1, 4)


def test_exchanging_the_models_changes_the_sign_and_nothing_else():
    estimate = Estimator(world({("xxl", "none"): 5}))
    there, back = estimate("", delta().contrast), estimate("", swap(delta().contrast))
    assert (back.value, back.low, back.high) == (-there.value, -there.high, -there.low)
    assert (back.se, back.freedom, back.p) == (there.se, there.freedom, there.p)


def test_the_order_of_cells_and_the_labels_of_seeds_play_no_part():
    found = world()
    order = np.random.default_rng(1).permutation(len(found.scores))
    names = [list(found.scores)[k] for k in order]
    # a chain's label changes in all its cells at once
    labels = {(m, arm): np.random.default_rng(k).permutation(3) for k, (m, arm) in enumerate({p[:2] for p in names})}
    other = Evidence(
        {p: found.scores[p][labels[p[:2]]] for p in names}, {p: found.replicates[p][labels[p[:2]]] for p in names}
    )
    one, two = (Estimator(e)("", delta().contrast) for e in (found, other))
    assert one.value == two.value
    for part in ("se", "freedom", "low", "high", "p", "examples", "seeds"):
        assert getattr(one, part) == pytest.approx(getattr(two, part), rel=1e-9)


def test_relabelling_the_seeds_of_one_target_does_change_the_seed_noise():
    """Chains are whole: their targets rise and fall together."""
    found = world()
    mixed = {p: (x[[1, 2, 0]] if p.target == "ner" else x) for p, x in found.scores.items()}
    one, two = (Estimator(e)("", delta().contrast) for e in (found, replace(found, scores=mixed)))
    assert one.seeds != pytest.approx(two.seeds, rel=0.01)


def hand_made(values, examples, seeds=2):
    """One target and language; example noise of a given variance, the same in every seed."""
    wave = np.array([-1.0, 1.0, -1.0, 1.0])
    wave = wave / wave.std(ddof=1)
    scores, drawn = {}, {}
    for (m, arm), v in values.items():
        place = Place(m, arm, "t", "de")
        scores[place] = np.array(v, dtype=float)
        drawn[place] = np.tile(math.sqrt(examples.get((m, arm), 0.0)) * wave, (len(v), 1))
    return evidence(scores, drawn)


def test_welch_satterthwaite_by_hand():
    """One baseline of 4 seeds, two arms of 2: two pools with 3 and 1 + 1 degrees of freedom."""
    found = hand_made({("m", "none"): [1, 2, 3, 4], ("m", "a"): [5, 7], ("m", "b"): [9, 13]}, {("m", "a"): 0.09})
    contrast = gain("m", "none")("a", "t", "de")
    e = Estimator(found)("", contrast)
    base = np.var([1, 2, 3, 4], ddof=1) / 4
    arm = (2.0 + 8.0) / 2 / 2  # S2 of a and of b, pooled, over the seeds of a
    assert e.value == 3.5
    assert e.examples == pytest.approx(0.09)
    assert e.seeds == pytest.approx(base + arm)
    assert e.freedom == pytest.approx((0.09 + base + arm) ** 2 / (base**2 / 3 + arm**2 / 2))
    half = stats.t.ppf(0.975, e.freedom) * math.sqrt(0.09 + base + arm)
    assert (e.low, e.high) == pytest.approx((3.5 - half, 3.5 + half))
    assert e.p == pytest.approx(2 * stats.t.sf(3.5 / e.se, e.freedom))


def test_two_samples_without_example_noise_are_welch_s_t_test():
    """With one intermediate, each arm is its own pool: the closed form is the t test for unequal variances."""
    a, b = [61.0, 63.5, 62.2], [58.0, 60.1, 61.7, 59.3]
    e = Estimator(hand_made({("m", "none"): b, ("m", "a"): a}, {}))("", gain("m", "none")("a", "t", "de"))
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert (e.p, e.freedom) == pytest.approx((expected.pvalue, expected.df))
    interval = expected.confidence_interval()
    assert (e.low, e.high) == pytest.approx((interval.low, interval.high))


def test_unpooled_seeds_are_the_formula_of_an_average():
    """Averaging over arms and languages, by a covariance matrix written out."""
    found = world(noise=2.0)
    e = Estimator(found)("", average("", gain("xxl", "none"), ARMS[1:], {"xnli": SPACE["xnli"]}).contrast)
    z = {arm: np.mean([found.scores[Place("xxl", arm, "xnli", x)] for x in SPACE["xnli"]], axis=0) for arm in ARMS}
    pooled = np.mean([z[arm].var(ddof=1) for arm in ARMS[1:]])
    assert e.seeds == pytest.approx(z["none"].var(ddof=1) / 3 + 3 * pooled / 9 / 3)


def test_languages_do_not_average_seed_noise():
    """A chain moves all languages at once."""
    values = {("m", "none"): [1, 2, 3], ("m", "a"): [1, 3, 5]}
    scores = {Place(m, arm, "t", x): np.array(v, float) for (m, arm), v in values.items() for x in ("de", "fr", "es")}
    found = evidence(scores, {p: np.zeros((3, 4)) for p in scores})
    estimate = Estimator(found)
    one = estimate("", gain("m", "none")("a", "t", "de"))
    many = estimate("", average("", gain("m", "none"), ["a"], {"t": ("de", "fr", "es")}).contrast)
    assert many.seeds == pytest.approx(one.seeds)


def test_shared_examples_cancel_in_a_difference():
    rng = np.random.default_rng(0)
    common = rng.normal(size=400)
    scores = {Place("m", arm, "t", "de"): np.array([60.0, 61, 62]) for arm in ("none", "a")}
    found = evidence(scores, {p: np.tile(common, (3, 1)) for p in scores})
    estimate = Estimator(found)
    assert estimate("", gain("m", "none")("a", "t", "de")).examples == pytest.approx(0, abs=1e-12)
    assert estimate("", score("m")("a", "t", "de")).examples == pytest.approx(common.var(ddof=1))


@given(st.integers(0, 300), st.floats(0.01, 0.2))
@settings(max_examples=40, deadline=None)
def test_p_is_below_alpha_exactly_where_the_interval_excludes_0(key, alpha):
    e = Estimator(world(key=key, replicates=20), alpha)("", delta(("mnli",)).contrast)
    assert (e.p < alpha) == (not e.low <= 0 <= e.high)
    assert e.marked == (e.p < alpha)


def test_one_seed_borrows_the_other_model_s_pool_and_is_never_marked():
    one = {("xxl", arm): 1 for arm in ARMS}
    found = world(one)
    contrast = delta().contrast + mean([Contrast()])
    e = Estimator(found)("", contrast)
    assert e.status == "borrowed"
    assert e.borrowed == ("xxl's intermediates: from base's intermediates", "xxl's baseline: from base's baseline")
    # base's own variance over 3 seeds, and once more over 1: a third and a whole
    base = Estimator(found)("", average("", gain("base", "none"), ARMS[1:], SPACE).contrast)
    assert e.seeds == pytest.approx(base.seeds * 4)
    # the two parts of a pool are one chi-square
    parts = Estimator(found).pools.noise(contrast).parts
    assert sorted(part.freedom for part in parts) == [2, 6]
    sure = replace(
        found, scores={p: x + 1000 * (p.model == "xxl") * (p.intermediate != "none") for p, x in found.scores.items()}
    )
    far = Estimator(sure)("", contrast)
    assert far.p < 0.05
    assert not far.marked


def test_a_baseline_of_one_seed_borrows_another_baseline_before_its_own_arms():
    both = Estimator(world({("xxl", "none"): 1})).pools
    assert both.noise(gain("xxl", "none")("mnli", "xnli", "de")).borrowed == ("xxl's baseline: from base's baseline",)
    alone = Estimator(world({("xxl", "none"): 1}, models=("xxl",))).pools
    noise = alone.noise(gain("xxl", "none")("mnli", "xnli", "de"))
    assert noise.borrowed == ("xxl's baseline: from xxl's intermediates",)
    assert [part.freedom for part in noise.parts] == [6, 6] or len(noise.parts) == 1


def test_without_any_second_seed_there_is_no_seed_variance_and_no_mark():
    seeds = {(m, arm): 1 for m in ("base", "xxl") for arm in ARMS}
    e = Estimator(world(seeds))("", delta().contrast)
    assert (e.status, e.seeds, e.freedom) == ("none", 0.0, math.inf)
    assert not e.marked


def test_the_tipping_sd_is_where_the_interval_would_touch_0():
    found = hand_made({("m", "none"): [50.0], ("m", "a"): [53.0]}, {("m", "a"): 0.25})
    e = Estimator(found)("", gain("m", "none")("a", "t", "de"))
    z = stats.norm.ppf(0.975)
    assert e.tipping == pytest.approx(math.sqrt(((3 / z) ** 2 - 0.25) / 2))
    assert z * math.sqrt(0.25 + 2 * e.tipping**2) == pytest.approx(3)
    lost = hand_made({("m", "none"): [50.0], ("m", "a"): [50.5]}, {("m", "a"): 0.25})
    assert Estimator(lost)("", gain("m", "none")("a", "t", "de")).tipping == 0.0
    assert Estimator(world())("", delta().contrast).tipping is None


def test_a_score_of_0_or_100_has_wilson_s_interval():
    scores = {Place("m", "a", "t", "de"): np.array([100.0, 100.0])}
    found = evidence(scores, {p: np.full((2, 5), 100.0) for p in scores}, clusters={("t", "de"): 50})
    e = Estimator(found)("", score("m")("a", "t", "de"))
    z2 = stats.norm.ppf(0.975) ** 2
    assert e.wilson
    assert (e.low, e.high) == pytest.approx((100 * 50 / (50 + z2), 100.0))


def test_what_did_not_vary_has_no_interval():
    """A standard error of 0 is no certainty."""
    found = hand_made({("m", "none"): [50.0, 50.0], ("m", "a"): [53.0, 53.0]}, {})
    e = Estimator(found)("", gain("m", "none")("a", "t", "de"))
    assert (e.value, e.se) == (3.0, 0.0)
    assert math.isnan(e.p)
    assert math.isnan(e.low)
    assert not e.marked


def without(found, *places):
    """The evidence as if these cells were not there."""
    left = [p for p in found.scores if p not in places]
    return Evidence(
        {p: found.scores[p] for p in left}, {p: found.replicates[p] for p in left}, dict.fromkeys(places, "missing")
    )


def test_a_contrast_that_needs_a_missing_cell_is_refused_by_name():
    found = without(world(), Place("xxl", "qqp", "xnli", "ur"))
    with pytest.raises(
        IncompleteError, match=r"delta needs 1 cell that is not complete(.|\n)*xxl/qqp/xnli/ur: missing"
    ):
        Estimator(found)("delta", delta().contrast)
    whole = Estimator(world())("", delta(("mnli",)).contrast)
    assert Estimator(found)("", delta(("mnli",)).contrast).value == whole.value


def test_a_missing_cell_leaves_its_arm_out_of_the_pool_and_nothing_else():
    found = without(world(), Place("xxl", "qqp", "xnli", "ur"))
    pools = Estimator(found).pools
    parts = pools.noise(gain("xxl", "none")("mnli", "xnli", "ur")).parts
    assert sorted(part.freedom for part in parts) == [2, 4]
    parts = pools.noise(gain("xxl", "none")("mnli", "xnli", "de")).parts
    assert sorted(part.freedom for part in parts) == [2, 6]


def test_a_declared_partial_average_says_how_many_of_how_many():
    found = without(world(), *(Place("xxl", a, "ner", x) for a in ARMS[1:] for x in SPACE["ner"]))

    def present(arm, target, language):
        return all(Place(m, a, target, language) in found.scores for m in ("base", "xxl") for a in (arm, "none"))

    partial = delta(present=present)
    assert partial.coverage == Coverage((1, 2), (3, 3), (9, 15))
    assert str(partial.coverage) == "1/2 tasks, 9/15 languages"
    assert partial.contrast == delta(space={"xnli": SPACE["xnli"]}).contrast
    with pytest.raises(IncompleteError, match="no cell"):
        delta(present=lambda *_: False)


def test_targets_without_languages_have_no_average():
    assert delta(space=SPACE | {"en_only": ()}).contrast == delta().contrast


def test_arms_of_different_numbers_of_seeds_are_pooled_by_their_degrees_of_freedom():
    found = world({("xxl", "mnli"): 5, ("xxl", "qqp"): 1})
    pools = Estimator(found).pools
    variance, freedom = pools.variance("xxl", False, (("xnli", "de"),), (1.0,))
    s = {arm: found.scores[Place("xxl", arm, "xnli", "de")] for arm in ("mnli", "squad")}
    assert freedom == 6
    assert variance == pytest.approx((4 * s["mnli"].var(ddof=1) + 2 * s["squad"].var(ddof=1)) / 6)


def test_arrays_that_do_not_agree_are_refused():
    place = Place("m", "a", "t", "de")
    with pytest.raises(ValueError, match="do not agree"):
        evidence({place: [1.0, 2.0]}, {place: np.zeros((3, 4))})
    other = place._replace(language="fr")
    with pytest.raises(ValueError, match="other cells of its arm"):
        evidence({place: [1.0, 2.0], other: [1.0]}, {place: np.zeros((2, 4)), other: np.zeros((1, 4))})
