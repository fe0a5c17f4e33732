"""A batch of features for an encoder with heads, as tensors."""

from collections.abc import Sequence
from typing import Any

from stiltgrid.batching import padded
from stiltgrid.formulations.features import IGNORED, Feature, Setup
from stiltgrid.tasks.registry import TaskRow


def collate(setup: Setup, features: Sequence[Feature]) -> dict[str, Any]:
    """Return a batch, padded to its longest input (a multiple of 8).

    Returns:
        input_ids, attention_mask, token_type_ids (batch, tokens); positions, labels (batch, units); head (batch):
        the index of the row's task among the setup's; int64. A feature is a row, but of a choice every input is one,
        the first with its label; then also choices (batch, most choices): the rows of an example's choices at its
        first row, -1 beyond; at other rows the row itself.
    """
    import torch

    # of a choice, every input is a row of the batch; the first of them stands for the example
    rows = [(f, ids, types) for f in features for ids, types in ((f.input_ids, f.type_ids), *f.others)]
    firsts = [i for i, (f, ids, _) in enumerate(rows) if ids is f.input_ids]
    width = padded(max(len(ids) for _, ids, _ in rows))
    units = max(f.units for f in features)
    order = {name: i for i, name in enumerate(setup.rows)}
    inputs = torch.full((len(rows), width), setup.tokens.pad)
    mask = torch.zeros((len(rows), width), dtype=torch.int64)
    types = torch.zeros((len(rows), width), dtype=torch.int64)
    positions = torch.zeros((len(rows), units), dtype=torch.int64)
    labels = torch.full((len(rows), units), IGNORED)
    for i, (_, ids, segments) in enumerate(rows):
        inputs[i, : len(ids)] = torch.tensor(ids)
        mask[i, : len(ids)] = 1
        types[i, : len(ids)] = torch.tensor(segments)
    for i, feature in zip(firsts, features, strict=True):
        positions[i, : feature.units] = torch.tensor(feature.positions)
        labels[i, : feature.units] = torch.tensor(feature.labels)
    batch = {
        "input_ids": inputs,
        "attention_mask": mask,
        "token_type_ids": types,
        "positions": positions,
        "labels": labels,
        "head": torch.tensor([order[f.task] for f, _, _ in rows]),
    }
    if len(rows) > len(features):
        table = torch.full((len(rows), max(f.choices for f in features)), -1)
        table[:, 0] = torch.arange(len(rows))
        for i, feature in zip(firsts, features, strict=True):
            if feature.choices:
                table[i, : feature.choices] = torch.arange(i, i + feature.choices)
        batch["choices"] = table
    return batch


def logits(setup: Setup, model: Any, task: str, features: Sequence[Feature]) -> Any:
    """Return the logits of one task's head for a batch of its features, float32 on the CPU.

    Args:
        setup: the formulation's setup.
        model: an `EncoderWithHeads` in evaluation mode.
        task: the task's name.
        features: the batch.

    Returns:
        (batch, units, labels), a row an input; see `EncoderWithHeads.forward`.
    """
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(setup, features).items()}
    batch.pop("labels")
    return model(**batch)["logits"][task].float().cpu()


def unit_scores(setup: Setup, model: Any, row: TaskRow, features: Sequence[Feature]) -> list[list[list[float]]]:
    """Score every label of every unit: of a text, or of each word.

    Args:
        setup: the formulation's setup.
        model: an `EncoderWithHeads` in evaluation mode.
        row: the task.
        features: one batch.

    Returns:
        For each feature, for each unit, the natural log-probability of each label.
    """
    scores = logits(setup, model, row.name, features).log_softmax(-1)
    return [scores[i, : f.units].tolist() for i, f in enumerate(features)]
