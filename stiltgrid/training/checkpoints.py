"""Training checkpoints that are either complete or ignored.

The Trainer writes `checkpoint-<step>` file by file. A marker, written last, lists the files and their sizes, and
carries what the Trainer does not know: the dev scores so far. A folder without a marker, or whose files do not match
it, is what a kill left behind: it is removed, and the run resumes from the one before.
"""

import shutil
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json, write_json
from stiltgrid.errors import StiltgridError

MARKER = "complete.json"


def step_of(folder: Path) -> int:
    """Return the step in the name `checkpoint-<step>` or `best-<step>`."""
    return int(folder.name.rpartition("-")[2])


def mark(folder: Path, state: dict[str, Any]) -> None:
    """Declare a checkpoint complete.

    Args:
        folder: `checkpoint-<step>`, all files written.
        state: what must be known on resuming besides the Trainer's own files.
    """
    files = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    files.pop(MARKER, None)
    write_json(folder / MARKER, {"files": files, "state": state})


def read_mark(folder: Path) -> dict[str, Any] | None:
    """Return a checkpoint's state, or None if the checkpoint is not whole."""
    try:
        record = read_json(folder / MARKER)
    except StiltgridError:
        return None
    for name, size in record["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            return None
    return record["state"]


def newest(training: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest complete checkpoint and its state; remove incomplete ones."""
    for folder in sorted(training.glob("checkpoint-*"), key=step_of, reverse=True):
        state = read_mark(folder)
        if state is not None:
            return folder, state
        shutil.rmtree(folder)
    return None


def prune(training: Path) -> None:
    """Remove all checkpoints but the newest complete one: before another is written, so that two are the most."""
    found = newest(training)
    for folder in training.glob("checkpoint-*"):
        if found is None or folder != found[0]:
            shutil.rmtree(folder)


def drop_unfinished(out: Path) -> None:
    """Remove what a run that failed was writing: half a checkpoint, weights not yet in their place."""
    training = out / "training"
    for folder in (*training.glob("checkpoint-*"), *training.glob(".*.tmp"), out / "weights.tmp"):
        if folder.is_dir() and (folder.name.startswith((".", "weights")) or read_mark(folder) is None):
            shutil.rmtree(folder, ignore_errors=True)


def needed_best(training: Path, current: int | None) -> set[int]:
    """Return the steps whose best weights a run may still need, now or on resuming from a kept checkpoint."""
    states = [read_mark(folder) for folder in training.glob("checkpoint-*")]
    steps = {best["step"] for s in states if s is not None and (best := best_of(s["history"]))}
    return steps if current is None else steps | {current}


def best_of(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the evaluation with the highest mean score, the earliest of equals."""
    return max(history, key=lambda h: (h["mean"], -h["step"]), default=None)


def exhausted(history: list[dict[str, Any]], training: dict[str, Any]) -> bool:
    """Tell whether a run ends here by patience: that many evaluations since the best one.

    Args:
        history: dev evaluations so far.
        training: the recipe's hyperparameters; patience counts only where the best of dev is selected.
    """
    if training["selection"] != "best_dev" or training["patience"] is None or not history:
        return False
    best = best_of(history)["step"]
    return sum(h["step"] > best for h in history) >= training["patience"]
