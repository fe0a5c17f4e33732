import contextlib
import csv
import errno
import fcntl
import io
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from test_collect import SMALL, Files, first_cell, small_grid

from stiltgrid import lock, status
from stiltgrid.artifacts import digest, write_json
from stiltgrid.grid import Arm, Cell, folder
from stiltgrid.lock import LOCK, PREDICTING
from stiltgrid.recipes import training_recipe
from stiltgrid.status import cell_states
from stiltgrid.status_view import collapsed, failures, matrix, render_status, totals, waiting, write_status


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Files(small_grid())


def fail(place, reason="out of memory", log="logs/x.log"):
    write_json(f"{place}/failed.json", {"reason": reason, "when": "2026-01-01T00:00:00+00:00", "log": log})


def text_of(grid, states, width=100, **console):
    out = io.StringIO()
    render_status(grid, states, Console(file=out, width=width, **console))
    return out.getvalue()


def test_a_cell_moves_through_the_stages(files):
    cell = first_cell(files.grid, intermediate="mnli")

    def state():
        found = cell_states(files.grid)[cell]
        return found.status, found.stage

    assert state() == ("missing", "")
    files.pretrained(cell.model)
    assert state() == ("missing", "pretrained")
    files.arm(Arm(cell.model, "mnli", cell.seed))
    assert state() == ("missing", "intermediate")
    training = Path(folder(files.paths.checkpoint(cell.run)), "training")
    (training / "checkpoint-400").mkdir(parents=True)
    (training / "checkpoint-1200").mkdir()
    assert state() == ("missing", "training")
    assert "step 1200" in cell_states(files.grid)[cell].reason
    files.checkpoint(cell.run)
    assert state() == ("missing", "trained")
    files.prediction(cell)
    assert state() == ("missing", "predicted")
    files.score(cell, 50.0)
    assert state() == ("done", "scored")


def test_everything_done_but_what_is_excluded(files):
    files.everything()
    states = cell_states(files.grid)
    assert list(states) == list(files.grid.cells(with_excluded=True))
    assert totals(states) == {"done": 60, "excluded": 24}
    assert states[first_cell(files.grid, target="ntg")].reason.startswith("xglue/ntg:")
    entries = matrix(files.grid, states)
    assert entries["small", "none", "xnli"].text == "✔ 6/6"
    assert entries["small", "none", "ntg"].text == "–"


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_truncated_prediction_is_never_done(files, keep):
    cell = first_cell(files.grid)
    files.done(cell, 50.0)
    path = Path(files.paths.prediction(cell))
    path.write_bytes(path.read_bytes()[:keep])
    state = cell_states(files.grid)[cell]
    assert (state.status, state.stage) == ("failed", "trained")
    assert str(path) in state.reason


def test_a_score_of_other_predictions_is_to_be_scored_again(files):
    cell = first_cell(files.grid)
    files.done(cell, 50.0)
    files.prediction(cell, key=digest("newer"))
    state = cell_states(files.grid)[cell]
    assert (state.status, state.stage) == ("missing", "predicted")
    assert files.paths.score(cell) in state.reason


def test_a_prediction_of_an_earlier_checkpoint_is_to_be_predicted_again(files):
    cell = first_cell(files.grid)
    files.done(cell, 50.0)
    files.checkpoint(cell.run, digest=digest("retrained"))
    state = cell_states(files.grid)[cell]
    assert (state.status, state.stage) == ("missing", "trained")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}'])
def test_a_damaged_score_is_failed_and_named(files, text):
    cell = first_cell(files.grid)
    files.done(cell, 50.0)
    Path(files.paths.score(cell)).write_text(text)
    state = cell_states(files.grid)[cell]
    assert (state.status, state.stage) == ("failed", "predicted")
    assert files.paths.score(cell) in state.reason


def test_a_removed_prediction_is_missing_though_a_score_lies_there(files):
    cell = first_cell(files.grid)
    files.done(cell, 50.0)
    Path(files.paths.prediction(cell)).unlink()
    state = cell_states(files.grid)[cell]
    assert (state.status, state.stage) == ("missing", "trained")
    assert "removed" in state.reason


