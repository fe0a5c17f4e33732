"""Bad input and damaged files, through real Snakemake: an error that says where, nothing half-written or lost."""

import pytest

from stiltgrid.artifacts import read_json

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("to_tables")]


def test_truncated_prediction_is_set_aside_and_predicted_again(mini):
    path = mini.path("predictions/tiny/none/xnli/seed1/de.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "score_xnli" in mini.planned()
    text = mini.run(fails=True)
    assert "de.parquet" in text and "set aside" in text
    # scoring is one job a run: its other language waits with it
    assert all("6/8 cells done" in mini.run("status") for _ in range(2))
    mini.run()
    assert path.read_bytes() == whole
    assert mini.planned() == {}


def test_truncated_weights_are_refused_by_name_and_mended_by_removing_the_manifest(mini):
    run = mini.path("checkpoints/tiny/none/pos/seed1")
    weights = run / "weights" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    digest = read_json(run / "manifest.json")["digest"]
    mini.config["targets"]["pos"]["languages"] = ["en", "fr", "de"]
    wanted = "results/mini/predictions/tiny/none/pos/seed1/de.parquet"
    text = mini.run(wanted, fails=True)
    assert "model.safetensors" in text
    (run / "manifest.json").unlink()
    mini.run(wanted)
    assert read_json(run / "manifest.json")["digest"] == digest
    assert weights.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda b: b.replace(b"\t", b" ", 1), "es.test"),
        (lambda b: b.replace(b"neutral", b"neutrall", 1), "neutrall"),
        (lambda b: b[:40] + b"\xff" + b[40:], "es.test"),
        (lambda b: b"", "es.test"),
    ],
    ids=["fields", "label", "encoding", "empty"],
)
def test_a_bad_row_fails_its_language_and_says_where(mini, change, expected):
    path = mini.folder / "source" / "xglue_full_dataset" / "XNLI" / "es.test"
    path.write_bytes(change(path.read_bytes()))
    mini.config["targets"]["xnli"]["languages"] = ["en", "de", "es"]
    text = mini.run(fails=True)
    assert expected in text and "error:" in text
    assert not mini.path("data/xglue/xnli/test.es.parquet").exists()
    # what was there stays: the other languages' predictions are whole
    assert mini.path("predictions/tiny/none/xnli/seed1/de.parquet").exists()


def test_what_is_there_can_be_seen_while_something_is_missing(mini):
    mini.config["targets"]["xnli"]["languages"] = ["en", "de", "es"]
    mini.run("preview")
    assert "missing" in mini.path("preview/main.md").read_text(encoding="utf-8")


def test_wrong_archive_folder_lists_what_it_holds(mini):
    mini.config["sources"]["xglue"]["path"] = "source/MNLI"
    mini.config["targets"]["xnli"]["languages"] = ["en", "de", "es"]
    text = mini.run(fails=True)
    assert "source/MNLI" in text and "es.test" in text and "train.tsv" in text


def test_missing_source_says_what_to_write(mini):
    mini.config["sources"].pop("intermediate/qqp")
    mini.config["intermediates"]["qqp"] = {"tasks": ["qqp"]}
    text = mini.run(fails=True)
    assert "sources: {intermediate: {path: <folder of the original files>}}" in text


def test_a_misspelt_key_stops_before_any_job(mini):
    mini.config["trainning"] = {}
    text = mini.run(fails=True)
    assert "trainning: unknown key; did you mean 'training'?" in text


def test_a_loss_that_is_no_number_is_failed_in_status_until_it_is_mended(mini):
    mini.config["intermediates"] = {"none": {}}
    good = mini.config["targets"]["pos"]
    mini.config["targets"]["pos"] = {**good, "training": {"learning_rate": 1e30, "warmup_ratio": 0.0}}
    assert "the loss is" in mini.run("tables", "--keep-going", fails=True) + mini.log("train/tiny/none/pos/seed1")
    status = " ".join(mini.run("status").split())
    assert "2 failed" in status and "training failed: the loss is" in status, status
    assert "train/tiny/none/pos/seed1.log" in status.replace(" ", "")
    mini.config["targets"]["pos"] = good
    mini.run()
    assert "4/4 cells done" in mini.run("status")
    left = [p.name for p in mini.path("checkpoints").rglob("*") if p.name in ("failed.json", "training", "weights.tmp")]
    assert left == []
    assert set(read_json(mini.path("checkpoints/tiny/none/pos/seed1/manifest.json"))["collapsed"]) == {"value", "tasks"}
    assert mini.planned() == {}


def test_status_plan_and_preview_are_for_people_and_leave_nothing_to_do(mini):
    status = mini.run("status")
    assert "8 of 8" in status or "8/8" in status
    assert mini.path("status.md").exists() and mini.path("status.csv").exists()
    mini.run("plan")
    assert mini.path("plan.md").exists()
    mini.run("preview")
    assert mini.planned() == {}


def test_store_sweep_removes_only_what_nothing_refers_to(mini):
    import subprocess
    import sys

    def gc(*arguments):
        command = [sys.executable, "-c", "from stiltgrid.cli import entry; entry()", "gc", "config.yaml", *arguments]
        return subprocess.run(command, cwd=mini.folder, text=True, capture_output=True, check=True).stdout

    assert "0 entries" in gc()
    mini.config["training"]["max_steps"] = 7
    mini.run("results/mini/predictions/tiny/none/xnli/seed1/en.parquet")
    assert "2 entries" in gc()
    assert "2 entries" in gc("--delete")
    assert "0 entries" in gc()
    assert mini.path("predictions/tiny/mnli/xnli/seed1/en.parquet").exists()
