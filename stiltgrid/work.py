"""How many inputs a training run passes through its model, from its recipe and the rows that there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from stiltgrid.mixing import epoch_size, shares
from stiltgrid.tasks.registry import task


def inputs_of_example(family: str, name: str) -> int:
    """Return how many inputs an example of a task is: to an encoder with heads each of its choices is one."""
    row = task(name)
    return len(row.labels) if family == "heads" and row.kind == "choice" else 1


def inputs_passed(recipe: Mapping[str, Any], rows: Mapping[str, Sequence[int | None]]) -> float | None:
    """Return the inputs of all passes forward and backward; None if rows that count are not known.

    Args:
        recipe: of the run.
        rows: number of rows of each training file, by task; None where it is not known.
    """
    training, robust = recipe["training"], recipe.get("robust", {})
    cap, sizes = training["train_examples"], []
    for numbers in rows.values():
        known = [number for number in numbers if number is not None]
        size = sum(known) if cap is None else min(sum(known), cap)
        # the mixture is of what is trained on: copies in other words, in place of the rows
        sizes.append(size * robust.get("copies", 1) if len(known) == len(numbers) else None)
    complete = [size for size in sizes if size is not None]
    whole = len(complete) == len(sizes)
    if training["max_steps"] is not None:
        examples = float(training["max_steps"] * training["batch_size"])
    elif whole:
        examples = training["epochs"] * epoch_size(complete, recipe["mixing"])
    else:
        return None
    each = [inputs_of_example(recipe["model"]["family"], name) for name in rows]
    if len(set(each)) == 1:
        inputs = examples * each[0]
    elif whole:
        drawn = shares(complete, recipe["mixing"])
        inputs = examples * sum(share * number for share, number in zip(drawn, each, strict=True))
    else:
        return None
    # denoising comes on top, and each step of ascent is a pass more
    return inputs / (1 - recipe.get("denoising", {}).get("rate", 0)) * (1 + robust.get("steps", 0))
