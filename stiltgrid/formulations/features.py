"""What both families share: the feature, cutting long inputs, windows of words, and decoding of scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow
from stiltgrid.tokenization import Tokens

IGNORED = -100  # torch's label of a position that is not trained on


@dataclass(frozen=True)
class Setup:
    """What a formulation needs besides the examples.

    Attributes:
        tokens: the model's vocabulary.
        rows: the tasks the model is trained on or asked, in order (the order of heads).
        max_input_length: tokens of an input, special pieces included.
        start: text2text: id that starts the decoder.
    """

    tokens: Tokens
    rows: dict[str, TaskRow]
    max_input_length: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class Feature:
    """One model input: an example, or a window of a long sentence.

    Attributes:
        task: the task's name.
        row: index of the example in the list that was encoded.
        first: tagging: index of the window's first word.
        units: things to be labelled: 1, or the words of the window.
        input_ids: tokens of the encoder's input.
        type_ids: segment of each token, where the model tells segments apart; else empty.
        decoder_ids: text2text: the decoder's input, start id first.
        positions: heads: the token that stands for each unit.
        labels: token ids at decoder positions (text2text) or class indices of units (heads); `IGNORED` = none.
        truncated: was some of the input cut off?
    """

    task: str
    row: int
    first: int
    units: int
    input_ids: list[int]
    type_ids: list[int]
    decoder_ids: list[int]
    positions: list[int]
    labels: list[int]
    truncated: bool

    def unlabelled(self) -> "Feature":
        """Return the same input with nothing to learn from."""
        return replace(self, labels=[IGNORED] * len(self.labels))


def cut_longest(lengths: Sequence[int], budget: int) -> list[int]:
    """Return how many tokens of each text are kept: the longest text loses its tail first.

    Example: lengths (90, 20, 30), budget 100 gives (50, 20, 30); budget 60 gives (20, 20, 20).

    Args:
        lengths: tokens of each text.
        budget: tokens that all of them may have together; at least 0.
    """
    kept = list(lengths)
    while (excess := sum(kept) - budget) > 0:
        top = max(kept)
        longest = [i for i, n in enumerate(kept) if n == top]
        below = max([n for n in kept if n < top], default=0)
        step = min(top - below, -(-excess // len(longest)))
        # of texts of equal length the later ones lose first, so that the sum meets the budget exactly
        for i in reversed(longest):
            kept[i] -= min(step, max(sum(kept) - budget, 0))
    return kept


def windows(costs: Sequence[int], budget: int, most_words: int | None = None) -> list[tuple[int, int]]:
    """Cut a sentence into consecutive windows that do not overlap and each fit.

    Args:
        costs: tokens of each word; a word that costs more than the budget is the caller's to shorten.
        budget: tokens a window may have.
        most_words: words a window may have.

    Returns:
        (first word, one past the last word) of each window; every word is in exactly one.
    """
    cuts = []
    first = used = 0
    for word, cost in enumerate(costs):
        full = used + cost > budget or (most_words is not None and word - first == most_words)
        if full and word > first:
            cuts.append((first, word))
            first, used = word, 0
        used += cost
    if len(costs) > first:
        cuts.append((first, len(costs)))
    return cuts


def label_index(row: TaskRow, example: Example, label: str | None) -> int:
    """Return a gold label's place in the task's label order.

    Raises:
        StiltgridError: if the label is not the task's.
    """
    for index, name in enumerate(row.labels):
        if name == label:
            return index
    raise StiltgridError(f"{row.name}: example {example.id!r} is labelled {label!r}; allowed: {', '.join(row.labels)}")


def gold(row: TaskRow, example: Example) -> list[int]:
    """Return the label indices of an example's units: one, or one a word.

    Raises:
        StiltgridError: if a label is missing or foreign, or tags and words differ in number.
    """
    if row.kind != "tagging":
        return [label_index(row, example, example.label)]
    tags = example.tags or ()
    if len(tags) != len(example.words or ()):
        raise StiltgridError(
            f"{row.name}: example {example.id!r} has {len(tags)} tags for {len(example.words or ())} words"
        )
    return [label_index(row, example, tag) for tag in tags]


def check_kind(row: TaskRow) -> None:
    """Check that a task is of a kind that can be trained and scored.

    Raises:
        StiltgridError: if it is not, or a ranking task's labels are not numbers.
    """
    if row.kind not in ("classification", "ranking", "tagging"):
        raise StiltgridError(
            f"{row.name}: kind {row.kind!r} cannot be trained yet; allowed: classification, ranking, tagging"
        )
    if row.kind == "ranking":
        for label in row.labels:
            try:
                float(label)
            except ValueError:
                raise StiltgridError(f"{row.name}: ranking label {label!r} is not a number") from None


def decode(
    row: TaskRow,
    examples: Sequence[Example],
    features: Sequence[Feature],
    scores: Sequence[Sequence[Sequence[float]]],
) -> list[Prediction]:
    """Turn label scores into one prediction an example, in the order of the examples.

    Args:
        row: the task.
        examples: what was encoded.
        features: their inputs, in any order; together they cover every unit once.
        scores: for each feature, for each unit, the log-probability of each label in the row's order.

    Returns:
        Tagging: the best tag of each word. Classification: the best label and all scores. Ranking: besides, the
        expected relevance.

    Raises:
        StiltgridError: if a score is not finite (the largest of NaNs is the first label), or if an example has no
            feature, or a word no score (a fault of the formulation).
    """
    labels = list(row.labels)
    found: list[dict[int, Sequence[float]]] = [{} for _ in examples]
    for feature, units in zip(features, scores, strict=True):
        for offset, unit in enumerate(units):
            found[feature.row][feature.first + offset] = unit
    predictions = []
    for example, units in zip(examples, found, strict=True):
        expected = len(example.words or ()) if row.kind == "tagging" else 1
        if len(units) != expected:
            raise StiltgridError(f"{row.name}: {example.id!r} has scores for {len(units)} of {expected} units")
        if not all(math.isfinite(score) for unit in units.values() for score in unit):
            raise StiltgridError(
                f"{row.name}: example {example.id!r}: scores are not finite: the run has diverged; lower "
                "training.learning_rate or lengthen warmup_ratio, and train it again"
            )
        best = [labels[max(range(len(labels)), key=units[i].__getitem__)] for i in range(expected)]
        if row.kind == "tagging":
            predictions.append(Prediction(id=example.id, tags=tuple(best)))
            continue
        value = None
        if row.kind == "ranking":
            value = sum(math.exp(s) * float(label) for s, label in zip(units[0], labels, strict=True))
        predictions.append(Prediction(id=example.id, label=best[0], scores=tuple(units[0]), value=value))
    return predictions
