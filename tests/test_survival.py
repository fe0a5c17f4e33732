"""What ends runs early, injected for real: kill -9 in a checkpoint, signals, a full disk, no memory."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import tiny
import torch

from stiltgrid import failures, lock
from stiltgrid.artifacts import read_json, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.exhaustion import explain_memory
from stiltgrid.failures import noting_failure
from stiltgrid.launch import command
from stiltgrid.lock import LOCK
from stiltgrid.train import run
from stiltgrid.training import checkpoints

NLI = "xglue/xnli"
SINGLE = {"strategy": "single", "devices": 1}
DDP, ZERO3 = ({"strategy": name, "devices": 2} for name in ("ddp", "zero3"))
SCRIPT = """
import json, os, signal, sys
from stiltgrid.errors import StiltgridError
from stiltgrid.failures import noting_failure
from stiltgrid.train import run
from stiltgrid.training import checkpoints
call = json.load(open(sys.argv[1]))
real = checkpoints.mark
def mark(folder, state):
    if checkpoints.step_of(folder) == call["die"]:
        os.kill(os.getpid(), signal.SIGKILL)  # all files of the checkpoint are there, but its marker
    real(folder, state)
checkpoints.mark = mark
exec(call["patch"])
try:
    with noting_failure(call["out"]):
        run(call["recipe"], call["data"], call["pretrained"], call["pretrained"], call["out"], call["execution"])
except StiltgridError as error:
    sys.exit(f"StiltgridError: {error}")
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    tiny.pretrained(folder / "text2text", "text2text")
    return folder, tiny.write_data(folder / "data", NLI, tiny.nli(61), tiny.nli(15, seed=5))


def call(world, out: Path, execution=SINGLE, die=None, patch="", **training) -> list[str]:
    """Write a run's call, 20 steps with a checkpoint every 4, and return its command line."""
    folder, data = world
    values = {"max_steps": 20, "evaluations": 4, "selection": "best_dev", **training}
    out.parent.mkdir(exist_ok=True)
    script = out.with_suffix(".py")
    script.write_text(SCRIPT)
    about = {
        "recipe": tiny.recipe("text2text", [NLI], **values),
        "data": data,
        "die": die,
        "out": str(out),
        "patch": patch,
    }
    about |= {"pretrained": str(folder / "text2text"), "execution": {**execution, "checkpoint_steps": 4}}
    about |= {"patch": patch}
    write_json(out.with_suffix(".json"), about)
    return command([str(script), str(out.with_suffix(".json"))], execution)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}


def ended(words: list[str]) -> tuple[int, str]:
    """Run to the end; return exit status and log."""
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stderr


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def same(one: Path, two: Path) -> None:
    """Two runs ended alike, bit for bit, and left nothing but what a run leaves."""
    a, b = (read_json(out / "manifest.json") for out in (one, two))
    assert a["weights"] == b["weights"] and a["digest"] == b["digest"] and a["dev"] == b["dev"]
    assert lines(one) == lines(two)
    left = {"complete.json", "manifest.json", "metrics.jsonl", "weights"}
    if a["execution"]["strategy"] == "zero3":
        left.add("deepspeed.json")
    for out in (one, two):
        assert {p.name for p in out.iterdir()} == left


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    status, log = ended(call(world, out))
    assert status == 0, log
    return out


@pytest.mark.slow
def test_kill_9_in_mid_checkpoint_goes_on_from_the_one_before(world, whole, tmp_path):
    out = tmp_path / "run"
    status, log = ended(call(world, out, die=12))
    assert status == -signal.SIGKILL, log
    assert checkpoints.read_mark(out / "training" / "checkpoint-12") is None
    assert (out / LOCK).exists() and not (out / "manifest.json").exists()
    status, log = ended(call(world, out))
    assert status == 0, log
    assert "resumed from step 8" in log
    same(whole, out)


