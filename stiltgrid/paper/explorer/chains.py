"""What each run of a grid rests on, as the explorer shows it: recipe hashes, hyperparameters, commit, parent."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stiltgrid.artifacts import read_json
from stiltgrid.evaluated import evaluated_manifest
from stiltgrid.grid import Grid, Run, parent_manifest

Settings = tuple[tuple[str, str], ...]


class Chain(NamedTuple):
    """A run and what it starts from.

    Attributes:
        recipe_hash: 64 hex digits; empty if the manifest names none.
        settings: the parts of the recipe that matter, as name and text; without the seed.
        before: the same of phase (ii); empty without one.
        before_hash: recipe hash of phase (ii).
        source: the pretrained model's source and revision.
        commit: of the code that trained it; empty if it is not known.
        trained: steps, examples and dev scores, as name and text.
        collapsed: did the run learn nothing?
    """

    recipe_hash: str
    settings: Settings
    before: Settings
    before_hash: str
    source: str
    commit: str
    trained: Settings
    collapsed: bool


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)


def settings(recipe: Mapping[str, Any]) -> Settings:
    """Return the parts of a recipe that matter: tasks, languages, hyperparameters that are set; no seed."""

    def flat(value: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
        for key, part in value.items():
            if isinstance(part, Mapping):
                yield from flat(part, f"{at}{key}.")
            elif part is not None and part != []:
                yield f"{at}{key}".removeprefix("training."), _text(part)

    # verbalisers and fields have a page of their own: the task's row
    left_out = ("seed", "version", "phase", "formulation")
    return tuple(flat({key: value for key, value in recipe.items() if key not in left_out}))


def commit_of(manifest: Mapping[str, Any]) -> str:
    """Return the commit that a manifest names, with a mark if the checkout differed from it; empty if none."""
    code = manifest.get("code") or {}
    commit = code.get("commit") or ""
    return f"{commit} (with changes)" if commit and code.get("dirty") else commit


def _trained(manifest: Mapping[str, Any]) -> Settings:
    found = [(name.replace("_", " "), _text(value)) for name, value in (manifest.get("counts") or {}).items()]
    for task, scores in (manifest.get("dev") or {}).items():
        found += [(f"dev {name} of {task}", f"{value:.2f}") for name, value in scores.items() if value is not None]
    return tuple(found)


def read_chains(grid: Grid) -> dict[Run, Chain]:
    """Return the chain of every run whose checkpoint's manifest is there; each manifest is read once.

    Raises:
        StiltgridError: if a manifest is not whole.
    """
    seen: dict[str, Mapping[str, Any]] = {}

    def manifest(path: str) -> Mapping[str, Any]:
        if path not in seen:
            seen[path] = read_json(path) if Path(path).exists() else {}
        return seen[path]

    found = {}
    for run in grid.runs:
        if not Path(grid.evaluated(run)).exists():
            continue
        own = evaluated_manifest(grid, run)
        start = manifest(grid.paths.pretrained(run.model))
        has_arm = bool(grid.arm_tasks[run.intermediate])
        arm = manifest(parent_manifest(grid.paths, grid, run.model, run.intermediate, run.seed)) if has_arm else {}
        source = " at ".join(filter(None, [start.get("source"), start.get("revision")]))
        found[run] = Chain(
            own.get("recipe_hash", ""),
            settings(own.get("recipe", {})),
            settings(arm.get("recipe", {})),
            arm.get("recipe_hash", ""),
            source,
            commit_of(own),
            _trained(own),
            bool((own.get("collapsed") or {}).get("value")),
        )
    return found
