"""A batch of features for an encoder with heads, as tensors."""

from collections.abc import Sequence
from typing import Any

from stiltgrid.batching import padded
from stiltgrid.formulations.features import IGNORED, Feature, Setup


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


def logits(setup: Setup, model: Any, task: str, features: Sequence[Feature]) -> Any:
    """Return the logits of one task's head for a batch of its features, float32 on the CPU.

    Args:
        setup: the formulation's setup.
        model: an `EncoderWithHeads` in evaluation mode.
        task: the task's name.
        features: the batch.

    Returns:
        (batch, units, labels); see `EncoderWithHeads.forward`.
    """
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in collate(setup, features).items()}
    batch.pop("labels")
    return model(**batch)["logits"][task].float().cpu()
