"""A batch of text2text features as tensors."""

from collections.abc import Sequence
from typing import Any

from stiltgrid.batching import padded
from stiltgrid.formulations.features import IGNORED, Feature, Setup


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