TOLD = """
marked = checkpoints.mark
def and_told(folder, state):
    marked(folder, state)
    if checkpoints.step_of(folder) == 4:
        os.kill(os.getpid(), signal.SIGUSR1)
checkpoints.mark = and_told
"""


@pytest.mark.slow
def test_a_signal_saves_and_the_next_call_goes_on(world, whole, tmp_path):
    """SIGUSR1; SIGTERM is sent in the evaluations below, and by SLURM in test_slurm."""
    out = tmp_path / "run"
    status, log = ended(call(world, out, patch=TOLD))
    assert status == 1, log
    reason = read_json(out / "failed.json")["reason"]
    assert "stopped by a signal at step 5" in reason and "run the same command again" in reason
    left = [*(out / "training").glob("checkpoint-*")]
    assert len(left) == 2 and all(checkpoints.read_mark(folder) is not None for folder in left)
    status, log = ended(call(world, out))
    assert status == 0 and "resumed from step 5" in log, log
    same(whole, out)


@pytest.mark.slow
def test_a_disk_that_is_full_fails_with_the_reason_and_leaves_no_half(world, whole, tmp_path):
    """A small file system of its own; then it is given room, and the same call goes on."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    place = tmp_path / "disk"
    place.mkdir()
    mount = f"mount -t tmpfs -o size=SIZE tmpfs {place}"
    if shutil.which("unshare") is None or subprocess.run([*alone, "sh", "-c", mount.replace("SIZE", "1m")]).returncode:
        pytest.skip("needs user namespaces, to mount a small file system without being root")
    out = place / "run"
    words = " ".join(call(world, tmp_path / "run"))
    about = read_json(tmp_path / "run.json")
    write_json(tmp_path / "run.json", {**about, "out": str(out)})
    weights = sum(p.stat().st_size for p in (whole / "weights").iterdir())
    # a checkpoint is three times the weights: there is room for one, not for two and the best so far
    script = f"""
        {mount.replace("SIZE", str(5 * weights))}
        {words} 2> {tmp_path}/first.log; echo $? > {tmp_path}/status
        cp -r {out} {tmp_path}/first
        mount -o remount,size=100m {place}
        {words} 2> {tmp_path}/second.log || exit 1
        cp -r {out} {tmp_path}/second
    """
    done = subprocess.run([*alone, "sh", "-c", script], env=environment(), text=True, capture_output=True, check=False)
    log = (tmp_path / "first.log").read_text()
    assert done.returncode == 0, done.stderr + log + (tmp_path / "second.log").read_text()
    assert (tmp_path / "status").read_text().strip() == "1"
    reason = read_json(tmp_path / "first" / "failed.json")["reason"]
    assert "the disk or the quota is full" in reason and "make room" in reason
    left = [*(tmp_path / "first" / "training").glob("checkpoint-*"), *(tmp_path / "first" / "training").glob(".*.tmp")]
    assert all(checkpoints.read_mark(folder) is not None for folder in left), left
    same(whole, tmp_path / "second")


def test_no_memory_says_what_to_change_and_leaves_no_half(world, tmp_path, monkeypatch):
    """The allocation is real, and too large."""
    from stiltgrid.training.trainer import GridTrainer

    folder, data = world
    real, out = GridTrainer.compute_loss, tmp_path / "run"

    def greedy(self, *args, **kwargs):
        if self.state.global_step == 3:
            torch.empty(1 << 50)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(GridTrainer, "compute_loss", greedy)
    recipe, execution = tiny.recipe("text2text", [NLI]), {**SINGLE, "checkpoint_steps": 2}
    arguments = (recipe, data, folder / "text2text", folder / "text2text", out)
    with pytest.raises(StiltgridError), noting_failure(out):
        run(*arguments, execution)
    reason = read_json(out / "failed.json")["reason"]
    assert "out of host memory" in reason
    for way in ("micro_batch_size", "gradient_checkpointing: true", "zero3", "mem_mb"):
        assert way in reason
    assert [p.name for p in (out / "training").glob("checkpoint-*")] == ["checkpoint-2"]
    monkeypatch.undo()
    with noting_failure(out):
        run(*arguments, {**execution, "micro_batch_size": 2, "gradient_checkpointing": True})
    assert not (out / "failed.json").exists()


@pytest.mark.parametrize(
    ("error", "execution", "says", "not_said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), {"micro_batch_size": 4}, "now 4", "mem_mb"),
        (torch.OutOfMemoryError("x"), {**ZERO3, "micro_batch_size": 1}, "offload: true", "micro_batch_size"),
        (MemoryError(), {"gradient_checkpointing": True}, "mem_mb", "gradient_checkpointing"),
        (OSError(12, "Cannot allocate memory"), {**ZERO3, "offload": True}, "offload: false", "strategy: zero3"),
    ],
)
def test_the_advice_fits_the_run(tmp_path, error, execution, says, not_said):
    with pytest.raises(StiltgridError, match=r"out of (device|host) memory") as found:
        explain_memory(tmp_path, error, execution)
    assert says in str(found.value) and not_said not in str(found.value)
    explain_memory(tmp_path, RuntimeError("another fault"), execution)


def test_two_training_checkpoints_are_the_most(world, tmp_path, monkeypatch):
    folder, data = world
    real, seen = checkpoints.mark, []

    def mark(place, state):
        real(place, state)
        seen.append(sorted(checkpoints.step_of(p) for p in place.parent.glob("checkpoint-*")))

    monkeypatch.setattr(checkpoints, "mark", mark)
    recipe = tiny.recipe("text2text", [NLI])
    out = tmp_path / "run"
    run(recipe, data, folder / "text2text", folder / "text2text", out, {**SINGLE, "checkpoint_steps": 1})
    assert seen == [[1], [1, 2], [2, 3], [3, 4], [4, 5]]


def test_pruning_keeps_the_newest_that_is_whole(tmp_path):
    for step in (2, 4, 6, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if step != 6:
            checkpoints.mark(tmp_path / f"checkpoint-{step}", {"history": []})
    (tmp_path / "checkpoint-10" / checkpoints.MARKER).write_text("{")
    checkpoints.prune(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-4"]
    checkpoints.prune(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-4"]


CUT = """
from stiltgrid.training import trainer
answer = trainer.answer
told = []
def interrupted(*args, ranks, stop, **kwargs):
    def asked():
        if not told and current.state.global_step == STEP:
            told.append(True)
            if ranks[0] == ranks[1] - 1:  # one rank alone gets the signal, before the second batch
                os.kill(os.getpid(), signal.SIGTERM)
        return stop()
    return answer(*args, ranks=ranks, stop=asked, **kwargs)
