"""Multiple choice as text: the choices stand in the input under letters, and the letter is scored as a label.

Input `csqa question: ... A: bank B: mall ...`, target the letter of the right choice and end-of-sequence, as UnifiedQA
puts such tasks (Khashabi et al. 2020). The other way, the likelihood of each choice's text given the prompt, trains on
right texts alone and never sets a right choice against a wrong one; here training and scoring are one discriminative
step, and an example costs one encoding rather than one a choice. Letters beyond an example's choices do not count.

A choice is never cut for the sake of the prompt: too long an input loses the tail of the prompt's longest field first.
Only choices that together leave no token a field lose tails of their own, the longest first.
"""

import math
from collections.abc import Sequence
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import Feature, Setup, choices_of, cut_longest, gold
from stiltgrid.formulations.label_scores import decode
from stiltgrid.formulations.text2text import labels
from stiltgrid.formulations.text2text.labels import targets
from stiltgrid.formulations.text2text.prompts import prompts
from stiltgrid.formulations.text2text.writing import feature as made
from stiltgrid.tasks.registry import TaskRow

__all__ = ["check", "decode", "encode", "outputs"]


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the task has a prompt, and that the vocabulary tells its letters apart.

    Raises:
        StiltgridError: if not.
    """
    if not row.fields:
        raise StiltgridError(f"{row.name}: no fields; kind {row.kind} needs a prompt")
    labels.check(setup, row)


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature an example.

    Raises:
        StiltgridError: if an example lacks a field or has too few or too many choices, if `labelled` and its label is
            none of them, or the prompt's marks fill the input.
    """
    marks, columns, budget = prompts(setup, row, examples)
    letters = setup.tokens.ids([f"{letter}:" for letter in row.labels.values()])
    flat = iter(setup.tokens.ids([text for e in examples for text in choices_of(row, e)]))
    wanted = targets(setup, row)
    features = []
    for index, example in enumerate(examples):
        fields = [column[index] for column in columns]
        options = [next(flat) for _ in choices_of(row, example)]
        room = budget - sum(map(len, letters[: len(options)]))
        filled = sum(map(bool, fields))
        if room < filled + len(options):
            raise StiltgridError(
                f"{row.name}: max_input_length {setup.max_input_length} leaves {max(room, 0)} tokens for "
                f"{len(options)} choices and their prompt; raise it"
            )
        of_options = cut_longest([len(o) for o in options], room - filled)
        of_fields = cut_longest([len(f) for f in fields], room - sum(of_options))
        texts, kept = [*fields, *options], [*of_fields, *of_options]
        before = [*marks, *letters[: len(options)]]
        ids = [i for mark, text, n in zip(before, texts, kept, strict=True) for i in (*mark, *text[:n])]
        target = [*wanted[gold(row, example)[0]], setup.tokens.end] if labelled else []
        cut = sum(kept) < sum(map(len, texts))
        features.append(
            made(setup, row, index, [*ids, setup.tokens.end], target, cut, choices=len(options)),
        )
    return features


def outputs(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[list[list[float]]]:
    """Score every choice.

    Args:
        setup: the formulation's setup.
        model: an untied mT5 in evaluation mode.
        row: the task.
        features: one batch.

    Returns:
        For each feature one list: the natural log-probability of each choice, normalised over the choices.
    """
    found = []
    for feature, [scores] in zip(features, labels.outputs(setup, model, row, features), strict=True):
        own = scores[: feature.choices]
        # a NaN stays one, and is found by `decode`
        total = math.log(sum(math.exp(score - max(own)) for score in own)) + max(own)
        found.append([[score - total for score in own]])
    return found
