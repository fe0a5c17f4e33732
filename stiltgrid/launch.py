"""How a training script is started: in this process's place, once a device under torchrun, or on several nodes.

On several nodes the script is started twice before it trains: outside a job step it becomes `srun`, which starts it
once a node; there it becomes torchrun with that node's number. So each command is one that a person can paste.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from stiltgrid.errors import StiltgridError, nearest

STRATEGIES = ("single", "ddp", "zero3")
STOPPING = (signal.SIGTERM, signal.SIGUSR1)
"""Signals by which a job's end is announced."""
SAVING_SECONDS = 900
"""How long torchrun waits, told to stop, for its processes to save a checkpoint before it kills them."""


def command(
    script_argv: Sequence[str],
    execution: Mapping[str, Any],
    nodes: int = 1,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the command line that runs a training script under its strategy.

    Args:
        script_argv: the script and its arguments, without the interpreter.
        execution: `strategy`, `devices` (over all nodes) and `threads` (a process).
        nodes: machines.
        environment: where SLURM says what this process is; default: this process's.

    Returns:
        The interpreter and the script for one device; torchrun for several on one node (it finds a free port by
        itself); for several nodes srun, or within its step torchrun for this node.

    Raises:
        StiltgridError: for an unknown strategy, `single` on several devices, or devices that nodes do not divide.
    """
    environment = os.environ if environment is None else environment
    strategy, devices = execution.get("strategy", "single"), int(execution.get("devices", 1))
    if strategy not in STRATEGIES:
        raise StiltgridError(f"execution.strategy {strategy!r}: {nearest(strategy, STRATEGIES)}")
    if strategy == "single":
        if devices != 1:
            raise StiltgridError(f"execution: strategy single on {devices} devices; set devices: 1, or strategy: ddp")
        return [sys.executable, *script_argv]
    if devices % nodes:
        raise StiltgridError(f"execution: {devices} devices on {nodes} nodes; devices must be a multiple of nodes")
    here = devices // nodes
    if nodes == 1:
        return [*_torchrun(here, environment), "--standalone", *script_argv]
    if environment.get("SLURM_STEP_NUM_NODES") != str(nodes):
        return [*_srun(nodes, here * int(execution.get("threads") or 1)), sys.executable, *script_argv]
    place = {"--nnodes": nodes, "--node-rank": environment["SLURM_NODEID"]}
    place |= {"--master-addr": _first_node(environment), "--master-port": _port(environment)}
    return [*_torchrun(here, environment), *(str(part) for pair in place.items() for part in pair), *script_argv]


def replace_process(started: Sequence[str]) -> None:
    """Become a command, so that signals and exit status need no passing on.

    Raises:
        StiltgridError: if there is no such program, which can only be srun.
    """
    if _signals_everybody(os.environ) and started[0] == sys.executable:
        for name in STOPPING:
            signal.signal(name, signal.SIG_IGN)  # outlives the call below; see _torchrun
    try:
        os.execvp(started[0], list(started))
    except FileNotFoundError:
        raise StiltgridError(
            f"{started[0]} is not installed: resources.nodes over 1 needs SLURM; on one machine set nodes: 1"
        ) from None


def heed_signals() -> None:
    """Let a rank be stopped by the signals that its launcher was told to ignore."""
    for name in STOPPING:
        signal.signal(name, signal.SIG_DFL)


def _signals_everybody(environment: Mapping[str, str]) -> bool:
    return "SLURM_JOB_ID" in environment


def _torchrun(processes: int, environment: Mapping[str, str]) -> list[str]:
    # SLURM signals every process, the launcher sometimes twice: torchrun would leave its ranks at the second one, and
    # SLURM kill them while they save. There the ranks alone listen; elsewhere torchrun passes the signal on.
    names = [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
    names += [] if _signals_everybody(environment) else STOPPING
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)),
        *("--shutdown-timeout", str(SAVING_SECONDS), "--signals-to-handle", ",".join(name.name for name in names)),
    ]


def _srun(nodes: int, threads: int) -> list[str]:
    # the step does not inherit the job's CPUs a task; a node that fails must not leave the others waiting for it
    return [
        *("srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"),
        *(f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"),
    ]


def _first_node(environment: Mapping[str, str]) -> str:
    """Return an address of the step's first node: MASTER_ADDR, else its name, else where srun was started."""
    if environment.get("MASTER_ADDR"):
        return environment["MASTER_ADDR"]
    nodes = environment["SLURM_STEP_NODELIST"]
    listed = subprocess.run(["scontrol", "show", "hostnames", nodes], text=True, capture_output=True, check=False)
    name = (listed.stdout.split() or [nodes])[0]
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return environment.get("SLURM_LAUNCH_NODE_IPADDR") or name
    return name


def _port(environment: Mapping[str, str]) -> int:
    """Return MASTER_PORT, else a port below the ephemeral ones that two jobs on a node hardly share."""
    return int(environment.get("MASTER_PORT") or 20000 + int(environment.get("SLURM_JOB_ID", 0)) % 10000)


def place() -> tuple[int, int]:
    """Return this process's rank and the number of ranks, as torchrun tells them; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def check_place(execution: Mapping[str, Any]) -> None:
    """Check that as many processes run as the execution asks for.

    Raises:
        StiltgridError: if not, with the way to start them.
    """
    devices = 1 if execution.get("strategy", "single") == "single" else int(execution.get("devices", 1))
    ranks = place()[1]
    if ranks != devices:
        raise StiltgridError(
            f"execution asks for {devices} processes ({execution.get('strategy', 'single')}), {ranks} run; start the "
            "script by `stiltgrid.launch.command`"
        )
