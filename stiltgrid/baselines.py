"""Trivial answers to compare a model with: they know the English training rows and the question, and no language.

| kind | baseline | answer |
|---|---|---|
| classification, ranking, choice | majority | the most frequent label of the training rows |
| tagging | majority | the most frequent tag |
| tagging | lexicon | a word's most frequent tag in the training rows, else the most frequent tag |
| span | random | some words in a row, as many as training answers have on average, from a random place |
| span | overlap | the sentence of the context that shares most with the question |
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction

Answer = Callable[[Sequence[Example]], list[Prediction]]
SENTENCE_END = re.compile(r"(?<=[.!?\u061f\u0964\u3002\uff01\uff1f])\s*")
SEED = 0


def majority(train: Sequence[Example]) -> Answer:
    """Answer with the most frequent label, or tag, of the training rows; of equally frequent ones the first."""
    tags = [tag for e in train for tag in e.tags or ()]
    [(most, _)] = Counter(tags or [e.label for e in train]).most_common(1)

    def answer(examples: Sequence[Example]) -> list[Prediction]:
        if tags:
            return [Prediction(e.id, tags=(str(most),) * len(e.words or ())) for e in examples]
        value = float(most) if str(most).isdigit() else None
        return [Prediction(e.id, label=most, value=value) for e in examples]

    return answer


def lexicon(train: Sequence[Example]) -> Answer:
    """Answer with the most frequent tag of each word in the training rows; words that are new get the majority's."""
    known: dict[str, Counter[str]] = {}
    for example in train:
        for word, tag in zip(example.words or (), example.tags or (), strict=True):
            known.setdefault(word, Counter())[tag] += 1
    [(most, _)] = sum(known.values(), Counter()).most_common(1)
    best = {word: tags.most_common(1)[0][0] for word, tags in known.items()}

    def answer(examples: Sequence[Example]) -> list[Prediction]:
        return [Prediction(e.id, tags=tuple(best.get(word, most) for word in e.words or ())) for e in examples]

    return answer


def units(text: str) -> list[tuple[int, int]]:
    """Return where a text's words begin and end; a text that is hardly spaced has letters for words."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    if words and len(text) / len(words) > 20:
        return [(i, i + 1) for i in range(len(text))]
    return words


def random_span(train: Sequence[Example]) -> Answer:
    """Answer with a run of words from a random place, as long as the training answers are on average."""
    lengths = [len(units((e.references or ("",))[0])) for e in train]
    length = max(1, round(sum(lengths) / len(lengths)))

    def answer(examples: Sequence[Example]) -> list[Prediction]:
        rng, found = random.Random(SEED), []
        for example in examples:
            context = example.fields["context"]
            places = units(context)
            first = rng.randrange(max(1, len(places) - length + 1))
            chosen = places[first : first + length]
            found.append(Prediction(example.id, text=context[chosen[0][0] : chosen[-1][1]] if chosen else ""))
        return found

    return answer


def overlap(train: Sequence[Example]) -> Answer:
    """Answer with the sentence of the context that shares most with the question, by pairs of letters."""

    def letters(text: str) -> Counter[str]:
        small = "".join(text.lower().split())
        return Counter(small[i : i + 2] for i in range(len(small) - 1))

    def answer(examples: Sequence[Example]) -> list[Prediction]:
        found = []
        for example in examples:
            sentences = [s.strip() for s in SENTENCE_END.split(example.fields["context"]) if s.strip()]
            asked = letters(example.fields["question"])
            best = max(sentences, key=lambda s: (letters(s) & asked).total(), default="")
            found.append(Prediction(example.id, text=best))
        return found

    return answer


BASELINES: dict[str, dict[str, Callable[[Sequence[Example]], Answer]]] = {
    "classification": {"majority": majority},
    "ranking": {"majority": majority},
    "choice": {"majority": majority},
    "tagging": {"majority": majority, "lexicon": lexicon},
    "span": {"random": random_span, "overlap": overlap},
}
"""Kind of task -> its baselines by name."""


def baselines(kind: str, train: Sequence[Example]) -> dict[str, Answer]:
    """Return a kind's baselines, each a function of examples.

    Args:
        kind: of the task; kinds without a baseline have none.
        train: the training rows.

    Raises:
        StiltgridError: if there are no training rows.
    """
    if kind not in BASELINES:
        return {}
    if not train:
        raise StiltgridError("no training rows, so a baseline knows nothing; expected at least one")
    return {name: make(train) for name, make in BASELINES[kind].items()}
