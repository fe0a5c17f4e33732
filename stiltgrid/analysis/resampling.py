"""Bootstrap draws of clusters of test examples, the same for every run and, in parallel test sets, every language.

Pairing needs nothing else: two runs that are scored on the same draws differ by what differs between them.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stiltgrid.artifacts import canonical_json
from stiltgrid.errors import StiltgridError

REPLICATES = 2000
BLOCK = 200
"""Replicates in memory at once: 200 of 10,000 clusters are 16 MB."""
TRIES = 1000


def seed(task: str, split: str, language: str | None, clusters: Sequence[str]) -> int:
    """Return the seed of a test set's draws.

    It is a hash of the task, the split and the sorted names of the clusters, which stand for the data's fingerprint:
    that of a file changes with the order of its rows, and a parallel test set has one file a language. Two targets of
    one task (trained on different languages, say) get the same draws, so they are paired too.

    Args:
        task: suite/task.
        split: `test` or `dev`.
        language: of a test set that is not parallel; None: one draw for all languages.
        clusters: their names.
    """
    content = canonical_json([task, split, language, sorted(clusters)])
    return int.from_bytes(hashlib.sha256(content.encode()).digest(), "big")


def draws(
    seed: int, clusters: int, replicates: int, *, present: NDArray[np.bool_] | None = None, block: int = BLOCK
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Draw clusters with replacement, as many as there are, block by block.

    The result depends on the seed and the number of clusters alone: not on the block size, and the first replicates are
    the same whatever their number. Nothing is kept, so drawing again is how a second language gets the same draws.

    Args:
        seed: of `seed`.
        clusters: their number.
        replicates: number of draws.
        present: shape (languages, clusters), which clusters a language has, where not every language of a parallel set
            has all. A draw that leaves a language without any is drawn again: it would have no score.
        block: replicates a block.

    Yields:
        The block's replicates, and how often each cluster is drawn, shape (at most `block`, clusters), float32.

    Raises:
        StiltgridError: if a language's clusters are so few of all that it is nearly always left without.
    """
    rng = np.random.default_rng(seed)
    partial = present is not None and not present.all()
    for start in range(0, replicates, block):
        counts = np.empty((min(block, replicates - start), clusters), dtype=np.float32)
        for row in counts:
            for _ in range(TRIES):
                drawn = np.bincount(rng.integers(clusters, size=clusters), minlength=clusters)
                if not partial or (drawn @ present.T).all():
                    break
            else:
                raise StiltgridError(
                    f"of {clusters} clusters, a language has only {int(present.sum(axis=1).min())}: it is left without "
                    f"any in {TRIES} draws; declare the task as not parallel"
                )
            row[:] = drawn
        yield slice(start, start + len(counts)), counts
