"""Classification and ranking as text, scored by log-likelihood over one encoding of the input.

Input `xnli premise: ... hypothesis: ...`, target the label's verbaliser and end-of-sequence. Too long an input loses
the tail of its longest field first. A label's score is its log-likelihood, normalised over the labels, so no answer
is ever outside the label set:

- where the labels' first tokens all differ, one decoder step and only the labels' rows of the output matrix decide
  (at mT5's vocabulary four times faster than whole labels, same argmax);
- otherwise every label is scored whole, with the encoder's output shared between them.
"""

from collections.abc import Sequence
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup, gold
from stiltgrid.formulations.label_scores import check_ranking, decode
from stiltgrid.formulations.text2text.batch import collate
from stiltgrid.formulations.text2text.prompts import inputs
from stiltgrid.tasks.registry import TaskRow

__all__ = ["check", "decode", "encode", "first_tokens_differ", "outputs", "targets", "whole_label_scores"]


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


def first_tokens_differ(targets: Sequence[Sequence[int]]) -> bool:
    """Tell whether the first token alone tells every label apart."""
    return len({t[0] for t in targets}) == len(targets)


def check(setup: Setup, row: TaskRow) -> None:
    """Check that the vocabulary tells the labels apart.

    Raises:
        StiltgridError: for two labels with equal tokens (both named), or a ranking label that is no number.
    """
    check_ranking(row)
    seen: dict[tuple[int, ...], str] = {}
    for label, ids in zip(row.labels, targets(setup, row), strict=True):
        other = seen.setdefault(tuple(ids), label)
        if other != label:
            raise StiltgridError(
                f"{row.name}: labels {other!r} ({row.labels[other]!r}) and {label!r} ({row.labels[label]!r}) have "
                f"the same tokens in the vocabulary of {setup.tokens.folder}; change a verbaliser"
            )


def encode(setup: Setup, row: TaskRow, examples: Sequence[Example], labelled: bool) -> list[Feature]:
    """Return one feature an example.

    Raises:
        StiltgridError: if `labelled` and a label is missing or foreign, or the prompt alone fills the input.
    """
    wanted = targets(setup, row)
    features = []
    for index, (example, (ids, truncated)) in enumerate(zip(examples, inputs(setup, row, examples), strict=True)):
        target = [*wanted[gold(row, example)[0]], setup.tokens.end] if labelled else []
        features.append(
            Feature(
                task=row.name,
                row=index,
                first=0,
                units=1,
                input_ids=ids,
                type_ids=[],
                decoder_ids=[setup.start, *target[:-1]],
                positions=[0],
                labels=target or [IGNORED],
                truncated=truncated,
            )
        )
    return features


def outputs(
    setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature], whole_labels: bool = False
) -> list[list[list[float]]]:
    """Score every label.

    Args:
        setup: the formulation's setup.
        model: an untied mT5 in evaluation mode.
        row: the task.
        features: one batch.
        whole_labels: score whole labels even where first tokens decide (for comparison).

    Returns:
        For each feature one list: the natural log-probability of each label, normalised over the labels.
    """
    import torch

    wanted = targets(setup, row)
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(setup, features).items()}
    encoded = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]
    if first_tokens_differ(wanted) and not whole_labels:
        hidden = model.decode(batch["decoder_input_ids"][:, :1], encoded, batch["attention_mask"])
        logits = model.score_rows(hidden, torch.tensor([t[0] for t in wanted], device=device))
        return logits.float().log_softmax(-1).cpu().tolist()
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
    labels = labels.repeat(number, 1).to(logits.device)
    chosen = logits.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return chosen.masked_fill(labels == IGNORED, 0.0).sum(-1).view(number, len(wanted))
