"""Question answering by an encoder: the answer is a span of the context, found by a start and an end score a token.

As BERT answers SQuAD (Devlin et al. 2019, section 4.2), with the constants of its run_squad.py, which XTREME's
baselines keep (there with `max_input_length` 384): the question, cut at its declared most, and a window of the context
are one input; windows overlap; the best span over all windows is the answer, byte for byte from the context.

A span begins and ends with whole pieces (`offsets`), so not every answer can be given. Measured with the vocabulary of
multilingual-e5-small on MLQA's dev sample, F1 of gold spans so written: en 99.4, vi 98.2, hi 98.1, de 97.7, es 97.0,
zh 96.6, ar 94.9; without the most of 30 tokens 98.6 for ar, 99 or more for the others. In XQuAD, Thai included, 99.4
or more.
"""

import math
import string
from collections.abc import Sequence
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup, diverged, overlapping, text_of
from stiltgrid.formulations.heads.batch import logits
from stiltgrid.formulations.heads.offsets import Offsets, located
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

__all__ = ["answer_tokens", "best_spans", "check", "context_windows", "decode", "encode", "outputs"]

# run_squad.py of google-research/bert: doc_stride, max_query_length, n_best_size, max_answer_length
STRIDE = 128
MOST_QUESTION_TOKENS = 64
N_BEST = 20
MOST_ANSWER_TOKENS = 30

NOWHERE = 0  # the token at which start and end of a window without the answer are put; never one of the context

