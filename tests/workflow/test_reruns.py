"""What reruns what, through real Snakemake: nothing dear for an edit that changes no result, nothing stale reported."""

import os
import re
import signal
import subprocess
import time

import pandas as pd
import pytest

from stiltgrid.artifacts import read_json

pytestmark = pytest.mark.slow


def test_after_a_complete_run_there_is_nothing_to_do(mini):
    assert mini.planned() == {}
    assert mini.path("tables/main.md").read_text(encoding="utf-8").count("|") > 10
    scores = pd.read_parquet(mini.path("analysis/scores.parquet"))
    assert set(scores["status"]) == {"done"}
    assert len(scores[scores["main"]]) == 2 * 2 * 2


def test_one_deleted_prediction_is_one_predict_job_and_what_follows(mini):
    mini.goal = "tables"
    before = mini.path("predictions/tiny/mnli/xnli/seed1/de.parquet").read_bytes()
    mini.path("predictions/tiny/mnli/xnli/seed1/de.parquet").unlink()
    assert mini.planned() == mini.with_tables({"predict_xnli": 1, "score_xnli": 1})
    mini.run()
    assert "2 of 2 languages in the store; computing: none" in mini.log("predict/tiny/mnli/xnli/seed1")
    assert mini.path("predictions/tiny/mnli/xnli/seed1/de.parquet").read_bytes() == before
    assert mini.planned() == {}


def test_one_deleted_score_is_one_score_job_and_what_follows(mini):
    mini.path("scores/tiny/mnli/xnli/seed1/de.json").unlink()
    assert mini.planned() == mini.with_tables({"score_xnli": 1})
    mini.path("predictions/tiny/mnli/xnli/seed1/de.parquet").unlink()
    mini.path("predictions/tiny/none/pos/seed1/fr.parquet").unlink()
    assert mini.planned() == mini.with_tables({"predict_pos": 1, "predict_xnli": 1, "score_pos": 1, "score_xnli": 1})


def test_lost_evaluation_data_are_read_again_where_they_are_scored_on(mini):
    for lost in mini.path("data/xglue/xnli").glob("test.de.*"):
        lost.unlink()
    mini.path("scores/tiny/mnli/xnli/seed1/de.json").unlink()
    planned = mini.planned()
    assert planned.pop("data") == 1
    assert planned == mini.with_tables({"predict_xnli": 2, "score_xnli": 2})


def test_scores_and_statistics_that_changed_behind_the_run_are_taken_up(mini):
    for name in ("mnli/xnli/seed1/de.json", "none/pos/seed1/fr.stats.parquet"):
        path = mini.path(f"scores/tiny/{name}")
        path.write_bytes(path.read_bytes() + b" ")
    assert mini.planned() == mini.with_tables({"bootstrap": 1})


def test_an_added_language_adds_only_its_cells(mini):
    mini.goal = "tables"
    mini.config["targets"]["xnli"]["languages"] = ["en", "de", "es"]
    assert mini.planned() == mini.with_tables({"data": 1, "predict_xnli": 2, "score_xnli": 2})
    mini.run()
    for arm in ("none", "mnli"):
        assert "2 of 3 languages in the store; computing: es" in mini.log(f"predict/tiny/{arm}/xnli/seed1")
    assert mini.planned() == {}


def test_an_added_seed_adds_only_its_runs(mini):
    mini.config["seeds"] = 2
    assert mini.planned() == mini.with_tables(
        {
            "train_intermediate": 1,
            "train_target": 4,
            **{"predict_xnli": 2, "predict_pos": 2, "score_xnli": 2, "score_pos": 2},
        }
    )


def test_an_added_intermediate_adds_only_its_column(mini):
    mini.config["intermediates"]["qqp"] = {"tasks": ["qqp"]}
    assert mini.planned() == mini.with_tables(
        {
            **{"data": 2, "train_intermediate": 1, "train_target": 2},
            **{"predict_xnli": 1, "predict_pos": 1, "score_xnli": 1, "score_pos": 1},
        }
    )


