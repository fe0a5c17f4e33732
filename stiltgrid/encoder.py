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
from stiltgrid.formulations.sharing import head_owners
from stiltgrid.tasks.registry import TaskRow

UNITS = {"tagging": None, "span": 2}  # columns of labels by kind: None all, else one


@dataclass(frozen=True)
class Head:
    """What a head must know of its task: a stand-in for the task's row.

    Attributes:
        kind: the task's kind.
        labels: in order.
        head: the name of a head that tasks share, if they do.
    """

    kind: str
    labels: tuple[str, ...]
    head: str | None = None


class EncoderWithHeads(nn.Module):
    """An encoder and one head a task, or one that several tasks share; every head is evaluated at each step.

    A head whose task is absent from the batch adds zero to the loss, so that under DDP and ZeRO-3 every rank
    touches the same parameters in the same order and none waits for ever.

    Sequence head as RoBERTa's: dense, tanh, dropout, output (Liu et al. 2019); tagging head: dropout, output; span
    head: output, a start and an end score a token (Devlin et al. 2019, section 4.2); choice head: as the sequence head,
    one score an input, softmax over an example's inputs (section 4.4).
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
        self.owners = head_owners(self.rows)
        own = {name: row for name, row in self.rows.items() if self.owners[name] == name}
        self.heads = nn.ModuleDict({_key(name): _layers(row.kind, size, len(row.labels)) for name, row in own.items()})
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
        choices: Tensor | None = None,
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
            choices: (batch, most choices), the rows of an example's choices at its first row, -1 beyond; None: every
                row is an example.
            weights: (batch), by which the losses of a row's units are multiplied; None: 1.

        Returns:
            `logits`: task -> (batch, units, labels), one unit but for tagging; of a span task (batch, tokens, 2),
            start and end; of a choice task (batch, 1, most choices), -inf beyond an example's. With labels, `loss`: the
            sum of cross entropies, of a span's over the tokens, and of denoising rows (`head` past the last task) over
            the vocabulary.
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
            if self.owners[name] != name:
                logits[name] = logits[self.owners[name]]
                continue
            layers = self.heads[_key(name)]
            if row.kind == "tagging":
                logits[name] = layers["out"](self.drop(units))
            elif row.kind == "span":
                logits[name] = layers["out"](states)
            else:
                hidden = torch.tanh(layers["dense"](self.drop(pooled)))
                logits[name] = layers["out"](self.drop(hidden)).unsqueeze(1)
                if row.kind == "choice":
                    logits[name] = _of_choices(logits[name][:, 0, 0], choices).unsqueeze(1)
            if labels is not None:
                wanted = labels[:, : UNITS.get(row.kind, 1)]
                elsewhere = head != index
                for other, (task, owner) in enumerate(self.owners.items()):
                    if owner == name and task != name:
                        elsewhere = elsewhere & (head != other)
                wanted = wanted.masked_fill(elsewhere.unsqueeze(1), IGNORED)
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


def _of_choices(scores: Tensor, choices: Tensor | None) -> Tensor:
    """Return the scores of each row's choices, (rows, most choices); a row that begins no example has its own first."""
    if choices is None:
        return scores.unsqueeze(1)
    return scores[choices.clamp(min=0)].masked_fill(choices < 0, -torch.inf)


def _layers(kind: str, size: int, labels: int) -> nn.ModuleDict:
    if kind == "span":
        return nn.ModuleDict({"out": nn.Linear(size, 2)})
    if kind == "tagging":
        return nn.ModuleDict({"out": nn.Linear(size, labels)})
    return nn.ModuleDict({"dense": nn.Linear(size, size), "out": nn.Linear(size, 1 if kind == "choice" else labels)})


def _key(task: str) -> str:
    return task.replace("/", "__").replace(".", "_")  # a module's name may hold no dot
