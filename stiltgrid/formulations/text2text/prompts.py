"""The prompt of a text2text task: its short name, then each field under its own name."""

from collections.abc import Sequence

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import Setup, cut_longest, text_of
from stiltgrid.tasks.registry import TaskRow


def prefix(row: TaskRow) -> str:
    """Return the word that tells a task from the others of a run."""
    return row.name.split("/")[1]


def prompts(
    setup: Setup, row: TaskRow, examples: Sequence[Example]
) -> tuple[list[list[int]], list[list[list[int]]], int]:
    """Return the pieces of which each input `xnli premise: ... hypothesis: ...` is joined.

    Args:
        setup: the formulation's setup.
        row: the task.
        examples: its examples.

    Returns:
        Ids of the mark before each field; for each field, ids of each example's text; and how many tokens the
        texts of an input may have together.

    Raises:
        StiltgridError: if the marks fill the input.
    """
    names = row.fields or tuple(examples[0].fields if examples else ())
    marks = setup.tokens.ids([f"{prefix(row)} {n}:" if i == 0 else f"{n}:" for i, n in enumerate(names)])
    budget = setup.max_input_length - sum(map(len, marks)) - 1
    if budget < len(names):
        raise StiltgridError(
            f"{row.name}: max_input_length {setup.max_input_length} leaves {max(budget, 0)} tokens for "
            f"{len(names)} fields; raise it"
        )
    return marks, [setup.tokens.ids([text_of(row, e, n) for e in examples]) for n in names], budget


def inputs(setup: Setup, row: TaskRow, examples: Sequence[Example]) -> list[tuple[list[int], bool]]:
    """Return each example's input: its prompt, all fields whole if they fit, and end-of-sequence.

    Args:
        setup: the formulation's setup.
        row: the task.
        examples: its examples.

    Returns:
        For each example its token ids, and whether the longest field (and, if need be, the next) lost its tail.

    Raises:
        StiltgridError: as `prompts`.
    """
    marks, columns, budget = prompts(setup, row, examples)
    made = []
    for index in range(len(examples)):
        texts = [column[index] for column in columns]
        kept = cut_longest([len(t) for t in texts], budget)
        ids = [i for mark, text, n in zip(marks, texts, kept, strict=True) for i in (*mark, *text[:n])]
        made.append(([*ids, setup.tokens.end], sum(kept) < sum(map(len, texts))))
    return made
