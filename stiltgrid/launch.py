"""How a training script is started: in this process's place, or once a device under torchrun."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from stiltgrid.errors import StiltgridError, nearest

STRATEGIES = ("single", "ddp", "zero3")


def command(script_argv: Sequence[str], execution: Mapping[str, Any]) -> list[str]:
    """Return the command line that runs a training script under its strategy.

    Args:
        script_argv: the script and its arguments, without the interpreter.
        execution: `strategy` and `devices`.

    Returns:
        The interpreter and the script for one device; else torchrun on this node, which finds a free port by itself.

    Raises:
        StiltgridError: for an unknown strategy, or `single` on several devices.
    """
    strategy, devices = execution.get("strategy", "single"), int(execution.get("devices", 1))
    if strategy not in STRATEGIES:
        raise StiltgridError(f"execution.strategy {strategy!r}: {nearest(strategy, STRATEGIES)}")
    if strategy == "single":
        if devices != 1:
            raise StiltgridError(f"execution: strategy single on {devices} devices; set devices: 1, or strategy: ddp")
        return [sys.executable, *script_argv]
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(devices)),
        *script_argv,
    ]


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
