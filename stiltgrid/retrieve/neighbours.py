"""Exact nearest neighbours by cosine, block by block: memory does not grow with the product of the two sides.

Both sides are float32 matrices of vectors of length 1. Similarities are computed a block at a time (`BLOCK` rows by
`BLOCK` columns, 64 MB) and only the best of each row and each column are kept, so that both directions of a search cost
one product. docs/retrieval.md has what that takes.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096

Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]


class Side(Protocol):
    """One side of a search: a matrix, or `Chosen` rows of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class Chosen:
    """Some rows of a matrix, copied a block at a time: a copy of all would double the memory.

    Args:
        matrix: (rows, size).
        rows: which, in order.
    """

    def __init__(self, matrix: Vectors, rows: Indices) -> None:
        self.matrix, self.rows = matrix, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice, /) -> Vectors:
        return self.matrix[self.rows[rows]]


class Best:
    """The k largest similarities of each of n vectors so far, largest first, and the places of the neighbours.

    Args:
        number: n.
        k: how many are kept.
    """

    def __init__(self, number: int, k: int) -> None:
        self.values = np.full((number, k), -np.inf, dtype=np.float32)
        self.places = np.full((number, k), -1, dtype=np.int64)

    def take(self, start: int, similarities: Vectors, offset: int) -> None:
        """Take a block into account.

        Args:
            start: place of the block's first row among the n.
            similarities: (rows, columns).
            offset: place of its first column among the other side's vectors.
        """
        here = slice(start, start + len(similarities))
        values, places = self.values[here], self.places[here]
        # most rows of most blocks have nothing better than what is there already
        better = np.flatnonzero(similarities.max(axis=1) > values[:, -1])
        if not len(better):
            return
        block, k = similarities[better], values.shape[1]
        if block.shape[1] > k:
            columns = np.argpartition(block, block.shape[1] - k, axis=1)[:, -k:]
            block = np.take_along_axis(block, columns, axis=1)
        else:
            columns = np.broadcast_to(np.arange(block.shape[1]), block.shape)
        found = np.concatenate([values[better], block], axis=1)
        at = np.concatenate([places[better], columns + offset], axis=1)
        # of equal ones the first in the file
        order = np.lexsort((at, -found), axis=1)[:, :k]
        values[better] = np.take_along_axis(found, order, axis=1)
        places[better] = np.take_along_axis(at, order, axis=1)


def _blocks(number: int, block: int) -> Iterator[slice]:
    for start in range(0, number, block):
        yield slice(start, min(start + block, number))


def neighbours(queries: Side, corpus: Side, k: int, block: int = BLOCK) -> tuple[Vectors, Indices]:
    """Return the k nearest vectors of a corpus to each query.

    Args:
        queries: (n, size), of length 1.
        corpus: (m, size), of length 1.
        k: how many; fewer where the corpus has fewer.
        block: rows and columns of similarities in memory at once; changes nothing but speed.

    Returns:
        Similarities and places, each of shape (n, k), the nearest first.
    """
    best = Best(len(queries), min(k, len(corpus)))
    for rows in _blocks(len(queries), block):
        here = queries[rows]
        for columns in _blocks(len(corpus), block):
            best.take(rows.start, here @ corpus[columns].T, columns.start)
    return best.values, best.places


def both_ways(x: Side, y: Side, k: int, block: int = BLOCK) -> tuple[tuple[Vectors, Indices], tuple[Vectors, Indices]]:
    """Return the k nearest vectors of y to each of x, and of x to each of y, from one pass over the products.

    Args:
        x: (n, size), of length 1.
        y: (m, size), of length 1.
        k: how many; fewer where a side has fewer.
        block: as `neighbours`.

    Returns:
        (similarities, places) of shape (n, k), and of shape (m, k), the nearest first.
    """
    forward, backward = Best(len(x), min(k, len(y))), Best(len(y), min(k, len(x)))
    for rows in _blocks(len(x), block):
        here = x[rows]
        for columns in _blocks(len(y), block):
            product = here @ y[columns].T
            forward.take(rows.start, product, columns.start)
            backward.take(columns.start, np.ascontiguousarray(product.T), rows.start)
    return (forward.values, forward.places), (backward.values, backward.places)
