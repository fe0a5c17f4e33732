import re
import signal
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import pytest

from stiltgrid.errors import StiltgridError
from stiltgrid.launch import command

SCRIPT = ["train.py", "--seed", "1"]


def pairs(line: list[str]) -> dict[str, str]:
    return dict(pairwise(line))


def test_one_process_runs_in_place():
    assert command(SCRIPT, {"strategy": "single", "devices": 1}) == [sys.executable, *SCRIPT]


@pytest.mark.parametrize("strategy", ["ddp", "zero3"])
def test_several_processes_on_a_node_are_torchruns(strategy):
    line = command(SCRIPT, {"strategy": strategy, "devices": 4}, environment={})
    assert line[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert "--standalone" in line and line[-3:] == SCRIPT
    assert pairs(line)["--nproc-per-node"] == "4"


def test_several_nodes_are_one_srun_task_each():
    line = command(SCRIPT, {"strategy": "zero3", "devices": 16, "threads": 2}, 2, {"SLURM_JOB_ID": "7"})
    assert line[0] == "srun" and line[-4:] == [sys.executable, *SCRIPT]
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=16"} <= set(line)


def step(**more: str) -> dict[str, str]:
    """What SLURM tells a task on the second of two nodes."""
    names = {"SLURM_JOB_ID": "123456", "SLURM_STEP_NUM_NODES": "2", "SLURM_NODEID": "1"}
    return names | {"SLURM_STEP_NODELIST": "localhost", "SLURM_LAUNCH_NODE_IPADDR": "192.0.2.7"} | more


def test_within_the_step_each_node_is_one_torchrun_of_its_number():
    line = command(SCRIPT, {"strategy": "zero3", "devices": 16}, 2, step())
    found = pairs(line)
    assert (found["--nnodes"], found["--node-rank"], found["--nproc-per-node"]) == ("2", "1", "8")
    assert (found["--master-addr"], found["--master-port"]) == ("localhost", "23456")
    assert "--standalone" not in line


def test_a_first_node_whose_name_nobody_knows_is_reached_where_srun_was_started():
    environment = step(SLURM_STEP_NODELIST="no-such-node.invalid")
    assert pairs(command(SCRIPT, {"strategy": "ddp", "devices": 2}, 2, environment))["--master-addr"] == "192.0.2.7"


def test_a_person_may_say_where_the_ranks_meet():
    environment = step(MASTER_ADDR="head", MASTER_PORT="29500")
    found = pairs(command(SCRIPT, {"strategy": "ddp", "devices": 2}, 2, environment))
    assert (found["--master-addr"], found["--master-port"]) == ("head", "29500")


def test_a_step_of_fewer_nodes_starts_its_own():
    line = command(SCRIPT, {"strategy": "ddp", "devices": 4}, 2, step(SLURM_STEP_NUM_NODES="1"))
    assert line[0] == "srun"


@pytest.mark.parametrize("environment", [{}, {"SLURM_JOB_ID": "7"}])
def test_signals_reach_the_ranks_once(environment):
    """Under SLURM every process gets them; elsewhere torchrun alone may, and passes them on."""
    line = command(SCRIPT, {"strategy": "ddp", "devices": 2}, environment=environment)
    assert ("SIGTERM" in pairs(line)["--signals-to-handle"].split(",")) == (not environment)
    assert int(pairs(line)["--shutdown-timeout"]) >= 600


@pytest.mark.parametrize(
    ("execution", "nodes", "said"),
    [
        ({"strategy": "zero"}, 1, "zero3"),
        ({"strategy": "single", "devices": 2}, 1, "ddp"),
        ({"strategy": "ddp", "devices": 3}, 2, "multiple"),
    ],
)
def test_what_cannot_be_started_is_refused(execution, nodes, said):
    with pytest.raises(StiltgridError, match=said):
        command(SCRIPT, execution, nodes, {})


# the child says when it listens, and which signal ended it
IGNORED = """
import os, sys
from stiltgrid.launch import replace_process
os.environ["SLURM_JOB_ID"] = "7"
replace_process([sys.executable, "-c", {child!r}])
"""
DEAF = "import time; print('ready', flush=True); time.sleep(600)"
HEEDING = f"from stiltgrid.launch import heed_signals; heed_signals(); {DEAF}"


@pytest.mark.parametrize(("child", "ends"), [(DEAF, False), (HEEDING, True)])
def test_the_launcher_outlives_the_signal_that_its_ranks_heed(child, ends):
    with subprocess.Popen(
        [sys.executable, "-c", IGNORED.format(child=child)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
            if ends:
                assert process.wait(timeout=300) == -signal.SIGTERM
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=0.3)
        finally:
            process.kill()


def test_without_srun_several_nodes_are_refused_with_the_remedy(monkeypatch):
    from stiltgrid.launch import replace_process

    monkeypatch.setenv("PATH", "")
    with pytest.raises(StiltgridError, match="nodes: 1"):
        replace_process(["srun", "--nodes=2"])


def test_the_pasted_line_is_one_shell_command():
    import shlex

    line = shlex.join(command(SCRIPT, {"strategy": "zero3", "devices": 2}, 2, {}))
    assert not re.search(r"[$;|&'\"]", line)


# what jobs ask for


def row(execution: dict | None = None, **resources):
    from stiltgrid.schema import Model

    return Model(source="./model", execution=execution or {}, resources=resources)


def test_a_training_job_asks_for_its_row_and_nothing_else():
    from stiltgrid.cluster import train_request

    assert train_request(row({"threads": 8}, gpus=1, mem_mb=48000, runtime=720)) == {
        **{"gpu": 1, "mem_mb": 48000, "runtime": 720, "nodes": 1, "cpus_per_task": 8},
        "slurm_extra": "--signal=TERM@120",
    }


def test_several_nodes_start_their_own_step_and_ask_for_gpus_by_node():
    from stiltgrid.cluster import train_request

    asked = train_request(
        row({"strategy": "zero3", "devices": 16, "threads": 4}, gpus=16, nodes=2, gpu_model="a100", stop_seconds=0)
    )
    assert (asked["mpi"], asked["tasks"], asked["tasks_per_gpu"], asked["nodes"]) == ("srun", 2, 0, 2)
    assert asked["gres"] == "gpu:a100:8" and "gpu" not in asked and "gpu_model" not in asked
    assert asked["cpus_per_task"] == 32 and "slurm_extra" not in asked


def test_prediction_is_one_node_and_is_not_told_to_stop():
    from stiltgrid.cluster import predict_request

    model = row({"strategy": "zero3", "devices": 16}, gpus=16, nodes=2, gres="gpu:h100", qos="long", partition="big")
    asked = predict_request(model)
    assert asked["gres"] == "gpu:h100:1" and asked["nodes"] == 1
    assert (asked["qos"], asked["slurm_partition"]) == ("long", "big")
    assert not {"mpi", "tasks", "slurm_extra"} & set(asked)
    assert asked["mem_mb"] == model.resources.mem_mb
    assert predict_request(row(mem_mb=400000, predict_mem_mb=64000))["mem_mb"] == 64000


def test_time_doubles_on_each_retry_up_to_the_partitions_limit():
    from stiltgrid.cluster import train_request

    assert [train_request(row(runtime=100), attempt)["runtime"] for attempt in (1, 2, 3)] == [100, 200, 400]
    assert [train_request(row(runtime=100, max_runtime=250), n)["runtime"] for n in (1, 2, 3)] == [100, 200, 250]


def test_an_own_signal_option_replaces_ours():
    from stiltgrid.cluster import train_request

    assert train_request(row(extra="--signal=USR1@60"))["slurm_extra"] == "--signal=USR1@60"
    assert train_request(row(extra="--exclusive"))["slurm_extra"] == "--signal=TERM@120 --exclusive"


def test_the_profile_fills_in_what_a_row_leaves_open():
    from stiltgrid.cluster import profile_value

    profile = {name: SimpleNamespace(raw=raw) for name, raw in {"a": "gpu", "b": "'x y'", "c": 7}.items()}
    assert [profile_value(profile, key) for key in "abcd"] == ["gpu", "x y", 7, None]
    assert profile_value(None, "a") is None


@pytest.mark.parametrize(
    ("execution", "resources", "said"),
    [
        ({"strategy": "single"}, {"nodes": 2}, "several processes"),
        ({"strategy": "ddp", "devices": 3}, {"nodes": 2}, "multiples"),
        ({"strategy": "ddp", "devices": 8}, {"gpus": 4}, "8 processes on resources.gpus: 4"),
        ({}, {"gres": "gpu:a100", "gpu_model": "a100"}, "drop gpu_model"),
        ({}, {"runtime": 2, "stop_seconds": 120}, "stop_seconds"),
        ({}, {"gpu_model": "a100-sxm4-80gb"}, "letters, digits, `_` and `.` .*write `gres: gpu`"),
        ({}, {"gres": "gpu:nvidia_a100-sxm4"}, "letters, digits, `_` and `.`"),
        ({}, {"gres": "gpu:a100:4"}, "gpu:a100:4"),
    ],
)
def test_rows_that_no_cluster_could_run_are_refused(execution, resources, said):
    with pytest.raises(ValueError, match=said):
        row(execution, **resources)
