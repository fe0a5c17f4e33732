"""What must agree between cells before one average, gain or column joins them; two cells that do not are both named.

Three groups are compared, by what the files record, not by what the config asks for now:

- a *column*, all runs of a target whatever their model and arm: task, formulation (labels, verbalisers, fields), source
  language, training rows; and of each language split and test rows;
- the *arms of a model* on a target, and their seeds: the whole target recipe but its seed, and the pretrained weights;
- an *intermediate* in every model: its tasks, formulation, and training rows; and of one model the whole recipe but its
  seed, the same phase (ii) checkpoint under every target.

The version of metrics is the score file's own (`collect.SCORE_VERSION`); that of predictions and their decoding is in
each score's key.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stiltgrid.artifacts import digest
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Run
from stiltgrid.status import recipe_difference
from stiltgrid.storage import digests

RETRAIN = "retrain the one that is stale"
RESCORE = "remove the older one's score and run again"


def comparability(recipe: Mapping[str, Any]) -> str:
    """Return the hash (64 hex digits) of what must agree between the runs that one average or gain joins.

    That is a target recipe without its seed: two seeds, or two intermediates, of one model and target are
    comparable only if model, task, formulation and hyperparameters are the same.
    """
    return digest(without_seed(recipe))


def without_seed(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe without its seed."""
    return {key: value for key, value in recipe.items() if key != "seed"}


def column_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a recipe that all models of a column must share; hyperparameters may be each model's own."""
    formulation = recipe.get("formulation") or {}
    # which tasks share a head is a matter of encoders alone
    shared = {key: formulation.get(key) for key in ("version", "tasks")}
    return {key: recipe.get(key) for key in ("tasks", "source_language")} | {"formulation": shared}


def cell_name(cell: Cell) -> str:
    """Return a cell's name in messages."""
    return f"{cell.model}/{cell.intermediate}/{cell.target}/seed{cell.seed}/{cell.language}"


class Claim(NamedTuple):
    """Something that a group of cells must agree in.

    Attributes:
        what: its name in messages.
        group: names of the group.
        value: a text or hash, or a mapping whose differing keys are shown.
        remedy: what to do about two that differ.
    """

    what: str
    group: tuple[str, ...]
    value: str | Mapping[str, Any]
    remedy: str


class Agreement:
    """Refuses cells that must agree and do not; remembers the first cell of each group."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, ...], tuple[Cell, str | Mapping[str, Any]]] = {}

    def check(self, cell: Cell, claim: Claim) -> None:
        """Compare a cell with the first one of its group.

        Raises:
            StiltgridError: if they differ, naming both, what each has, and the remedy.
        """
        other, expected = self.first.setdefault((claim.what, *claim.group), (cell, claim.value))
        if claim.value == expected:
            return
        if isinstance(claim.value, str):
            seen = f"{cell_name(other)} has {str(expected)[:12]}, {cell_name(cell)} has {claim.value[:12]}"
        else:
            # in the words of the status: what was, and what is
            found = recipe_difference({"recipe": expected}, claim.value).replace("the config says", "the other has")
            seen = f"{cell_name(other)} and {cell_name(cell)} differ: of the first {found}"
        raise StiltgridError(f"cells that are compared must rest on the same {claim.what}: {seen}; {claim.remedy}")


def _fingerprints(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fingerprints of what a run was trained on, by task and split; None if its manifest has none."""
    return (manifest.get("identity") or {}).get("data")


def of_run(run: Run, manifest: Mapping[str, Any], arm: Mapping[str, Any] | None) -> Iterator[Claim]:
    """Yield what a run claims: its column's, its model's and its intermediate's.

    Args:
        run: the run.
        manifest: of its checkpoint; of what it does not record nothing is claimed.
        arm: the manifest of the phase (ii) checkpoint that it starts from; None for the baseline.
    """
    recipe, identity = manifest.get("recipe"), manifest.get("identity") or {}
    if recipe is not None:
        yield Claim("task and formulation", (run.target,), column_of(recipe), RETRAIN)
        yield Claim("target recipe", (run.model, run.target), without_seed(recipe), RETRAIN)
    if (rows := _fingerprints(manifest)) is not None:
        yield Claim("training data (fingerprints)", (run.target,), rows, RETRAIN)
    if (weights := identity.get("pretrained")) is not None:
        yield Claim("pretrained weights (digest)", (run.model,), weights, RETRAIN)
    if arm is None:
        return
    if "recipe" in arm:
        yield Claim("intermediate task and formulation", (run.intermediate,), column_of(arm["recipe"]), RETRAIN)
        yield Claim("intermediate recipe", run[:2], without_seed(arm["recipe"]), RETRAIN)
    if (rows := _fingerprints(arm)) is not None:
        yield Claim("intermediate training data (fingerprints)", (run.intermediate,), rows, RETRAIN)
    if (parent := identity.get("parent")) is not None and "digest" in arm:
        # what was trained again after its weights were removed stands for what it replaces
        same = arm["digest"] if parent in digests(arm) else parent
        group = (*run[:2], f"seed{run.seed}")
        yield Claim("intermediate checkpoint (digest)", group, same, RETRAIN)


def of_score(cell: Cell, record: Mapping[str, Any]) -> Iterator[Claim]:
    """Yield what a score file claims.

    Args:
        cell: the cell.
        record: of `collect.read_score`.
    """
    there = (cell.target, cell.language)
    yield Claim("split", there, record["split"], RESCORE)
    yield Claim("test data (fingerprint)", there, record["data_fingerprint"], RESCORE)
    yield Claim("target recipe (hash)", (cell.model, cell.target), record["comparability"], RETRAIN)
