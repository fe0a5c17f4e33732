"""Scores over chunks of tags, by the rules of seqeval 0.0.12: XGLUE POS and NER, XTREME UDPOS.

XGLUE and XTREME score part-of-speech tags with an entity scorer. On bare tags its chunks are maximal runs of
equal tags, with two accidents that are part of the official numbers: a tag whose name begins with S (SCONJ,
SYM) is read as a single-token chunk, and one that begins with I (INTJ) as the inside of one. Later releases
of seqeval read bare tags differently (they strip the first letter, so that CCONJ and SCONJ become one type)
and give other numbers.

The official scripts score the concatenation of all sentences, each followed by an O. O ends every chunk and
starts none, so the counts of the sentences add up to those of the whole, exactly.
"""

from collections.abc import Sequence

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics.metric import Metric, ratio
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

Chunk = tuple[str, int, int]

# (mark of the previous tag, mark of this one) between which a chunk ends, or starts, whatever the types
_ENDS = {(a, b) for a in "BI" for b in "BSO"}
_STARTS = {("E", "E"), ("E", "I"), ("S", "E"), ("S", "I"), ("O", "E"), ("O", "I")}


def chunks(tags: Sequence[str]) -> set[Chunk]:
    """Return the chunks of one sentence.

    A tag's mark is its first character; its type is what follows the last hyphen, the whole tag if there is
    none.

    Args:
        tags: e.g. B-PER I-PER O, or DET NOUN NOUN.

    Returns:
        Triples (type, first index, last index).
    """
    found: set[Chunk] = set()
    before, type_before, start = "O", "", 0
    for index, tag in enumerate([*tags, "O"]):
        mark, type_here = tag[0], tag.rsplit("-", 1)[-1]
        changed = type_before != type_here
        if before in "ES" or (before, mark) in _ENDS or (before not in "O." and changed):
            found.add((type_before, start, index - 1))
        if mark in "BS" or (before, mark) in _STARTS or (mark not in "O." and changed):
            start = index
        before, type_before = mark, type_here
    return found


def chunk_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `chunks_matched` (same type, same ends), `chunks_predicted` and `chunks_gold` a sentence."""
    matched, predicted, gold = [], [], []
    for example, said in zip(examples, predictions, strict=True):
        if len(example.tags) != len(said.tags):
            # the official scripts pad with O, which adds no chunk: cutting a hard sentence short would pay
            raise StiltgridError(
                f"{task.name}: {said.id!r} has {len(said.tags)} tags, expected {len(example.tags)}; nothing is padded"
            )
        true, answered = chunks(example.tags), chunks(said.tags)
        matched.append(len(true & answered))
        predicted.append(len(answered))
        gold.append(len(true))
    return {"chunks_matched": matched, "chunks_predicted": predicted, "chunks_gold": gold}


_F1 = {
    "columns": ("chunks_matched", "chunks_predicted", "chunks_gold"),
    "of_sums": ratio({"chunks_matched": 2}, {"chunks_predicted": 1, "chunks_gold": 1}),
}

POS_XGLUE = Metric(
    "pos_xglue",
    "precision (official)",
    "sentence",
    chunk_statistics,
    columns=("chunks_matched", "chunks_predicted"),
    of_sums=ratio({"chunks_matched": 1}, {"chunks_predicted": 1}),
)
UDPOS_F1 = Metric("udpos_f1", "F1 (official)", "sentence", chunk_statistics, **_F1)
NER_F1 = Metric("ner_f1", "F1", "sentence", chunk_statistics, **_F1)
