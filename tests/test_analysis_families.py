import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stiltgrid.analysis.estimate import Estimate
from stiltgrid.analysis.families import FAMILIES, adjust, decide, holm, replicability
from stiltgrid.analysis.generality import generality, middle, sign_flip

PS = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def estimate(p, status="measured"):
    return Estimate(1.0, 1.0, 5.0, 0.0, 2.0, p, 0.5, 0.5, status)


def test_holm_by_hand():
    """Holm (1979): .01 x 4, .02 x 3, then .03 x 2 = .06 and .04 x 1, which is not below it."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_benjamini_hochberg_by_hand():
    assert adjust([0.01, 0.04, 0.03, 0.5], "benjamini-hochberg") == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])


@given(PS)
@settings(max_examples=60, deadline=None)
def test_holm_rejects_what_its_steps_reject(p):
    adjusted, order = holm(p), np.argsort(p, kind="stable")
    for alpha in (0.01, 0.05, 0.3):
        rejected = np.zeros(len(p), dtype=bool)
        for step, k in enumerate(order):
            if not (len(p) - step) * p[k] < alpha:
                break
            rejected[k] = True
        assert ((adjusted < alpha) == rejected).all()


@given(PS)
@settings(max_examples=60, deadline=None)
def test_corrections_keep_the_order_and_never_help(p):
    for method in ("holm", "benjamini-hochberg"):
        adjusted = adjust(p, method)
        assert (adjusted >= np.array(p) - 1e-15).all()
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
        assert (adjusted <= 1).all()
    assert (adjust(p, "none") == p).all()


def test_a_test_that_cannot_be_made_or_marked_keeps_the_family_s_size():
    members = [estimate(0.02), None, estimate(0.0001, "borrowed"), estimate(math.nan)]
    found = decide(FAMILIES["targets"], members, 0.05)
    assert [d.rejected for d in found] == [False] * 4
    assert found[0].adjusted == pytest.approx(0.08)
    assert decide(FAMILIES["targets"], members[:1], 0.05)[0].rejected
    assert [d.adjusted for d in found[1:]] == [1.0] * 3


def test_the_number_of_holm_rejections_is_that_of_replications():
    assert replicability(decide(FAMILIES["targets"], [estimate(p) for p in (0.001, 0.01, 0.2)], 0.05)) == 2


def test_all_flips_of_eleven_tasks():
    """The smallest p is 2 / 2^11."""
    assert sign_flip([0.1 + k for k in range(11)]) == pytest.approx(2 / 2048)
    assert sign_flip([-0.1 - k for k in range(11)]) == pytest.approx(2 / 2048)


def test_flips_by_hand():
    """Of the 8 flips of (1, 2, 4), sums 7, 5 are at least 5: one-sided 2 / 8."""
    assert sign_flip([-1, 2, 4]) == pytest.approx(0.5)


def test_one_task_says_nothing_of_others():
    found = generality({"ner": 1.5})
    assert (found.tasks, found.value) == (1, 1.5)
    assert math.isnan(found.p)
    assert math.isnan(found.low)
    assert found.lowest is None


def test_the_mean_without_each_task():
    found = generality({"ner": 1.0, "pos": 2.0, "nc": 6.0})
    assert found.value == 3.0
    assert found.lowest == (1.5, "nc")
    assert found.highest == (4.0, "ner")


def test_the_t_interval_is_the_textbook_s():
    from scipy import stats

    values = {"a": 1.0, "b": 2.0, "c": 4.0, "d": -1.0}
    interval = stats.ttest_1samp(list(values.values()), 0).confidence_interval(0.95)
    found = generality(values)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_the_middle_half():
    values = {f"t{k:02d}": float(k**2) for k in range(11)}
    assert middle(values) == [f"t{k:02d}" for k in range(2, 9)]
    assert generality(values).interquartile == pytest.approx(np.mean([k**2 for k in range(2, 9)]))


def test_many_tasks_are_flipped_at_random_and_the_same_way_each_time():
    values = list(np.random.default_rng(0).normal(0.3, 1, 20))
    assert sign_flip(values) == sign_flip(values)
    assert 0 < sign_flip(values) < 1
