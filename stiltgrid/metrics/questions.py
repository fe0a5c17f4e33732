"""F1 and exact match of answers, by the rules of MLQA v1 (its official evaluation script) and of SQuAD v1.1.

An answer becomes a list of tokens: lower case, then punctuation deleted, then articles, then split at white space. In
that order: `(der)` is an article, and so is the `la` that is left of `l.a.`. The rules of MLQA (Lewis et al. 2020)
depend on the language; those of SQuAD (Rajpurkar et al. 2016), English ones, are what XTREME applies to every
language of XQuAD and TyDiQA.

An example scores its best gold answer. Two answers without a common token have F1 0, also where both are empty;
exact match of two empty ones is 1. (SQuAD 2.0 gives 1 to both; these are the rules of 1.1.)
"""

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.examples import Example
from stiltgrid.metrics.metric import Metric, ratio
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

Tokenize = Callable[[str], list[str]]


def _articles(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words.split())})\b")


NO_ARTICLES = None
ARTICLES: dict[str, re.Pattern[str] | None] = {
    "en": _articles("a an the"),
    "es": _articles("un una unos unas el la los las"),
    "vi": _articles("của là cái chiếc những"),
    "de": _articles("ein eine einen einem eines einer der die das den dem des"),
    # the official pattern means a prefix, but its first half cannot match: every occurrence goes, also inside a word
    "ar": re.compile("ال"),
    "hi": NO_ARTICLES,
    "zh": NO_ARTICLES,
}
"""MLQA's languages, and what is replaced by a space in each."""

HAN = re.compile("([\u4e00-\u9fa5])")
"""Characters that are tokens of their own in Chinese answers (punctuation would be too, but is gone by then)."""


@cache
def _mlqa_punctuation() -> dict[int, None]:
    found = (i for i in range(sys.maxunicode + 1) if unicodedata.category(chr(i)).startswith("P"))
    return dict.fromkeys([*found, *map(ord, string.punctuation)])


_SQUAD_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))


def mlqa_tokens(text: str, language: str) -> list[str]:
    """Return an answer's tokens by MLQA's rules.

    Args:
        text: the answer.
        language: one of `ARTICLES`.

    Raises:
        StiltgridError: for another language, whose articles MLQA does not define.
    """
    if language not in ARTICLES:
        raise StiltgridError(
            f"MLQA's rules have no language {language!r}; {nearest(language, ARTICLES)} (SQuAD's rules, the metrics "
            "squad_f1 and squad_exact, take any)"
        )
    text = text.lower().translate(_mlqa_punctuation())
    if articles := ARTICLES[language]:
        text = articles.sub(" ", text)
    if language == "zh":
        text = HAN.sub(r" \1 ", text)
    return text.split()


def squad_tokens(text: str) -> list[str]:
    """Return an answer's tokens by the rules of SQuAD v1.1: ASCII punctuation and English articles are deleted."""
    text = text.lower().translate(_SQUAD_PUNCTUATION)
    return ARTICLES["en"].sub(" ", text).split()  # type: ignore[union-attr]


def token_f1(answer: Sequence[str], gold: Sequence[str]) -> float:
    """Return the F1 of two bags of tokens, 0 to 1; 0 where they share none."""
    # exact for equal answers, which are many
    if answer == gold and answer:
        return 1.0
    common = (Counter(answer) & Counter(gold)).total()
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def _statistics(
    task: TaskRow, examples: Sequence[Example], predictions: Sequence[Prediction], tokens: Tokenize
) -> dict[str, list]:
    f1, exact = [], []
    for example, said in zip(examples, predictions, strict=True):
        if said.text is None or not example.references:
            lacks = "no text" if said.text is None else "no gold answer"
            raise StiltgridError(f"{task.name}: {example.id!r} has {lacks}; an answer may be empty, not absent")
        answer = tokens(said.text)
        golds = [tokens(gold) for gold in dict.fromkeys(example.references)]
        f1.append(max(token_f1(answer, gold) for gold in golds))
        exact.append(int(answer in golds))
    return {"f1": f1, "exact": exact}


def mlqa_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `f1` and `exact` (0 to 1) an example, each the best over its gold answers, by MLQA's rules.

    Raises:
        StiltgridError: if MLQA has no rules for the language, or an example has no gold answer or no text.
    """
    mlqa_tokens("", language)
    return _statistics(task, examples, predictions, lambda text: mlqa_tokens(text, language))


def squad_statistics(
    task: TaskRow, language: str, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> dict[str, list]:
    """Return `f1` and `exact` (0 to 1) an example, each the best over its gold answers, by SQuAD's rules.

    Raises:
        StiltgridError: if an example has no gold answer or no text.
    """
    return _statistics(task, examples, predictions, squad_tokens)


_F1 = {"columns": ("f1",), "of_sums": ratio({"f1": 1}, {"units": 1})}
_EXACT = {"columns": ("exact",), "of_sums": ratio({"exact": 1}, {"units": 1})}

MLQA_F1 = Metric("mlqa_f1", "F1", "example", mlqa_statistics, **_F1)
MLQA_EXACT = Metric("mlqa_exact", "exact match", "example", mlqa_statistics, **_EXACT)
SQUAD_F1 = Metric("squad_f1", "F1", "example", squad_statistics, **_F1)
SQUAD_EXACT = Metric("squad_exact", "exact match", "example", squad_statistics, **_EXACT)
