"""Robust training: a run's inputs with their embeddings moved a little (Huang et al. 2021, sections 3.1 and 3.2).

A word and its translation are taken to be one point and another close by. So every token's input embedding is moved by
at most epsilon in L2 norm, each token by itself, padding not at all: `adversarial` to where the loss is highest, by
projected gradient ascent from where it was (Madry et al. 2018), `random` uniformly in the ball. A text2text model's
decoder input stays as it is. Moved is what the embedding gives, before positions are added and it is normalised.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[Mapping[str, Any]], Tensor]
TINY = 1e-12


def input_embeddings(model: nn.Module) -> nn.Module:
    """Return the module that embeds a model's input; of an encoder with heads and of a text2text model alike."""
    return model.encoder.get_input_embeddings()


@contextmanager
def moved(embeddings: nn.Module, delta: Tensor) -> Iterator[None]:
    """Add `delta` (batch, tokens, size) to what the module gives at its first call; a decoder may make the next."""
    left = [delta]

    def add(_: nn.Module, __: Any, output: Tensor) -> Tensor | None:
        return output + left.pop().to(output.dtype) if left else None

    handle = embeddings.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def projected(delta: Tensor, epsilon: float) -> Tensor:
    """Return each token's movement (last axis), shortened to the L2 norm epsilon where it is longer."""
    norm = delta.norm(dim=-1, keepdim=True)
    return delta * (epsilon / norm.clamp_min(TINY)).clamp_max(1.0)


def uniform_in_ball(like: Tensor, epsilon: float) -> Tensor:
    """Return movements drawn uniformly in the L2 ball of radius epsilon: (batch, tokens, size)."""
    direction = torch.randn_like(like)
    radius = torch.rand_like(like[..., :1]) ** (1.0 / like.shape[-1])
    return epsilon * radius * direction / direction.norm(dim=-1, keepdim=True).clamp_min(TINY)


def worst(
    embeddings: nn.Module, inputs: Mapping[str, Any], loss: Loss, like: Tensor, robust: Mapping[str, Any]
) -> Tensor:
    """Return the movement that projected gradient ascent finds; parameters get no gradient.

    Args:
        embeddings: of the input.
        inputs: a batch.
        loss: of a batch, called once a step.
        like: zeros (batch, tokens, size), float32.
        robust: `epsilon`, `steps`, `step_size`.
    """
    epsilon, steps = robust["epsilon"], robust["steps"]
    size = robust["step_size"] or 2.5 * epsilon / steps
    kept = inputs["attention_mask"].unsqueeze(-1)
    delta = like
    for _ in range(steps):
        delta = delta.detach().requires_grad_(True)
        with moved(embeddings, delta):
            (slope,) = torch.autograd.grad(loss(inputs), delta)
        # the length of a step is the same for every token, however little the loss depends on it
        rise = slope / slope.norm(dim=-1, keepdim=True).clamp_min(TINY)
        delta = projected(delta.detach() + size * rise, epsilon) * kept
    return delta.detach()


def movement(model: nn.Module, inputs: Mapping[str, Any], loss: Loss, robust: Mapping[str, Any]) -> Tensor:
    """Return by how much a batch's input embeddings are moved: (batch, tokens, size), float32.

    Args:
        model: the unwrapped model.
        inputs: the batch, with `input_ids` and `attention_mask` (batch, tokens).
        loss: of a batch by the unwrapped model, not divided by anything.
        robust: the recipe's: `kind` adversarial or random, `epsilon`, and for adversarial `steps` and `step_size`.
    """
    embeddings = input_embeddings(model)
    mask = inputs["attention_mask"]
    like = torch.zeros(*mask.shape, embeddings.embedding_dim, device=mask.device)
    if robust["kind"] == "random":
        return uniform_in_ball(like, robust["epsilon"]) * mask.unsqueeze(-1)
    return worst(embeddings, inputs, loss, like, robust)
