"""SQuAD 2.0: exact match and F1 where a question may have no answer, by the rules of its official evaluate-v2.0.py.

A prediction is an answer and how much more likely no answer is (`Prediction.no_answer`). The answer is withheld where
that exceeds a threshold:

- a fixed one, 0: no answer where it is likelier than the best answer (`squad2_f1`, `squad2_exact`);
- the best one (`find_all_best_thresh`, Rajpurkar et al. 2018): of all thresholds the one with the highest score on the
  very questions that are scored, one for F1 and one for exact match (`squad2_best_f1`, `squad2_best_exact`).

A best threshold is no function of sums over questions. It is found once, on all questions, and what each question then
scores is the statistic; so the sum is the official score, and a bootstrap replicate keeps the threshold of the whole
set. Its interval is that of a score with this threshold given; that the threshold was chosen on the same questions,
which flatters every model a little and alike, is not in it.
"""

import math
from collections.abc import Sequence

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics.metric import Metric, ratio
from stiltgrid.metrics.questions import squad_tokens, token_f1
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

FIXED = 0.0
"""The fixed threshold: no answer is taken where it is likelier than the answer."""


def best_threshold(
    scores: Sequence[float], answers: Sequence[str], no_answer: Sequence[float], answerable: Sequence[bool]
) -> tuple[float | None, list[float]]:
    """Return the official best threshold, and what each question scores with it.

    Questions are taken in ascending order of `no_answer`, equal ones in the order given. At first all are without an
    answer; each then adds its score if it is answerable, and else loses 1 if its answer is not empty. The first highest
    total wins. As in the official script, it may lie between questions of equal `no_answer`.

    Args:
        scores: of each answer, 0 to 1, were it given.
        answers: their texts.
        no_answer: how likely there is no answer; any scale.
        answerable: whether there is one.

    Returns:
        The threshold, None if to give no answer at all is best; and scores in the order given, whose mean is the
        official score.
    """
    order = sorted(range(len(scores)), key=no_answer.__getitem__)
    total = best = sum(not known for known in answerable)
    given = 0
    for place, i in enumerate(order, start=1):
        total += scores[i] if answerable[i] else -1 if answers[i] else 0
        if total > best:
            best, given = total, place
    found = [float(not known) for known in answerable]
    for i in order[:given]:
        found[i] = scores[i] if answerable[i] else float(not answers[i])
    return (no_answer[order[given - 1]] if given else None), found


def squad2_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `f1`, `exact` (threshold `FIXED`), `best_f1` and `best_exact` (best thresholds), 0 to 1, a question.

    Raises:
        StiltgridError: if a prediction has no text, or no finite number for no answer.
    """
    f1, exact = [], []
    for example, said in zip(examples, predictions, strict=True):
        if said.text is None or example.references is None:
            lacks = "no text" if said.text is None else "no list of gold answers"
            raise StiltgridError(f"{task.name}: {example.id!r} has {lacks}; an answer may be empty, not absent")
        if said.no_answer is None or not math.isfinite(said.no_answer):
            raise StiltgridError(
                f"{task.name}: the prediction for {said.id!r} has no_answer {said.no_answer}; expected a finite number "
                "(the run diverged, or predicted without it)"
            )
        answer = squad_tokens(said.text)
        # gold answers that are nothing but articles and punctuation do not count; without any, the gold is ""
        golds = [gold for text in dict.fromkeys(example.references) if (gold := squad_tokens(text))] or [[]]
        f1.append(max(token_f1(answer, gold) if answer and gold else float(answer == gold) for gold in golds))
        exact.append(float(answer in golds))
    answers = [said.text or "" for said in predictions]
    odds = [said.no_answer or 0.0 for said in predictions]
    answerable = [bool(example.references) for example in examples]
    withheld = [number > FIXED for number in odds]
    return {
        name: [float(not known) if no else score for score, no, known in zip(raw, withheld, answerable, strict=True)]
        for name, raw in (("f1", f1), ("exact", exact))
    } | {
        name: best_threshold(raw, answers, odds, answerable)[1]
        for name, raw in (("best_f1", f1), ("best_exact", exact))
    }


def _mean(name: str, title: str, column: str) -> Metric:
    return Metric(name, title, "example", squad2_statistics, (column,), ratio({column: 1}, {"units": 1}))


SQUAD2_F1 = _mean("squad2_f1", "F1", "f1")
SQUAD2_EXACT = _mean("squad2_exact", "exact match", "exact")
SQUAD2_BEST_F1 = _mean("squad2_best_f1", "F1 (best threshold)", "best_f1")
SQUAD2_BEST_EXACT = _mean("squad2_best_exact", "exact match (best threshold)", "best_exact")
