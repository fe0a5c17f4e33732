"""Predictions of the two kinds of retrieval, from embeddings: Tatoeba's nearest sentences, BUCC's mined pairs."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.readers.bitext import ENGLISH, TUNING
from stiltgrid.retrieve.mining import mine, tuned
from stiltgrid.retrieve.neighbours import Chosen, Vectors, neighbours
from stiltgrid.schema import Retrieval

log = logging.getLogger(__name__)


def nearest(examples: Sequence[Example], vectors: Sequence[Vectors], how: Retrieval) -> list[Prediction]:
    """Return, for the English sentence of each example, the example whose own sentence is nearest by cosine.

    Args:
        examples: the rows.
        vectors: embeddings of the sentences and of the English sentences.
        how: not used.

    Returns:
        Predictions whose `text` is the id of the row that was found, `scores` the cosine.
    """
    sentences, english = vectors
    values, places = neighbours(english, sentences, 1)
    return [
        Prediction(id=example.id, text=examples[int(at)].id, scores=(float(value),))
        for example, [value], [at] in zip(examples, values, places, strict=True)
    ]


def half(name: str, seed: int) -> int:
    """Return the half, 0 or 1, that a sentence belongs to where one half's threshold is tuned on the other."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()[0] & 1


def mined(examples: Sequence[Example], vectors: Sequence[Vectors], how: Retrieval) -> list[Prediction]:
    """Return the pairs mined between the sentences of a language and English ones.

    Where the file has rows to tune on (`dev:`, see `read_comparable`), the threshold is tuned on these and used for the
    others. Where it has none, it is itself the dev set: pairs are mined from all of it, the threshold of each half of
    the language's sentences is tuned on the other half (`half`, a hash of their ids), so no sentence's own label sets
    the threshold it is held against.

    Args:
        examples: the rows, of both sides.
        vectors: their embeddings.
        how: neighbours, and the seed of the halves.

    Returns:
        Predictions of the language's rows with `text` the English id or "" and, where a pair was mined, `scores` its
        margin and the threshold. Those of English rows say nothing.

    Raises:
        StiltgridError: if there is no gold pair to tune on.
    """
    [matrix] = vectors
    scored = [row for row, example in enumerate(examples) if not example.id.startswith(TUNING)]
    tuning = [row for row, example in enumerate(examples) if example.id.startswith(TUNING)]
    pairs = _pairs(examples, matrix, scored, how)
    if tuning:
        threshold = _threshold(examples, _pairs(examples, matrix, tuning, how), tuning)
        thresholds = {0: threshold, 1: threshold}
    else:
        thresholds = {}
        for part in (0, 1):
            other = [row for row in scored if half(examples[row].id, how.seed) != part]
            rows = set(other)
            thresholds[part] = _threshold(examples, {i: at for i, at in pairs.items() if i in rows}, other)
    log.info("thresholds: %s", ", ".join(f"{value:.4f}" for value in dict.fromkeys(thresholds.values())))
    found = []
    for row, example in enumerate(examples):
        if row not in pairs:
            found.append(Prediction(id=example.id, text=""))
            continue
        at, margin = pairs[row]
        threshold = thresholds[half(example.id, how.seed)]
        text = examples[at].id if margin >= threshold else ""
        found.append(Prediction(id=example.id, text=text, scores=(margin, threshold)))
    return found


def _pairs(
    examples: Sequence[Example], matrix: Vectors, rows: Sequence[int], how: Retrieval
) -> dict[int, tuple[int, float]]:
    """Return the pairs of some rows: row of the language -> (row of English, margin), those above 0 alone.

    Texts that occur more than once are one vector in the search, and their pairs are dropped, because nothing tells
    which sentence is meant: so XTREME does.
    """
    sides: tuple[list[int], list[int]] = ([], [])
    for row in rows:
        sides[examples[row].id.removeprefix(TUNING).startswith(f"{ENGLISH}-")].append(row)
    alone: list[dict[int, bool]] = []
    for side in sides:
        count = Counter(examples[row].fields["sentence"] for row in side)
        first: dict[str, int] = {}
        for row in side:
            first.setdefault(examples[row].fields["sentence"], row)
        alone.append({row: count[text] == 1 for text, row in first.items()})
    x, y = (list(side) for side in alone)
    chosen = (Chosen(matrix, np.asarray(rows, dtype=np.int64)) for rows in (x, y))
    found = mine(*chosen, how.neighbours)
    return {x[i]: (y[j], margin) for i, j, margin in found if margin > 0 and alone[0][x[i]] and alone[1][y[j]]}


def _threshold(examples: Sequence[Example], pairs: dict[int, tuple[int, float]], rows: Sequence[int]) -> float:
    gold = sum(len(examples[row].references or ()) for row in rows)
    if not gold:
        raise StiltgridError("no gold pair to tune the threshold on; expected a dev set, or halves of one, with some")
    right = [examples[at].id in (examples[row].references or ()) for row, (at, _) in pairs.items()]
    return tuned([margin for _, margin in pairs.values()], right, gold)
