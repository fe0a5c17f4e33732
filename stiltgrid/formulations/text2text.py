"""Text in, text out (mT5): prompts, targets, and scoring by log-likelihood over one encoding of the input.

Classification and ranking. Input `xnli premise: ... hypothesis: ...` (the task's short name, then each field under
its name), target the label's verbaliser and end-of-sequence. Too long an input loses the tail of its longest field
first. A label's score is its log-likelihood, normalised over the labels, so no answer is ever outside the label set:

- where the labels' first tokens all differ, one decoder step and only the labels' rows of the output matrix decide
  (at mT5's vocabulary four times faster than whole labels, same argmax);
- otherwise every label is scored whole, with the encoder's output shared between them.

Tagging. One sentinel a word, in parallel: input `pos <extra_id_0> They <extra_id_1> run`, decoder input the start
token and the same sentinels; the decoder's output at a word's sentinel is the token of its tag (`tag_tokens`).
All tags of a window come from one decoder pass, and there is exactly one tag a word by construction; a generated
list of tags would need a pass a token and could be too short, too long or outside the tag set. The cost is that tags
are independent given the input, and must be told apart by one token. A sentence of more than 100 words, or of
too many tokens, is cut into consecutive windows. A word without any piece is still represented by its sentinel.
"""

from collections.abc import Sequence
from typing import Any

from stiltgrid.batching import padded
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup, check_kind, cut_longest, gold, windows
from stiltgrid.tasks.registry import TaskRow
from stiltgrid.tokenization import SENTINELS


def targets(setup: Setup, row: TaskRow) -> list[list[int]]:
    """Return the token ids of each label's verbaliser, in the row's order, without end-of-sequence.

    Raises:
        StiltgridError: if a verbaliser has no tokens.
    """
    ids = setup.tokens.ids(list(row.labels.values()))
    for label, text, pieces in zip(row.labels, row.labels.values(), ids, strict=True):
        if not pieces:
            raise StiltgridError(f"{row.name}: the verbaliser {text!r} of label {label!r} has no tokens")
    return ids


def tag_tokens(setup: Setup, row: TaskRow) -> list[int]:
    """Return the one token that stands for each tag, in the row's order.

    It is the first piece of the tag's verbaliser that no earlier tag has taken: where a vocabulary cuts two
    verbalisers into the same first piece, the second is told by its next.

    Raises:
        StiltgridError: if a tag has no piece of its own (it and the tag that has its first piece are named).
    """
    taken: dict[int, str] = {}
    for tag, pieces in zip(row.labels, targets(setup, row), strict=True):
        own = next((piece for piece in pieces if piece not in taken), None)
        if own is None:
            other = taken[pieces[0]]
            raise StiltgridError(
                f"{row.name}: tags {other!r} ({row.labels[other]!r}) and {tag!r} ({row.labels[tag]!r}) cannot be told "
                f"apart by one token in the vocabulary of {setup.tokens.folder}; change a verbaliser"
            )
        taken[own] = tag
    return list(taken)


def first_tokens_differ(targets: Sequence[Sequence[int]]) -> bool:
    """Tell whether the first token alone tells every label apart."""
    return len({t[0] for t in targets}) == len(targets)


def check(setup: Setup) -> None:
    """Check that every task can be put as text to this vocabulary.

    Raises:
        StiltgridError: for a kind that is not built; for two labels with equal tokens; for two tags that
            no single token tells apart (both named).
    """
    short: dict[str, str] = {}
    for row in setup.rows.values():
        check_kind(row)
        if short.setdefault(_short(row), row.name) != row.name:
            raise StiltgridError(
                f"{row.name} and {short[_short(row)]} share the prefix {_short(row)!r}; train them apart"
            )
        if row.kind == "tagging":
            tag_tokens(setup, row)
            _ = setup.tokens.sentinels
            continue
        seen: dict[tuple[int, ...], str] = {}
        for label, ids in zip(row.labels, targets(setup, row), strict=True):
            other = seen.setdefault(tuple(ids), label)
            if other != label:
                raise StiltgridError(
                    f"{row.name}: labels {other!r} ({row.labels[other]!r}) and {label!r} ({row.labels[label]!r}) have "
                    f"the same tokens in the vocabulary of {setup.tokens.folder}; change a verbaliser"
                )