def test_a_learning_rate_of_one_intermediate_reruns_only_its_column(mini):
    mini.goal = "tables"
    old = read_json(mini.path("checkpoints/tiny/mnli/seed1/manifest.json"))
    untouched = mini.path("checkpoints/tiny/none/xnli/seed1/manifest.json")
    time_before = untouched.stat().st_mtime_ns
    mini.config["intermediates"]["mnli"]["training"] = {"learning_rate": 3e-3}
    assert mini.planned() == mini.with_tables(
        {
            **{"train_intermediate": 1, "train_target": 2},
            **{"predict_xnli": 1, "predict_pos": 1, "score_xnli": 1, "score_pos": 1},
        }
    )
    mini.run("results/mini/scores/tiny/mnli/xnli/seed1/de.json")
    new = read_json(mini.path("checkpoints/tiny/mnli/seed1/manifest.json"))
    assert new["recipe_hash"] != old["recipe_hash"] and new["digest"] != old["digest"]
    assert untouched.stat().st_mtime_ns == time_before
    # the score is of the new chain, not of the old one
    score = read_json(mini.path("scores/tiny/mnli/xnli/seed1/de.json"))
    child = read_json(mini.path("checkpoints/tiny/mnli/xnli/seed1/manifest.json"))
    assert score["model_digest"] == child["digest"]
    planned = mini.planned()
    assert planned.pop("bootstrap") in (1, 2)  # so small a model may get the same examples right
    assert planned | {"bootstrap": 1} == mini.with_tables({"train_target": 1, "predict_pos": 1, "score_pos": 1})


def test_a_titles_change_makes_tables_anew_and_nothing_else(mini):
    mini.config["models"]["tiny"]["title"] = "Smallest"
    assert mini.planned() == mini.with_tables({})
    mini.run("tables")
    assert "Smallest" in mini.path("tables/main.md").read_text(encoding="utf-8")


def test_what_is_asked_of_the_scores_reruns_the_analysis_alone(mini):
    mini.config["analysis"] = {"alpha": 0.1}
    pages = {"build_tables": 1, "figures": 1, "explorer": 1, "report_pages": 1}
    assert mini.planned() == {"contrasts": 1, **pages}
    mini.config["analysis"] = {"power": {"seed_sd": {"tiny": 1.0}}}
    assert mini.planned() == {}
    mini.config["analysis"] |= {"alpha": 0.1, "replicates": 200}
    assert mini.planned() == {"bootstrap": 2, "contrasts": 1, **pages}
    mini.goal = "tables"
    mini.run()
    assert "90 % interval" in mini.path("tables/answer_table.md").read_text(encoding="utf-8")
    assert mini.planned() == {}
    assert "seed SD tiny 1" in mini.run("power")
    assert mini.planned("power") == {"power": 1}
    assert mini.planned() == {}


def test_a_speed_setting_reruns_nothing(mini):
    mini.config["models"]["tiny"]["execution"] = {"micro_batch_size": 4, "predict_batch_size": 3}
    assert mini.planned() == {}


def test_another_evaluation_split_is_predicted_and_scored_anew(mini):
    mini.goal = "tables"
    mini.config["targets"]["xnli"]["eval_split"] = "dev"
    assert mini.planned() == mini.with_tables({"data": 1, "predict_xnli": 2, "score_xnli": 2})
    mini.config["intermediates"] = {"none": {}}
    mini.run()
    assert read_json(mini.path("scores/tiny/none/xnli/seed1/de.json"))["split"] == "dev"
    mini.config["targets"]["xnli"]["eval_split"] = "test"
    assert mini.planned() == mini.with_tables({"predict_xnli": 1, "score_xnli": 1})
    mini.run()
    assert "2 of 2 languages in the store; computing: none" in mini.log("predict/tiny/none/xnli/seed1")
    assert read_json(mini.path("scores/tiny/none/xnli/seed1/de.json"))["split"] == "test"


def test_a_raised_prediction_version_predicts_anew_and_trains_nothing(mini):
    path = mini.folder / "checkout" / "stiltgrid" / "store.py"
    text = path.read_text(encoding="utf-8")
    assert "PREDICTION_VERSION = 1" in text
    path.write_text(text.replace("PREDICTION_VERSION = 1", "PREDICTION_VERSION = 2"), encoding="utf-8")
    assert mini.planned() == mini.with_tables({"predict_xnli": 2, "predict_pos": 2, "score_xnli": 2, "score_pos": 2})
    mini.run("results/mini/predictions/tiny/none/xnli/seed1/en.parquet")
    assert "0 of 2 languages in the store" in mini.log("predict/tiny/none/xnli/seed1")


