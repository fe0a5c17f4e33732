"""Text in, text out (mT5). One module a formulation; `KINDS` says which kind of task is put how."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import Feature, Setup, in_parts
from stiltgrid.formulations.text2text import choice, generation, labels, span, span_or_none, tagging
from stiltgrid.formulations.text2text.batch import collate
from stiltgrid.formulations.text2text.prompts import prefix
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

__all__ = ["KINDS", "check", "collate", "decode", "encode", "outputs", "round_trip"]

KINDS: dict[str, ModuleType] = {
    "classification": labels,
    "ranking": labels,
    "tagging": tagging,
    "span": span,
    "span_or_none": span_or_none,
    "choice": choice,
    "generation": generation,
}


def check(setup: Setup) -> None:
    """Check that every task can be put to this family with this vocabulary.

    Raises:
        StiltgridError: for a kind without a formulation, and whatever a formulation finds.
    """
    short: dict[str, str] = {}
    for row in setup.rows.values():
        if short.setdefault(prefix(row), row.name) != row.name:
            raise StiltgridError(
                f"{row.name} and {short[prefix(row)]} share the prefix {prefix(row)!r}; train them apart"
            )
    for row in setup.rows.values():
        _kind(row).check(setup, row)


def encode(setup: Setup, task: str, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Turn examples into features; a long input into several.

    Args:
        setup: the formulation's setup.
        task: a task of the setup.
        examples: its examples.
        labelled: put the gold labels into the features; else they hold nothing to learn from.

    Raises:
        StiltgridError: if `labelled` and a label is missing or foreign, or the input has no room for text.
    """
    row = setup.rows[task]
    return in_parts(_kind(row).encode, setup, row, examples, labelled)


def outputs(setup: Setup, model: Any, task: str, features: Sequence[Feature]) -> list[Any]:
    """Return what the model says to one batch of features of one task, one item a feature, as `decode` takes it.

    Args:
        setup: the formulation's setup.
        model: an untied mT5 in evaluation mode.
        task: the task's name.
        features: the batch.
    """
    row = setup.rows[task]
    return _kind(row).outputs(setup, model, row, features)


def decode(
    setup: Setup, task: str, examples: Sequence[Example], features: Sequence[Feature], said: Sequence[Any]
) -> list[Prediction]:
    """Turn outputs into one prediction an example, in the order of the examples.

    Args:
        setup: the formulation's setup.
        task: the task's name.
        examples: what was encoded.
        features: their inputs, in any order.
        said: for each feature, its output.

    Raises:
        StiltgridError: if an output is not finite, or an example or word has none.
    """
    row = setup.rows[task]
    return _kind(row).decode(setup, row, examples, features, said)


def round_trip(setup: Setup, task: str, examples: Sequence[Example]) -> list[Prediction]:
    """Return what a model that has learnt its targets perfectly answers: the ceiling that the vocabulary sets.

    Where the answer is not the gold one, its text was changed by the vocabulary's normaliser, has characters that are
    the unknown piece, or is longer than `output_length`.

    Args:
        setup: the formulation's setup.
        task: a task whose answers are written (kind span or generation).
        examples: its examples, with references.

    Raises:
        StiltgridError: if an example has no reference.
    """
    row = setup.rows[task]
    features = encode(setup, task, examples, True)
    learnt = getattr(_kind(row), "learnt", lambda _, text: (text, 0.0))
    said = [learnt(row, text) for text in setup.tokens.texts([f.labels for f in features])]
    return decode(setup, task, examples, features, said)


def _kind(row: TaskRow) -> ModuleType:
    try:
        return KINDS[row.formulation]
    except KeyError:
        raise StiltgridError(
            f"{row.name}: kind {row.kind!r} has no formulation in the family text2text; it has: {', '.join(KINDS)}"
        ) from None
