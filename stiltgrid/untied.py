"""mT5 with its output matrix apart from its embedding, in every way a model can come to be.

transformers 5 ties the two: `MT5Config` forces it and `MT5ForConditionalGeneration` lists `lm_head` among its tied
tensors. One process that loads a checkpoint notices that the tensors differ; from a configuration, on resizing, on
`tie_weights` and under ZeRO-3 the pretrained output matrix is replaced without a word (training.md section 0).
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import MT5ForConditionalGeneration, T5ForConditionalGeneration

from stiltgrid import sharded
from stiltgrid.errors import StiltgridError
from stiltgrid.formulations.features import IGNORED
from stiltgrid.rewrite import bin_files, read_whole


def untied(base: type) -> type:
    """Return a T5-like class whose output matrix is its own, however it is loaded, built or resized.

    The encoder's and decoder's embeddings stay one tensor. (Setting `config.tie_word_embeddings = False`
    instead would untie these too, and leave them at random numbers.)

    Args:
        base: `MT5ForConditionalGeneration` or `T5ForConditionalGeneration`.
    """

    class Untied(base):
        _tied_weights_keys = {  # noqa: RUF012  (a class attribute that the library reads as it is)
            "encoder.embed_tokens.weight": "shared.weight",
            "decoder.embed_tokens.weight": "shared.weight",
        }
        # else the Trainer multiplies the loss by accumulation steps and ranks (training.md section 0)
        accepts_loss_kwargs = False

        def decode(self, decoder_input_ids: Tensor, encoded: Tensor, attention_mask: Tensor) -> Tensor:
            """Return the decoder's states (batch, target tokens, d_model) on an encoded input."""
            states = self.decoder(
                input_ids=decoder_input_ids,
                encoder_hidden_states=encoded,
                encoder_attention_mask=attention_mask,
                use_cache=False,
            )[0]
            # T5 1.0 alone scales before its tied output matrix; mT5 and T5 1.1 never do
            if getattr(self.config, "scale_decoder_outputs", False):
                states = states * self.model_dim**-0.5
            return states

        def score_rows(self, states: Tensor, rows: Tensor) -> Tensor:
            """Return the logits of a few vocabulary rows only: (..., d_model) to (..., rows)."""
            if hasattr(self.lm_head.weight, "ds_id"):  # partitioned by ZeRO-3: only the module can gather it
                return self.lm_head(states)[..., rows]
            weight = self.lm_head.weight  # on another device where several share the layers
            return F.linear(states.to(weight.device), weight[rows.to(weight.device)])

        def forward(
            self,
            input_ids: Tensor | None = None,
            attention_mask: Tensor | None = None,
            decoder_input_ids: Tensor | None = None,
            labels: Tensor | None = None,
            weights: Tensor | None = None,
            **kwargs: Any,
        ) -> Any:
            """As the library's; with `labels`, `{"loss": sum of cross entropies}` over labelled positions alone.

            `weights` (batch) multiply the losses of a row's positions.

            Logits are made only where there is a label: at mT5's vocabulary they are most of the memory.
            """
            if labels is None or decoder_input_ids is None:
                return super().forward(
                    input_ids=input_ids,
                    attention_mask=attention_mask,
                    decoder_input_ids=decoder_input_ids,
                    labels=labels,
                    **kwargs,
                )
            encoded = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
            states = self.decode(decoder_input_ids, encoded, attention_mask)
            kept = labels != IGNORED
            logits = self.lm_head(states[kept])
            if weights is None:
                return {"loss": F.cross_entropy(logits.float(), labels[kept], reduction="sum")}
            losses = F.cross_entropy(logits.float(), labels[kept], reduction="none")
            return {"loss": (losses * weights.unsqueeze(1).expand_as(labels)[kept]).sum()}

    Untied.__name__ = Untied.__qualname__ = base.__name__  # keeps config.architectures
    return Untied


UntiedMT5 = untied(MT5ForConditionalGeneration)
UntiedT5 = untied(T5ForConditionalGeneration)


def text2text_class(config: Any, where: Path | str) -> type:
    """Return the class for a T5-like configuration.

    Raises:
        StiltgridError: if the model is not T5-like.
    """
    if config.model_type == "mt5":
        return UntiedMT5
    if config.model_type == "t5":
        return T5Tied if config.scale_decoder_outputs else UntiedT5
    raise StiltgridError(
        f"{where}: model type {config.model_type!r} is not text2text; allowed: mt5, t5; or set family: heads"
    )


class T5Tied(UntiedT5):
    """T5 1.0, the one T5-like model whose output matrix is its embedding."""

    _tied_weights_keys = T5ForConditionalGeneration._tied_weights_keys


T5Tied.__name__ = "T5ForConditionalGeneration"


def check_head(model: Any, folder: Path) -> None:
    """Check that the output matrix is apart from the embedding and equals the checkpoint's.

    64 rows spread over the vocabulary are compared, exactly: reading a billion numbers twice would cost a minute.

    Raises:
        StiltgridError: if not.
    """
    if isinstance(model, T5Tied):
        return
    head = model.lm_head.weight
    if head is model.shared.weight:
        raise StiltgridError(f"{folder}: the output matrix lm_head was tied to the embedding; a fault of the loader")
    file = sharded.stored_in(folder).get("lm_head.weight")
    if file is not None:
        with sharded.opened(file) as tensors:
            _compare_rows(head, tensors["lm_head.weight"], folder)
        return
    for old in bin_files(folder):  # a format that can only be read whole
        if (stored := read_whole(old).get("lm_head.weight")) is not None:
            _compare_rows(head, stored, folder)


def _compare_rows(head: Tensor, stored: Any, folder: Path) -> None:
    with sharded.gathered([head]):
        shape, width = sharded.shape_of(stored), head.shape[-1]
        if head.numel() == 0 or shape != tuple(head.shape):
            raise StiltgridError(f"{folder}: lm_head has shape {tuple(head.shape)}, the checkpoint's {list(shape)}")
        for row in range(0, head.shape[0], max(1, head.shape[0] // 64)):
            there = sharded.flat(stored, row * width, (row + 1) * width).to(head.dtype).float()
            if not torch.equal(head[row].detach().cpu().float(), there):
                raise StiltgridError(f"{folder}: row {row} of lm_head is not the checkpoint's; a fault of the loader")
