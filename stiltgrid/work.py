"""How many inputs a training run passes through its model, from its recipe and the rows that there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from stiltgrid.mixing import epoch_size


def inputs_passed(recipe: Mapping[str, Any], rows: Mapping[str, Sequence[int | None]]) -> float | None:
    """Return the inputs of all passes forward and backward; None if some rows are not known.

    Args:
        recipe: of the run.
        rows: number of rows of each training file, by task; None where it is not known.
    """
    training, robust = recipe["training"], recipe.get("robust", {})
    if training["max_steps"] is not None:
        inputs = float(training["max_steps"] * training["batch_size"])
    else:
        cap, sizes = training["train_examples"], []
        for numbers in rows.values():
            known = [number for number in numbers if number is not None]
            if len(known) < len(numbers):
                return None
            sizes.append(sum(known) if cap is None else min(sum(known), cap))
        # the mixture is of what is trained on: copies in other words, in place of the rows
        sizes = [size * robust.get("copies", 1) for size in sizes]
        inputs = training["epochs"] * epoch_size(sizes, recipe["mixing"])
    # denoising comes on top, and each step of ascent is a pass more
    return inputs / (1 - recipe.get("denoising", {}).get("rate", 0)) * (1 + robust.get("steps", 0))
