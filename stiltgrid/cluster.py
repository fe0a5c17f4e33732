"""From a model's row to what its jobs ask a cluster for, under the names of Snakemake's resources.

The names are those that Snakemake's SLURM executor reads; other executors take `gpu`, `mem_mb`, `runtime` and `nodes`
from the same job and pass over the rest.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from stiltgrid.schema import Model

KEYS = (
    *("gpu", "gpu_model", "gres", "mem_mb", "runtime", "nodes", "cpus_per_task", "tasks", "tasks_per_gpu", "mpi"),
    *("slurm_partition", "slurm_account", "qos", "constraint", "slurm_extra"),
)
"""Every resource that a job may ask for; one that it does not ask for is unset."""


def node_threads(row: Model) -> int:
    """Return the CPU threads of a training job on each of its nodes."""
    return row.execution.threads * row.execution.devices // row.resources.nodes


def train_request(row: Model, attempt: int = 1) -> dict[str, int | str]:
    """Return what a training job asks for.

    Args:
        row: the model's row.
        attempt: 1 for the first; the time doubles with each.

    Returns:
        Resource -> value. `mpi` and `tasks` are there for several nodes only: with `mpi` the job's command is started
        once, on the first node, and starts the others itself (`stiltgrid.launch`); without, within a step of one node.
    """
    resources = row.resources
    asked = _request(row, resources.gpus, resources.runtime, attempt)
    # without it Snakemake takes `threads`, which are cut to the cores of the machine that submits
    asked["cpus_per_task"] = node_threads(row)
    if resources.stop_seconds and "--signal" not in (resources.extra or ""):
        # to the steps' processes, not to the shell of the batch script
        told = f"--signal=TERM@{resources.stop_seconds}"
        asked["slurm_extra"] = f"{told} {resources.extra}" if resources.extra else told
    if resources.nodes > 1:
        # no tasks_per_gpu: the executor would otherwise ask for as many tasks on each GPU
        asked |= {"mpi": "srun", "tasks": resources.nodes, "tasks_per_gpu": 0}
    return asked


def predict_gpus(row: Model) -> int:
    """Return the GPUs of a prediction job."""
    given = row.resources.predict_gpus
    return min(row.resources.gpus, 1) if given is None else given


def predict_mem_mb(row: Model) -> int:
    """Return the host memory of a prediction job, in MB."""
    return row.resources.predict_mem_mb or row.resources.mem_mb


def predict_request(row: Model, attempt: int = 1) -> dict[str, int | str]:
    """Return what a prediction job asks for: one process on one node; arguments as `train_request`."""
    resources = row.resources
    asked = _request(row, predict_gpus(row), resources.predict_runtime, attempt, nodes=1)
    return asked | {"cpus_per_task": row.execution.threads, "mem_mb": predict_mem_mb(row)}


REQUESTS: dict[str, Callable[[Model, int], dict[str, int | str]]] = {
    "train": train_request,
    "predict": predict_request,
}


def _request(row: Model, gpus: int, runtime: int, attempt: int, nodes: int | None = None) -> dict[str, int | str]:
    resources = row.resources
    nodes = nodes or resources.nodes
    minutes = runtime * 2 ** (attempt - 1)
    asked: dict[str, Any] = {
        "mem_mb": resources.mem_mb,
        "runtime": min(minutes, max(resources.max_runtime or minutes, runtime)),
        # also for one: GPUs may otherwise be found on two nodes
        "nodes": nodes,
        "slurm_partition": resources.partition,
        "slurm_account": resources.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "slurm_extra": resources.extra,
        "gpu": gpus,
    }
    if gpus and (resources.gres or nodes > 1):
        # a count a node: a total may be shared out unevenly
        name = resources.gres or ":".join(filter(None, ["gpu", resources.gpu_model]))
        asked |= {"gpu": None, "gres": f"{name}:{gpus // nodes}"}
    elif gpus:
        asked["gpu_model"] = resources.gpu_model
    return {key: value for key, value in asked.items() if value is not None}


def profile_value(profile: Mapping[str, Any] | None, key: str) -> Any:
    """Return what a profile's `default-resources` say for a key, or None.

    A rule that names a resource hides the profile's, so a row without a partition of its own must ask for it by name.

    Args:
        profile: Snakemake's parsed default resources, each with the text it was written as in `raw`.
        key: a resource.
    """
    written = getattr((profile or {}).get(key), "raw", None)
    try:
        return ast.literal_eval(written) if isinstance(written, str) else written
    except (SyntaxError, ValueError):
        return written
