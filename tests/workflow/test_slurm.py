"""A grid on a real SLURM of two nodes: killed, stopped by its time limit, through an outage; nothing is lost.

One run, looked at from several sides: `single` is left alone, `ddp` is killed in mid-training, `zero3` runs over two
nodes and is stopped before its time limit, and the controller is away for 25 s. The ranks of `ddp` and `zero3` stop
themselves at one step, and the limit is drawn near when they have, so that nothing depends on the machine's speed.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import slurm_cluster
from miniature import ROOT, Miniature

from stiltgrid.artifacts import read_json
from stiltgrid.granted import WITHOUT

pytestmark = pytest.mark.slow

STEPS = 60
OUTAGE = 25
DEADLINE = 1800
STOP = 5
WAITING = f"""

_heeded = Cadence.on_step_end


def _stop_once(self, args, state, control, **kwargs):
    import os

    model = self.plan.out.parts[-4]
    if state.global_step == {STOP} and self.first == 0 and model in ("ddp", "zero3"):
        with open(f"stopped-{{model}}-{{args.process_index}}", "w") as file:
            file.write(f"{{os.getpid()}}\\n")
        os.kill(os.getpid(), signal.SIGSTOP)
    _heeded(self, args, state, control, **kwargs)


Cadence.on_step_end = _stop_once
"""
SHOWN = "%i|%T|%D|%C|%m|%l|%b|%k|%j"  # id, state, nodes, CPUs, memory, time limit, GPUs a node, comment, name


@dataclass
class Story:
    """What happened: the grid, every job's line of squeue by id, and what the run printed."""

    mini: Miniature
    jobs: dict[str, list[str]] = field(default_factory=dict)
    printed: str = ""

    def attempts(self, comment: str) -> list[list[str]]:
        """Return the jobs with this in their comment, in order of submission."""
        return [job for _, job in sorted(self.jobs.items(), key=lambda item: int(item[0])) if comment in job[7]]

    def losses(self, model: str) -> list[float]:
        """Return a model's loss at each step."""
        path = self.mini.path(f"checkpoints/{model}/none/xnli/seed1/metrics.jsonl")
        return [line["loss"] for line in map(json.loads, path.read_text().splitlines()) if "loss" in line]


class Run:
    """A run of Snakemake on the cluster, while it goes on."""

    def __init__(self, story: Story, cluster: slurm_cluster.Cluster) -> None:
        self.story, self.cluster = story, cluster
        mini = story.mini
        self.path = mini.folder / "run.log"
        mini.command()  # writes the config
        environment = mini.environment()
        environment[WITHOUT] = "1"  # its GPUs are files
        environment["PATH"] = f"{cluster.folder / 'bin'}:{environment['PATH']}"
        with self.path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "snakemake", "--profile", "slurm", "--configfile", "config.yaml"),
                    *("--snakefile", "checkout/Snakefile", "--slurm-init-seconds-before-status-checks", "3"),
                ],
                cwd=mini.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.deadline = time.monotonic() + DEADLINE

    def wait(self, done: Callable[[], object], what: str) -> None:
        """Wait for something, noting the cluster's jobs meanwhile."""
        while not done():
            assert time.monotonic() < self.deadline, f"{what}: not yet\n{self.text()}"
            assert self.process.poll() is None or what == "the end", f"{what}: the run is over\n{self.text()}"
            if "slurmctld" in self.cluster.processes:
                for line in self.cluster.ask("squeue", "--noheader", "--states=all", "--format", SHOWN).splitlines():
                    job = line.split("|")
                    if known := self.story.jobs.get(job[0]):
                        job[5] = known[5]  # the limit that it was submitted with
                    self.story.jobs[job[0]] = job
            time.sleep(0.02)

    def text(self) -> str:
        """Return what is known of the run, for a failure's message."""
        logs = [self.path, *self.story.mini.path("logs/train").rglob("*.log")]
        return "\n".join(f"{path}:\n{path.read_text(encoding='utf-8')[-3000:]}" for path in logs) + self.cluster.logs()

    def stopped(self, model: str) -> list[int]:
        """Return the processes of a model's two ranks once both have stopped themselves, else nothing."""
        notes = [self.story.mini.folder / f"stopped-{model}-{rank}" for rank in range(2)]
        texts = [note.read_text(encoding="utf-8") if note.exists() else "" for note in notes]
        if not all(text.endswith("\n") for text in texts):
            return []
        return [int(text) for text in texts] if all(map(is_stopped, map(int, texts))) else []


