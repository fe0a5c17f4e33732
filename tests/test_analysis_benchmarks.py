"""The benchmark of the analysis at the scale of a paper runs, on a small scale; no time is asserted."""

import sys
from pathlib import Path

import numpy as np
import pytest

from stiltgrid.analysis.replicates import read_replicates
from stiltgrid.tasks.registry import task

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def scale(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    import analysis_scale

    yield analysis_scale
    for name in {"measure", "analysis_scale"} - before:
        sys.modules.pop(name, None)


def test_the_grid_is_the_paper_s(scale):
    grid = scale.paper()
    assert len(grid.runs) == 2 * 11 * 11 * 3
    assert len(list(grid.cells())) == 66 * 77


def test_made_up_statistics_are_possible(scale):
    found = scale.statistics(task("xglue/qg"), 200, np.random.default_rng(0))
    for n in range(1, 5):
        assert (found[f"bleu_match_{n}"] <= found[f"bleu_total_{n}"]).all()
    for name in task("xglue/qg").metrics:
        assert 0 < scale.METRICS[name].score(found) < 100


def test_a_target_is_written_and_resampled(scale, tmp_path):
    grid = scale.paper()
    scale.fill(tmp_path, grid, "qam", 30)
    assert scale.resample((tmp_path, "qam", 20))[0] == "qam"
    found = read_replicates(tmp_path / "qam.npz")
    assert found.values.shape == (1, 66 * 3, 20)
    rows = list(scale.rows(grid, tmp_path, ["qam"]))
    assert len(rows) == 66 * 3
    assert len(rows[0]) == len(scale.SCORES)
