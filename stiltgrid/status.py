"""What is done: the state of every cell of a grid, read from the files.

A cell is done when its checkpoint has the config's recipe, its prediction file is whole and rests on that
checkpoint, and its score rests on that prediction: neither a truncated file nor a score of other predictions
counts as finished. Folders are listed once each, so that thousands of cells take a second.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Grid, Run, folder, parent_manifest
from stiltgrid.lock import LOCK, PREDICTING, died
from stiltgrid.predictions import read_metadata
from stiltgrid.recipes import training_recipe
from stiltgrid.storage import digests, gone


@dataclass(frozen=True, slots=True)
class State:
    """The state of one cell.

    Attributes:
        status: done, missing, failed or excluded.
        stage: how far it got, a key of `STAGES`.
        reason: why it is not done; names the file where one is at fault.
        log: log file of a failed run, if it noted one.
        collapsed: did the cell's run learn nothing (`collapse`)? Its score is data like any other.
    """

    status: Literal["done", "missing", "failed", "excluded"]
    stage: str = ""
    reason: str = ""
    log: str = ""
    collapsed: bool = False


def _names(path: str) -> frozenset[str]:
    """Return the names in a folder; none if there is no folder."""
    try:
        with os.scandir(path) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _failure(path: str, what: str = "") -> State:
    """Return the state that a run's `failed.json` describes; a damaged note still means failed."""
    try:
        note = read_json(path)
        reason, log = str(note.get("reason") or "no reason noted"), str(note.get("log") or "")
    except (StiltgridError, AttributeError) as error:
        reason, log = f"{path}: {error}", ""
    return State("failed", "", f"{what}{' '.join(reason.split())}", log)


def _manifest(path: str) -> tuple[dict[str, Any] | None, State | None]:
    """Return a manifest, or the failed state of one that is not whole; neither if there is none."""
    if not os.path.exists(path):  # noqa: PTH110 (a Path object a file is a third of this module's time)
        return None, None
    try:
        found = read_json(path)
        if not isinstance(found, dict):
            raise StiltgridError(f"{path}: expected a JSON object; remove it and run again")
        return found, None
    except StiltgridError as error:
        return None, State("failed", "", str(error))


def _reached(place: str) -> str:
    """Name the last training checkpoint, if there is one."""
    names = _names(f"{place}/training")
    steps = [int(n.split("-")[1]) for n in names if n[:11] == "checkpoint-" and n[11:].isdigit()]
    return f"; last training checkpoint: step {max(steps)}" if steps else ""


