"""Question answering as text where the context may hold no answer (SQuAD 2.0).

As `span`, but every window is trained on: one without the answer writes the task's `no_answer`. The first piece of that
text decides: its log odds at the first step of decoding are the score of no answer, and barred there, the model writes
the answer that it would give. (So no answer that begins with this very piece is ever written.) Over the windows of a
context the lowest score counts, since one window with the answer is enough.
"""

import math
from collections.abc import Sequence
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import Feature, Setup, diverged
from stiltgrid.formulations.text2text import span
from stiltgrid.formulations.text2text.span import encode
from stiltgrid.formulations.text2text.writing import write
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

__all__ = ["WrittenOrNone", "check", "decode", "encode", "first_piece", "learnt", "outputs"]

WrittenOrNone = tuple[str, float, float]  # the answer, its mean log-likelihood, the log odds of no answer

SURE = 30.0  # log odds of a model that knows, for `learnt`


def first_piece(setup: Setup, row: TaskRow) -> int:
    """Return the token with which the text for no answer begins.

    Raises:
        StiltgridError: if the text has no tokens.
    """
    [ids] = setup.tokens.ids([row.no_answer or ""])
    if not ids:
        raise StiltgridError(f"{row.name}: no_answer {row.no_answer!r} has no tokens in {setup.tokens.folder}")
    return ids[0]


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the task says how long its answers may be, has a context, and a text for no answer that fits.

    Raises:
        StiltgridError: if not.
    """
    span.check(setup, row)
    first = first_piece(setup, row)
    if first == setup.tokens.unknown or first in setup.tokens.lone_marks:
        raise StiltgridError(
            f"{row.name}: no_answer {row.no_answer!r} begins with a piece that many texts begin with in the vocabulary "
            f"of {setup.tokens.folder}; change it"
        )


def outputs(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[WrittenOrNone]:
    """Return the answer that the model writes to each window of one batch, how sure it is, and of no answer how."""
    odds: list[float] = []
    written = write(setup, model, row, features, barred_first=first_piece(setup, row), odds=odds)
    return [(text, score, odd) for (text, score), odd in zip(written, odds, strict=True)]


def decode(
    setup: Setup, row: TaskRow, examples: Sequence[Example], features: Sequence[Feature], said: Sequence[WrittenOrNone]
) -> list[Prediction]:
    """Return one prediction an example, in the order of the examples: the surest window's answer, and `no_answer`.

    Raises:
        StiltgridError: if a likelihood is not finite (the run has diverged), or an example has no feature.
    """
    answers = span.decode(setup, row, examples, features, [(text, score) for text, score, _ in said])
    nothing = [math.inf] * len(examples)
    for feature, (*_, odds) in zip(features, said, strict=True):
        if not math.isfinite(odds):
            raise diverged(row, examples[feature.row])
        nothing[feature.row] = min(nothing[feature.row], odds)
    return [
        Prediction(id=answer.id, text=answer.text, no_answer=low) for answer, low in zip(answers, nothing, strict=True)
    ]


def learnt(row: TaskRow, text: str) -> WrittenOrNone:
    """Return the output of a model that has learnt to write a text: for the task's `no_answer`, that there is none."""
    return (text, -SURE, SURE) if text == row.no_answer else (text, 0.0, -SURE)
