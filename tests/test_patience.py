import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stiltgrid.patience import AWAY, endure_outages, persist, waiting

# fails as often as the file says, then prints a job's number
FAKE = """
import pathlib, sys
left = pathlib.Path(sys.argv[1])
number = int(left.read_text())
left.write_text(str(number - 1))
if number:
    sys.exit(f"sbatch: error: {sys.argv[2]}")
print(17)
"""


@pytest.fixture
def fake(tmp_path):
    def command(failures: int, message: str) -> list[str]:
        (tmp_path / "left").write_text(str(failures))
        return [sys.executable, "-c", FAKE, str(tmp_path / "left"), message]

    return command


def test_a_submission_waits_for_the_controller(fake):
    done = persist(fake(2, f"{AWAY} (connect failure)"), pause=0)
    assert (done.returncode, done.stdout) == (0, "17\n")


@pytest.mark.parametrize("message", ["Invalid partition name specified", "Socket timed out on send/recv operation"])
def test_other_errors_are_reported_at_once(fake, tmp_path, message):
    done = persist(fake(1, message), pause=0)
    assert done.returncode == 1 and message in done.stderr
    assert (tmp_path / "left").read_text() == "0"


def test_an_outage_without_end_is_given_up(fake):
    done = persist(fake(9, AWAY), longest=0, pause=0)
    assert done.returncode == 1 and AWAY in done.stderr


def executor_with(**functions):
    """Return a module with the names that are mended."""
    names = ("get_min_job_age", "get_submit_command", "validate_account", "get_default_partition")
    return SimpleNamespace(**dict.fromkeys(names, lambda *_: "") | functions)


def test_a_controller_that_forgets_jobs_too_soon_is_named_once(caplog):
    executor = executor_with(get_min_job_age=lambda: 150)
    endure_outages(executor)
    assert [executor.get_min_job_age() for _ in range(2)] == [150, 150]
    [said] = caplog.messages
    assert "150 s after its end" in said and "slurm-status-command: sacct" in said


def test_an_account_is_looked_up_once_and_left_to_sbatch_where_it_cannot_be(caplog):
    asked, log = [], logging.getLogger("test")

    def validate(account, logger):
        asked.append(account)
        if len(asked) == 1:
            raise RuntimeError("The 'sacctmgr' reported: 'Problem talking to the database: Connection refused'")
        if account == "wrong":
            raise RuntimeError("The given account wrong appears to be invalid. Available accounts:\nright")
        return account

    executor = executor_with(validate_account=validate)
    endure_outages(executor)
    # the database is away, then back, then away again
    assert [executor.validate_account("right", log) for _ in range(3)] == ["", "right", "right"]
    assert asked == ["right", "right"] and "Connection refused" in caplog.text
    with pytest.raises(RuntimeError, match="Available accounts"):
        executor.validate_account("wrong", log)


def test_the_default_partition_is_asked_for_until_the_controller_is_back():
    answers = iter([RuntimeError(f"Failed to run sinfo: slurm_load_partitions: {AWAY} (connect failure)"), "gpu"])

    def ask(job):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert waiting(ask, pause=0)("job") == "gpu"
    answers = iter([RuntimeError("Failed to run sinfo: no such command")])
    with pytest.raises(RuntimeError, match="no such command"):
        waiting(ask, pause=0)("job")


def test_the_last_known_age_counts_while_the_controller_is_away():
    answers = iter([300, None, 60, None])
    executor = executor_with(get_min_job_age=lambda: next(answers), get_submit_command=lambda job: f"sbatch {job}")
    endure_outages(executor)
    endure_outages(executor)
    assert [executor.get_min_job_age() for _ in range(4)] == [300, 300, 60, 60]
    assert executor.get_submit_command("x") == f"{sys.executable} -m stiltgrid.patience sbatch x"


def test_the_executor_still_has_what_is_mended():
    executor = pytest.importorskip("snakemake_executor_plugin_slurm")
    source = Path(executor.__file__).read_text(encoding="utf-8")
    # they are looked up in the executor's own module when they are called
    assert "min_job_age = get_min_job_age()" in source
    assert "call = get_submit_command(" in source
    assert "= validate_account(account, self.logger)" in source
    assert "= get_default_partition(job, self.logger)" in source
    endure_outages(None)
