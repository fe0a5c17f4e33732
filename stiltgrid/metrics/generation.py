"""Corpus BLEU and chrF from sacrebleu's counts (Post 2018): n-grams of each sentence, a score from their sums.

BLEU is what XGLUE's evaluator calls for QG and NTG, `sacrebleu.corpus_bleu(lines, [references], lowercase=True)`:
BLEU-4 against one reference, tokenizer 13a in every language, exponential smoothing of orders without a match. chrF
(Popović 2015) is sacrebleu's default: characters 1 to 6 without white space, beta 2, case kept.

sacrebleu tokenises and counts; nothing is counted here. BLEU's counts are in its public sentence score. chrF's are in
nothing public, so they come from `_extract_corpus_statistics`, the method that its corpus score and its bootstrap rest
on; a test compares both with the corpus scores and would notice another layout. The formulas below repeat its
arithmetic operation by operation, so that integer sums give its score to the last bit.
"""

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics.metric import Metric, Sums
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

BLEU_ORDER, CHRF_ORDER = 4, 6
BLEU_COLUMNS = (
    *(f"bleu_match_{n}" for n in range(1, BLEU_ORDER + 1)),
    *(f"bleu_total_{n}" for n in range(1, BLEU_ORDER + 1)),
    "bleu_length",
    "bleu_reference_length",
)
CHRF_COLUMNS = tuple(
    f"chrf_{part}_{n}" for n in range(1, CHRF_ORDER + 1) for part in ("total", "reference_total", "match")
)
NO_MATCH = -9999999999.0
"""sacrebleu's logarithm of 0; its exponential, divided by 4, is 0."""

_BREAKS = re.compile(r"\r\n|[\n\r\t]")


def one_line(text: str) -> str:
    r"""Return a text with each line end (CR LF counts as one) and each tab as one space.

    In a file of lines, a line break would shift every answer below it, and a tab would end a field.

    >>> one_line("a\r\nb\tc\u2028d")
    'a b c\u2028d'
    """
    return _BREAKS.sub(" ", text)


def _lines(
    task: TaskRow, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> tuple[list[str], list[str]]:
    """Return answers and references, a line each."""
    answers, references = [], []
    for example, said in zip(examples, predictions, strict=True):
        if said.text is None or example.references is None or len(example.references) != 1:
            found = "no text" if said.text is None else f"{len(example.references or ())} references, expected one"
            raise StiltgridError(f"{task.name}: {example.id!r} has {found}; a text may be empty, not absent")
        # stripped, as the official evaluator reads a line
        answers.append(one_line(said.text).strip())
        references.append(one_line(example.references[0]).strip())
    return answers, references


@cache
def _counters() -> tuple[Any, Any]:
    from sacrebleu.metrics import BLEU, CHRF

    # effective_order changes no count; without it every sentence score warns that it is not meant to be read
    return BLEU(lowercase=True, effective_order=True), CHRF()


def bleu_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `BLEU_COLUMNS` a sentence: n-grams matched and in all, and tokens of the answer and of the reference.

    Raises:
        StiltgridError: if an example has not exactly one reference, or no text.
    """
    counter, _ = _counters()
    rows = []
    for answer, reference in zip(*_lines(task, examples, predictions), strict=True):
        found = counter.sentence_score(answer, [reference])
        rows.append((*found.counts, *found.totals, found.sys_len, found.ref_len))
    return _by_column(BLEU_COLUMNS, rows)


def chrf_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `CHRF_COLUMNS` a sentence: for each order the n-grams of the answer, of the reference, and in both.

    Raises:
        StiltgridError: as `bleu_statistics`.
    """
    answers, references = _lines(task, examples, predictions)
    _, counter = _counters()
    return _by_column(CHRF_COLUMNS, counter._extract_corpus_statistics(answers, [references]) if answers else [])


def _by_column(names: Sequence[str], rows: Sequence[Sequence[int]]) -> dict[str, list]:
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _divided(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def bleu_of_sums(sums: Sums) -> NDArray[np.float64]:
    """Return corpus BLEU, 0 to 100, from sums of `BLEU_COLUMNS`, elementwise."""
    table = np.stack([np.asarray(sums[name], dtype=np.float64) for name in BLEU_COLUMNS])
    match, total, (length, reference) = table[:BLEU_ORDER], table[BLEU_ORDER:-2], table[-2:]
    # the k-th order without a match counts as 1 / 2^k of a match, up to the first order that the answers lack
    halvings = 2.0 ** np.cumsum(match == 0, axis=0)
    precision = np.where(
        match > 0, _divided(100.0 * match, total), _divided(np.full_like(total, 100), halvings * total)
    )
    # logarithms by the C library, added by Python's sum: numpy's own may differ from sacrebleu's in the last bit
    mean = [
        math.exp(sum(math.log(p) if p else NO_MATCH for p in orders) / BLEU_ORDER)
        for orders in precision.reshape(BLEU_ORDER, -1).T.tolist()
    ]
    ends = zip(length.ravel().tolist(), reference.ravel().tolist(), strict=True)
    brevity = [1.0 if said >= gold else math.exp(1 - gold / said) if said > 0 else 0.0 for said, gold in ends]
    score = (np.asarray(brevity) * np.asarray(mean)).reshape(length.shape)
    return np.where((match > 0).any(axis=0), score, 0.0)


def chrf_of_sums(sums: Sums) -> NDArray[np.float64]:
    """Return corpus chrF, 0 to 100, from sums of `CHRF_COLUMNS`, elementwise."""
    table = np.stack([np.asarray(sums[name], dtype=np.float64) for name in CHRF_COLUMNS])
    total, reference, match = table[0::3], table[1::3], table[2::3]
    # orders that the answers or the references are too short for do not count
    counts = (total > 0) & (reference > 0)
    effective = counts.sum(axis=0).astype(np.float64)
    precision, recall = (
        _divided(np.add.reduce(np.where(counts, _divided(match, of), 0.0), axis=0), effective)
        for of in (total, reference)
    )
    return 100 * _divided(5 * precision * recall, 4 * precision + recall)


BLEU = Metric("bleu", "BLEU", "sentence", bleu_statistics, BLEU_COLUMNS, bleu_of_sums)
CHRF = Metric("chrf", "chrF", "sentence", chrf_statistics, CHRF_COLUMNS, chrf_of_sums)
