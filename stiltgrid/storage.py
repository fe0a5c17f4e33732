"""Which weights are kept: a model's `storage`, and what it means when weights are asked for again. Imports no torch.

`all` keeps every checkpoint. `intermediate` removes a target checkpoint's weights as soon as all predictions of its run
are whole in the store. `none` removes phase (ii)'s too, once every target run that starts from them has its
predictions. Manifests always stay, so nothing is out of date; what was removed is told by `removed.json`, which is
written first. Being younger than the manifest beside it, this note is also what makes Snakemake train again: the
training rule names it as an input as soon as the weights are needed (docs/architecture.md, "Storage").
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from stiltgrid.artifacts import digest, read_json, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, Cell, Grid, Run
from stiltgrid.predictions import read_metadata
from stiltgrid.recipes import training_recipe
from stiltgrid.store import Store, prediction_key

NOTE = "removed.json"
GOING = "weights.removed"


class Removed(NamedTuple):
    """Weights that were removed, or may be."""

    folder: Path
    bytes: int


def record(folder: Path) -> dict[str, Any] | None:
    """Return a finished run's manifest: the copy that is no declared output first, for it outlives the other."""
    for name in ("complete.json", "manifest.json"):
        try:
            found = read_json(folder / name)
        except StiltgridError:
            continue
        if isinstance(found, dict):
            return found
    return None


def gone(folder: Path) -> bool:
    """Tell whether a run's weights were removed by the storage policy."""
    return (folder / NOTE).is_file() and not (folder / "weights").exists()


def check_there(folder: Path) -> None:
    """Check that a run's weights were not removed.

    Raises:
        StiltgridError: if they were, with what to do.
    """
    if gone(folder):
        raise StiltgridError(
            f"{folder / 'weights'}: removed by the model's `storage` when nothing needed it any more. Where "
            "predictions are missing, run the same snakemake command again: it now sees that they are needed and "
            "trains them again (`snakemake -n` lists it). For anything else (`layers`, `--recompute`) set `storage: "
            f"all` for this model, remove complete.json and manifest.json in {folder}, and run it again"
        )


def remove(folder: Path) -> Removed | None:
    """Remove a run's weights; killed at any moment, the next call ends what this one began.

    Returns:
        What was removed; None if there was nothing.
    """
    shutil.rmtree(folder / GOING, ignore_errors=True)
    manifest = record(folder)
    if manifest is None or not (folder / "weights").is_dir():
        return None
    size = _bytes(manifest)
    # two notes must never be equal: Snakemake compares small files by content
    when = datetime.now(UTC).isoformat(timespec="microseconds")
    write_json(folder / NOTE, {"digest": manifest["digest"], "bytes": size, "when": when})
    try:
        (folder / "weights").rename(folder / GOING)
    except FileNotFoundError:
        return None  # another job of this grid was faster
    shutil.rmtree(folder / GOING, ignore_errors=True)
    return Removed(folder, size)


def digests(manifest: Mapping[str, Any]) -> list[str]:
    """Return a checkpoint's digest, and those of trainings of the same recipe whose weights were removed."""
    return [manifest["digest"], *manifest.get("replaces", ())]