trainer.answer = interrupted
begun = trainer.GridTrainer.__init__
def begin(self, *args, **kwargs):
    global current
    current = self
    begun(self, *args, **kwargs)
trainer.GridTrainer.__init__ = begin
"""


def cut_off(words: list[str], out: Path, step: int) -> str:
    """Run until the signal in the evaluation at a step, which is not made; return the log."""
    status, log = ended(words)
    assert status != 0
    assert f"stopped by a signal at step {step} of 20" in read_json(out / "failed.json")["reason"], log[-3000:]
    assert f"step {step}: dev" not in log
    assert [line["step"] for line in lines(out) if "dev" in line] == [s for s in (5, 10, 15) if s < step]
    found, state = checkpoints.newest(out / "training")
    assert checkpoints.step_of(found) == step and state["owed"]
    return log


@pytest.mark.slow
def test_zero3_interrupted_and_resumed_is_zero3_uninterrupted(world, tmp_path):
    """Killed, then stopped in an evaluation: data order, learning rate, dropout, optimizer's shards, bit for bit."""
    status, log = ended(call(world, tmp_path / "whole", ZERO3))
    assert status == 0, log[-3000:]
    status, log = ended(call(world, tmp_path / "run", ZERO3, die=12))
    assert status != 0
    assert checkpoints.read_mark(tmp_path / "run" / "training" / "checkpoint-12") is None
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    log = cut_off(call(world, tmp_path / "run", ZERO3, patch=CUT.replace("STEP", "15")), tmp_path / "run", 15)
    assert "resumed from step 8" in log
    status, log = ended(call(world, tmp_path / "run", ZERO3))
    assert status == 0 and "resumed from step 15" in log, log[-3000:]
    same(tmp_path / "whole", tmp_path / "run")
    # nor can its shards be continued by another number of ranks: refused, and nothing is thrown away
    status, log = ended(call(world, tmp_path / "other"))
    assert status != 0 and "cannot be continued by single on 1; set the model's execution back" in log, log[-3000:]
    assert checkpoints.newest(tmp_path / "other" / "training")[0].name == "checkpoint-8"


