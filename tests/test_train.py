"""Runs: what they write, when they do nothing, resuming, choosing, failing."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from stiltgrid.artifacts import file_sha256, read_json, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.launch import command
from stiltgrid.lock import LOCK, hold
from stiltgrid.train import run
from stiltgrid.training import checkpoints
from stiltgrid.training.arguments import split_batch, training_arguments
from stiltgrid.training.fit import _read, choose, choose_groups, rank_seed
from stiltgrid.training.precision import resolve

SINGLE = {"strategy": "single", "devices": 1}
NLI = "xglue/xnli"
SCRIPT = """
import json, sys
from stiltgrid.errors import StiltgridError
from stiltgrid.train import run
call = json.load(open(sys.argv[1]))
if len(sys.argv) > 2:
    import os, signal
    from stiltgrid.training.trainer import GridTrainer
    loss_of = GridTrainer.compute_loss
    def compute_loss(self, *args, **kwargs):
        if self.state.global_step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return loss_of(self, *args, **kwargs)
    GridTrainer.compute_loss = compute_loss
try:
    run(call["recipe"], call["data"], call["pretrained"], call["pretrained"], call["out"], call["execution"])
except StiltgridError as error:
    sys.exit(f"StiltgridError: {error}")
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Both pretrained models and data of two tasks."""
    folder = tmp_path_factory.mktemp("world")
    for family in ("text2text", "heads"):
        tiny.pretrained(folder / family, family)
    data = tiny.write_data(folder / "data", NLI, tiny.nli(61), tiny.nli(15, seed=5))
    return folder, data | tiny.write_data(folder / "data", "xglue/pos", tiny.tagged(61), tiny.tagged(15, seed=5))


def train(world, out, family="text2text", tasks=(NLI,), parent=None, execution=SINGLE, **training):
    folder, data = world
    recipe = tiny.recipe(family, list(tasks), **training)
    chosen = {name: data[name] for name in tasks}
    return run(recipe, chosen, folder / family, parent or folder / family, out, execution)


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_a_run_writes_exactly_these_files(world, tmp_path, family):
    manifest = train(world, tmp_path / "run", family, evaluations=2)
    files = {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*") if p.is_file()}
    weights = {"config.json", "model.safetensors"}
    if family == "heads":
        weights = {f"encoder/{w}" for w in weights} | {"heads.json", "heads.safetensors"}
    assert files == {"manifest.json", "complete.json", "metrics.jsonl"} | {f"weights/{w}" for w in weights}
    assert set(manifest["weights"]) == weights
    assert manifest == read_json(tmp_path / "run" / "manifest.json") == read_json(tmp_path / "run" / "complete.json")
    for name, record in manifest["weights"].items():
        assert file_sha256(tmp_path / "run" / "weights" / name) == record["sha256"]
    assert manifest["counts"] == {
        "train_examples": 61,
        "train_inputs": 61,
        "dev_examples": 15,
        "truncated_inputs": 0,
        "steps": 6,
        "selected_step": 6,
    }
    logged = lines(tmp_path / "run")
    assert [line["step"] for line in logged if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in logged if "dev" in line] == [3, 6]
    assert logged[-1]["dev"] == manifest["dev"]


def test_a_second_call_trains_nothing(world, tmp_path, capfd):
    first = train(world, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    capfd.readouterr()
    assert train(world, tmp_path / "run") == first
    assert "nothing to train" in capfd.readouterr().err
    assert read_json(tmp_path / "run" / "manifest.json") == first


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_damaged_weights_are_trained_anew(world, tmp_path, damage):
    first = train(world, tmp_path / "run", max_steps=2)
    path = tmp_path / "run" / "weights" / "model.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-1] ^= 255
    path.write_bytes(content[:-8] if damage == "truncate" else content)
    if damage == "remove":
        path.unlink()
    assert train(world, tmp_path / "run", max_steps=2)["digest"] == first["digest"]


def test_another_recipe_replaces_the_old_run(world, tmp_path):
    first = train(world, tmp_path / "run", max_steps=2)
    second = train(world, tmp_path / "run", max_steps=3)
    assert first["recipe_hash"] != second["recipe_hash"]
    assert [line["step"] for line in lines(tmp_path / "run") if "loss" in line] == [1, 2, 3]


def test_the_seed_is_part_of_the_run_and_the_micro_batch_is_not(world, tmp_path):
    base = train(world, tmp_path / "a", "heads", dropout=0.0)
    quick = {**SINGLE, "micro_batch_size": 2}
    split = train(world, tmp_path / "b", "heads", execution=quick, dropout=0.0)
    assert split["recipe_hash"] == base["recipe_hash"]
    losses = [[line["loss"] for line in lines(tmp_path / name) if "loss" in line] for name in "ab"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    other = train(world, tmp_path / "c", "heads", seed=2, dropout=0.0)
    assert other["recipe_hash"] != base["recipe_hash"]


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_the_second_phase_continues_the_first(world, tmp_path, family):
    folder, _ = world
    first = train(world, tmp_path / "one", family)
    second = train(world, tmp_path / "two", family, parent=tmp_path / "one", max_steps=1, learning_rate=1e-12)
    body = "model.safetensors" if family == "text2text" else "encoder/model.safetensors"
    one, two = (load_file(tmp_path / name / "weights" / body) for name in ("one", "two"))
    assert all(torch.allclose(one[k], two[k], atol=1e-6) for k in one)
    assert second["identity"]["parent"] == first["digest"]
    assert second["identity"]["pretrained"] == read_json(folder / family / "manifest.json")["digest"]
    if family == "heads":
        a, b = (load_file(tmp_path / name / "weights" / "heads.safetensors") for name in ("one", "two"))
        assert not all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)


def test_several_tasks_share_a_run(world, tmp_path):
    for family in ("text2text", "heads"):
        manifest = train(world, tmp_path / family, family, tasks=(NLI, "xglue/pos"), max_steps=3)
        assert set(manifest["dev"]) == {NLI, "xglue/pos"}


def test_frozen_embeddings_do_not_move_and_the_output_matrix_does(world, tmp_path):
    folder, data = world
    recipe = tiny.recipe("text2text", [NLI])
    recipe["model"]["freeze"] = "embeddings"
    run(recipe, {NLI: data[NLI]}, folder / "text2text", folder / "text2text", tmp_path / "run", SINGLE)
    before = load_file(folder / "text2text" / "model" / "model.safetensors")
    after = load_file(tmp_path / "run" / "weights" / "model.safetensors")
    assert torch.equal(before["shared.weight"], after["shared.weight"])
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])


def test_epochs_and_caps_set_the_number_of_steps(world, tmp_path):
    manifest = train(world, tmp_path / "run", max_steps=None, epochs=2, train_examples=20, dev_examples=5)
    assert manifest["counts"]["train_examples"] == 20
    assert manifest["counts"]["dev_examples"] == 5
    assert manifest["counts"]["steps"] == 6  # 2 epochs of 8 + 8 + 4
    assert lines(tmp_path / "run")[-1]["epoch"] == 2.0


def test_a_cap_takes_the_first_of_one_shuffle():
    rows = tiny.nli(50)
    few, more = (choose(rows, number, 1, "train") for number in (10, 20))
    assert (len(few), len(more)) == (10, 20)
    assert {e.id for e in few} < {e.id for e in more}
    assert few != choose(rows, 10, 2, "train")
    assert choose(rows, 80, 1, "train") == rows
    for chosen in (few, more):
        assert chosen == sorted(chosen, key=rows.index)


def ranked(queries: int) -> list[Example]:
    """Candidates of queries, 3 to 6 of each."""
    return [
        Example(f"{q}-{i}", f"q{q}", {"query": "cat", "title": "dog", "snippet": "park"}, str((q + i) % 5))
        for q in range(queries)
        for i in range(3 + q % 4)
    ]


def test_dev_keeps_whole_groups_in_the_order_of_the_file():
    """A query with some of its candidates has another nDCG."""
    rows = ranked(12)
    sizes = Counter(e.group for e in rows)
    for number in (1, 7, 20, 30):
        chosen = choose_groups(rows, number, 1, "dev")
        assert chosen == [e for e in rows if e.group in {c.group for c in chosen}]
        assert number <= len(chosen) < number + max(sizes.values())
    few, more = ({e.id for e in choose_groups(rows, number, 1, "dev")} for number in (7, 20))
    assert few < more
    assert choose_groups(rows, 7, 1, "dev") != choose_groups(rows, 7, 2, "dev")
    assert choose_groups(rows, 99, 1, "dev") == rows


def test_a_run_scores_dev_on_whole_groups(tmp_path):
    data = tiny.write_data(tmp_path, "xglue/wpr", ranked(12), ranked(12))
    dev, train_ = (_read(data, ["xglue/wpr"], split, 10, 0)["xglue/wpr"] for split in ("dev", "train"))
    sizes = Counter(e.group for e in ranked(12))
    assert Counter(e.group for e in dev) == {e.group: sizes[e.group] for e in dev}
    assert len(train_) == 10


def test_the_best_of_dev_is_kept(world, tmp_path, monkeypatch):
    from stiltgrid.training import trainer

    scores = iter([10.0, 30.0, 20.0, 30.0])
    monkeypatch.setattr(trainer, "score_language", lambda *a: ({"accuracy": next(scores)}, {}))
    best = train(world, tmp_path / "best", max_steps=8, evaluations=4, selection="best_dev")
    assert best["counts"]["selected_step"] == 4
    assert best["dev"][NLI]["accuracy"] == 30.0
    scores = iter([1.0] * 4)
    last = train(world, tmp_path / "last", max_steps=8, evaluations=4)
    assert last["counts"]["selected_step"] == 8
    paths = [tmp_path / n / "weights" / "model.safetensors" for n in ("best", "last")]
    assert file_sha256(paths[0]) != file_sha256(paths[1])


def test_patience_ends_a_run_early(world, tmp_path, monkeypatch):
    from stiltgrid.training import trainer

    scores = iter([30.0, 20.0, 10.0, 99.0])
    monkeypatch.setattr(trainer, "score_language", lambda *a: ({"accuracy": next(scores)}, {}))
    manifest = train(world, tmp_path / "run", max_steps=8, evaluations=4, selection="best_dev", patience=2)
    assert manifest["counts"]["steps"] == 6
    assert manifest["counts"]["selected_step"] == 2


def test_a_loss_that_is_no_number_is_a_failure_with_its_step(world, tmp_path):
    with pytest.raises(StiltgridError, match=r"the loss is (nan|inf) at step [23]"):
        train(world, tmp_path / "run", learning_rate=1e30, warmup_ratio=0.0, max_grad_norm=None)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_full_disk_says_so(world, tmp_path, monkeypatch):
    from stiltgrid.training import trainer

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer, "save_weights", full)
    with pytest.raises(StiltgridError, match="the disk or the quota is full"):
        train(world, tmp_path / "run", max_steps=1)
    monkeypatch.undo()
    train(world, tmp_path / "run", max_steps=1)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (OSError(errno.EIO, "x"), False),
        (SafetensorError("I/O error: No space left on device (os error 28)"), True),
        (SafetensorError("I/O error: File too large (os error 27)"), False),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), False),
        (ValueError("there is No space left for a word"), False),
    ],
)
def test_only_the_system_says_that_the_disk_is_full(tmp_path, monkeypatch, error, full):
    """However little is free: a fault of another kind is not explained away."""
    from stiltgrid import exhaustion as module

    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    if full:
        with pytest.raises(StiltgridError, match="the disk or the quota is full"):
            module.explain_full_disk(tmp_path, error)
    else:
        module.explain_full_disk(tmp_path, error)


def test_torchs_writer_is_asked_again_for_the_systems_number(tmp_path, monkeypatch):
    from stiltgrid import exhaustion as module

    monkeypatch.setattr(module, "_errno_of_writing", lambda _: errno.ENOSPC)
    with pytest.raises(StiltgridError, match="the disk or the quota is full"):
        module.explain_full_disk(tmp_path, RuntimeError("[enforce fail at inline_container.cc:672]"))


class Kill(BaseException):
    """Ends a run where it is, as SIGKILL would."""


def killing(real, dies):
    """Return the function, ending the run at the first call whose arguments are so."""
    left = [True]

    def call(*args, **kwargs):
        if left and dies(*args, **kwargs):
            left.clear()
            raise Kill
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize(("selection", "step"), [("best_dev", 2), ("last_step", 4)])
def test_a_run_killed_at_every_step_of_finishing_ends_at_the_same_weights(
    world, tmp_path, monkeypatch, selection, step
):
    from stiltgrid import train as module
    from stiltgrid.training import trainer

    scores = chain([10.0, 30.0], repeat(20.0))
    monkeypatch.setattr(trainer, "score_language", lambda *a: ({"accuracy": next(scores)}, {}))
    call = {"max_steps": 4, "evaluations": 4, "selection": selection, "execution": {**SINGLE, "checkpoint_steps": 2}}
    out, finish = tmp_path / "run", module._finish
    for place, name, dies in (
        (module, "_link", lambda source, _: source.endswith("model.safetensors")),
        (shutil, "rmtree", lambda path, **_: path.name == "weights"),
        (Path, "replace", lambda path, _: path.name == "weights.tmp"),
        (module, "write_json", lambda path, _: path.name == "complete.json"),
        (module, "write_json", lambda path, _: path.name == "manifest.json"),
        (shutil, "rmtree", lambda path, **_: path.name == "training"),
    ):
        with monkeypatch.context() as patch:
            fatal = killing(getattr(place, name), dies)
            if (out / "complete.json").exists():
                patch.setattr(place, name, fatal)
            else:
                patch.setattr(
                    module, "_finish", lambda *a, p=patch, o=(place, name, fatal): p.setattr(*o) or finish(*a)
                )
            with pytest.raises(Kill):
                train(world, out, **call)
    manifest = train(world, out, **call)
    assert {p.name for p in out.iterdir()} == {"complete.json", "manifest.json", "metrics.jsonl", "weights"}
    assert manifest["counts"]["selected_step"] == step
    scores = chain([10.0, 30.0], repeat(20.0))
    assert train(world, tmp_path / "whole", **call)["weights"] == manifest["weights"]


def killed_at_the_end(world, out, monkeypatch, **call):
    """A run that was killed when it had trained and not yet finished."""
    from stiltgrid import train as module

    with monkeypatch.context() as patch:
        patch.setattr(module, "_finish", killing(module._finish, lambda *_: True))
        with pytest.raises(Kill):
            train(world, out, **call)


def test_patience_is_remembered_by_a_resumed_run(world, tmp_path, monkeypatch):
    from stiltgrid.training import trainer

    scores = iter([30.0, 20.0, 10.0, 99.0])
    monkeypatch.setattr(trainer, "score_language", lambda *a: ({"accuracy": next(scores)}, {}))
    call = {"max_steps": 8, "evaluations": 4, "selection": "best_dev", "patience": 2}
    call["execution"] = {**SINGLE, "checkpoint_steps": 2}
    killed_at_the_end(world, tmp_path / "run", monkeypatch, **call)
    manifest = train(world, tmp_path / "run", **call)
    assert manifest["counts"]["steps"] == 6
    assert manifest["counts"]["selected_step"] == 2
    assert next(scores) == 99.0


def test_patience_counts_only_where_the_best_is_selected():
    history = [{"step": step, "mean": mean} for step, mean in ((1, 3.0), (2, 1.0), (3, 2.0))]
    best = {"selection": "best_dev", "patience": 2}
    assert checkpoints.exhausted(history, best)
    assert not checkpoints.exhausted(history[:2], best)
    assert not checkpoints.exhausted([], best)
    assert not checkpoints.exhausted(history, {**best, "patience": None})
    assert not checkpoints.exhausted(history, {**best, "selection": "last_step"})


def test_measured_seconds_are_the_sum_over_the_processes_of_a_run(world, tmp_path, monkeypatch):
    call = {"max_steps": 2, "execution": {**SINGLE, "checkpoint_steps": 1}}
    killed_at_the_end(world, tmp_path / "run", monkeypatch, **call)
    marker = tmp_path / "run" / "training" / "checkpoint-1" / checkpoints.MARKER
    record = read_json(marker)
    spent = record["state"]["seconds"]
    assert set(spent) == {"load", "train", "evaluate", "checkpoint", "total"}
    assert spent["total"] == pytest.approx(sum(spent.values()) - spent["total"])
    record["state"]["seconds"] = {
        "load": 100.0,
        "train": 2000.0,
        "evaluate": 300.0,
        "checkpoint": 40.0,
        "total": 2440.0,
    }
    # as a GPU's counter would have it; this process has none, so the whole is not known
    assert record["state"]["energy_joules"] is None
    record["state"]["energy_joules"] = 5000.0
    write_json(marker, record)
    with monkeypatch.context() as patch:
        patch.setattr("stiltgrid.energy.Meter._counters", lambda meter: 1.0)
        manifest = train(world, tmp_path / "run", **call)
    assert manifest["execution"]["energy_joules"] == 5000.0
    assert manifest["execution"]["device"] == "cpu"
    seconds = manifest["seconds"]
    for part, before in record["state"]["seconds"].items():
        assert before <= seconds[part] < before + 30
    assert seconds["total"] == pytest.approx(sum(seconds.values()) - seconds["total"], abs=0.1)


def test_a_run_that_another_process_just_finished_is_not_trained_again(world, tmp_path, monkeypatch, capfd):
    from stiltgrid import train as module
    from stiltgrid.training import fit

    first = train(world, tmp_path / "run", max_steps=1)
    (tmp_path / "run").rename(tmp_path / "other")
    holding = module.holding
    monkeypatch.setattr(module, "holding", lambda out: (tmp_path / "other").rename(out) and holding(out))
    monkeypatch.setattr(fit, "fit", lambda *a: pytest.fail("trained again"))
    assert train(world, tmp_path / "run", max_steps=1) == first
    assert "nothing to train" in capfd.readouterr().err
    assert not (tmp_path / "run" / LOCK).exists()


def test_training_checkpoints_left_beside_a_finished_run_are_removed(world, tmp_path):
    train(world, tmp_path / "run", max_steps=1)
    (tmp_path / "run" / "training" / "checkpoint-1").mkdir(parents=True)
    train(world, tmp_path / "run", max_steps=1)
    assert not (tmp_path / "run" / "training").exists()


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (("zero3", 2), ("zero3", 2), True),
        (("zero3", 2), ("zero3", 4), False),
        (("zero3", 2), ("single", 1), False),
        (("ddp", 2), ("zero3", 2), False),
        (("ddp", 2), ("single", 1), True),
    ],
)
def test_shards_of_another_layout_are_never_thrown_away(tmp_path, before, now, kept):
    from stiltgrid.train import _make_ready
    from stiltgrid.training import checkpoints

    layouts = [dict(zip(("strategy", "devices"), layout, strict=True)) for layout in (before, now)]
    _make_ready(tmp_path, {}, "hash", layouts[0])
    (tmp_path / "training" / "checkpoint-4").mkdir()
    checkpoints.mark(tmp_path / "training" / "checkpoint-4", {"history": [], "seconds": {}})
    if kept:
        _make_ready(tmp_path, {}, "hash", layouts[1])
        assert read_json(tmp_path / "training" / "identity.json").items() >= layouts[1].items()
    else:
        with pytest.raises(StiltgridError, match=r"at step 4 .* cannot be continued by .* remove .*training to start"):
            _make_ready(tmp_path, {}, "hash", layouts[1])
    assert checkpoints.newest(tmp_path / "training")[0].name == "checkpoint-4"


def test_an_unfinished_checkpoint_of_another_layout_is_no_reason_to_stop(tmp_path):
    from stiltgrid.train import _make_ready

    _make_ready(tmp_path, {}, "hash", {"strategy": "zero3", "devices": 2})
    (tmp_path / "training" / "checkpoint-4").mkdir()
    _make_ready(tmp_path, {}, "hash", {"strategy": "zero3", "devices": 4})
    assert not (tmp_path / "training" / "checkpoint-4").exists()


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_dropout_of_one_phase_is_not_the_next_phases(world, tmp_path, family):
    """`dropout: null` is the pretrained model's own rate, not the parent's."""
    file = "config.json" if family == "text2text" else "encoder/config.json"
    key = "dropout_rate" if family == "text2text" else "hidden_dropout_prob"
    one, two = tmp_path / "one", tmp_path / "two"
    train(world, one, family, max_steps=1, dropout=0.37)
    train(world, two, family, max_steps=1, dropout=None, parent=one)
    assert read_json(one / "weights" / file)[key] == 0.37
    assert read_json(two / "weights" / file)[key] == 0.1
    if family == "heads":
        assert read_json(two / "weights" / file)["classifier_dropout"] is None


def test_a_task_edited_since_its_recipe_was_made_is_refused(world, tmp_path):
    folder, data = world
    recipe = tiny.recipe("heads", [NLI])
    recipe["formulation"]["tasks"][NLI]["fields"] = ["hypothesis", "premise"]
    with pytest.raises(StiltgridError, match="xglue/xnli: its fields were"):
        run(recipe, {NLI: data[NLI]}, folder / "heads", folder / "heads", tmp_path / "run", SINGLE)


def test_ranks_and_seeds_never_share_their_dropout():
    assert len({rank_seed(seed, rank) for seed in range(5) for rank in range(64)}) == 5 * 64


def test_one_process_uses_one_gpu_however_many_it_sees(tmp_path, monkeypatch):
    """The library would wrap the model in nn.DataParallel, where every replica divides by the whole batch."""
    from transformers import TrainingArguments

    def devices(self):
        self._n_gpu = 4
        return torch.device("cpu")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(devices))
    values = tiny.recipe("heads", [NLI])["training"]
    made = training_arguments(values, SINGLE, tmp_path, 4, split_batch(8, {}, 1), 1, False)
    assert made._n_gpu == 1


def test_signals_are_given_back(world, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StiltgridError, match="at step"):
        train(world, tmp_path / "run", learning_rate=1e30, warmup_ratio=0.0, max_grad_norm=None)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_batch_that_cannot_be_shared_out_is_refused():
    with pytest.raises(StiltgridError, match="batch_size 8 is not a multiple of 1 devices x micro_batch_size 3"):
        split_batch(8, {"micro_batch_size": 3}, 1)
    assert split_batch(8, {"micro_batch_size": 2}, 2).accumulation == 2
    assert split_batch(8, {"micro_batch_size": 64}, 2).micro_batch == 4


def test_too_long_inputs_for_the_encoder_are_refused(world, tmp_path):
    with pytest.raises(StiltgridError, match="takes at most 128 tokens"):
        train(world, tmp_path / "run", "heads", max_input_length=512)


def test_missing_dev_data_is_named(world, tmp_path):
    folder, data = world
    recipe = tiny.recipe("heads", [NLI])
    with pytest.raises(StiltgridError, match="xglue/xnli: no dev examples"):
        run(recipe, {NLI: {"train": data[NLI]["train"]}}, folder / "heads", folder / "heads", tmp_path, SINGLE)


def test_precision_is_bf16_or_fp32_and_never_fp16():
    assert resolve("fp32") == "fp32"
    assert resolve("auto") in ("bf16", "fp32")
    with pytest.raises(StiltgridError, match="fp16"):
        resolve("fp16")


def test_bf16_keeps_float32_weights(world, tmp_path):
    manifest = train(world, tmp_path / "run", precision="bf16", max_steps=2)
    assert manifest["execution"]["precision"] == "bf16"
    state = load_file(tmp_path / "run" / "weights" / "model.safetensors")
    assert {t.dtype for t in state.values()} == {torch.float32}


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_optimizers_and_schedules(world, tmp_path, optimizer, schedule):
    train(world, tmp_path / "run", "heads", optimizer=optimizer, schedule=schedule, warmup_ratio=0.5)
    rates = [line["learning_rate"] for line in lines(tmp_path / "run") if "loss" in line]
    assert rates[0] < rates[2]
    assert rates[-1] < rates[3] if schedule == "linear" else rates[-1] == rates[3]


def test_gradient_checkpointing_changes_nothing(world, tmp_path):
    for family in ("text2text", "heads"):
        digests = [
            train(world, tmp_path / f"{family}{on}", family, execution={**SINGLE, "gradient_checkpointing": on})
            for on in (False, True)
        ]
        assert digests[0]["weights"] == digests[1]["weights"]


def test_a_checkpoint_without_its_marker_or_a_file_is_ignored(tmp_path):
    for step in (1, 2, 3):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_text("1234")
        if step < 3:
            checkpoints.mark(folder, {"history": []})
    (tmp_path / "checkpoint-2" / "weights").write_text("12")
    assert checkpoints.newest(tmp_path)[0].name == "checkpoint-1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-1"]


def test_commands_of_the_strategies():
    assert command(["train.py", "x"], SINGLE) == [sys.executable, "train.py", "x"]
    many = command(["train.py"], {"strategy": "ddp", "devices": 2})
    assert many[1:3] == ["-m", "torch.distributed.run"] and many[-1] == "train.py"
    assert many[many.index("--nproc-per-node") + 1] == "2"
    with pytest.raises(StiltgridError, match="did you mean 'zero3'"):
        command(["train.py"], {"strategy": "zero", "devices": 2})
    with pytest.raises(StiltgridError, match="single on 4 devices"):
        command(["train.py"], {"strategy": "single", "devices": 4})


def test_ranks_that_were_not_started_are_missed(world, tmp_path):
    with pytest.raises(StiltgridError, match="asks for 2 processes"):
        train(world, tmp_path / "run", execution={"strategy": "ddp", "devices": 2})


def test_two_processes_cannot_train_in_one_folder(world, tmp_path):
    held = hold(tmp_path / "run")
    with pytest.raises(StiltgridError, match="another process is training here"):
        train(world, tmp_path / "run", max_steps=1)
    held.close()
    train(world, tmp_path / "run", max_steps=1)


def forty_steps(world, tmp_path: Path, out: str, family: str, kill: int | None = None) -> tuple[int, str]:
    """Train with a checkpoint every 4 steps, in a process that is killed in a step; return exit status and log."""
    folder, data = world
    (tmp_path / "script.py").write_text(SCRIPT)
    write_json(
        tmp_path / f"{out}.json",
        {
            "recipe": tiny.recipe(family, [NLI], max_steps=40, evaluations=4, selection="best_dev"),
            "data": {NLI: data[NLI]},
            "pretrained": str(folder / family),
            "out": str(tmp_path / out),
            "execution": {**SINGLE, "checkpoint_steps": 4},
        },
    )
    words = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / f"{out}.json"), *([str(kill)] if kill else [])]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(words, env=env, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.slow
def test_sigkill_and_rerun_end_at_the_same_weights(world, tmp_path):
    """Bit for bit: data order, learning rate, dropout masks, dev history, the best weights. mT5: test_survival."""
    family = "heads"
    status, log = forty_steps(world, tmp_path, "whole", family)
    assert status == 0, log
    for step in (9, 26):
        status, log = forty_steps(world, tmp_path, "killed", family, kill=step)
        assert status == -signal.SIGKILL, log
        assert not (tmp_path / "killed" / "manifest.json").exists()
    status, log = forty_steps(world, tmp_path, "killed", family)
    assert status == 0 and "resumed from step 24" in log, log
    a, b = (read_json(tmp_path / name / "manifest.json") for name in ("whole", "killed"))
    assert a["weights"] == b["weights"] and a["digest"] == b["digest"]
    assert lines(tmp_path / "whole") == lines(tmp_path / "killed")
