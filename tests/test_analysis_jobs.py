"""The jobs on a small grid's files, as a workflow runs them."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stiltgrid.analysis.declaration import declared
from stiltgrid.analysis.jobs import estimate, read_contrasts, resample_target
from stiltgrid.analysis.replicates import write_replicates
from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.score_languages import statistics_file

RAW = {
    "grid": "small",
    "seeds": 2,
    "models": {"base": {"source": "demo:base"}, "xxl": {"source": "demo:xxl"}},
    "intermediates": {"none": {}, "mnli": {"tasks": ["mnli"]}},
    "targets": {"pawsx": {"task": "xglue/pawsx", "languages": ["en", "de"]}},
}


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A grid in the working folder whose cells are all scored, and its tidy scores."""
    monkeypatch.chdir(tmp_path)
    grid, rng, rows = Grid(validate(RAW)), np.random.default_rng(0), []
    for cell in grid.cells():
        path = statistics_file(grid.paths.score(cell))
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        right, names = (rng.random(50) < 0.7).astype(int), [str(k) for k in range(50)]
        pq.write_table(pa.table({"unit": names, "group": names, "correct": right}), path)
        identity = {**cell._asdict(), "task": "xglue/pawsx", "metric": "accuracy", "main": True}
        rows.append(identity | {"value": 100 * right.mean(), "status": "done", "reason": ""})
    return grid, pd.DataFrame(rows)


def run(grid, frame, **options):
    d = declared(grid, replicates=50, **options)
    write_replicates("pawsx.npz", resample_target(grid, frame, "pawsx", replicates=d.replicates))
    table = estimate(grid, d, frame, {"pawsx": "pawsx.npz"}, "analysis")
    return table, json.loads(Path("analysis/headline.json").read_text())


def test_the_jobs_end_in_a_table_and_a_headline(finished):
    table, record = run(*finished)
    pd.testing.assert_frame_equal(read_contrasts("analysis/contrasts.parquet"), table)
    assert record["status"] == "estimated"
    assert record["points"]["value"] == table.iloc[0]["value"]


def test_running_again_gives_the_same_bytes(finished, tmp_path):
    run(*finished)
    names = ("contrasts.parquet", "headline.json")
    before = [(tmp_path / "analysis" / name).read_bytes() for name in names]
    grid, frame = finished
    run(grid, frame.sample(frac=1, random_state=1))
    assert [(tmp_path / "analysis" / name).read_bytes() for name in names] == before


def test_what_is_not_done_is_not_resampled_and_the_headline_says_what_it_lacks(finished):
    grid, frame = finished
    lost = (frame["model"] == "xxl") & (frame["intermediate"] == "mnli") & (frame["seed"] == 2)
    frame.loc[lost, ["value", "status"]] = (math.nan, "failed")
    table, record = run(grid, frame)
    assert record["status"] == "refused"
    assert "xxl/mnli/pawsx/de: 1 of 2 seeds are not done (seed 2 failed)" in record["reason"]
    assert table.iloc[0]["status"] == "incomplete"


def test_a_target_without_a_finished_cell_has_no_replicates(finished):
    grid, frame = finished
    found = resample_target(grid, frame.assign(status="missing"), "pawsx", replicates=10)
    assert found.values.shape == (1, 0, 10)


@pytest.mark.parametrize("content", [None, b"PAR1"])
def test_a_table_that_is_not_whole_is_named(tmp_path, content):
    path = tmp_path / "contrasts.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StiltgridError, match=r"contrasts\.parquet: .*estimate"):
        read_contrasts(path)


def test_a_table_of_another_version_is_named(tmp_path):
    pq.write_table(pa.table({"kind": ["gain"]}), tmp_path / "c.parquet")
    with pytest.raises(StiltgridError, match="schema version 1"):
        read_contrasts(tmp_path / "c.parquet")
