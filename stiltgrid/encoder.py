"""An encoder with one head a task."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stiltgrid.errors import StiltgridError
from stiltgrid.formulations.features import IGNORED
from stiltgrid.tasks.registry import TaskRow

UNITS = {"tagging": None, "span": 2}  # columns of labels by kind: None all, else one


@dataclass(frozen=True)
class Head:
    """What a head must know of its task: a stand-in for the task's row.

    Attributes:
        kind: the task's kind.
        labels: in order.
    """

    kind: str
    labels: tuple[str, ...]


class EncoderWithHeads(nn.Module):
    """An encoder and one head a task; every head is evaluated at each step.

    A head whose task is absent from the batch adds zero to the loss, so that under DDP and ZeRO-3 every rank
    touches the same parameters in the same order and none waits for ever.

    Sequence head as RoBERTa's: dense, tanh, dropout, output (Liu et al. 2019); tagging head: dropout, output; span
    head: output, a start and an end score a token (Devlin et al. 2019, section 4.2).
    """

    accepts_loss_kwargs = False

    def __init__(self, encoder: nn.Module, rows: Mapping[str, Any], pooling: str, dropout: float):
        super().__init__()
        self.encoder = encoder
        self.config = encoder.config
        self.rows = dict(rows)
        self.pooling = pooling
        size = encoder.config.hidden_size
        self.drop = nn.Dropout(dropout)
        self.heads = nn.ModuleDict(
            {_key(name): _layers(row.kind, size, len(row.labels)) for name, row in self.rows.items()}
        )
        for module in self.heads.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        # ZeRO-3 loads the encoder in bf16 and cannot mix: elsewhere both are float32
        self.heads.to(next(encoder.parameters()).dtype)
        self.denoiser: nn.Module | None = None
        self._segments = "token_type_ids" in inspect.signature(encoder.forward).parameters

    def check_task(self, row: TaskRow) -> None:
        """Check that there is a head for a task, trained on its labels.

        Raises:
            StiltgridError: if not.
        """
        head = self.rows.get(row.name)
        if head is None:
            raise StiltgridError(f"{row.name}: the checkpoint has no head for it; it has {', '.join(self.rows)}")
        if list(head.labels) != list(row.labels):
            raise StiltgridError(
                f"{row.name}: its head knows the labels {', '.join(head.labels)}, the task now has "
                f"{', '.join(row.labels)}; train it again"
            )

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        positions: Tensor,
        head: Tensor,
        labels: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> dict[str, Any]:
        """Run the encoder and all heads.

        Args:
            input_ids: (batch, tokens).
            attention_mask: (batch, tokens), 1 = a token.
            token_type_ids: (batch, tokens).
            positions: (batch, units), the token that stands for each unit of a tagging row.
            head: (batch), the row's task by its place among the tasks.
            labels: (batch, units), class indices, of a span row the first and the last token; -100 = none.
            weights: (batch), by which the losses of a row's units are multiplied; None: 1.

        Returns:
            `logits`: task -> (batch, units, labels), one unit but for tagging; of a span task (batch, tokens, 2),
            start and end. With labels, `loss`: the sum of cross entropies, of a span's over the tokens, and of
            denoising rows (`head` past the last task) over the vocabulary.
        """
        segments = {"token_type_ids": token_type_ids} if self._segments else {}
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **segments)[0]
        pooled = states[:, 0]
        if self.pooling == "mean":
            mask = attention_mask.unsqueeze(-1)
            pooled = ((states.float() * mask).sum(1) / mask.sum(1)).to(states.dtype)
        units = states.gather(1, positions.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
        logits: dict[str, Tensor] = {}
        loss: Any = 0.0
        for index, (name, row) in enumerate(self.rows.items()):
            layers = self.heads[_key(name)]
            if row.kind == "tagging":
                logits[name] = layers["out"](self.drop(units))
            elif row.kind == "span":
                logits[name] = layers["out"](states)
            else:
                hidden = torch.tanh(layers["dense"](self.drop(pooled)))
                logits[name] = layers["out"](self.drop(hidden)).unsqueeze(1)
            if labels is not None:
                wanted = labels[:, : UNITS.get(row.kind, 1)]
                wanted = wanted.masked_fill((head != index).unsqueeze(1), IGNORED)
                scores = logits[name].float()
                if row.kind == "span":
                    # each of the two is a choice among the tokens; a batch without span rows has one column of labels
                    scores = scores.masked_fill((attention_mask == 0).unsqueeze(-1), -torch.inf)
                    scores = scores.transpose(1, 2)[:, : wanted.shape[1]]
                flat = scores.flatten(0, 1)
                loss = loss + summed_loss(flat, wanted, weights)
        if labels is not None and self.denoiser is not None:
            # evaluated without a row of it, too: no rank may leave its parameters out
            chosen = (labels != IGNORED) & (head == len(self.rows)).unsqueeze(1)
            loss = loss + self.denoiser(units[chosen], labels[chosen])
        return {"logits": logits} if labels is None else {"logits": logits, "loss": loss}


def summed_loss(scores: Tensor, wanted: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sum of cross entropies, float32.

    Args:
        scores: (batch * units, classes).
        wanted: (batch, units), -100 = none.
        weights: (batch), by which a row's are multiplied; None: 1.
    """
    if weights is None:
        return F.cross_entropy(scores, wanted.flatten(), ignore_index=IGNORED, reduction="sum")
    losses = F.cross_entropy(scores, wanted.flatten(), ignore_index=IGNORED, reduction="none")
    return (losses.view(wanted.shape) * weights.unsqueeze(1)).sum()


def _layers(kind: str, size: int, labels: int) -> nn.ModuleDict:
    if kind == "span":
        return nn.ModuleDict({"out": nn.Linear(size, 2)})
    if kind == "tagging":
        return nn.ModuleDict({"out": nn.Linear(size, labels)})
    return nn.ModuleDict({"dense": nn.Linear(size, size), "out": nn.Linear(size, labels)})


def _key(task: str) -> str:
    return task.replace("/", "__").replace(".", "_")  # a module's name may hold no dot
