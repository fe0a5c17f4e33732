"""What all formulations share: the feature, cutting long inputs, windows, gold labels, messages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.tasks.registry import Decoding, TaskRow
from stiltgrid.tokenization import Tokens

IGNORED = -100  # torch's label of a position that is not trained on
AT_ONCE = 2048  # examples that are encoded together


@dataclass(frozen=True)
class Setup:
    """What a formulation needs besides the examples.

    Attributes:
        tokens: the model's vocabulary.
        rows: the tasks the model is trained on or asked, in order (the order of heads).
        max_input_length: tokens of an input, special pieces included.
        start: text2text: id that starts the decoder.
        decoding: text2text: how answers to a task are written; a task that is not named is decoded greedily.
    """

    tokens: Tokens
    rows: dict[str, TaskRow]
    max_input_length: int
    start: int = 0
    decoding: Mapping[str, Decoding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feature:
    """One model input: an example, or a window of a long sentence.

    Attributes:
        task: the task's name.
        row: index of the example in the list that was encoded.
        first: index of the window's first word (tagging) or first token of the context (spans).
        units: things to be labelled: 1; 2 for a span (start and end); or the words of the window.
        input_ids: tokens of the encoder's input.
        type_ids: segment of each token, where the model tells segments apart; else empty.
        decoder_ids: text2text: the decoder's input, start id first.
        positions: heads: the token that stands for each unit.
        labels: token ids at decoder positions (text2text) or class indices of units (heads); `IGNORED` = none.
        truncated: was some of the input cut off, or of the text to be learnt?
        offsets: heads, spans: for each token of the input, where it begins and ends in the field `context`, in code
            points; begin equals end for tokens without a character of it. Empty for other kinds and labelled features.
        choices: choice: how many the example has; else 0.
        others: heads, choice: input and segment ids of the choices after the first.
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
    offsets: tuple[tuple[int, int], ...] = ()
    choices: int = 0
    others: tuple[tuple[list[int], list[int]], ...] = ()

    def unlabelled(self) -> "Feature":
        """Return the same input with nothing to learn from."""
        return replace(self, labels=[IGNORED] * len(self.labels))


Encode = Callable[[Setup, TaskRow, Sequence[Example], bool], list[Feature]]
"""A formulation's `encode`: setup, task row, examples, whether with labels."""


def in_parts(encode: Encode, setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Encode examples a part at a time, so that a million of them fit in memory.

    What the tokenizer notes of a token beside its id is let go with each part, and every id is one object, 8 bytes a
    token in the lists, where the tokenizer makes a number of 28 bytes for each.

    Args:
        encode: the formulation's function; its features count rows from the beginning of the part.
        setup: the formulation's setup.
        row: the task's row.
        examples: its examples.
        labelled: put the gold labels into the features.
    """
    one = setup.tokens.numbers.__getitem__
    found = []
    for start in range(0, len(examples), AT_ONCE):
        found += [
            replace(
                feature,
                row=start + feature.row,
                input_ids=list(map(one, feature.input_ids)),
                decoder_ids=list(map(one, feature.decoder_ids)),
                labels=[i if i == IGNORED else one(i) for i in feature.labels],
                others=tuple((list(map(one, ids)), types) for ids, types in feature.others),
            )
            for feature in encode(setup, row, examples[start : start + AT_ONCE], labelled)
        ]
    return found


def text_of(row: TaskRow, example: Example, name: str) -> str:
    """Return one text of an example.

    Raises:
        StiltgridError: if it has no field of this name.
    """
    try:
        return example.fields[name]
    except KeyError:
        raise StiltgridError(
            f"{row.name}: example {example.id!r} has no field {name!r}; it has {', '.join(example.fields) or 'none'}"
        ) from None


def choices_of(row: TaskRow, example: Example) -> tuple[str, ...]:
    """Return an example's choices.

    Raises:
        StiltgridError: if there are fewer than two, or more than the task has labels.
    """
    found = example.choices or ()
    if not 2 <= len(found) <= len(row.labels):
        raise StiltgridError(
            f"{row.name}: example {example.id!r} has {len(found)} choices; expected 2 to {len(row.labels)}"
        )
    return found


def diverged(row: TaskRow, example: Example) -> StiltgridError:
    """Return the error of scores that are not finite, of which the best would mean nothing."""
    return StiltgridError(
        f"{row.name}: example {example.id!r}: scores are not finite: the run has diverged; lower "
        "training.learning_rate or lengthen warmup_ratio, and train it again"
    )


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


def overlapping(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Cut a text into windows that overlap, so that no short span is cut by all of them.

    Args:
        length: tokens of the text; an empty text has one empty window.
        size: tokens a window may have; at least 1.
        overlap: tokens that neighbours share; at least 0, less than `size`.

    Returns:
        (first token, one past the last token) of each window. Every span of at most `overlap` + 1 tokens lies whole in
        at least one of them.
    """
    step = size - overlap
    return [(start, min(start + size, length)) for start in range(0, max(length - overlap, 1), step)]


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
        index = label_index(row, example, example.label)
        if example.choices is not None and index >= len(example.choices):
            raise StiltgridError(
                f"{row.name}: example {example.id!r} is labelled {example.label!r}, of {len(example.choices)} choices"
            )
        return [index]
    tags = example.tags or ()
    if len(tags) != len(example.words or ()):
        raise StiltgridError(
            f"{row.name}: example {example.id!r} has {len(tags)} tags for {len(example.words or ())} words"
        )
    return [label_index(row, example, tag) for tag in tags]
