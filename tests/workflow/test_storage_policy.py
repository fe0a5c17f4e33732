"""Weights that are not kept, through real Snakemake: nothing reruns for want of them, and what needs them says so."""

import os
import subprocess
import sys

import pytest

from stiltgrid.artifacts import read_json, write_json
from stiltgrid.predictions import read_metadata
from stiltgrid.storage import NOTE
from stiltgrid.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("to_tables")]


RUNS = [f"checkpoints/tiny/{arm}/{target}/seed1" for arm in ("none", "mnli") for target in ("xnli", "pos")]
ARM = "checkpoints/tiny/mnli/seed1"
XNLI = "checkpoints/tiny/mnli/xnli/seed1"


def kept(mini) -> list[str]:
    """The runs of the grid whose weights are there."""
    runs = [run for run in RUNS if run.split("/")[-2] in mini.config["targets"]]
    return [run for run in (*runs, ARM) if mini.path(f"{run}/weights").exists()]


def thinned(mini, storage: str):
    """The finished grid under a policy; nothing is to be done for it, `gc` removes what the policy does not keep."""
    mini.config["models"]["tiny"]["storage"] = storage
    assert mini.planned() == {}
    command = [sys.executable, "-c", "from stiltgrid.cli import entry; entry()", "gc", "config.yaml", "--delete"]
    done = subprocess.run(command, cwd=mini.folder, text=True, capture_output=True, check=True)
    assert "weights" in done.stdout
    return mini


def test_weights_go_when_their_predictions_are_there_and_nothing_reruns(mini):
    """Those of targets; how phase (ii)'s go, too, when its last target is predicted, is seen below."""
    mini.config["models"]["tiny"]["storage"] = "intermediate"
    mini.config["training"]["max_steps"] = 5  # everything anew, under the policy from the start
    del mini.config["targets"]["pos"]
    mini.run()
    assert kept(mini) == [ARM]
    manifests = [read_json(mini.path(f"{run}/manifest.json")) for run in (RUNS[0], RUNS[2], ARM)]
    assert {manifest["counts"]["steps"] for manifest in manifests} == {5}
    assert mini.planned() == {}
    assert "4/4 cells done" in mini.run("status")
    # Snakemake cannot cut off early: every job runs, and finds that there is nothing to do
    mini.run("tables", "--forcerun", "data")
    assert "nothing to train" in mini.log("train/tiny/mnli/xnli/seed1")
    assert kept(mini) == [ARM]
    assert mini.planned() == {}


def test_a_deleted_prediction_is_linked_again_without_weights(mini):
    thinned(mini, "none")
    assert kept(mini) == []
    mini.path("predictions/tiny/mnli/xnli/seed1/de.parquet").unlink()
    assert mini.planned() == mini.with_tables({"predict_xnli": 1, "score_xnli": 1})
    mini.run()
    assert "2 of 2 languages in the store; computing: none" in mini.log("predict/tiny/mnli/xnli/seed1")
    assert mini.planned() == {}


def test_a_language_added_later_retrains_what_it_needs_and_predicts_the_run_anew(mini):
    thinned(mini, "intermediate")
    mini.config["targets"]["xnli"]["languages"] = ["en", "de", "es"]
    assert mini.planned() == mini.with_tables({"data": 1, "train_target": 2, "predict_xnli": 2, "score_xnli": 2})
    text = mini.run("plan")
    assert "2 checkpoints (phase iii) are to be trained again" in text
    assert "to be trained again" in mini.path("plan.md").read_text(encoding="utf-8")
    mini.run()
    assert kept(mini) == [ARM]
    digests = {
        read_json(mini.path(f"scores/tiny/mnli/xnli/seed1/{x}.json"))["model_digest"] for x in ("en", "de", "es")
    }
    assert digests == {read_json(mini.path(f"{XNLI}/manifest.json"))["digest"]}
    assert mini.planned() == {}


def test_without_any_weights_the_parent_is_trained_again_first_and_its_other_children_are_not(mini):
    thinned(mini, "none")
    arm = mini.path(f"{ARM}/complete.json")
    # a parent that came out otherwise, as on another machine: what rests on it keeps its digest
    other = {**read_json(arm), "digest": "0" * 64}
    for run in RUNS[2:]:
        for name in ("manifest.json", "complete.json"):
            path = mini.path(f"{run}/{name}")
            times, child = path.stat(), read_json(path)
            child["identity"]["parent"] = other["digest"]
            child["recipe_hash"] = _hash(child["identity"])
            write_json(path, child)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for name in ("manifest.json", "complete.json"):
        times = mini.path(f"{ARM}/{name}").stat()
        write_json(mini.path(f"{ARM}/{name}"), other)
        os.utime(mini.path(f"{ARM}/{name}"), ns=(times.st_atime_ns, times.st_mtime_ns))
    mini.config["targets"]["xnli"]["languages"] = ["en", "de", "es"]
    planned = mini.planned()
    assert planned["train_intermediate"] == 1
    assert planned["predict_xnli"] == 2
    text = mini.run("plan")
    assert "1 checkpoint (phase ii)" in text and "2 checkpoints (phase iii)" in text
    mini.run()
    again = read_json(mini.path(f"{ARM}/manifest.json"))
    assert again["replaces"] == [other["digest"]] != [again["digest"]]
    assert read_json(mini.path(f"{XNLI}/manifest.json"))["identity"]["parent"] == again["digest"]
    assert "nothing to train" in mini.log("train/tiny/mnli/pos/seed1")
    assert kept(mini) == []
    assert "10/10 cells done" in mini.run("status")
    assert mini.planned() == {}


def _hash(identity: dict) -> str:
    from stiltgrid.artifacts import digest

    return digest(identity)


def test_a_stored_prediction_that_is_lost_or_damaged_is_trained_for_again(mini):
    thinned(mini, "none")
    prediction = mini.path("predictions/tiny/none/pos/seed1/en.parquet")
    stored = Store(mini.path("store")).path(read_metadata(prediction)["key"])
    whole = prediction.read_bytes()
    for path in (prediction, stored):  # one file under two names, but for copies of a grid
        path.write_bytes(whole[:40])
    prediction.with_name("fr.parquet").unlink()
    text = mini.run(fails=True)
    assert "run the same snakemake command again" in mini.log("predict/tiny/none/pos/seed1"), text
    assert mini.planned()["train_target"] == 1
    mini.run()
    assert kept(mini) == []
    assert mini.planned() == {}


def test_killed_between_prediction_and_removal_leaves_whole_weights_or_a_note(mini):
    from stiltgrid.storage import GOING

    mini.config["models"]["tiny"]["storage"] = "intermediate"
    run = mini.path(RUNS[0])
    # killed after the note, and after the renaming
    write_json(run / NOTE, {"digest": "x", "bytes": 1, "when": "y"})
    assert mini.planned() == {}
    (run / "weights").rename(run / GOING)
    assert mini.planned() == {}
    mini.path("predictions/tiny/none/xnli/seed1/de.parquet").unlink()
    mini.run()
    assert not (run / GOING).exists() and not (run / "weights").exists()
    assert mini.planned() == {}
