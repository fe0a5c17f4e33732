"""Tagging by an encoder: one label a word, at its first piece that carries one of its characters.

Sentencepiece vocabularies begin a Chinese word with a bare word-start mark, which says nothing on the word. (Measured
on UD part of speech, multilingual-e5-small, 200 steps on English: Chinese 41 % by the very first piece, 63 % this way,
60 % by the mean over pieces; Japanese 32, 55, 43; English 96 each.) A word without any piece (characters that the
normaliser removes) is given the unknown piece, so that it has exactly one tag like any other. A long sentence is cut
into consecutive windows of words; nothing is dropped but the tail of a single word that alone exceeds a window, which
is counted as truncated.
"""

from collections.abc import Sequence

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup, gold, windows
from stiltgrid.formulations.heads.batch import unit_scores
from stiltgrid.formulations.label_scores import decode
from stiltgrid.tasks.registry import TaskRow

__all__ = ["check", "decode", "encode", "outputs"]


def check(setup: Setup, row: TaskRow) -> None:
    """Check nothing: every vocabulary can be tagged."""


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature a window of each sentence.

    Raises:
        StiltgridError: if `labelled` and tags are foreign or too few, or no word fits.
    """
    backend = setup.tokens.backend
    # the special pieces around one segment, found by asking: "" becomes e.g. <s> </s>, or only </s>
    around = backend.encode("").ids
    before = 1 if len(around) > 1 else 0
    budget = setup.max_input_length - len(around)
    if budget < 1:
        raise StiltgridError(f"{row.name}: max_input_length {setup.max_input_length} leaves no room for a word")
    flat = setup.tokens.ids([w for e in examples for w in e.words or ()])
    marks = setup.tokens.lone_marks
    features = []
    offset = 0
    for index, example in enumerate(examples):
        number = len(example.words or ())
        words = [ids or [setup.tokens.unknown] for ids in flat[offset : offset + number]]
        offset += number
        labels = gold(row, example) if labelled else [IGNORED] * number
        for start, stop in windows([min(len(w), budget) for w in words], budget):
            ids = list(around[:before])
            positions = []
            for word in words[start:stop]:
                content = next((i for i, piece in enumerate(word[:budget]) if piece not in marks), 0)
                positions.append(len(ids) + content)
                ids += word[:budget]
            ids += around[before:]
            features.append(
                Feature(
                    task=row.name,
                    row=index,
                    first=start,
                    units=stop - start,
                    input_ids=ids,
                    type_ids=[0] * len(ids),
                    decoder_ids=[],
                    positions=positions,
                    labels=labels[start:stop],
                    truncated=any(len(w) > budget for w in words[start:stop]),
                )
            )
    return features


outputs = unit_scores