def test_a_checkpoint_of_another_recipe_does_not_count_and_says_how_it_differs(files):
    cell = first_cell(files.grid, intermediate="mnli")
    files.pretrained("small")
    arm = Arm("small", "mnli", 1)
    files.arm(arm, recipe=training_recipe(files.grid, "small", "mnli", None, 1))
    files.checkpoint(cell.run, recipe=training_recipe(files.grid, *cell.run))
    files.done(cell, 50.0)
    assert cell_states(files.grid)[cell].status == "done"
    targets = {**SMALL["targets"], "xnli": {**SMALL["targets"]["xnli"], "training": {"learning_rate": 0.5}}}
    state = cell_states(small_grid(targets=targets))[cell]
    assert (state.status, state.stage) == ("missing", "intermediate")
    assert "training.learning_rate was 0.0001, the config says 0.5" in state.reason
    arms = {**SMALL["intermediates"], "mnli": {"tasks": ["mnli"], "training": {"epochs": 1}}}
    state = cell_states(small_grid(intermediates=arms))[cell]
    assert (state.status, state.stage) == ("missing", "pretrained")
    assert files.paths.arm(arm) in state.reason
    assert "training.epochs was 3.0, the config says 1.0" in state.reason


def test_a_damaged_manifest_is_failed_and_named(files):
    cell = first_cell(files.grid)
    files.checkpoint(cell.run)
    Path(files.paths.checkpoint(cell.run)).write_text('{"digest": ')
    state = cell_states(files.grid)[cell]
    assert state.status == "failed"
    assert files.paths.checkpoint(cell.run) in state.reason


def test_a_prediction_that_was_killed_is_failed_and_says_where(files):
    cell = first_cell(files.grid)
    files.checkpoint(cell.run)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    about = {"host": socket.gethostname(), "pid": ended.pid, "log": "logs/x.log", "touched": 30.0}
    write_json(f"{folder(files.paths.prediction(cell))}/{PREDICTING}", about)
    state = cell_states(files.grid)[cell]
    assert (state.status, state.stage, state.log) == ("failed", "trained", "logs/x.log")
    assert state.reason.startswith(f"prediction: ended without a word; on {socket.gethostname()}: killed")
    # a job that lives is no failure
    write_json(f"{folder(files.paths.prediction(cell))}/{PREDICTING}", about | {"pid": os.getpid()})
    assert cell_states(files.grid)[cell].status == "missing"


def test_failures_of_every_stage_carry_reason_and_log(files):
    grid, paths = files.grid, files.paths
    files.pretrained("small")
    fail(folder(paths.arm(Arm("small", "mnli", 1))))
    trained, predicted = first_cell(grid, seed=2), first_cell(grid, seed=2, target="pos")
    files.checkpoint(trained.run)
    fail(folder(paths.prediction(trained)), reason="killed\nby   the kernel")
    files.checkpoint(predicted.run)
    files.prediction(predicted)
    fail(folder(paths.score(predicted)))
    states = cell_states(grid)
    assert states[first_cell(grid, intermediate="mnli")].reason == "phase (ii) mnli seed1: out of memory"
    assert states[trained].reason == "prediction: killed by the kernel"
    assert (states[predicted].status, states[predicted].log) == ("failed", "logs/x.log")
    assert states[predicted._replace(language="de")].status == "missing"
    listed = failures(states)
    assert (
        "small / mnli / xnli / seed1 (de en fr)",
        "phase (ii) mnli seed1: out of memory",
        "logs/x.log",
    ) in listed
    assert matrix(grid, states)["small", "mnli", "xnli"].text == "✗ 0/6"


def test_a_success_after_a_failure_counts(files):
    cell = first_cell(files.grid)
    fail(folder(files.paths.checkpoint(cell.run)))
    files.done(cell, 50.0)
    assert cell_states(files.grid)[cell].status == "done"


def test_a_damaged_failure_note_still_means_failed(files):
    place = Path(folder(files.paths.checkpoint(first_cell(files.grid).run)))
    place.mkdir(parents=True)
    (place / "failed.json").write_text("[]")
    assert cell_states(files.grid)[first_cell(files.grid)].status == "failed"


