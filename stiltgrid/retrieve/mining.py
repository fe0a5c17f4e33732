"""Bitext mining by ratio margin (Artetxe and Schwenk 2019, sections 3 and 4.3), as XTREME does it for BUCC 2018.

The score of two sentences is their cosine over the mean of their mean cosines with their k nearest neighbours on the
other side. Candidates are the best of each sentence of either side; they are taken by falling score, one to one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stiltgrid.errors import StiltgridError
from stiltgrid.retrieve.neighbours import BLOCK, Side, Vectors, both_ways


class Pair(NamedTuple):
    """Two sentences that were mined, by their places, and their margin."""

    x: int
    y: int
    margin: float


def margins(
    similarities: Vectors, own: NDArray[np.float64], others: NDArray[np.float64], places: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the ratio margin of each sentence with each of its neighbours, shape (n, k).

    Args:
        similarities: (n, k), cosines with the neighbours.
        own: (n), mean cosine of a sentence with its neighbours.
        others: mean cosine of each sentence of the other side with its neighbours.
        places: (n, k), places of the neighbours.
    """
    return similarities / ((own[:, None] + others[places]) / 2)


def mine(x: Side, y: Side, k: int = 4, block: int = BLOCK) -> list[Pair]:
    """Return pairs of sentences, one to one, by falling margin.

    Args:
        x: (n, size), vectors of length 1, of different sentences.
        y: (m, size), likewise.
        k: neighbours that the margin is taken over.
        block: as `neighbours`.
    """
    if not len(x) or not len(y):
        return []
    (forward, to_y), (backward, to_x) = both_ways(x, y, k, block)
    mean_x, mean_y = (values.mean(axis=1, dtype=np.float64) for values in (forward, backward))
    scores_x = margins(forward, mean_x, mean_y, to_y)
    scores_y = margins(backward, mean_y, mean_x, to_x)
    best_x, best_y = scores_x.argmax(axis=1), scores_y.argmax(axis=1)
    rows, columns = np.arange(len(x)), np.arange(len(y))
    sources = np.concatenate([rows, to_x[columns, best_y]])
    targets = np.concatenate([to_y[rows, best_x], columns])
    scores = np.concatenate([scores_x[rows, best_x], scores_y[columns, best_y]])
    free_x, free_y = np.ones(len(x), dtype=bool), np.ones(len(y), dtype=bool)
    found = []
    for at in np.argsort(-scores, kind="stable"):
        i, j = int(sources[at]), int(targets[at])
        if free_x[i] and free_y[j]:
            free_x[i] = free_y[j] = False
            found.append(Pair(i, j, float(scores[at])))
    return found


def tuned(scores: Sequence[float], right: Sequence[bool], gold: int) -> float:
    """Return the threshold at which the pairs that score no less have the highest F1.

    As XTREME's `bucc_optimize`: the middle between two neighbouring scores. There is none between equal ones, and below
    the last there is only the last, where the official script ends in an error.

    Args:
        scores: of mined pairs.
        right: is a pair one of the gold ones?
        gold: number of gold pairs.

    Raises:
        StiltgridError: if there is no gold pair to tune on.
    """
    if not gold:
        raise StiltgridError("no gold pair to tune the threshold on; expected a dev set, or halves of one, with some")
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    best, threshold = 0.0, 0.0
    correct = 0
    for taken, at in enumerate(order, start=1):
        correct += bool(right[at])
        here = float(scores[at])
        below = float(scores[order[taken]]) if taken < len(order) else here
        if taken < len(order) and below == here:
            continue
        f1 = 2 * correct / (taken + gold)
        if f1 > best:
            best, threshold = f1, (here + below) / 2
    return threshold
