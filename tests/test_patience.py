import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stiltgrid.patience import AWAY, endure_outages, persist

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


def test_the_last_known_age_counts_while_the_controller_is_away():
    answers = iter([300, None, 60, None])
    executor = SimpleNamespace(get_min_job_age=lambda: next(answers), get_submit_command=lambda job: f"sbatch {job}")
    endure_outages(executor)
    endure_outages(executor)
    assert [executor.get_min_job_age() for _ in range(4)] == [300, 300, 60, 60]
    assert executor.get_submit_command("x") == f"{sys.executable} -m stiltgrid.patience sbatch x"


def test_the_executor_still_has_what_is_mended():
    executor = pytest.importorskip("snakemake_executor_plugin_slurm")
    source = Path(executor.__file__).read_text(encoding="utf-8")
    # both are looked up in the executor's own module when they are called
    assert "min_job_age = get_min_job_age()" in source
    assert "call = get_submit_command(" in source
    endure_outages(None)