Span = tuple[int, int, float]


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the task has a question and a context.

    Raises:
        StiltgridError: if it declares fields without them.
    """
    if row.fields and not {"question", "context"} <= set(row.fields):
        raise StiltgridError(f"{row.name}: fields {', '.join(row.fields)}; kind span needs question and context")


def context_windows(tokens: int, room: int) -> list[tuple[int, int]]:
    """Cut a context into overlapping windows.

    The stride is STRIDE, or half the room where that is less: an answer of at most `room - stride + 1` tokens is whole
    in one of them.

    Args:
        tokens: of the context.
        room: tokens of a window; at least 1.

    Returns:
        (first token, one past the last token) of each window.
    """
    return overlapping(tokens, room, room - min(STRIDE, max(1, room // 2)))


def answer_tokens(offsets: Sequence[tuple[int, int]], begin: int, end: int) -> tuple[int, int] | None:
    """Return the first and the last token of an answer, or None if no token holds any of it.

    Args:
        offsets: where each token begins and ends in the context; empty ones are passed over.
        begin: the answer's first code point.
        end: one past its last.
    """
    touched = [i for i, (a, b) in enumerate(offsets) if a < b and a < end and b > begin]
    return (touched[0], touched[-1]) if touched else None


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature a window of each example's context.

    An input is counted as truncated if its question was cut, and, when `labelled`, the first window of an example
    whose answer no window holds whole. Offsets are for finding answers: labelled features, of which there may be
    hundreds of thousands, have none.

    Raises:
        StiltgridError: if a field is missing, the input has no room for text, or, when `labelled`, an example has no
            answer (where the task has none such) or one that is not at its place in the context.
    """
    backend = setup.tokens.backend
    room = setup.max_input_length - backend.num_special_tokens_to_add(True)
    if room < 2:
        raise StiltgridError(f"{row.name}: max_input_length {setup.max_input_length} leaves no room for text")
    most = min(MOST_QUESTION_TOKENS, room // 2)
    questions = backend.encode_batch([text_of(row, e, "question") for e in examples], add_special_tokens=False)
    contexts = located(setup.tokens, [text_of(row, e, "context") for e in examples])
    # one piece in the place of the context shows what the model was pretrained to see around it
    stand_in = backend.encode("a", add_special_tokens=False)
    stand_in.truncate(1)
    features = []
    for index, (example, question) in enumerate(zip(examples, questions, strict=True)):
        pieces, offsets = contexts[example.fields["context"]]
        cut = len(question.ids) > most
        question.truncate(most)
        frame = backend.post_process(question, stand_in)
        at = frame.sequence_ids.index(1)
        before, after, types = frame.ids[:at], frame.ids[at + 1 :], frame.type_ids
        width = setup.max_input_length - len(before) - len(after)
        gold = _gold(row, example, offsets) if labelled else None
        windows = context_windows(len(pieces), width)
        held = [gold is not None and first <= gold[0] and gold[1] < stop for first, stop in windows]
        lost = labelled and not any(held) and bool(example.references)
        for number, (first, stop) in enumerate(windows):
            labels = [IGNORED, IGNORED]
            if labelled:
                labels = [at + i - first for i in gold] if gold and held[number] else [NOWHERE, NOWHERE]
            features.append(
                Feature(
                    task=row.name,
                    row=index,
                    first=first,
                    units=2,  # the start and the end
                    input_ids=[*before, *pieces[first:stop], *after],
                    type_ids=[*types[:at], *[types[at]] * (stop - first), *types[at + 1 :]],
                    decoder_ids=[],
                    positions=[NOWHERE, NOWHERE],
                    labels=labels,
                    truncated=cut or (lost and number == 0),
                    offsets=() if labelled else ((0, 0),) * at + offsets[first:stop] + ((0, 0),) * len(after),
                )
            )
    return features


def _gold(row: TaskRow, example: Example, offsets: Offsets) -> tuple[int, int] | None:
    if row.no_answer is not None and example.references == ():
        return None
    if not example.references or not example.starts:
        raise StiltgridError(f"{row.name}: example {example.id!r} has no answer with its place in the context")
    answer, begin = example.references[0], example.starts[0]
    found = example.fields["context"][begin : begin + len(answer)]
    if found != answer:
        raise StiltgridError(
            f"{row.name}: example {example.id!r}: the answer {answer!r} is said to begin at code point {begin} of the "
            f"context, where {found!r} stands; mend or leave out the row"
        )
    return answer_tokens(offsets, begin, begin + len(answer))


def outputs(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[list[Span]]:
    """Find the best spans of each window.

    Args:
        setup: the formulation's setup.
        model: an `EncoderWithHeads` in evaluation mode.
        row: the task.
        features: one batch, encoded without labels.

    Returns:
        See `best_spans`.
    """
    return best_spans(logits(setup, model, row.name, features), [f.offsets for f in features])


def best_spans(scores: Any, offsets: Sequence[Offsets]) -> list[list[Span]]:
    """Return the N_BEST spans of each window, best first; of equal ones the earliest, then the shortest.

    Args:
        scores: (windows, tokens, 2), float32: start and end logits.
        offsets: for each window, where its tokens lie in the context; empty ones begin and end no span.

    Returns:
        For each window (first code point, one past the last, start logit + end logit) of spans of at most
        MOST_ANSWER_TOKENS tokens; fewer than N_BEST if there are no more. The score is NaN where a logit is not finite.
    """
    import torch
    from torch.nn.functional import pad

    inside = torch.zeros(scores.shape[:2], dtype=torch.bool)
    for i, window in enumerate(offsets):
        inside[i, : len(window)] = torch.tensor([begin < end for begin, end in window], dtype=torch.bool)
    beyond = (0, MOST_ANSWER_TOKENS - 1)
    # (windows, first token, tokens after it)
    sums = scores[..., 0, None] + pad(scores[..., 1], beyond).unfold(1, MOST_ANSWER_TOKENS, 1)
    sums = sums.where(sums.isfinite(), math.nan)
    ends_inside = pad(inside, beyond).unfold(1, MOST_ANSWER_TOKENS, 1)
    sums = sums.masked_fill(~(inside.unsqueeze(-1) & ends_inside), -math.inf)
    # the best spans begin at the first tokens whose own best is best: few are left to sort; NaN comes first
    firsts = sums.amax(-1).sort(dim=1, descending=True, stable=True).indices[:, :N_BEST].sort(dim=1).values
    few = sums.gather(1, firsts.unsqueeze(-1).expand(-1, -1, MOST_ANSWER_TOKENS)).flatten(1)
    best, order = few.sort(dim=1, descending=True, stable=True)
    order = order[:, :N_BEST]
    starts = firsts.gather(1, order // MOST_ANSWER_TOKENS)
    ends = starts + order % MOST_ANSWER_TOKENS
    rows = zip(offsets, starts.tolist(), ends.tolist(), best[:, :N_BEST].tolist(), strict=True)
    return [
        [(window[a][0], window[b][1], score) for a, b, score in zip(*spans, strict=True) if score != -math.inf]
        for window, *spans in rows
    ]


def decode(
    setup: Setup,
    row: TaskRow,
    examples: Sequence[Example],
    features: Sequence[Feature],
    said: Sequence[Sequence[Span]],
) -> list[Prediction]:
    """Turn spans into one answer an example, in the order of the examples.

    Args:
        setup: the formulation's setup.
        row: the task.
        examples: what was encoded.
        features: their inputs, in any order.
        said: for each feature, spans as `best_spans` gives them.

    Returns:
        The best span of all windows; of equal ones the earliest, then the shortest. ASCII spaces around it are cut
        off; it is empty only if the context holds nothing else.

    Raises:
        StiltgridError: if a score is not finite, or a context that is not empty has no span (a fault of the
            formulation).
    """
    spans: list[list[Span]] = [[] for _ in examples]
    for feature, found in zip(features, said, strict=True):
        spans[feature.row] += found
    predictions = []
    for example, found in zip(examples, spans, strict=True):
        if not all(math.isfinite(score) for *_, score in found):
            raise diverged(row, example)
        context = example.fields["context"]
        if context and not found:
            raise StiltgridError(f"{row.name}: no span was found for example {example.id!r}")
        begin, end, _ = min(found, key=lambda span: (-span[2], span[0], span[1]), default=(0, 0, 0.0))
        predictions.append(Prediction(id=example.id, text=context[begin:end].strip(string.whitespace)))
    return predictions
