"""Multiple choice by an encoder: prompt and choice as two segments, one score a choice, softmax over the choices.

As BERT answers SWAG (Devlin et al. 2019, section 4.4). A choice is never cut for the sake of the prompt: too long a
prompt loses the tail of its longest field, the same for all choices of an example, so that their scores compare. Only a
choice that leaves no token a field loses its own tail. Examples of a batch may have different numbers of choices.
"""

from collections.abc import Sequence
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import (
    IGNORED,
    Feature,
    Setup,
    choices_of,
    cut_longest,
    gold,
    text_of,
)
from stiltgrid.formulations.heads.batch import logits
from stiltgrid.formulations.label_scores import decode
from stiltgrid.tasks.registry import TaskRow

__all__ = ["check", "decode", "encode", "outputs"]


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the task has a prompt.

    Raises:
        StiltgridError: if it declares no field.
    """
    if not row.fields:
        raise StiltgridError(f"{row.name}: no fields; kind {row.kind} needs a prompt")


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature an example, which holds an input a choice.

    Raises:
        StiltgridError: if an example lacks a field or has too few or too many choices, if `labelled` and its label is
            none of them, or the input has no room for text.
    """
    from tokenizers import Encoding

    backend = setup.tokens.backend
    budget = setup.max_input_length - backend.num_special_tokens_to_add(True)
    if budget <= len(row.fields):
        raise StiltgridError(f"{row.name}: max_input_length {setup.max_input_length} leaves no room for text")
    columns = [
        backend.encode_batch([text_of(row, e, name) for e in examples], add_special_tokens=False) for name in row.fields
    ]
    flat = iter(backend.encode_batch([text for e in examples for text in choices_of(row, e)], add_special_tokens=False))
    features = []
    for index, example in enumerate(examples):
        prompt = [column[index] for column in columns]
        options = [next(flat) for _ in choices_of(row, example)]
        longest = max(len(option.ids) for option in options)
        most = min(longest, budget - sum(bool(part.ids) for part in prompt))
        kept = cut_longest([len(part.ids) for part in prompt], budget - most)
        truncated = most < longest or sum(kept) < sum(len(part.ids) for part in prompt)
        for part, length in zip(prompt, kept, strict=True):
            part.truncate(length)
        joined = Encoding.merge(prompt, growing_offsets=True)
        inputs = []
        for option in options:
            option.truncate(most)
            whole = backend.post_process(joined, option)
            inputs.append((whole.ids, whole.type_ids))
        features.append(
            Feature(
                task=row.name,
                row=index,
                first=0,
                units=1,
                input_ids=inputs[0][0],
                type_ids=inputs[0][1],
                decoder_ids=[],
                positions=[0],
                labels=gold(row, example) if labelled else [IGNORED],
                truncated=truncated,
                choices=len(options),
                others=tuple(inputs[1:]),
            )
        )
    return features


def outputs(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[list[list[float]]]:
    """Score every choice.

    Args:
        setup: the formulation's setup.
        model: an `EncoderWithHeads` in evaluation mode.
        row: the task.
        features: one batch.

    Returns:
        For each feature one list: the natural log-probability of each choice, normalised over the choices.
    """
    scores = logits(setup, model, row.name, features)
    found, first = [], 0
    for feature in features:
        found.append([scores[first, 0, : feature.choices].log_softmax(-1).tolist()])
        first += feature.choices
    return found
