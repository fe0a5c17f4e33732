"""Question answering as text: the answer is written, from every window of a long context.

Input `mlqa question: ... context: ...`, target the first answer and end-of-sequence. A context that does not fit is
read through windows that overlap by `OVERLAP` tokens (never by more than half a window); the question stands whole
before each, and is cut only where it alone would take more than half of the room.

Training takes the windows that hold the first answer whole. An answer that no window holds (longer than the overlap)
is trained on the last window that holds its beginning, and counted as truncated; so is an answer longer than
`output_length`. At prediction every window writes an answer and the surest is taken, by mean log-likelihood; windows
without the answer are never trained on, so their answers are only less sure, not refused.

An answer that is a span of the context but for the vocabulary's normalisation is given as it stands there (`copying`).
"""

from collections.abc import Sequence
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import Feature, Setup, cut_longest, overlapping
from stiltgrid.formulations.text2text.copying import copied
from stiltgrid.formulations.text2text.prompts import prompts
from stiltgrid.formulations.text2text.writing import Written, best, check_length, feature, targets, write
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

__all__ = ["CONTEXT", "OVERLAP", "check", "decode", "encode", "outputs"]

CONTEXT = "context"  # the field that answers come from
OVERLAP = 128  # tokens; longer than any answer of SQuAD, MLQA and TyDi QA


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the task says how long its answers may be, and has a context.

    Raises:
        StiltgridError: if not.
    """
    check_length(row)
    if CONTEXT not in row.fields:
        raise StiltgridError(
            f"{row.name}: fields {', '.join(row.fields) or 'none'}; kind {row.kind} needs one of the name {CONTEXT!r}"
        )


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature a window of each context; of labelled examples only the windows that are trained on.

    Those are all of them where the context may hold no answer (`no_answer`): the others then write that.

    Raises:
        StiltgridError: if `labelled` and an example has no reference or no place of it, or the prompt alone fills the
            input.
    """
    marks, columns, budget = prompts(setup, row, examples)
    long = row.fields.index(CONTEXT)
    wanted = targets(setup, row, examples) if labelled else [([], False)] * len(examples)
    # what a window without the answer is to write, where the context may hold none
    nothing = [] if row.no_answer is None or not labelled else [*setup.tokens.ids([row.no_answer])[0], setup.tokens.end]
    features = []
    for index, (example, (target, cut)) in enumerate(zip(examples, wanted, strict=True)):
        texts = [column[index] for column in columns]
        context, lengths = texts[long], [0 if k == long else len(t) for k, t in enumerate(texts)]
        kept = cut_longest(lengths, budget - min(len(context), -(-budget // 2)))
        truncated = sum(kept) < sum(lengths)
        size = max(budget - sum(kept), 1)
        cuts = overlapping(len(context), size, min(OVERLAP, size // 2))
        trained = cuts
        if labelled and len(cuts) > 1 and example.references:
            trained, whole = _with_answer(setup, row, example, cuts)
            cut = cut or not whole
        for start, stop in cuts if nothing else trained:
            parts = [context[start:stop] if k == long else t[: kept[k]] for k, t in enumerate(texts)]
            ids = [i for mark, part in zip(marks, parts, strict=True) for i in (*mark, *part)]
            goal, lost = (target, cut) if (start, stop) in trained else (nothing, False)
            features.append(feature(setup, row, index, [*ids, setup.tokens.end], goal, truncated or lost, first=start))
    return features


def _with_answer(
    setup: Setup, row: TaskRow, example: Example, cuts: list[tuple[int, int]]
) -> tuple[list[tuple[int, int]], bool]:
    """Return the windows that hold the first answer; if none holds it whole, the one to train on, and False."""
    if not example.starts:
        raise StiltgridError(
            f"{row.name}: example {example.id!r} has no starts; its context is read through {len(cuts)} windows, "
            "expected the place of the answer"
        )
    begin = example.starts[0]
    end = begin + len(example.references[0])
    places = setup.tokens.backend.encode(example.fields[CONTEXT], add_special_tokens=False).offsets
    # an answer without a token of its own (characters that the normaliser drops) counts as the token after it
    held = [k for k, (a, b) in enumerate(places) if a < end and b > begin]
    first = held[0] if held else min(sum(b <= begin for _, b in places), len(places) - 1)
    last = held[-1] if held else first
    if whole := [(start, stop) for start, stop in cuts if start <= first and last < stop]:
        return whole, True
    return [[cut for cut in cuts if cut[0] <= first][-1]], False


def outputs(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[Written]:
    """Return the answer that the model writes to each window of one batch, and how sure it is; see `writing.write`."""
    return write(setup, model, row, features)


def decode(
    setup: Setup, row: TaskRow, examples: Sequence[Example], features: Sequence[Feature], said: Sequence[Written]
) -> list[Prediction]:
    """Return one prediction an example, in the order of the examples: the surest window's answer, copied back.

    Raises:
        StiltgridError: if a likelihood is not finite (the run has diverged), or an example has no feature.
    """
    texts = best(row, examples, features, said)
    return [
        Prediction(id=example.id, text=copied(setup.tokens, example.fields[CONTEXT], text))
        for example, text in zip(examples, texts, strict=True)
    ]