def encode(setup: Setup, task: str, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Turn examples into features; a long sentence into several.

    Raises:
        StiltgridError: if `labelled` and a label is missing or foreign, or the prefix alone fills the input.
    """
    row = setup.rows[task]
    return (_tagging if row.kind == "tagging" else _classification)(setup, row, examples, labelled)


def _short(row: TaskRow) -> str:
    return row.name.split("/")[1]


def _classification(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    names = row.fields or tuple(examples[0].fields if examples else ())
    marks = setup.tokens.ids([f"{_short(row)} {n}:" if i == 0 else f"{n}:" for i, n in enumerate(names)])
    budget = setup.max_input_length - sum(map(len, marks)) - 1
    if budget < len(names):
        raise StiltgridError(
            f"{row.name}: max_input_length {setup.max_input_length} leaves {max(budget, 0)} tokens for "
            f"{len(names)} fields; raise it"
        )
    columns = [setup.tokens.ids([_field(row, e, n) for e in examples]) for n in names]
    wanted = targets(setup, row)
    features = []
    for index, example in enumerate(examples):
        texts = [column[index] for column in columns]
        kept = cut_longest([len(t) for t in texts], budget)
        ids = [i for mark, text, n in zip(marks, texts, kept, strict=True) for i in (*mark, *text[:n])]
        target = [*wanted[gold(row, example)[0]], setup.tokens.end] if labelled else []
        features.append(
            Feature(
                task=row.name,
                row=index,
                first=0,
                units=1,
                input_ids=[*ids, setup.tokens.end],
                type_ids=[],
                decoder_ids=[setup.start, *target[:-1]],
                positions=[0],
                labels=target or [IGNORED],
                truncated=sum(kept) < sum(map(len, texts)),
            )
        )
    return features


def _field(row: TaskRow, example: Example, name: str) -> str:
    try:
        return example.fields[name]
    except KeyError:
        raise StiltgridError(
            f"{row.name}: example {example.id!r} has no field {name!r}; it has {', '.join(example.fields) or 'none'}"
        ) from None


def _tagging(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    prefix = setup.tokens.ids([_short(row)])[0]
    budget = setup.max_input_length - len(prefix) - 1
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
            ids = list(prefix)
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


def collate(setup: Setup, features: Sequence[Feature]) -> dict[str, Any]:
    """Return a batch, padded to its longest input (a multiple of 8).

    Returns:
        input_ids, attention_mask (batch, input tokens); decoder_input_ids, labels (batch, target tokens); int64.
    """
    import torch

    width = padded(max(len(f.input_ids) for f in features))
    depth = max(len(f.decoder_ids) for f in features)
    inputs = torch.full((len(features), width), setup.tokens.pad)
    mask = torch.zeros((len(features), width), dtype=torch.int64)
    decoder = torch.full((len(features), depth), setup.tokens.pad)
    labels = torch.full((len(features), depth), IGNORED)
    for i, feature in enumerate(features):
        inputs[i, : len(feature.input_ids)] = torch.tensor(feature.input_ids)
        mask[i, : len(feature.input_ids)] = 1
        decoder[i, : len(feature.decoder_ids)] = torch.tensor(feature.decoder_ids)
        labels[i, : len(feature.labels)] = torch.tensor(feature.labels)
    return {"input_ids": inputs, "attention_mask": mask, "decoder_input_ids": decoder, "labels": labels}


def log_probabilities(
    setup: Setup, model: Any, task: str, features: Sequence[Feature], whole_labels: bool = False
) -> list[list[list[float]]]:
    """Score every label of every unit.

    Args:
        setup: the formulation's setup.
        model: an untied mT5 in evaluation mode.
        task: the task's name.
        features: one batch of one task.
        whole_labels: score whole labels even where first tokens decide (for comparison).

    Returns:
        For each feature, for each unit, the natural log-probability of each label, normalised over the labels.
    """
    import torch

    row = setup.rows[task]
    tagging = row.kind == "tagging"
    wanted = [[token] for token in tag_tokens(setup, row)] if tagging else targets(setup, row)
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(setup, features).items()}
    encoded = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]
    if tagging or (first_tokens_differ(wanted) and not whole_labels):
        asked = batch["decoder_input_ids"]
        if not tagging:
            asked = asked[:, :1]
        hidden = model.decode(asked, encoded, batch["attention_mask"])
        logits = model.score_rows(hidden, torch.tensor([t[0] for t in wanted], device=device))
        scores = logits.float().log_softmax(-1).cpu()
        shift = 1 if tagging else 0
        return [scores[i, shift : shift + f.units].tolist() for i, f in enumerate(features)]
    totals = whole_label_scores(setup, model, wanted, encoded, batch["attention_mask"])
    return [[unit] for unit in totals.log_softmax(-1).cpu().tolist()]


def whole_label_scores(setup: Setup, model: Any, wanted: Sequence[Sequence[int]], encoded: Any, mask: Any) -> Any:
    """Return the log-likelihood of each label's text and end-of-sequence, the encoder's output reused.

    Args:
        setup: the formulation's setup.
        model: an untied mT5 in evaluation mode.
        wanted: token ids of each label.
        encoded: (batch, input tokens, d_model).
        mask: (batch, input tokens).

    Returns:
        float32 (batch, labels): sums over target tokens, natural log, not normalised over labels.
    """
    import torch

    depth = max(map(len, wanted)) + 1
    labels = torch.full((len(wanted), depth), IGNORED)
    for i, ids in enumerate(wanted):
        labels[i, : len(ids) + 1] = torch.tensor([*ids, setup.tokens.end])
    decoder = torch.full_like(labels, setup.start)
    decoder[:, 1:] = labels[:, :-1].clamp(min=setup.tokens.pad)
    labels, decoder = labels.to(encoded.device), decoder.to(encoded.device)
    number = len(encoded)
    hidden = model.decode(
        decoder.repeat(number, 1),
        encoded.repeat_interleave(len(wanted), 0),
        mask.repeat_interleave(len(wanted), 0),
    )
    logits = model.lm_head(hidden).float().log_softmax(-1)
    labels = labels.repeat(number, 1)
    chosen = logits.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return chosen.masked_fill(labels == IGNORED, 0.0).sum(-1).view(number, len(wanted))