class Storage:
    """What the weights of a grid's runs are still needed for.

    Args:
        grid: the expanded config.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid, self.paths = grid, grid.paths
        self.store = Store(grid.paths.store)

    def policy(self, model: str) -> str:
        """Return a model's `storage`."""
        return self.grid.config.models[model].storage

    def folder(self, run: Run | Arm) -> Path:
        """Return the folder of a run's checkpoint; a retrieval's is phase (ii)'s, or the pretrained model's."""
        path = self.grid.evaluated(run) if isinstance(run, Run) else self.paths.arm(run)
        return Path(path).parent

    @cached_property
    def children(self) -> dict[Arm, list[Run]]:
        """The target runs that start from each phase (ii) run."""
        found: dict[Arm, list[Run]] = {arm: [] for arm in self.grid.arms}
        for run in self.grid.runs:
            if (arm := Arm(run.model, run.intermediate, run.seed)) in found:
                found[arm].append(run)
        return found

    def lacking(self, run: Run, *, whole: bool = False) -> list[str]:
        """Return the languages of a finished run whose predictions cannot be had without its weights.

        Args:
            run: the run.
            whole: read the store's entries to their end, and count nothing that lies outside of it.
        """
        manifest = record(self.folder(run))
        if manifest is None:
            return list(self.grid.languages(run.target))
        decoding, task = self.grid.decoding(run.target, run.model), self.grid.tasks[run.target].name
        found = []
        for language in self.grid.languages(run.target):
            fingerprint = _fingerprint(self.paths.data(self.grid.evaluation(run.target, language)))
            if fingerprint is None:
                # rows that are being read again, most likely the same: a forced data job must not train anything
                if whole or not self._linked(Cell(*run[:3], language, run.seed), "model_digest", manifest["digest"]):
                    found.append(language)
                continue
            key = prediction_key(manifest["digest"], fingerprint, task, language, decoding)
            there = self.store.holds(key) if whole else self.store.path(key).is_file()
            if not there and (whole or not self._linked(Cell(*run[:3], language, run.seed), "key", key)):
                found.append(language)
        return found

    def _linked(self, cell: Cell, name: str, value: str) -> bool:
        """Does a cell's prediction file say so of itself, whatever became of the store's entry?"""
        try:
            return read_metadata(self.paths.prediction(cell)).get(name) == value
        except StiltgridError:
            return False

    def must_train(self, run: Run) -> bool:
        """Tell whether a target run is to be trained, for the first time, anew, or again for its weights."""
        if self.grid.retrieves(run.target):
            return False
        manifest = record(self.folder(run))
        if manifest is None:
            return True
        recipe = training_recipe(self.grid, *run)
        if manifest.get("recipe", recipe) != recipe:
            return True
        parent = record(self.folder(Arm(run.model, run.intermediate, run.seed))) if self._has_arm(run) else None
        identity = manifest["identity"]
        if parent is not None and identity["parent"] not in digests(parent):
            return True
        files = {
            task: {split: [self.paths.data(file) for file in files] for split, files in splits.items()}
            for task, splits in self.grid.training_files(None, run.target).items()
        } | {name: {"train": paths} for name, paths in self.grid.other_inputs(None, run.target).items()}
        for task, splits in identity["data"].items():
            for split, old in splits.items():
                now = [_fingerprint(path) for path in files.get(task, {}).get(split, [])]
                # rows that are not there will be read again, most likely the same
                if None not in now and now != old:
                    return True
        if (self.folder(run) / "weights").is_dir():
            return False
        return bool(self.lacking(run))

    def _has_arm(self, run: Run) -> bool:
        return bool(self.grid.arm_tasks[run.intermediate])

    def needed(self, run: Run | Arm) -> bool:
        """Tell whether anything still asks for a finished run's weights."""
        if isinstance(run, Run):
            return bool(self.lacking(run))
        return any(self.asks(child) for child in self.children.get(run, ()))

    def asks(self, child: Run) -> bool:
        """Tell whether a run still asks for the weights of phase (ii): to start from them, or to retrieve with them."""
        return bool(self.lacking(child)) if self.grid.retrieves(child.target) else self.must_train(child)

    def again(self, run: Run | Arm) -> str | None:
        """Return the note that makes Snakemake train a run again: its weights were removed and are needed; else None.

        For the rules' input functions: what it returns depends on the files that are there now.
        """
        folder = self.folder(run)
        return str(folder / NOTE) if gone(folder) and self.needed(run) else None

    def removable(self, run: Run) -> Iterator[Path]:
        """Yield the folders whose weights may go now that a run is predicted: its own, its parent's."""
        policy = self.policy(run.model)
        if policy == "all" or self.must_train(run) or self.lacking(run, whole=True):
            return
        if not self.grid.retrieves(run.target):
            yield self.folder(run)
        if policy == "none" and self._has_arm(run):
            arm = Arm(run.model, run.intermediate, run.seed)
            children = self.children[arm]
            if not any(self.must_train(child) or self.lacking(child, whole=True) for child in children):
                yield self.folder(arm)

    def tidy(self, run: Run) -> list[Removed]:
        """Remove the weights that a predicted run leaves behind; called by its prediction job, last."""
        return [removed for folder in self.removable(run) if (removed := remove(folder))]

    def sweep(self, *, delete: bool) -> list[Removed]:
        """List all weights that the policies do not keep, and with `delete` remove them."""
        folders = dict.fromkeys(folder for run in self.grid.runs for folder in self.removable(run))
        if delete:
            return [removed for folder in folders if (removed := remove(folder))]
        there = [folder for folder in folders if (folder / "weights").is_dir()]
        return [Removed(folder, _bytes(record(folder) or {})) for folder in there]


def _bytes(manifest: Mapping[str, Any]) -> int:
    return sum(entry["bytes"] for entry in manifest.get("weights", {}).values())


def _fingerprint(path: str) -> str | None:
    """Return a data file's fingerprint, None if its sidecar is not there."""
    small = sidecar(path)
    try:
        found = os.stat(small)  # noqa: PTH116 (once a cell)
        return _fingerprint_of(str(small), found.st_mtime_ns, found.st_size)
    except (StiltgridError, KeyError, OSError):
        return None


@lru_cache(maxsize=4096)
def _fingerprint_of(small: str, *_: int) -> str:
    """Read a sidecar's fingerprint, once for all runs that are scored on its rows as long as the file is the same."""
    return read_json(small)["fingerprint"]


def expected(about: Mapping[str, Any], parents: list[str]) -> list[str]:
    """Return the recipe hashes under which a run may lie finished: one for each digest that its parent has had."""
    return [digest({**about, "parent": parent}) for parent in parents]