def test_collapsed_runs_are_done_counted_and_named(files):
    cells = [c for c in files.grid.cells() if c.run == first_cell(files.grid).run]
    files.checkpoint(cells[0].run, collapsed={"value": True, "tasks": {}})
    for cell in cells:
        files.done(cell, 33.0)
    sound = first_cell(files.grid, intermediate="mnli")
    files.checkpoint(sound.run, collapsed={"value": False, "tasks": {}})
    files.done(sound, 60.0)
    states = cell_states(files.grid)
    assert states[cells[0]].status == "done" and states[cells[0]].collapsed
    assert not states[sound].collapsed
    assert collapsed(states) == {cells[0].run: 3}
    text = text_of(files.grid, states)
    assert "4 done (of which 3 collapsed)" in text
    assert "small / none / xnli / seed1" in text[text.index("collapsed:") :]


def begun(files):
    """A run that has begun; return its folder and a function that writes its lock and returns its state."""
    cell = first_cell(files.grid)
    place = Path(folder(files.paths.checkpoint(cell.run)))
    (place / "training" / "checkpoint-40").mkdir(parents=True)
    gone = subprocess.Popen(["true"])
    gone.wait()

    def state(silent=0.0, **about):
        here = {"host": socket.gethostname(), "pid": gone.pid, "log": "x.log", "touched": 30.0}
        write_json(place / LOCK, {**here, **about})
        os.utime(place / LOCK, (time.time() - silent,) * 2)
        return cell_states(files.grid)[cell]

    return place, state


def test_a_run_whose_process_is_no_more_failed_without_a_word(files):
    """kill -9 leaves no note; the lock tells of the process."""
    place, state = begun(files)
    found = state()
    assert (found.status, found.stage, found.log) == ("failed", "", "x.log")
    assert f"ended without a word; last training checkpoint: step 40; on {socket.gethostname()}" in found.reason
    found = state(pid=os.getpid())
    assert (found.status, found.stage) == ("missing", "training")
    (place / LOCK).write_text("")  # of an older version, or on its way
    cell = first_cell(files.grid)
    assert cell_states(files.grid)[cell].status == "missing"
    state()
    fail(place)
    assert cell_states(files.grid)[cell].reason == "phase (iii): out of memory"


