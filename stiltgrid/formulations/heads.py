"""An encoder with one head a task (XLM-R, mT5's encoder): segments, word positions, label scores.

Classification and ranking. The task's segments, one or two, are joined as the encoder was pretrained; too long an
input loses the tail of its longer segment first. The head reads the first token or the mean over all tokens (recipe
`pooling`).

Tagging. Words come split, and each is labelled at its first piece that carries one of its characters: sentencepiece
vocabularies begin a Chinese word with a bare word-start mark, which says nothing on the word. (Measured on UD part of
speech, multilingual-e5-small, 200 steps on English: Chinese 41 % by the very first piece, 63 % this way, 60 % by the
mean over pieces; Japanese 32, 55, 43; English 96 each.) A word without any piece (characters that the normaliser
removes) is given the unknown piece, so that it has exactly one tag like any other. A long sentence is cut into
consecutive windows of words; nothing is dropped but the tail of a single word that alone exceeds a window, which is
counted as truncated.
"""

from collections.abc import Sequence
from typing import Any

from stiltgrid.batching import padded
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup, check_kind, cut_longest, gold, windows
from stiltgrid.tasks.registry import TaskRow


def check(setup: Setup) -> None:
    """Check that every task has a head.

    Raises:
        StiltgridError: for a kind that is not built, or a task of more than two segments.
    """
    for row in setup.rows.values():
        check_kind(row)
        if len(row.segments) > 2:
            raise StiltgridError(f"{row.name}: {len(row.segments)} segments; an encoder takes one or two")


def encode(setup: Setup, task: str, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Turn examples into features; a long sentence into several.

    Raises:
        StiltgridError: if `labelled` and a label is missing or foreign, or the input has no room for text.
    """
    row = setup.rows[task]
    return (_tagging if row.kind == "tagging" else _classification)(setup, row, examples, labelled)


def _segments(row: TaskRow, example: Example) -> list[str]:
    names = row.fields or tuple(example.fields)
    # without a declaration: the first field, and the others joined
    layout = row.segments or ((names[:1], names[1:]) if len(names) > 1 else (names,))
    try:
        return [" ".join(example.fields[name] for name in segment) for segment in layout]
    except KeyError as error:
        raise StiltgridError(
            f"{row.name}: example {example.id!r} has no field {error}; it has {', '.join(example.fields) or 'none'}"
        ) from None


def _classification(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    backend = setup.tokens.backend
    texts = [_segments(row, e) for e in examples]
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


def _tagging(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    backend = setup.tokens.backend
    # the special pieces around one segment, found by asking: "" becomes e.g. <s> </s>, or only </s>
    around = backend.encode("").ids
    before = 1 if len(around) > 1 else 0
    budget = setup.max_input_length - len(around)
    if budget < 1:
        raise StiltgridError(f"{row.name}: max_input_length {setup.max_input_length} leaves no room for a word")
    flat = setup.tokens.ids([w for e in examples for w in e.words or ()])
    marks = setup.tokens.lone_marks
    features = []
    offset = 0
    for index, example in enumerate(examples):
        number = len(example.words or ())
        words = [ids or [setup.tokens.unknown] for ids in flat[offset : offset + number]]
        offset += number
        labels = gold(row, example) if labelled else [IGNORED] * number
        for start, stop in windows([min(len(w), budget) for w in words], budget):
            ids = list(around[:before])
            positions = []
            for word in words[start:stop]:
                content = next((i for i, piece in enumerate(word[:budget]) if piece not in marks), 0)
                positions.append(len(ids) + content)
                ids += word[:budget]
            ids += around[before:]
            features.append(
                Feature(
                    task=row.name,
                    row=index,
                    first=start,
                    units=stop - start,
                    input_ids=ids,
                    type_ids=[0] * len(ids),
                    decoder_ids=[],
                    positions=positions,
                    labels=labels[start:stop],
                    truncated=any(len(w) > budget for w in words[start:stop]),
                )
            )
    return features


def collate(setup: Setup, features: Sequence[Feature]) -> dict[str, Any]:
    """Return a batch, padded to its longest input (a multiple of 8).

    Returns:
        input_ids, attention_mask, token_type_ids (batch, tokens); positions, labels (batch, units); head (batch):
        the index of the row's task among the setup's; int64.
    """
    import torch

    width = padded(max(len(f.input_ids) for f in features))
    units = max(f.units for f in features)
    order = {name: i for i, name in enumerate(setup.rows)}
    inputs = torch.full((len(features), width), setup.tokens.pad)
    mask = torch.zeros((len(features), width), dtype=torch.int64)
    types = torch.zeros((len(features), width), dtype=torch.int64)
    positions = torch.zeros((len(features), units), dtype=torch.int64)
    labels = torch.full((len(features), units), IGNORED)
    for i, feature in enumerate(features):
        length = len(feature.input_ids)
        inputs[i, :length] = torch.tensor(feature.input_ids)
        mask[i, :length] = 1
        types[i, :length] = torch.tensor(feature.type_ids)
        positions[i, : feature.units] = torch.tensor(feature.positions)
        labels[i, : feature.units] = torch.tensor(feature.labels)
    return {
        "input_ids": inputs,
        "attention_mask": mask,
        "token_type_ids": types,
        "positions": positions,
        "labels": labels,
        "head": torch.tensor([order[f.task] for f in features]),
    }


def log_probabilities(setup: Setup, model: Any, task: str, features: Sequence[Feature]) -> list[list[list[float]]]:
    """Score every label of every unit.

    Args:
        setup: the formulation's setup.
        model: an `EncoderWithHeads` in evaluation mode.
        task: the task's name.
        features: one batch of one task.

    Returns:
        For each feature, for each unit, the natural log-probability of each label.
    """
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(setup, features).items()}
    batch.pop("labels")
    logits = model(**batch)["logits"][task].float().log_softmax(-1).cpu()
    return [logits[i, : f.units].tolist() for i, f in enumerate(features)]
