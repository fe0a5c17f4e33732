"""Outages of SLURM's controller, which its executor for Snakemake (2.8) takes for answers.

Two faults are mended, both seen on a cluster without accounting whose controller was away for 25 s:

- `get_min_job_age` says None while the controller is away, and the executor turns from squeue to sacct, which never
  answers there: after its last attempt every job is forgotten and the run never ends. Now the last answer counts.
- `sbatch` fails after 9 s, and each retry of the job with it. Now it is asked again until the controller is back.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import wraps
from types import ModuleType

AWAY = "Unable to contact slurm controller"
"""What SLURM's commands say then. Nothing was submitted: other errors, a time-out among them, are not tried again."""
LONGEST = 1800.0
PAUSE = 5.0


def endure_outages(executor: ModuleType | None) -> None:
    """Mend the executor.

    Args:
        executor: the module `snakemake_executor_plugin_slurm`, or None where it is not loaded.
    """
    if executor is None or hasattr(executor, "stiltgrid_mended"):
        return
    executor.stiltgrid_mended = True
    ask, submit = executor.get_min_job_age, executor.get_submit_command
    known: list[int] = []

    @wraps(ask)
    def remembered() -> int | None:
        age = ask()
        if age is not None:
            known[:] = [age]
        return known[0] if known else None

    @wraps(submit)
    def patient(*args: object, **kwargs: object) -> str:
        return f"{shlex.quote(sys.executable)} -m stiltgrid.patience {submit(*args, **kwargs)}"

    executor.get_min_job_age, executor.get_submit_command = remembered, patient


def persist(command: Sequence[str], longest: float = LONGEST, pause: float = PAUSE) -> subprocess.CompletedProcess:
    """Run a command, again while the controller is away.

    Args:
        command: program and arguments.
        longest: seconds after which it is given up.
        pause: seconds in between.

    Returns:
        The last attempt, with what it printed.
    """
    end = time.monotonic() + longest
    while True:
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if done.returncode == 0 or AWAY not in done.stderr or time.monotonic() >= end:
            return done
        time.sleep(pause)


if __name__ == "__main__":
    last = persist(sys.argv[1:])
    sys.stdout.write(last.stdout)
    sys.stderr.write(last.stderr)
    sys.exit(last.returncode)
