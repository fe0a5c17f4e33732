"""Sentence retrieval straight from a checkpoint: embeddings of an encoder's layer, and what is searched among them.

`search` names the procedure of a task's row: `nearest` (Tatoeba) or `mining` (BUCC 2018). Both take embeddings that are
there already, so they are tested without a model.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.retrieve.pairs import mined, nearest
from stiltgrid.schema import Retrieval
from stiltgrid.tasks.registry import TaskRow

Vectors = NDArray[np.float32]
Procedure = Callable[[Sequence[Example], Sequence[Vectors], Retrieval], list[Prediction]]

SEARCHES: dict[str, Procedure] = {"nearest": nearest, "mining": mined}
"""Name in a task's row -> function of (examples, embeddings of each of the task's fields, settings)."""


def texts(task: TaskRow, examples: Sequence[Example]) -> list[list[str]]:
    """Return what is embedded: for each field of the task, the text of every example."""
    return [[example.fields[name] for example in examples] for name in task.fields]


def search(task: TaskRow, examples: Sequence[Example], vectors: Sequence[Vectors], how: Retrieval) -> list[Prediction]:
    """Return one prediction an example.

    Args:
        task: a retrieval task.
        examples: its rows; `references` of rows that tune a threshold are looked at, no others'.
        vectors: for each field of the task, embeddings of shape (examples, size), of length 1.
        how: the settings.
    """
    assert task.search is not None
    return SEARCHES[task.search](examples, vectors, how)
