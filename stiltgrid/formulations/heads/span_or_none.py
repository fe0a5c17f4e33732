"""Question answering by an encoder where the context may hold no answer (SQuAD 2.0).

As BERT answers it (Devlin et al. 2019, section 4.3, run_squad.py): windows without an answer are trained to begin and
end at the first token, whose start and end score together are the score of no answer. Over the windows of a context the
lowest of these counts, since one window with the answer is enough.
"""

import math
from collections.abc import Sequence
from typing import Any

from stiltgrid.examples import Example
from stiltgrid.formulations.features import Feature, Setup, diverged
from stiltgrid.formulations.heads import span
from stiltgrid.formulations.heads.batch import logits
from stiltgrid.formulations.heads.span import NOWHERE, Span, best_spans, check, encode
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

__all__ = ["check", "decode", "encode", "outputs"]


def outputs(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[tuple[float, list[Span]]]:
    """Find the best spans of each window.

    Returns:
        For each feature the score of no answer (start logit + end logit of the first token), and spans as
        `span.best_spans` gives them.
    """
    scores = logits(setup, model, row.name, features)
    nothing = scores[:, NOWHERE].sum(-1).tolist()
    return list(zip(nothing, best_spans(scores, [f.offsets for f in features]), strict=True))


def decode(
    setup: Setup,
    row: TaskRow,
    examples: Sequence[Example],
    features: Sequence[Feature],
    said: Sequence[tuple[float, Sequence[Span]]],
) -> list[Prediction]:
    """Turn spans into one answer an example, in the order of the examples.

    Returns:
        The best span of all windows, as `span.decode`, and in `no_answer` how much higher the score of no answer is.

    Raises:
        StiltgridError: if a score is not finite.
    """
    answers = span.decode(setup, row, examples, features, [spans for _, spans in said])
    nothing = [math.inf] * len(examples)
    best = [-math.inf] * len(examples)
    for feature, (score, spans) in zip(features, said, strict=True):
        if not math.isfinite(score):
            raise diverged(row, examples[feature.row])
        nothing[feature.row] = min(nothing[feature.row], score)
        best[feature.row] = max([best[feature.row], *(value for *_, value in spans)])
    # a context without a span is empty: its answer is empty either way
    return [
        Prediction(id=answer.id, text=answer.text, no_answer=0.0 if high == -math.inf else low - high)
        for answer, low, high in zip(answers, nothing, best, strict=True)
    ]
