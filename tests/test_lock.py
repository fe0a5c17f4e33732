"""Two processes never write into one folder, on one machine or on two."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from stiltgrid import lock
from stiltgrid.artifacts import read_json, write_json
from stiltgrid.errors import StiltgridError

SIGNALLED = """
import os, signal, sys
from pathlib import Path
from stiltgrid.failures import end_by_signal, noting_failure
from stiltgrid.lock import PREDICTING, holding
place = Path(sys.argv[1])
end_by_signal("told to stop")
with noting_failure(place), holding(place, PREDICTING, "predicting"):
    os.kill(os.getpid(), signal.SIGTERM)
    print("went on")
"""


@pytest.fixture
def short(monkeypatch):
    """Let signs of life be tenths of a second apart."""
    monkeypatch.setattr(lock, "TOUCHED_SECONDS", 0.1)
    monkeypatch.setattr(lock, "SILENT_SECONDS", 0.6)


@pytest.fixture
def elsewhere(tmp_path):
    """A lock that a process on another machine wrote, where the file system passes no locks on."""
    path = tmp_path / lock.LOCK
    write_json(path, {"host": "elsewhere", "pid": 1, "log": None, "touched": 0.1})
    return path


def test_who_is_alive_on_another_machine_keeps_its_folder(short, elsewhere):
    ended = threading.Event()

    def live():
        while not ended.wait(0.1):
            os.utime(elsewhere)

    other = threading.Thread(target=live)
    other.start()
    try:
        with pytest.raises(StiltgridError, match="another process is training here, on elsewhere"):
            lock.hold(elsewhere.parent)
    finally:
        ended.set()
        other.join()
    assert read_json(elsewhere)["host"] == "elsewhere"


def test_who_died_on_another_machine_is_waited_for_until_that_is_certain(short, elsewhere):
    started = time.monotonic()
    held = lock.hold(elsewhere.parent)
    assert time.monotonic() - started > 0.4
    held.close()
    assert read_json(elsewhere)["host"] == socket.gethostname()


def test_who_died_on_this_machine_is_not_waited_for(elsewhere):
    write_json(elsewhere, {"host": socket.gethostname(), "pid": 1, "log": None, "touched": 30.0})
    started = time.monotonic()
    lock.hold(elsewhere.parent).close()
    assert time.monotonic() - started < 10


def test_a_lock_that_its_holder_removed_meanwhile_is_made_anew(tmp_path):
    first = lock.hold(tmp_path)

    def end():
        time.sleep(0.3)
        (tmp_path / lock.LOCK).unlink()
        first.close()

    ending = threading.Thread(target=end)
    ending.start()
    second = lock.hold(tmp_path)
    ending.join()
    assert read_json(tmp_path / lock.LOCK)["pid"] == os.getpid()
    second.close()


def test_a_signal_ends_a_job_with_words_and_leaves_no_lock_behind(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1 and "told to stop" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["failed.json"]
    assert read_json(tmp_path / "failed.json")["reason"] == "told to stop"


def test_a_failure_leaves_no_lock_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(ValueError, match="x"), lock.holding(tmp_path, lock.PREDICTING, "predicting"):
        assert (tmp_path / lock.PREDICTING).exists()
        with pytest.raises(StiltgridError, match="another process is predicting here"):
            lock.hold(tmp_path, lock.PREDICTING, "predicting")
        raise ValueError("x")
    assert not list(tmp_path.iterdir())