@pytest.mark.slow
def test_a_run_on_two_devices_is_continued_by_one_and_the_other_way_round(world, tmp_path):
    """Without dropout, which each rank draws for itself, the same losses but for rounding."""
    status, log = ended(call(world, tmp_path / "whole", dropout=0.0))
    assert status == 0, log
    for name, first, second in (("down", DDP, SINGLE), ("up", SINGLE, DDP)):
        out = tmp_path / name
        assert ended(call(world, out, first, die=12, dropout=0.0))[0] != 0
        status, log = ended(call(world, out, second, dropout=0.0))
        assert status == 0 and "resumed from step 8" in log, log[-3000:]
        losses = [[x["loss"] for x in lines(place) if "loss" in x] for place in (tmp_path / "whole", out)]
        assert len(losses[1]) == 20
        assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_the_note_of_an_earlier_attempt_does_not_outlive_the_next_beginning(tmp_path):
    write_json(tmp_path / "failed.json", {"reason": "of yesterday"})
    with pytest.raises(KeyboardInterrupt), noting_failure(tmp_path):
        assert not (tmp_path / "failed.json").exists()
        raise KeyboardInterrupt
    assert not (tmp_path / "failed.json").exists()


@pytest.mark.parametrize("order", [("0", "1"), ("1", "0")])
def test_the_rank_that_knows_the_cause_is_believed(tmp_path, monkeypatch, order):
    """Whichever comes first: a plain error is the cause, a broken connection its consequence."""
    monkeypatch.setattr(failures, "OTHER_RANKS_WAIT", 0.0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    plain = {"0": RuntimeError("Connection closed by peer"), "1": StiltgridError("out of device memory")}
    for rank in order:
        monkeypatch.setenv("RANK", rank)
        # as both enter before either fails
        note = read_json(tmp_path / "failed.json") if (tmp_path / "failed.json").exists() else None
        with pytest.raises(type(plain[rank])), noting_failure(tmp_path):
            if note is not None:
                write_json(tmp_path / "failed.json", note)
            raise plain[rank]
    assert read_json(tmp_path / "failed.json")["reason"] == "out of device memory"


ALONE = """
from stiltgrid.training import watchdog
from stiltgrid.training.trainer import GridTrainer
watchdog.GRACE_SECONDS = 1.0
loss_of = GridTrainer.compute_loss
def compute_loss(self, *args, **kwargs):
    if self.state.global_step == 3:
        if self.args.process_index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        import threading
        threading.Event().wait()  # as in a collective call of NCCL, which does not see that the other is gone
    return loss_of(self, *args, **kwargs)
GridTrainer.compute_loss = compute_loss
"""


@pytest.mark.slow
def test_a_rank_that_is_left_alone_ends_itself_and_says_why(world, tmp_path):
    """torchrun tells it to stop, which it cannot heed, and would wait for a quarter of an hour."""
    status, log = ended(call(world, tmp_path / "run", DDP, patch=ALONE))
    assert status != 0
    reason = read_json(tmp_path / "run" / "failed.json")["reason"]
    assert "rank 1 ended without a word" in reason, log[-3000:]
    assert "rank 0: rank 1 ended without a word" in log and "; ending" in log


@pytest.mark.slow
def test_a_signal_in_an_evaluation_cuts_it_off_on_all_ranks_and_it_is_made_up_for(world, tmp_path):
    status, log = ended(call(world, tmp_path / "whole", DDP))
    assert status == 0, log[-3000:]
    out = tmp_path / "run"
    cut_off(call(world, out, DDP, patch=CUT.replace("STEP", "10")), out, 10)
    status, log = ended(call(world, out, DDP))
    assert status == 0 and "resumed from step 10" in log and "step 10: dev" in log, log[-3000:]
    same(tmp_path / "whole", out)


@pytest.mark.parametrize("last", [False, True])
def test_no_step_follows_an_evaluation_that_ends_the_run(world, tmp_path, monkeypatch, last):
    """Cut off by a signal and made up for: the last of all, or that which exhausts patience."""
    from stiltgrid.training import trainer

    folder, data = world
    if not last:
        monkeypatch.setattr(checkpoints, "exhausted", lambda history, training: len(history) == 2)
    step = 8 if last else 4
    recipe = tiny.recipe("text2text", [NLI], max_steps=8, evaluations=4, selection="best_dev", patience=3)
    arguments = (recipe, data, folder / "text2text", folder / "text2text")
    whole = run(*arguments, tmp_path / "whole", SINGLE)
    assert whole["counts"]["steps"] == step
    real = trainer.GridTrainer._score_dev

    def cut(self):
        if self.state.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self)

    monkeypatch.setattr(trainer.GridTrainer, "_score_dev", cut)
    with pytest.raises(StiltgridError, match=f"stopped by a signal at step {step} of 8"):
        run(*arguments, tmp_path / "run", SINGLE)
    monkeypatch.setattr(trainer.GridTrainer, "_score_dev", real)
    again = run(*arguments, tmp_path / "run", SINGLE)
    assert again["weights"] == whole["weights"] and again["counts"] == whole["counts"]
    same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("what", ["loss", "weight"])
