"""Classification and ranking by an encoder: one or two segments, one head.

The task's segments are joined as the encoder was pretrained; too long an input loses the tail of its longer segment
first. The head reads the first token or the mean over all tokens (recipe `pooling`).
"""

from collections.abc import Sequence

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup, cut_longest, gold, text_of
from stiltgrid.formulations.heads.batch import unit_scores
from stiltgrid.formulations.label_scores import check_ranking, decode
from stiltgrid.tasks.registry import TaskRow

__all__ = ["check", "decode", "encode", "outputs", "segments"]


def segments(row: TaskRow, example: Example) -> list[str]:
    """Return an example's one or two segments, by the task's declaration.

    Raises:
        StiltgridError: if the example lacks a field.
    """
    names = row.fields or tuple(example.fields)
    # without a declaration: the first field, and the others joined
    layout = row.segments or ((names[:1], names[1:]) if len(names) > 1 else (names,))
    return [" ".join(text_of(row, example, name) for name in segment) for segment in layout]


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the task has at most two segments, and that ranking labels are numbers.

    Raises:
        StiltgridError: if not.
    """
    check_ranking(row)
    if len(row.segments) > 2:
        raise StiltgridError(f"{row.name}: {len(row.segments)} segments; an encoder takes one or two")


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature an example.

    Raises:
        StiltgridError: if `labelled` and a label is missing or foreign, or the input has no room for text.
    """
    backend = setup.tokens.backend
    texts = [segments(row, e) for e in examples]
    number = len(texts[0]) if texts else 1
    budget = setup.max_input_length - backend.num_special_tokens_to_add(number == 2)
    if budget < number:
        raise StiltgridError(f"{row.name}: max_input_length {setup.max_input_length} leaves no room for text")
    columns = [backend.encode_batch([t[s] for t in texts], add_special_tokens=False) for s in range(number)]
    features = []
    for index, example in enumerate(examples):
        parts = [column[index] for column in columns]
        kept = cut_longest([len(p.ids) for p in parts], budget)
        truncated = sum(kept) < sum(len(p.ids) for p in parts)
        for part, length in zip(parts, kept, strict=True):
            part.truncate(length)
        whole = backend.post_process(*parts)
        features.append(
            Feature(
                task=row.name,
                row=index,
                first=0,
                units=1,
                input_ids=whole.ids,
                type_ids=whole.type_ids,
                decoder_ids=[],
                positions=[0],
                labels=gold(row, example) if labelled else [IGNORED],
                truncated=truncated,
            )
        )
    return features


outputs = unit_scores