def is_stopped(pid: int) -> bool:
    """Return whether a process waits for SIGCONT."""
    with suppress(OSError):
        return "T (stopped)" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return False


def told(pid: int) -> bool:
    """Return whether SIGTERM waits for a stopped process, or the cluster let it go on and it heeded it already."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return True
    waiting = re.findall(r"^S[hi][dg]Pnd:\s*(\w+)", status, flags=re.MULTILINE)
    return "T (stopped)" not in status or any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in waiting)


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Iterator[Story]:
    reason = slurm_cluster.missing()
    if reason:
        pytest.skip(f"no SLURM here: {reason}")
    mini = Miniature.fresh(tmp_path_factory.mktemp("slurm") / "grid")
    shutil.copytree(ROOT / "slurm", mini.folder / "slurm")
    with (mini.folder / "checkout" / "stiltgrid" / "training" / "cadence.py").open("a", encoding="utf-8") as file:
        file.write(WAITING)
    mini.config["training"] |= {"max_steps": STEPS, "dropout": 0.0}  # each rank draws its own dropout
    mini.config["intermediates"] = {"none": {}}
    mini.config["targets"] = {"xnli": {"task": "xglue/xnli", "languages": ["de"]}}
    memory = {"mem_mb": 2000}
    mini.config["models"] = {
        "single": {"source": "./model", "execution": {"threads": 3}, "resources": memory | {"gpus": 1}},
        "ddp": {
            "source": "./model",
            "execution": {"strategy": "ddp", "devices": 2, "checkpoint_minutes": 1e-4},
            "resources": memory,
        },
        "zero3": {
            "source": "./model",
            "execution": {"strategy": "zero3", "devices": 2, "checkpoint_minutes": 60},
            "resources": memory | {"nodes": 2, "gpus": 2, "gpu_model": "toy", "runtime": 30, "stop_seconds": 60},
        },
    }
    happened = Story(mini)
    folder = tmp_path_factory.mktemp("cluster")
    with slurm_cluster.Cluster(folder) as cluster:
        run = Run(happened, cluster)
        stopped: list[int] = []
        try:
            live(run, stopped)
            run.wait(lambda: run.process.poll() is not None, "the end")
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if run.process.poll() is None:
                run.process.kill()
                run.process.wait()
            happened.printed = run.path.read_text(encoding="utf-8")
        assert run.process.returncode == 0, run.text()
    yield happened


def live(run: Run, stopped: list[int]) -> None:
    """Do to the run what clusters do."""
    cluster = run.cluster
    for model in ("ddp", "zero3"):
        run.wait(lambda model=model: run.stopped(model), f"both ranks of {model} at step {STOP}")
        stopped += run.stopped(model)
    run.wait(lambda: all(run.story.attempts(f"train_target_wildcards_{name}_") for name in ("ddp", "zero3")), "squeue")
    cluster.ask("scancel", "--signal=KILL", run.story.attempts("train_target_wildcards_ddp_")[0][0])
    run.wait(lambda: not any(map(is_stopped, stopped[:2])), "the end of ddp's ranks")
    del stopped[:2]
    # the first job of ddp is dead, zero3 is far from its limit, single goes on or is done: the controller goes away
    cluster.stop("slurmctld")
    time.sleep(OUTAGE)
    cluster.start("slurmctld")
    assert not any(map(told, stopped))
    limited = run.story.attempts("train_target_wildcards_zero3_")[0][0]

    def has_new_limit() -> bool:
        """Draw the limit near, as soon as the controller answers: one to two minutes from now."""
        elapsed = cluster.ask("squeue", "--noheader", "--job", limited, "--format", "%M").strip()
        if not re.fullmatch(r"(\d+:)?\d+:\d\d", elapsed):
            return False
        minutes = sum(int(part) * 60**power for power, part in enumerate(reversed(elapsed.split(":")[:-1]))) + 2
        cluster.ask("scontrol", "update", f"JobId={limited}", f"TimeLimit={minutes}")
        shown = cluster.ask("squeue", "--noheader", "--job", limited, "--format", "%l").strip()
        return shown == f"{minutes}:00"

    run.wait(has_new_limit, "the new time limit")
    run.wait(lambda: all(map(told, stopped)), "the warning before the time limit")
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    stopped.clear()


def test_the_grid_is_complete_and_nothing_is_left_to_do(story):
    assert story.mini.path("tables/main.md").exists()
    assert "(100%) done" in story.printed
    assert story.mini.planned() == {}


def test_only_training_and_prediction_are_jobs_and_each_names_its_cell(story):
    comments = sorted({job[7] for job in story.jobs.values()})
    assert comments == sorted(
        f"rule_{rule}_wildcards_{cell}"
        for model in ("single", "ddp", "zero3")
        for rule, cell in (("train_target", f"{model}_none_xnli_1"), ("predict_xnli", f"{model}_none_1"))
    )
    assert all(job[8].startswith("stiltgrid_") for job in story.jobs.values())


def test_an_outage_of_the_controller_repeats_and_loses_nothing(story):
    attempts = {comment: len(story.attempts(comment)) for comment in ("_single_", "_ddp_", "_zero3_")}
    # one training and one prediction each; ddp and zero3 trained twice because of what was done to them
    assert attempts == {"_single_": 2, "_ddp_": 3, "_zero3_": 3}


def test_jobs_ask_for_what_the_rows_say(story):
    single, ddp, zero3 = (story.attempts(f"train_target_wildcards_{name}_")[0] for name in ("single", "ddp", "zero3"))
    # nodes, CPUs, memory a node, time limit; not cut to the cores of this machine
    assert single[2:6] == ["1", "3", "2000M", "4:00:00"]
    assert ddp[2:6] == ["1", "2", "2000M", "4:00:00"]
    assert zero3[2:7] == ["2", "2", "2000M", "30:00", "gres:gpu:toy:1"]
    assert story.attempts("train_target_wildcards_zero3_")[1][5] == "1:00:00"


def test_killed_in_mid_training_it_goes_on_from_its_checkpoint(story):
    resumed = re.search(r"resumed from step (\d+);", story.mini.log("train/ddp/none/xnli/seed1"))
    # SLURM wakes the ranks before it kills them: they may save once more
    assert resumed and 1 <= int(resumed[1]) < STEPS
    assert "'FAILED'" in story.printed or "'CANCELLED'" in story.printed


def test_told_before_its_time_limit_it_saves_and_goes_on(story):
    # it saves by the clock once an hour only, so the checkpoint is the signal's; SLURM wakes the ranks before it sends
    # the signal, so a step or more may lie between
    resumed = re.search(r"resumed from step (\d+);", story.mini.log("train/zero3/none/xnli/seed1"))
    assert resumed and STOP <= int(resumed[1]) < STEPS
    assert "'TIMEOUT'" not in story.printed


def test_interrupted_over_two_nodes_and_uninterrupted_in_one_process_learn_the_same(story):
    single = story.losses("single")
    assert len(single) == STEPS
    for name in ("ddp", "zero3"):
        assert story.losses(name) == pytest.approx(single, rel=1e-3, abs=1e-3), name
    execution = read_json(story.mini.path("checkpoints/zero3/none/xnli/seed1/manifest.json"))["execution"]
    assert (execution["strategy"], execution["devices"]) == ("zero3", 2)


def test_the_log_shows_commands_that_a_person_can_paste(story):
    log = story.mini.log("train/zero3/none/xnli/seed1")
    assert re.search(r"launching: srun --nodes=2 --ntasks=2 --ntasks-per-node=1 \S+ .*train\.py --config ", log)
    assert re.search(r"launching: \S*python\S* -m torch\.distributed\.run .*--nnodes 2 --node-rank 1 ", log)


def test_slurm_logs_lie_by_rule_and_cell_one_an_attempt(story):
    logs = story.mini.folder / "results" / "slurm_logs" / "rule_train_target"
    assert {path.name: len(list(path.glob("*.log"))) for path in logs.iterdir()} == {
        "single_none_xnli_1": 1,
        "ddp_none_xnli_1": 2,
        "zero3_none_xnli_1": 2,
    }


def test_other_resources_repeat_nothing(story):
    models = story.mini.config["models"]
    models["single"]["resources"] = {"partition": "other", "gpus": 2, "gres": "gpu", "runtime": 7, "stop_seconds": 0}
    models["zero3"]["resources"] = {"account": "other", "constraint": "big", "extra": "--exclusive"}
    assert story.mini.planned() == {}
