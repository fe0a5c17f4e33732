"""Examples to model input and model output to predictions, one module a model family.

Both families keep one interface of plain functions:

- `check(setup)` raises if a task cannot be put to this family;
- `encode(setup, task, examples, labelled)` gives features, `collate(setup, features)` a batch of tensors;
- `outputs(setup, model, task, features)` gives what the model says to each feature;
- `decode(setup, task, examples, features, outputs)` turns that into predictions.

Within a family, the table `KINDS` names one module a kind of task, each with the same four functions for one task's
row (but for `collate`: the tasks of a run share their batches).
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.tasks.registry import TaskRow

VERSION = 1  # part of every recipe and prediction: raise it when encoding or scoring changes results


def described(row: TaskRow) -> dict[str, Any]:
    """Return what a task is to a model, as plain JSON.

    That is its kind, labels with verbalisers in order (or whence they come), fields, segments, and, where answers are
    written, their length and what stands for no answer.
    """
    about = {
        "kind": row.kind,
        "labels": [list(pair) for pair in row.labels.items()],
        "fields": list(row.fields),
        "segments": [list(segment) for segment in row.segments],
    }
    # keys that only some tasks have, so that the others' recipes stay what they are
    also = {"output_length": row.output_length, "no_answer": row.no_answer, "labels_from": row.labels_from}
    if row.labels_from is not None:
        about["labels"] = []  # they follow from the training data, which the identity holds
    return about | {key: value for key, value in also.items() if value is not None}


def check_trained(recorded: Mapping[str, Any], row: TaskRow) -> None:
    """Check that a task is still what a recipe says; another verbaliser or field order is another task to a model.

    Args:
        recorded: the recipe's `formulation`: `version`, and `tasks` as `described`.
        row: the task's row now.

    Raises:
        StiltgridError: naming the task and the first key that differs.
    """
    remedy = "train it again, or restore the row"
    if recorded["version"] != VERSION:
        raise StiltgridError(
            f"{row.name}: trained with version {recorded['version']} of the formulations, this is version {VERSION}; "
            "train it again"
        )
    if row.name not in recorded["tasks"]:
        raise StiltgridError(f"{row.name}: the run is not trained on it, but on {', '.join(recorded['tasks'])}")
    trained = recorded["tasks"][row.name]
    for key, now in described(row).items():
        if trained.get(key) != now:
            raise StiltgridError(f"{row.name}: its {key} were {trained.get(key)} in the recipe, now {now}; {remedy}")


def formulation(family: str) -> ModuleType:
    """Return the module of a model family.

    Raises:
        StiltgridError: if there is no such family.
    """
    if family == "text2text":
        from stiltgrid.formulations import text2text

        return text2text
    if family == "heads":
        from stiltgrid.formulations import heads

        return heads
    raise StiltgridError(f"model family {family!r}: {nearest(family, ('text2text', 'heads'))}")
