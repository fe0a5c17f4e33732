"""Generation as text: questions (QG) and titles (NTG), or any text for a text.

Input `qg passage: ...`, target the reference and end-of-sequence. Too long an input loses the tail of its longest
field first, too long a target its own tail (`output_length`); in training both are counted as truncated. How the text
is written: `writing`.
"""

from collections.abc import Sequence
from typing import Any

from stiltgrid.examples import Example
from stiltgrid.formulations.features import Feature, Setup
from stiltgrid.formulations.text2text.prompts import inputs
from stiltgrid.formulations.text2text.writing import Written, best, check_length, feature, targets, write
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

__all__ = ["check", "decode", "encode", "outputs"]


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the task says how long its texts may be.

    Raises:
        StiltgridError: if not.
    """
    check_length(row)


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature an example.

    Raises:
        StiltgridError: if `labelled` and an example has no reference, or the prompt alone fills the input.
    """
    wanted = targets(setup, row, examples) if labelled else [([], False)] * len(examples)
    made = zip(inputs(setup, row, examples), wanted, strict=True)
    return [
        feature(setup, row, index, ids, target, truncated or cut)
        for index, ((ids, truncated), (target, cut)) in enumerate(made)
    ]


def outputs(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[Written]:
    """Return what the model writes to each input of one batch; see `writing.write`."""
    return write(setup, model, row, features)


def decode(
    setup: Setup, row: TaskRow, examples: Sequence[Example], features: Sequence[Feature], said: Sequence[Written]
) -> list[Prediction]:
    """Return one prediction an example, in the order of the examples: the text as it was written.

    Raises:
        StiltgridError: if a likelihood is not finite (the run has diverged), or an example has no feature.
    """
    texts = best(row, examples, features, said)
    return [Prediction(id=example.id, text=text) for example, text in zip(examples, texts, strict=True)]