def test_an_edited_verbaliser_retrains_what_was_trained_with_it(mini):
    path = mini.folder / "checkout" / "stiltgrid" / "tasks" / "xglue.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("NOUN: noun", "NOUN: thing"), encoding="utf-8")
    assert mini.planned() == mini.with_tables({"train_target": 2, "predict_pos": 2, "score_pos": 2})


def test_a_comment_in_any_python_file_retrains_nothing(mini):
    checkout = mini.folder / "checkout"
    files = [f for kind in ("stiltgrid/**/*.py", "workflow/scripts/*.py", "rules/*.smk") for f in checkout.glob(kind)]
    assert len(files) > 30
    for path in files:
        path.write_text(path.read_text(encoding="utf-8") + "\n# a comment\n", encoding="utf-8")
    assert mini.planned() == {}


def test_touched_sources_with_the_same_content_rerun_nothing(mini):
    for path in (mini.folder / "source").rglob("*.*"):
        os.utime(path)
    assert mini.planned() == {}


def test_sources_that_were_moved_away_rerun_nothing(mini):
    (mini.folder / "source").rename(mini.folder / "archived")
    assert mini.planned() == {}


def test_rereading_the_same_rows_trains_nothing_again(mini):
    mini.goal = "tables"
    weights = mini.path("checkpoints/tiny/mnli/xnli/seed1/weights/model.safetensors")
    time_before = weights.stat().st_mtime_ns
    mini.run("tables", "--forcerun", "data")
    # Snakemake cannot cut off early, so the jobs ran; each found its recipe unchanged
    assert "nothing to train" in mini.log("train/tiny/mnli/xnli/seed1")
    assert "computing: none" in mini.log("predict/tiny/mnli/xnli/seed1")
    assert weights.stat().st_mtime_ns == time_before
    assert mini.planned() == {}


def test_changed_rows_of_one_task_retrain_what_rests_on_them(mini):
    path = mini.folder / "source" / "MNLI" / "train.tsv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    planned = mini.planned()
    assert planned["train_intermediate"] == 1 and planned["train_target"] == 2 and planned["data"] == 1


def test_killed_training_resumes_and_ends_as_if_uninterrupted(mini):
    """SIGKILL in mid-training, then the same command again: same weights as a run that was never killed."""
    run = "checkpoints/tiny/none/xnli/seed1"
    mini.config["training"].update(max_steps=80, evaluations=2)
    mini.config["models"]["tiny"]["execution"] = {"checkpoint_minutes": 1e-4}
    whole = mini.copy(mini.folder.parent / "whole")
    target = f"results/mini/{run}/manifest.json"
    whole.run(target)

    with (mini.folder / "killed.log").open("wb") as log:
        process = subprocess.Popen(
            mini.command(target), cwd=mini.folder, env=mini.environment(), stdout=log, stderr=log
        )
        marks = mini.path(f"{run}/training")
        deadline = time.monotonic() + 600
        while not list(marks.glob("checkpoint-*/complete.json")):
            assert time.monotonic() < deadline and process.poll() is None, (mini.folder / "killed.log").read_text()
            time.sleep(0.02)
        # the training script is a grandchild; it is the process that holds the run's config and target
        found = subprocess.run(["ps", "-ww", "-eo", "pid,args"], text=True, capture_output=True, check=True).stdout
        pids = [
            int(line.split()[0])
            for line in found.splitlines()
            if f"{mini.folder}/checkout/workflow/scripts/train.py" in line and "python" in line.split()[1]
        ]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert process.wait(timeout=600) != 0
    assert not mini.path(f"{run}/manifest.json").exists()

    mini.run(target)
    assert re.search(r"resum\w+ .*step \d+", mini.log("train/tiny/none/xnli/seed1"))
    one, two = read_json(mini.path(f"{run}/manifest.json")), read_json(whole.path(f"{run}/manifest.json"))
    assert one["weights"] == two["weights"]
    assert one["dev"] == two["dev"]
    assert one["digest"] == two["digest"]
