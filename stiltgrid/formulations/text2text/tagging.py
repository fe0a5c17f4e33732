"""Tagging as text: one sentinel a word, all tags in parallel.

Input `pos <extra_id_0> They <extra_id_1> run`, decoder input the start token and the same sentinels; the decoder's
output at a word's sentinel is the token of its tag (`tag_tokens`). All tags of a window come from one decoder pass,
and there is exactly one tag a word by construction; a generated list of tags would need a pass a token and could be
too short, too long or outside the tag set. The cost is that tags are independent given the input, and must be told
apart by one token. A sentence of more than 100 words, or of too many tokens, is cut into consecutive windows. A word
without any piece is still represented by its sentinel.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup, gold, windows
from stiltgrid.formulations.label_scores import decode
from stiltgrid.formulations.text2text.batch import collate
from stiltgrid.formulations.text2text.labels import targets
from stiltgrid.formulations.text2text.prompts import prefix
from stiltgrid.tasks.registry import TaskRow
from stiltgrid.tokenization import SENTINELS

__all__ = ["check", "decode", "encode", "outputs", "tag_tokens"]


def tag_tokens(setup: Setup, row: TaskRow) -> list[int]:
    """Return the one token that stands for each tag, in the row's order.

    It is the first piece of the tag's verbaliser that no earlier tag has taken: where a vocabulary cuts two
    verbalisers into the same first piece, the second is told by its next. Of a thousand supertags (`labels_from`) most
    have no piece of their own: each of these takes the vocabulary's next free one, a name that is learnt.

    Raises:
        StiltgridError: if a tag has no piece of its own (it and the tag that has its first piece are named).
    """
    taken: dict[int, str] = {}
    barred: frozenset[int] = frozenset()
    if row.labels_from is not None:
        barred = setup.tokens.unspoken | setup.tokens.lone_marks | {setup.tokens.end}
    free = iter(range(setup.tokens.size) if row.labels_from else ())
    for tag, pieces in zip(row.labels, targets(setup, row), strict=True):
        own = next((piece for piece in chain(pieces, free) if piece not in taken and piece not in barred), None)
        if own is None and row.labels_from:
            raise StiltgridError(
                f"{row.name}: {len(row.labels)} tags, more than the vocabulary of {setup.tokens.folder} has pieces"
            )
        if own is None:
            other = taken[pieces[0]]
            raise StiltgridError(
                f"{row.name}: tags {other!r} ({row.labels[other]!r}) and {tag!r} ({row.labels[tag]!r}) cannot be told "
                f"apart by one token in the vocabulary of {setup.tokens.folder}; change a verbaliser"
            )
        taken[own] = tag
    return list(taken)


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the vocabulary has the sentinels, and a token for every tag.

    Raises:
        StiltgridError: if not.
    """
    tag_tokens(setup, row)
    _ = setup.tokens.sentinels


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature a window of each sentence.

    Raises:
        StiltgridError: if `labelled` and tags are foreign or too few, or no word fits.
    """
    lead = setup.tokens.ids([prefix(row)])[0]
    budget = setup.max_input_length - len(lead) - 1
    if budget < 2:
        raise StiltgridError(f"{row.name}: max_input_length {setup.max_input_length} leaves no room for a word")
    first = tag_tokens(setup, row)
    sentinels = setup.tokens.sentinels
    flat = setup.tokens.ids([w for e in examples for w in e.words or ()])
    features = []
    offset = 0
    for index, example in enumerate(examples):
        number = len(example.words or ())
        words = flat[offset : offset + number]
        offset += number
        labels = [first[i] for i in gold(row, example)] if labelled else [IGNORED] * number
        for start, stop in windows([min(1 + len(w), budget) for w in words], budget, SENTINELS):
            ids = list(lead)
            for mark, word in zip(sentinels, words[start:stop], strict=False):
                ids += [mark, *word[: budget - 1]]
            features.append(
                Feature(
                    task=row.name,
                    row=index,
                    first=start,
                    units=stop - start,
                    input_ids=[*ids, setup.tokens.end],
                    type_ids=[],
                    decoder_ids=[setup.start, *sentinels[: stop - start]],
                    positions=list(range(1, stop - start + 1)),
                    labels=[IGNORED, *labels[start:stop]],
                    truncated=any(len(w) > budget - 1 for w in words[start:stop]),
                )
            )
    return features


def outputs(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[list[list[float]]]:
    """Score every tag of every word.

    Args:
        setup: the formulation's setup.
        model: an untied mT5 in evaluation mode.
        row: the task.
        features: one batch.

    Returns:
        For each feature, for each word, the natural log-probability of each tag, normalised over the tags.
    """
    import torch

    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(setup, features).items()}
    encoded = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]
    hidden = model.decode(batch["decoder_input_ids"], encoded, batch["attention_mask"])
    scores = model.score_rows(hidden, torch.tensor(tag_tokens(setup, row), device=device)).float().log_softmax(-1).cpu()
    return [scores[i, 1 : 1 + f.units].tolist() for i, f in enumerate(features)]