def recipe_difference(manifest: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """Return how a checkpoint's recipe differs from the one that the config gives, "" if it does not.

    Args:
        manifest: of a checkpoint; one that records no recipe differs in nothing.
        recipe: of `stiltgrid.recipes.training_recipe`.
    """

    def flat(value: Any, at: str = "") -> dict[str, str]:
        if isinstance(value, dict):
            return {k: v for key, part in value.items() for k, v in flat(part, f"{at}.{key}" if at else key).items()}
        return {at: json.dumps(value)}

    if "recipe" not in manifest or manifest["recipe"] == recipe:
        return ""
    old, new = flat(manifest["recipe"]), flat(recipe)
    keys = [key for key in {**new, **old} if old.get(key) != new.get(key)]
    return ", ".join(f"{key} was {old.get(key, 'unset')}, the config says {new.get(key, 'unset')}" for key in keys[:3])


def _died(lock: str, what: str, reached: str, before: State) -> State | None:
    """Return the state of a job that was killed, by its lock; None if it lives or nobody can tell."""
    dead = died(lock)
    if dead is None:
        return None
    at = f"{reached}; on {dead['host']}"
    why = f"{what}ended without a word{at}: killed, by the system perhaps for want of host memory; run again"
    return State("failed", before.stage, why, dead.get("log") or "")


class _Runs:
    """How far each model, arm and run got; each manifest is read once."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.paths = grid, grid.paths
        self.models: dict[str, tuple[dict[str, Any] | None, State]] = {}
        self.parents: dict[tuple[str, str, int], State] = {}
        self.outdated: set[tuple[str, str, int]] = set()
        self.collapsed: set[Run] = set()
        self.digests: dict[tuple[str, str, int], list[str]] = {}

    def pretrained(self, model: str) -> tuple[dict[str, Any] | None, State]:
        """Manifest and state of a pretrained model."""
        if model not in self.models:
            path = self.paths.pretrained(model)
            found, broken = _manifest(path)
            note = f"{folder(path)}/failed.json"
            if found is not None or broken:
                state = broken or State("missing", "pretrained")
            else:
                state = _failure(note, "pretrained model: ") if Path(note).exists() else State("missing")
            self.models[model] = found, state
        return self.models[model]

    def parent(self, run: Run) -> State:
        """State of what phase (iii) starts from."""
        key = (run.model, run.intermediate, run.seed)
        if key not in self.parents:
            self.parents[key] = self._parent(*key)
        return self.parents[key]

    def _parent(self, model: str, intermediate: str, seed: int) -> State:
        found, start = self.pretrained(model)
        broken, continued = None, bool(self.grid.arm_tasks[intermediate])
        path = parent_manifest(self.paths, self.grid, model, intermediate, seed)
        if continued:
            found, broken = _manifest(path)
        self.digests[model, intermediate, seed] = digests(found) if found and "digest" in found else []
        if not continued:
            return start
        if found is not None:
            change = recipe_difference(found, training_recipe(self.grid, model, intermediate, None, seed))
            if not change:
                return State("missing", "intermediate")
            self.outdated.add((model, intermediate, seed))
            return State("missing", start.stage, f"{path}: {change}")
        if broken:
            return replace(broken, stage=start.stage)
        return self._begun(folder(path), start, f"phase (ii) {intermediate} seed{seed}: ")

    def _retrieved(
        self, run: Run, path: str, found: dict[str, Any] | None, start: State
    ) -> tuple[State, str | None, bool]:
        """State of a run that is evaluated with its parent: once that is there, nothing is left to train."""
        if found is None or (run.model, run.intermediate, run.seed) in self.outdated:
            return start, None, False
        if gone(Path(folder(path))):
            again = State("missing", "pretrained", f"{folder(path)}/weights: removed; to be trained again")
            return again, found.get("digest"), True
        return State("missing", "trained"), found.get("digest"), True

    @staticmethod
    def _begun(place: str, start: State, what: str) -> State:
        """State of a training run without a manifest."""
        names = _names(place)
        if "failed.json" in names:
            return replace(_failure(f"{place}/failed.json", what), stage=start.stage)
        if LOCK in names and (dead := _died(f"{place}/{LOCK}", what, _reached(place), start)):
            return dead
        if start.status == "missing" and "training" in names:
            at = _reached(place)
            return State("missing", "training", f"{what}begun{at}")
        return start

    def state(self, run: Run) -> tuple[State, str | None, bool]:
        """Return a run's state before prediction, its checkpoint's digest, and whether predictions count.

        They cannot if the checkpoint is damaged, or it or the one before it is of another recipe.
        """
        path = self.grid.evaluated(run)
        found, broken = _manifest(path)
        start = self.parent(run)
        if self.grid.retrieves(run.target):
            return self._retrieved(run, path, found, start)
        if found is not None:
            change = recipe_difference(found, training_recipe(self.grid, *run))
            if change:
                return State("missing", start.stage, f"{path}: {change}"), None, False
            key = (run.model, run.intermediate, run.seed)
            if key in self.outdated:
                return start, None, False
            rests_on = (found.get("identity") or {}).get("parent")
            if rests_on and self.digests[key] and rests_on not in self.digests[key]:
                return State("missing", start.stage, f"{path}: trained from an earlier parent checkpoint"), None, False
            if (found.get("collapsed") or {}).get("value"):
                self.collapsed.add(run)
            if gone(Path(folder(path))):
                again = State("missing", start.stage, f"{folder(path)}/weights: removed; to be trained again")
                return again, found.get("digest"), True
            return State("missing", "trained"), found.get("digest"), True
        if broken:
            return replace(broken, stage=start.stage), None, False
        begun = self._begun(folder(path), start, "phase (iii): ")
        # predictions beside a training that has not ended are an earlier checkpoint's
        return begun, None, begun is start


def _cell_state(prediction: str, score: str, scored: bool, digest: str | None, failed: State | None) -> State:
    """Return the state of a cell that has a prediction file."""
    try:
        about = read_metadata(prediction)
    except StiltgridError as error:
        return State("failed", "trained", str(error))
    if digest and about.get("model_digest", digest) != digest:
        return State("missing", "trained", f"{prediction}: made with an earlier checkpoint")
    if not scored:
        return failed or State("missing", "predicted")
    try:
        with open(score, "rb") as handle:  # noqa: PTH123
            key = json.load(handle)["prediction_key"]
    except (ValueError, KeyError, TypeError) as error:
        return State("failed", "predicted", f"{score}: not a whole score file ({error!r}); remove it and run again")
    if key != about.get("key"):
        return State("missing", "predicted", f"{score}: scored from other predictions than {prediction}")
    return State("done", "scored")


def cell_states(grid: Grid) -> dict[Cell, State]:
    """Return the state of every cell of a grid, excluded ones among them, in the grid's order.

    Reads file names, manifests, prediction footers and score files; loads no rows and no weights.
    """
    states: dict[Cell, State] = {}
    runs, paths = _Runs(grid), grid.paths
    here: Run | None = None
    state, digest, counts = State("missing"), None, True
    predictions, scores = frozenset[str](), frozenset[str]()
    unpredicted, unscored = state, None
    for cell in grid.cells(with_excluded=True):
        if reason := grid.excluded.get((cell.model, cell.intermediate, cell.target)):
            states[cell] = State("excluded", "", reason)
            continue
        prediction, score = paths.prediction(cell), paths.score(cell)
        if cell.run != here:
            here = cell.run
            state, digest, counts = runs.state(here)
            predictions, scores = _names(folder(prediction)), _names(folder(score))
            unpredicted, unscored = state, None
            if "failed.json" in predictions and state.status == "missing":
                unpredicted = replace(_failure(f"{folder(prediction)}/failed.json", "prediction: "), stage=state.stage)
            elif PREDICTING in predictions and state.status == "missing":
                unpredicted = _died(f"{folder(prediction)}/{PREDICTING}", "prediction: ", "", state) or state
            if "failed.json" in scores:
                unscored = replace(_failure(f"{folder(score)}/failed.json", "scoring: "), stage="predicted")
        scored = f"{cell.language}.json" in scores
        if not counts:
            states[cell] = state
        elif f"{cell.language}.parquet" in predictions:
            found = _cell_state(prediction, score, scored, digest, unscored)
            states[cell] = replace(found, collapsed=True) if here in runs.collapsed else found
        elif scored and unpredicted.status == "missing":
            states[cell] = replace(unpredicted, reason=f"{prediction}: removed after it was scored")
        else:
            states[cell] = unpredicted
    return states
