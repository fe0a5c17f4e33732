"""The masked language model's head of an encoder: the pretrained one where the checkpoint has it.

It is dense, GELU, layer norm, then the input embeddings as output matrix with a bias (Devlin et al. 2019; Liu et al.
2019). A checkpoint without a head (a sentence encoder's, mT5's) gets the embeddings and a bias alone, in T5-like models
scaled by width ** -0.5, as T5 1.0 scales before its tied matrix. The head is trained with the run and is no part of its
result.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stiltgrid import sharded
from stiltgrid.errors import StiltgridError

NAMES = (
    {"dense": "lm_head.dense", "norm": "lm_head.layer_norm", "bias": "lm_head.bias"},
    {
        "dense": "cls.predictions.transform.dense",
        "norm": "cls.predictions.transform.LayerNorm",
        "bias": "cls.predictions.bias",
    },
)
"""What XLM-R and BERT, and models like them, call the parts of their head."""

OLD = {"weight": "gamma", "bias": "beta"}
"""What files of the time of BERT call the parameters of a norm; the library reads them so to this day."""


class Denoiser(nn.Module):
    """Loss of naming masked tokens.

    Args:
        encoder: whose input embeddings are the output matrix; it stays no part of this module.
        pretrained: whether there is a dense layer with a norm before it.
    """

    def __init__(self, encoder: nn.Module, pretrained: bool) -> None:
        super().__init__()
        config = encoder.config
        embeddings = encoder.get_input_embeddings()
        vocabulary, size = config.vocab_size, config.hidden_size
        width = getattr(embeddings, "embedding_dim", size)
        if width != size:
            raise StiltgridError(
                f"{config.model_type}: embeddings of width {width}, states of {size}: without a layer between "
                "them they cannot be the output matrix; denoising needs an encoder where the two are equal"
            )
        self.scale = size**-0.5 if config.model_type in ("mt5", "t5") else 1.0
        self.dense = nn.Linear(size, size) if pretrained else None
        self.norm = nn.LayerNorm(size, eps=getattr(config, "layer_norm_eps", 1e-5)) if pretrained else None
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self._embeddings = [embeddings]  # in a list, so that its parameters are counted once

    def forward(self, states: Tensor, wanted: Tensor) -> Tensor:
        """Return the sum of cross entropies, float32.

        Args:
            states: (tokens, size), the encoder's; none in a batch without denoising rows.
            wanted: (tokens), their ids.
        """
        states = states.to(self.bias.dtype)  # frozen weights below adapters may have another
        if self.dense is not None and self.norm is not None:
            states = self.norm(F.gelu(self.dense(states)))
        matrix = self._embeddings[0].weight.to(self.bias.dtype)
        logits = F.linear(states * self.scale, matrix, self.bias)
        return F.cross_entropy(logits.float(), wanted, reduction="sum")


def add_denoiser(model: Any, folder: Path) -> str:
    """Put a head on a model (`EncoderWithHeads.denoiser`), and say which.

    Args:
        model: an `EncoderWithHeads`.
        folder: the pretrained model's.

    Returns:
        "pretrained", or "tied embeddings" for a new one.

    Raises:
        StiltgridError: if a part of the pretrained head is missing or has another shape, or the embeddings cannot be
            the output matrix.
    """
    stored = sharded.stored_in(folder)
    parts = next((names for names in NAMES if f"{names['dense']}.weight" in stored), None)
    denoiser = Denoiser(model.encoder, parts is not None)
    if parts is not None:
        for name, parameter in denoiser.named_parameters():
            part, _, rest = name.partition(".")
            there = f"{parts[part]}.{rest}" if rest else parts[part]
            if part == "norm" and there not in stored:
                old = f"{parts[part]}.{OLD[rest]}"
                there = old if old in stored else there
            if there not in stored:
                raise StiltgridError(f"{folder}: a head without {there}; expected all of {', '.join(parts.values())}")
            with sharded.opened(stored[there]) as tensors, torch.no_grad():
                value = tensors[there][:]
                if tuple(value.shape) != tuple(parameter.shape):
                    raise StiltgridError(
                        f"{folder}: {there} has shape {tuple(value.shape)}, expected {tuple(parameter.shape)}"
                    )
                parameter.copy_(value)
    model.denoiser = denoiser.to(next(model.heads.parameters()).dtype)
    return "tied embeddings" if parts is None else "pretrained"
