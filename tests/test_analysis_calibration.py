"""The intervals on simulated grids whose truth is known; `benchmarks/calibration.py` does it at length."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def calibration(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    import calibration

    yield calibration
    for name in {"measure", "calibration"} - before:
        sys.modules.pop(name, None)


def test_answers_move_by_the_points_of_their_chain(calibration):
    truth = calibration.Truth(seeds=2, baseline_seeds=2, noise=(0.0, 0.0), effect=5.0, arms=1, items=60_000)
    level = {p: 100 * x.mean() for p, x in calibration.answers(truth, np.random.default_rng(0)) if p.language == "l0"}
    arms = {(p.model, p.intermediate): value for p, value in level.items()}
    assert arms["xxl", "arm0"] - arms["xxl", "none"] == pytest.approx(5.0, abs=0.7)
    assert arms["base", "arm0"] - arms["base", "none"] == pytest.approx(0.0, abs=0.7)


def test_replicates_are_centred_on_their_scores(calibration):
    truth = calibration.Truth(arms=2, languages=2, items=400, replicates=400)
    found = calibration.simulate(truth, 1)
    for place, values in found.replicates.items():
        assert values.mean(axis=1) == pytest.approx(found.scores[place], abs=0.6)
        assert values.std(axis=1).max() < 3.5


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_false_positives_are_near_5_percent_and_the_naive_bootstrap_s_are_not(calibration, seeds):
    truth = calibration.Truth(
        seeds=seeds, baseline_seeds=seeds, noise=(1.4, 1.0), arms=5, languages=2, items=500, replicates=200
    )
    grids = 200
    found = calibration.rates(truth, grids)
    naive_one, naive_mean, ours = calibration.METHODS
    asked = calibration.contrasts(truth)
    for name in asked:
        assert 0.5 <= found[name, ours] <= 9.5, name  # three Monte-Carlo errors of 1.5 around 5
    assert np.mean([found[name, naive_one] for name in asked]) > 15
    assert np.mean([found[name, naive_mean] for name in asked]) > 12
    planted = calibration.rates(replace(truth, effect=8.0), 40)
    assert min(planted[name, ours] for name in asked) > 70


@pytest.mark.slow
def test_a_noisier_baseline_does_not_make_false_positives(calibration):
    truth = calibration.Truth(baseline_noise=2.0, noise=(1.4, 1.0), arms=5, languages=2, items=500, replicates=200)
    found = calibration.rates(truth, 200)
    for name in calibration.contrasts(truth):
        assert found[name, "stiltgrid"] <= 9.5, name