def test_no_checkpoint_is_written_of_what_is_no_number(world, tmp_path, monkeypatch, what):
    """As on a GPU, whose losses are not looked at one by one: between two log lines, before a checkpoint."""
    from stiltgrid.training import trainer

    folder, data = world
    real, out = trainer.GridTrainer.compute_loss, tmp_path / "run"

    def broken(self, model, *args, **kwargs):
        loss = real(self, model, *args, **kwargs)
        if self.state.global_step == 2:
            if what == "loss":
                return real(self, lambda **inputs: {"loss": model(**inputs)["loss"] * float("nan")}, *args, **kwargs)
            model.lm_head.weight.data[0, 0] = float("inf")
        return loss

    monkeypatch.setattr(trainer.GridTrainer, "compute_loss", broken)
    monkeypatch.setattr(trainer.GridTrainer, "read_at_once", "")
    monkeypatch.setattr(trainer.GridTrainer, "log", lambda self, *args, **kwargs: None)
    recipe, execution = tiny.recipe("text2text", [NLI]), {**SINGLE, "checkpoint_steps": 1}
    with pytest.raises(StiltgridError, match=rf"training failed: a {what} is no number by step 3; lower"):
        run(recipe, data, folder / "text2text", folder / "text2text", out, execution)
    assert sorted(p.name for p in (out / "training").glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]


def test_a_second_process_leaves_the_firsts_lock_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.0)
    held = lock.hold(tmp_path / "run")
    about = read_json(tmp_path / "run" / LOCK)
    assert about["pid"] == os.getpid()
    with pytest.raises(StiltgridError, match="another process is training here"):
        lock.hold(tmp_path / "run")
    assert read_json(tmp_path / "run" / LOCK) == about
    held.close()
    lock.hold(tmp_path / "run").close()
