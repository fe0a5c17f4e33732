"""Predictions: order, batching, damaged weights."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from stiltgrid import formulations, predict
from stiltgrid.artifacts import read_json, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.exhaustion import OutOfMemoryError, explain_prediction_memory
from stiltgrid.predict import Predictor, check_weights
from stiltgrid.predictions import check_alignment
from stiltgrid.tasks.registry import task
from stiltgrid.train import run

SINGLE = {"strategy": "single", "devices": 1}
FAMILIES = ("text2text", "heads")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """For each family, a checkpoint trained on NLI and tagging together."""
    made = {}
    for family in FAMILIES:
        folder = tmp_path_factory.mktemp(family)
        pretrained = tiny.pretrained(folder / "pretrained", family)
        data = tiny.write_data(folder / "data", "xglue/xnli", tiny.nli(40), tiny.nli(9, seed=5))
        data |= tiny.write_data(folder / "data", "xglue/pos", tiny.tagged(40), tiny.tagged(9, seed=5))
        run(tiny.recipe(family, list(data), max_steps=3), data, pretrained, pretrained, folder / "run", SINGLE)
        made[family] = (folder / "run", pretrained)
    return made


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["xglue/xnli", "xglue/pos"])
def test_batches_answer_like_one_at_a_time_and_in_order(trained, family, name):
    row = task(name)
    examples = tiny.nli(23, seed=7) if name == "xglue/xnli" else tiny.tagged(23, seed=7, longest=40)
    predictor = Predictor.load(*trained[family])
    together = predictor.predict(row, examples, batch_size=8)
    alone = [predictor.predict(row, [example], batch_size=1)[0] for example in examples]
    check_alignment(examples, together, list(row.labels), "together")
    for a, b in zip(together, alone, strict=True):
        assert (a.id, a.label, a.tags) == (b.id, b.label, b.tags)
        if a.scores is not None:
            assert a.scores == pytest.approx(b.scores, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_long_sentences_get_a_tag_a_word(trained, family):
    examples = [
        Example("long", "long", words=("the", "cat") * 120),
        Example("odd", "odd", words=("", "中国", "q" * 300, "\u200b")),
    ]
    said = Predictor.load(*trained[family]).predict(task("xglue/pos"), examples)
    assert [len(p.tags) for p in said] == [240, 4]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_to_a_cut_input_says_so(trained, family):
    """The cut one is the longest, so the first of the batches; windows of a sentence are no cut."""
    predictor = Predictor.load(*trained[family])
    pairs = [
        replace(e, fields=e.fields | {"premise": "cat " * n}) for e, n in zip(tiny.nli(3), (3, 90, 5), strict=True)
    ]
    assert [p.truncated for p in predictor.predict(task("xglue/xnli"), pairs)] == [False, True, False]
    sentences = [Example(str(i), str(i), words=w) for i, w in enumerate([("the",), ("cat",) * 240, ("q" * 300,)])]
    assert [p.truncated for p in predictor.predict(task("xglue/pos"), sentences)] == [False, False, True]


def test_gold_labels_do_not_leak(trained):
    predictor = Predictor.load(*trained["heads"])
    examples = tiny.nli(8)
    blind = [replace(e, label=None) for e in examples]
    assert predictor.predict(task("xglue/xnli"), examples) == predictor.predict(task("xglue/xnli"), blind)


def test_progress_counts_up_to_all(trained):
    seen = []
    Predictor.load(*trained["heads"]).predict(
        task("xglue/xnli"), tiny.nli(10), batch_size=4, progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_a_task_without_head_is_refused(trained):
    with pytest.raises(StiltgridError, match=r"xglue/pawsx: the checkpoint has no head.*xglue/xnli"):
        Predictor.load(*trained["heads"]).predict(task("xglue/pawsx"), [])


def test_a_head_of_other_labels_is_refused(trained):
    row = task("xglue/xnli")
    changed = row.model_copy(update={"labels": dict(reversed(row.labels.items()))})
    with pytest.raises(StiltgridError, match="train it again"):
        Predictor.load(*trained["heads"]).predict(changed, [])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", {"entailment": "true", "neutral": "maybe", "contradiction": "no"}),
        ("fields", ("hypothesis", "premise")),
        ("segments", (("premise", "hypothesis"),)),
        ("kind", "tagging"),
        ("output_length", 5),
    ],
)
def test_a_task_edited_since_training_is_refused(trained, family, key, value):
    changed = task("xglue/xnli").model_copy(update={key: value})
    with pytest.raises(StiltgridError, match=rf"xglue/xnli: its {key} were .*train it again, or restore the row"):
        Predictor.load(*trained[family]).predict(changed, tiny.nli(1))


def test_a_task_that_was_not_trained_on_is_refused(trained):
    with pytest.raises(StiltgridError, match=r"xglue/pawsx: the run is not trained on it, but on xglue/.*xnli"):
        Predictor.load(*trained["text2text"]).predict(task("xglue/pawsx"), [])


def test_a_checkpoint_of_other_formulations_is_refused(trained, monkeypatch):
    monkeypatch.setattr(formulations, "VERSION", formulations.VERSION + 1)
    with pytest.raises(StiltgridError, match="train it again"):
        Predictor.load(*trained["text2text"]).predict(task("xglue/xnli"), tiny.nli(1))


@pytest.mark.parametrize(("native", "warnings"), [(True, 0), (False, 1)])
def test_predictions_are_made_in_the_precision_of_the_run(trained, monkeypatch, caplog, native, warnings):
    """Whatever `auto` would mean on the machine that predicts."""
    monkeypatch.setattr(predict, "computes_bf16", lambda: native)
    loaded = Predictor.load(*trained["heads"])
    assert loaded.precision == "fp32" and not caplog.records
    manifest = json.loads(json.dumps(loaded.manifest))
    manifest["recipe"]["training"]["precision"] = "auto"
    manifest["execution"]["precision"] = "bf16"
    predictor = Predictor(manifest, loaded.model, loaded.tokens)
    assert predictor.precision == "bf16"
    assert [r.levelname for r in caplog.records] == ["WARNING"] * warnings
    said, exact = (p.predict(task("xglue/xnli"), tiny.nli(4)) for p in (predictor, loaded))
    assert [p.scores for p in said] != [p.scores for p in exact]


def test_truncated_weights_are_named(trained, tmp_path):
    checkpoint, pretrained = trained["text2text"]
    write_json(tmp_path / "manifest.json", read_json(checkpoint / "manifest.json"))
    (tmp_path / "weights").mkdir()
    for file in (checkpoint / "weights").iterdir():
        (tmp_path / "weights" / file.name).write_bytes(file.read_bytes())
    whole = tmp_path / "weights" / "model.safetensors"
    whole.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(StiltgridError, match=r"model\.safetensors: has \d+ bytes, the manifest says"):
        Predictor.load(tmp_path, pretrained)
    whole.unlink()
    with pytest.raises(StiltgridError, match=r"model\.safetensors: is missing"):
        check_weights(tmp_path)


def test_importing_predict_and_train_imports_no_torch():
    code = "import sys, stiltgrid.predict, stiltgrid.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("loading", [True, False])
def test_memory_that_ran_out_is_told_with_what_to_change(monkeypatch, loading):
    """The allocation is real, and too large."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "workflow" / "scripts"))
    from predict import loader
    from test_collect import small_grid

    class Large:
        def predict(self, *_, **__):
            torch.empty(1 << 50)

    def load(*_, **__):
        return Large().predict() if loading else Large()

    monkeypatch.setattr(predict.Predictor, "load", load)
    grid = small_grid()
    with pytest.raises(
        OutOfMemoryError, match=r"small none xnli 1: out of host memory .*raise resources.predict_mem_mb"
    ) as found:
        loader(grid, next(run for run in grid.runs if run.target == "xnli"))()([], "de")
    assert ("lower execution.predict_batch_size (now 64)" in str(found.value)) != loading


def test_on_a_device_more_gpus_or_smaller_batches_help():
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    with pytest.raises(OutOfMemoryError) as found:
        explain_prediction_memory("xxl mnli xnli 1", error, 8, 1, 8000)
    assert "lower execution.predict_batch_size (now 8), or raise resources.predict_gpus (now 1;" in str(found.value)
    assert "mem_mb" not in str(found.value)
    explain_prediction_memory("run", RuntimeError("another fault"), 8, 1, 8000)
