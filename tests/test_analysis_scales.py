import math

import numpy as np
import pytest

from stiltgrid.analysis.contrast import Place
from stiltgrid.analysis.estimate import Estimator
from stiltgrid.analysis.evidence import evidence
from stiltgrid.analysis.quantities import gain, interaction, score
from stiltgrid.analysis.scales import (
    chance_normalised,
    direction,
    logit,
    logits,
    relative_gain,
    relative_interaction,
)
from stiltgrid.errors import StiltgridError

SPOT = ("t", "de")


def hand_made(values, replicates=400, key=0):
    rng = np.random.default_rng(key)
    scores = {Place(m, arm, *SPOT): np.array(v, dtype=float) for (m, arm), v in values.items()}
    drawn = {p: v[:, None] + rng.normal(size=(len(v), replicates)) for p, v in scores.items()}
    return evidence(scores, drawn, units={SPOT: 1000}, clusters={SPOT: 1000})


def test_the_logit_is_that_of_a_share_and_finite_at_its_ends():
    assert logit(np.array([50.0, 75.0]), 100) == pytest.approx([0, math.log(3)])
    assert logit(np.array([0.0, 100.0]), 100) == pytest.approx([math.log(0.5 / 99.5), math.log(99.5 / 0.5)])
    assert np.isfinite(logit(np.array([0.0, 100.0]), 1)).all()


def test_each_seed_is_transformed_before_the_mean():
    found = hand_made({("m", "none"): [20.0, 80.0]})
    e = Estimator(logits(found))("", score("m")("none", *SPOT))
    assert e.value == pytest.approx(0)
    assert e.seeds == pytest.approx(np.var([math.log(0.25), math.log(4)], ddof=1) / 2)


def test_equal_odds_ratios_at_different_levels_are_no_interaction_in_odds():
    """From 50 to 60 and from 90 to 93.1: less in points, the same factor in odds."""
    up = 100 * 9 * 1.5 / (9 * 1.5 + 1)
    found = hand_made(
        {("base", "none"): [50.0] * 2, ("base", "a"): [60.0] * 2, ("xxl", "none"): [90.0] * 2, ("xxl", "a"): [up] * 2}
    )
    leaf = interaction("base", "xxl", "none")("a", *SPOT)
    assert Estimator(found)("", leaf).value < -6
    assert Estimator(logits(found))("", leaf).value == pytest.approx(0, abs=1e-12)


def test_relative_error_reduction_by_hand():
    found = hand_made({("m", "none"): [79.0, 81.0], ("m", "a"): [84.0, 86.0]})
    contrast = relative_gain(found, "m", "none")("a", *SPOT)
    assert found.value(contrast) == pytest.approx(25.0)
    e = Estimator(found)("", contrast)
    # d/dy_b = 100 / 20, d/dy_0 = -100 * 15 / 20^2
    assert e.seeds == pytest.approx(5**2 * 2 / 2 + 3.75**2 * 2 / 2)


def test_the_tangent_s_variance_is_that_of_the_reduction_itself():
    rng = np.random.default_rng(0)
    places = [Place("m", arm, *SPOT) for arm in ("none", "a")]
    drawn = {p: level + 0.3 * rng.normal(size=(2, 4000)) for p, level in zip(places, (80.0, 85.0), strict=True)}
    found = evidence({p: x.mean(axis=1) for p, x in drawn.items()}, drawn)
    e = Estimator(found)("", relative_gain(found, "m", "none")("a", *SPOT))
    y0, y = (drawn[p].mean(axis=0) for p in places)
    assert math.sqrt(e.examples) == pytest.approx((100 * (y - y0) / (100 - y0)).std(ddof=1), rel=0.01)


def test_no_error_to_reduce_is_refused_by_name():
    found = hand_made({("m", "none"): [100.0, 100.0], ("m", "a"): [90.0, 91.0]})
    with pytest.raises(StiltgridError, match="m/none/t/de is 100"):
        relative_gain(found, "m", "none")("a", *SPOT)


def test_exchanging_the_models_changes_the_sign_on_every_scale():
    values = {("base", "none"): [50, 52], ("base", "a"): [60, 63], ("xxl", "none"): [80, 81], ("xxl", "a"): [84, 83]}
    found = hand_made(values)
    for there, back in (
        (relative_interaction(found, "base", "xxl", "none"), relative_interaction(found, "xxl", "base", "none")),
        *(
            tuple(
                chance_normalised(interaction(*pair, "none"), {"t": 33.3})
                for pair in (("base", "xxl"), ("xxl", "base"))
            ),
        ),
    ):
        one, two = (Estimator(found)("", leaf("a", *SPOT)) for leaf in (there, back))
        assert one.value == pytest.approx(-two.value)
        assert one.se == pytest.approx(two.se)


def test_chance_normalised_points():
    found = hand_made({("m", "none"): [50.0, 50.0], ("m", "a"): [75.0, 75.0]})
    level = chance_normalised(score("m"), {"t": 50.0})
    assert found.value(level("none", *SPOT)) == pytest.approx(0)
    assert found.value(level("a", *SPOT)) == pytest.approx(50)
    assert found.value(chance_normalised(gain("m", "none"), {"t": 50.0})("a", *SPOT)) == pytest.approx(50)


@pytest.mark.parametrize(
    ("points", "odds", "said"),
    [
        (1.0, 0.1, "more"),
        (-1.0, -0.1, "less"),
        (-1.0, 0.1, "less in points, not in odds"),
        (1.0, -0.1, "more in points, not in odds"),
        (1.0, 0.0, "more in points, not in odds"),
        (0.0, 1.0, "equally"),
    ],
)
def test_more_or_less_only_if_both_scales_agree(points, odds, said):
    assert direction(points, odds) == said
