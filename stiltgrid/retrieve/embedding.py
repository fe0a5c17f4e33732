"""Sentences as vectors: hidden states of one layer of an encoder, pooled over tokens, of length 1."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stiltgrid.artifacts import read_json
from stiltgrid.batching import by_length
from stiltgrid.errors import StiltgridError
from stiltgrid.predict import check_weights
from stiltgrid.schema import Retrieval
from stiltgrid.tokenization import Tokens, limit_threads, load_tokens

CHUNK = 16_384
"""Sentences that are cut into tokens at once: those of a million would take gigabytes."""

Vectors = NDArray[np.float32]
Progress = Callable[[int, int], None]


def layer_of(how: Retrieval, depth: int) -> int:
    """Return the layer whose hidden states are taken.

    Args:
        how: the settings; their layer may be None.
        depth: layers of the encoder.

    Raises:
        StiltgridError: if the encoder has not so many.
    """
    if how.layer is None:
        return round(7 * depth / 12)
    if how.layer > depth:
        raise StiltgridError(
            f"retrieval.layer: {how.layer}, the encoder has {depth} layers; expected 0 (embeddings) to {depth}"
        )
    return how.layer


def load_bare_encoder(checkpoint: Path | str, pretrained: Path | str, family: str) -> Any:
    """Load the encoder of a fine-tuned or a pretrained model, without heads and without a decoder.

    Args:
        checkpoint: folder of a phase (ii) manifest, or the pretrained model's own.
        pretrained: folder of the pretrained manifest.
        family: "text2text" or "heads".

    Raises:
        StiltgridError: if weights are missing, damaged, or were removed by the storage policy.
    """
    import torch

    from stiltgrid import adapters
    from stiltgrid.models import load_encoder, load_saved, pretrained_folder
    from stiltgrid.placement import Placement, devices, numbers, placed

    if Path(checkpoint) == Path(pretrained):
        folder = pretrained_folder(pretrained)
        placement = Placement()
        if torch.cuda.is_available():
            free = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
            placement = Placement(torch.float32, devices(4 * numbers(folder), free))
        return load_encoder(folder, placement=placement).eval()
    check_weights(checkpoint)
    weights = Path(checkpoint) / "weights"
    if adapters.read(weights) is not None:
        model = load_saved(weights, family, pretrained)
        return (model.encoder if family == "heads" else model.get_encoder()).eval()
    whole = weights / "encoder" if family == "heads" else weights
    return load_encoder(whole, placement=placed(weights, whole)).eval()


class Embedder:
    """An encoder that turns sentences into vectors.

    Attributes:
        depth: its layers.
    """

    def __init__(self, encoder: Any, tokens: Tokens):
        self.encoder, self.tokens = encoder, tokens
        self.depth: int = encoder.config.num_hidden_layers

    @classmethod
    def load(cls, checkpoint: Path | str, pretrained: Path | str, threads: int | None = None) -> "Embedder":
        """Load an encoder and its pretrained model's vocabulary, onto the GPUs if there are any.

        Args:
            checkpoint: folder of a phase (ii) manifest, or the pretrained model's own.
            pretrained: folder of the pretrained manifest.
            threads: CPU threads; None leaves torch's.

        Raises:
            StiltgridError: as `load_bare_encoder`.
        """
        import torch

        from stiltgrid.models import pretrained_folder

        if threads is not None:
            torch.set_num_threads(threads)
            limit_threads(threads)
        family = read_json(Path(pretrained) / "manifest.json")["family"]
        return cls(load_bare_encoder(checkpoint, pretrained, family), load_tokens(pretrained_folder(pretrained)))

    def embed(
        self,
        sentences: Sequence[str],
        layers: Sequence[int],
        how: Retrieval,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> tuple[list[Vectors], list[bool]]:
        """Return a vector of each sentence at each of some layers.

        Args:
            sentences: the texts.
            layers: of hidden states; 0 is the embeddings.
            how: pooling, special tokens, length.
            batch_size: sentences at once.
            progress: called with (sentences done, sentences) after each batch.

        Returns:
            For each layer an array of shape (sentences, size), rows of length 1; for each sentence, was some of it cut?
        """
        found = [np.empty((len(sentences), self.encoder.config.hidden_size), dtype=np.float32) for _ in layers]
        cut: list[bool] = []
        for start in range(0, len(sentences), CHUNK):
            chunk = sentences[start : start + CHUNK]
            into = [matrix[start : start + CHUNK] for matrix in found]

            def report(done: int, start: int = start) -> None:
                if progress is not None:
                    progress(start + done, len(sentences))

            cut += self._embed(chunk, layers, how, batch_size, into, report)
        return found, cut

    def _embed(
        self,
        sentences: Sequence[str],
        layers: Sequence[int],
        how: Retrieval,
        batch_size: int,
        found: Sequence[Vectors],
        report: Callable[[int], None],
    ) -> list[bool]:
        """Fill in the vectors of some sentences, longest first; return which were cut."""
        import torch

        ids, special, cut = self._inputs(sentences, how)
        device = next(self.encoder.parameters()).device
        done = 0
        with torch.inference_mode():
            for batch in by_length([len(row) for row in ids], batch_size):
                width = len(ids[batch[0]])
                tokens = torch.full((len(batch), width), self.tokens.pad, dtype=torch.long)
                taken = torch.zeros(len(batch), width, dtype=torch.bool)
                mask = torch.zeros(len(batch), width, dtype=torch.long)
                for k, row in enumerate(batch):
                    tokens[k, : len(ids[row])] = torch.tensor(ids[row])
                    mask[k, : len(ids[row])] = 1
                    # an empty sentence has nothing but special tokens
                    own = torch.tensor([how.special_tokens or not mark for mark in special[row]])
                    taken[k, : len(ids[row])] = own if own.any() else True
                inputs = {"input_ids": tokens.to(device), "attention_mask": mask.to(device)}
                states = hidden_states(self.encoder, layers, **inputs)
                for layer, matrix in zip(layers, found, strict=True):
                    pooled = _pooled(states[layer].float(), taken.to(states[layer].device), how.pooling)
                    matrix[batch] = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
                done += len(batch)
                report(done)
        return cut

    def _inputs(self, sentences: Sequence[str], how: Retrieval) -> tuple[list[list[int]], list[list[int]], list[bool]]:
        """Return ids, marks of special tokens, which are never cut off, and whether a sentence was cut."""
        from stiltgrid.models import most_tokens

        most = min(how.max_input_length, most_tokens(self.encoder.config) or how.max_input_length)
        ids, special, cut = [], [], []
        for encoding in self.tokens.backend.encode_batch(list(sentences), add_special_tokens=True):
            row, marks = encoding.ids, encoding.special_tokens_mask
            if len(row) > most:
                after = next((k for k, mark in enumerate(reversed(marks)) if not mark), 0)
                row = row[: most - after] + row[len(row) - after :]
                marks = marks[: most - after] + marks[len(marks) - after :]
            ids.append(row)
            special.append(marks)
            cut.append(len(encoding.ids) > most)
        return ids, special, cut


def _pooled(states: Any, taken: Any, pooling: str) -> Any:
    """Pool hidden states (batch, tokens, size) over the tokens that are taken (batch, tokens)."""
    if pooling == "first":
        return states[:, 0]
    weights = taken.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


class _ReachedError(Exception):
    """The highest layer that is asked for is there: what follows need not be computed."""


def hidden_states(encoder: Any, layers: Sequence[int], **inputs: Any) -> dict[int, Any]:
    """Return hidden states by layer, those that the library's `output_hidden_states` gives, and compute no layer above.

    Layer k below the last is what the block after it is given; the last is the encoder's output, after a final
    normalisation where there is one (T5).

    Args:
        encoder: an encoder with a list of as many blocks as it has layers.
        layers: which.
        inputs: what the encoder is called with.

    Raises:
        StiltgridError: if no such list is found.
    """
    from torch import nn

    depth = encoder.config.num_hidden_layers
    lists = [m for m in encoder.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    if not lists:
        raise StiltgridError(f"{type(encoder).__name__}: no list of its {depth} layers is found, so none can be read")
    found: dict[int, Any] = {}

    def keeping(layer: int) -> Callable[..., None]:
        def keep(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found[layer] = args[0] if args else kwargs["hidden_states"]
            if layer == max(layers):
                raise _ReachedError

        return keep

    below = [layer for layer in dict.fromkeys(layers) if layer < depth]
    handles = [lists[0][layer].register_forward_pre_hook(keeping(layer), with_kwargs=True) for layer in below]
    try:
        found[depth] = encoder(**inputs)[0]
    except _ReachedError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found