def test_on_another_machine_a_run_is_dead_when_it_neither_holds_its_lock_nor_gave_a_sign_for_three_minutes(files):
    place, state = begun(files)
    assert state(host="another", silent=170).status == "missing"
    found = state(host="another", silent=190)
    assert found.status == "failed" and "step 40; on another: killed" in found.reason
    # without signs of life, as before they were given, nobody can tell
    assert state(host="another", silent=1e6, touched=None).status == "missing"
    # here, too, a number that was given to another process since
    assert state(pid=os.getpid(), silent=190).status == "failed"
    # a process that was stopped for an hour gives no signs and holds its lock; so do all where locks are passed on
    with (place / LOCK).open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        (place / LOCK).write_text((place / LOCK).read_text())
        os.utime(place / LOCK, (1.0, 1.0))
        assert cell_states(files.grid)[first_cell(files.grid)].status == "missing"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_a_file_system_has_no_locks_the_signs_of_life_decide(files, monkeypatch, number):
    place, state = begun(files)

    def flock(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    assert state(host="another", silent=10).status == "missing"
    assert state(host="another", silent=190).status == "failed"
    with contextlib.closing(lock.hold(place)):  # and a run can begin
        assert lock.died(place / LOCK) is None


def test_the_holder_of_a_lock_gives_signs_of_life_until_it_lets_go(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "TOUCHED_SECONDS", 0.01)
    held = lock.hold(tmp_path)
    for _ in range(2):
        os.utime(tmp_path / LOCK, (1.0, 1.0))
        deadline = time.monotonic() + 60
        while (tmp_path / LOCK).stat().st_mtime == 1.0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    held.close()
    assert not held._thread.is_alive()


def test_a_clock_that_is_wrong_does_not_kill(files, monkeypatch):
    """This machine's clock is an hour ahead of the file system's."""
    _, state = begun(files)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    assert state(host="another", silent=3600).status == "missing"
    assert state(host="another", silent=3600 + 190).status == "failed"


def test_predictions_of_before_a_failed_training_are_not_done(files):
    """Trained anew with another recipe, and failed: Snakemake took the manifest, the old predictions lie there."""
    cell = first_cell(files.grid)
    files.done(cell, 50.0)
    Path(files.paths.checkpoint(cell.run)).unlink()
    assert cell_states(files.grid)[cell].status == "done"
    fail(folder(files.paths.checkpoint(cell.run)))
    assert cell_states(files.grid)[cell].status == "failed"


def test_removed_weights_are_said_where_they_are_wanted(files):
    cell = first_cell(files.grid)
    files.done(cell, 50.0)
    write_json(f"{folder(files.paths.checkpoint(cell.run))}/removed.json", {"digest": "", "bytes": 0, "when": ""})
    states = cell_states(files.grid)
    assert states[cell].status == "done"
    other = states[cell._replace(language="de")]
    assert (other.status, other.stage) == ("missing", "")
    assert "weights: removed; to be trained again" in other.reason


def test_symbols_tell_states_apart_without_colour(files):
    files.done(first_cell(files.grid), 50.0)
    fail(folder(files.paths.checkpoint(first_cell(files.grid, intermediate="qqp").run)))
    files.checkpoint(first_cell(files.grid, intermediate="mnli").run)
    text = text_of(files.grid, cell_states(files.grid))
    assert "\x1b" not in text
    for sign in ("◐ 1/6", "✗ 0/6", "◔ 0/6", "· 0/4"):
        assert sign in text
    assert "log: logs/x.log" in text
    assert "cannot write text" in text
    assert "\x1b[" in text_of(files.grid, cell_states(files.grid), force_terminal=True, color_system="standard")


def test_no_color_is_respected(files, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = text_of(files.grid, cell_states(files.grid), force_terminal=True)
    assert "\x1b[3" not in text


@pytest.mark.parametrize("width", [24, 60, 200])
def test_the_matrix_is_cut_to_the_width_of_the_terminal(files, width):
    lines = text_of(files.grid, cell_states(files.grid), width=width).splitlines()
    assert max(map(len, lines)) <= width
    heads = [line.split() for line in lines if line.split() and line.split()[0] in ("xnli", "ntg")]
    # one matrix a model; on a narrow terminal it goes on below
    assert heads == [["xnli", "pos", "ntg"]] * 2 if width > 24 else [["xnli", "pos"], ["ntg"]] * 2


def test_markup_in_reasons_is_printed_as_it_is(files):
    fail(folder(files.paths.checkpoint(first_cell(files.grid).run)), reason="[rank0] died [/bold]")
    assert "[rank0] died [/bold]" in text_of(files.grid, cell_states(files.grid))


def test_files_hold_the_matrix_and_one_row_a_cell(files, tmp_path):
    files.done(first_cell(files.grid), 50.0)
    states = cell_states(files.grid)
    page, table = write_status(files.grid, states, tmp_path / "out")
    text = page.read_text()
    assert "| none      | ◐ 1/6 | · 0/4 |   – |" in text
    assert "84 cells: 1 done, 59 missing, 0 failed, 24 excluded" in text
    with table.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 84
    assert rows[1]["language"] == "en"
    assert rows[1]["status"] == "done"
    again = [p.read_bytes() for p in write_status(files.grid, states, tmp_path / "again")]
    assert again == [page.read_bytes(), table.read_bytes()]


def test_what_missing_cells_wait_for_is_counted(files):
    files.pretrained("small")
    states = cell_states(files.grid)
    assert [n for n, _ in waiting(states)] == [30, 30]


def test_each_file_is_read_once_and_each_folder_listed_once(files, monkeypatch):
    """What thousands of cells cost: no file of a run is read for each of its languages."""
    files.everything()
    seen: dict[str, list[str]] = {"read": [], "listed": []}
    for module, name, kind in ((status, "read_json", "read"), (status, "_names", "listed")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, real=real, kind=kind: seen[kind].append(str(path)) or real(path))
    states = cell_states(files.grid)
    assert totals(states)["done"] == 60 and isinstance(next(iter(states)), Cell)
    runs, arms = len(files.grid.runs), len(files.grid.arms)
    assert len(set(seen["read"])) == len(seen["read"]) == runs + arms + 2  # and the pretrained models'
    assert len(set(seen["listed"])) == len(seen["listed"]) == 2 * runs
