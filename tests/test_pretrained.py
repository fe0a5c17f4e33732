import json
import os

import pytest
import tiny

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.failures import noting_failure
from stiltgrid.pretrained import describe, prepare
from stiltgrid.wiring.start import started_with


@pytest.fixture
def folder(tmp_path):
    return tiny.save_mt5(tmp_path / "model")


def test_a_model_is_named_by_its_content(folder, tmp_path):
    one = prepare(str(folder), None, "text2text", tmp_path / "one" / "manifest.json")
    two = prepare(str(folder), None, "text2text", tmp_path / "two" / "manifest.json")
    assert one["digest"] == two["digest"] == read_json(tmp_path / "one" / "manifest.json")["digest"]
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    assert prepare(str(folder), None, "text2text", tmp_path / "three" / "manifest.json")["digest"] != one["digest"]


@pytest.mark.parametrize(
    ("gone", "what"),
    [("config.json", "config.json"), ("model.safetensors", "weights"), ("tokenizer.json", "a tokenizer")],
)
def test_an_incomplete_folder_says_what_it_lacks_and_holds(folder, gone, what):
    (folder / gone).unlink()
    with pytest.raises(StiltgridError, match=f"{what} not found; it holds: "):
        describe(folder)


def test_a_missing_shard_is_named(folder):
    """What an interrupted download leaves: the index and one of two shards."""
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(StiltgridError, match=r"names model-00002-of-00002\.safetensors, which is not there"):
        describe(folder)


def test_a_job_on_a_cluster_node_reads_the_config_that_the_run_was_started_with(tmp_path, monkeypatch):
    old, edited = {"grid": "g", "seeds": 1}, {"grid": "g", "seeds": 2}
    config, snapshot = started_with(old, [], remote=False)
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(old), encoding="utf-8")
    monkeypatch.setenv("STILTGRID_CONFIG", str(path))
    assert started_with(edited, [], remote=True) == (old, str(path))
    assert started_with(edited, [], remote=False)[0] == edited
    assert started_with(old, [], remote=False) == (config, snapshot)


def test_failure_leaves_a_note_and_success_removes_it(tmp_path):
    with pytest.raises(RuntimeError), noting_failure(tmp_path, "the.log"):
        raise RuntimeError("the disk is full")
    note = read_json(tmp_path / "failed.json")
    assert (note["reason"], note["log"]) == ("the disk is full", "the.log")
    with noting_failure(tmp_path):
        pass
    assert not (tmp_path / "failed.json").exists()


def test_other_ranks_do_not_hide_the_first_ranks_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("stiltgrid.failures.OTHER_RANKS_WAIT", 0.0)
    for rank, reason in (("0", "loss is NaN at step 3"), ("1", "connection closed by peer")):
        monkeypatch.setitem(os.environ, "RANK", rank)
        with pytest.raises(RuntimeError), noting_failure(tmp_path):
            raise RuntimeError(reason)
    assert read_json(tmp_path / "failed.json")["reason"] == "loss is NaN at step 3"


def test_configs_that_are_merged_need_not_be_whole_but_must_not_repeat_a_key(tmp_path):
    part = tmp_path / "seeds.yaml"
    part.write_text("seeds: 2\n", encoding="utf-8")
    merged = {"grid": "g", "seeds": 2}
    assert started_with(merged, [part], remote=False)[0] == merged
    part.write_text("seeds: 2\nseeds: 3\n", encoding="utf-8")
    with pytest.raises(StiltgridError, match=r"seeds\.yaml, line 2: key 'seeds' is written twice"):
        started_with(merged, [part], remote=False)
