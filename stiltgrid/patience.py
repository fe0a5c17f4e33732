"""Outages of SLURM's controller or database, which its executor for Snakemake (2.8) takes for answers.

Four faults are mended, the first two seen on a cluster without accounting whose controller was away for 25 s:

- `get_min_job_age` says None while the controller is away, and the executor turns from squeue to sacct, which never
  answers there: after its last attempt every job is forgotten and the run never ends. Now the last answer counts.
- `sbatch` fails after 9 s, and each retry of the job with it. Now it is asked again until the controller is back.
- so does `sinfo`, which the first submission asks for the default partition.
- an account is looked up in the database before each submission, which fails while that is away. Now it is looked up
  once, and one that cannot be is left to `sbatch`, which refuses what is no account.
"""

import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from types import ModuleType
from typing import Any

AWAY = "Unable to contact slurm controller"
"""What SLURM's commands say then. Nothing was submitted: other errors, a time-out among them, are not tried again."""
LONGEST = 1800.0
PAUSE = 5.0
REMEMBERED_SECONDS = 200
"""The executor asks every 180 s at the latest: what a controller forgets sooner, it never sees end."""
INVALID = "appears to be invalid"
"""What the executor says of an account that it could look up."""

log = logging.getLogger(__name__)


def endure_outages(executor: ModuleType | None) -> None:
    """Mend the executor.

    Args:
        executor: the module `snakemake_executor_plugin_slurm`, or None where it is not loaded.
    """
    if executor is None or hasattr(executor, "stiltgrid_mended"):
        return
    executor.stiltgrid_mended = True
    ask, submit = executor.get_min_job_age, executor.get_submit_command
    validate = executor.validate_account
    known: list[int] = []
    valid: dict[str, str] = {}

    @wraps(ask)
    def remembered() -> int | None:
        age = ask()
        if age is not None:
            if not known and age < REMEMBERED_SECONDS:
                log.warning(
                    "SLURM forgets a job %d s after its end (MinJobAge), and the end of one may never be seen: set "
                    "`slurm-status-command: sacct` in the profile where the cluster has accounting (docs/cluster.md)",
                    age,
                )
            known[:] = [age]
        return known[0] if known else None

    @wraps(submit)
    def patient(*args: object, **kwargs: object) -> str:
        return f"{shlex.quote(sys.executable)} -m stiltgrid.patience {submit(*args, **kwargs)}"

    @wraps(validate)
    def checked(account: str, logger: Any) -> str:
        if account not in valid:
            try:
                valid[account] = validate(account, logger)
            except Exception as error:
                if INVALID in str(error):
                    raise
                logger.warning(f"account {account} was not checked: {error}")
                return ""
        return valid[account]

    executor.get_min_job_age, executor.get_submit_command = remembered, patient
    executor.validate_account = checked
    executor.get_default_partition = waiting(executor.get_default_partition)


def waiting(ask: Callable[..., str], longest: float = LONGEST, pause: float = PAUSE) -> Callable[..., str]:
    """Return a function that asks again while the controller is away.

    Args:
        ask: raises what says so.
        longest: seconds after which it is given up.
        pause: seconds in between.
    """

    @wraps(ask)
    def asked(*args: object, **kwargs: object) -> str:
        end = time.monotonic() + longest
        while True:
            try:
                return ask(*args, **kwargs)
            except Exception as error:
                if AWAY not in str(error) or time.monotonic() >= end:
                    raise
            time.sleep(pause)

    return asked


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
