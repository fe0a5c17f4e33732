"""Loading and saving of both kinds of model, with checks of what the library does silently.

Checked are that no tensor of a checkpoint is missing (the library puts random numbers there), that mT5's output matrix
is not the embedding, and that it holds the checkpoint's own numbers.
"""

import contextlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from stiltgrid import adapters, sharded
from stiltgrid.artifacts import file_sha256, read_json, replacing, write_json
from stiltgrid.encoder import EncoderWithHeads, Head
from stiltgrid.errors import StiltgridError
from stiltgrid.formulations.sharing import shared_heads
from stiltgrid.placement import FLOAT32, Placement, placed
from stiltgrid.tasks.registry import TaskRow
from stiltgrid.untied import UntiedMT5, check_head, text2text_class

__all__ = [
    "EncoderWithHeads",
    "UntiedMT5",
    "check_head",
    "dropout_rates",
    "freeze",
    "load_encoder",
    "load_heads",
    "load_saved",
    "load_text2text",
    "most_tokens",
    "pretrained_folder",
    "save_model",
]

DROPOUT = ("dropout_rate", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
HASHED_BYTES = 1_000_000  # configuration and settings; weights are known by their size, hashing them takes minutes

Rates = Mapping[str, float | None]


def dropout_rates(folder: Path | str, rate: float | None = None) -> dict[str, float | None]:
    """Return a model's dropout settings by their names in its configuration.

    A fine-tuned model's configuration holds the rates it was trained with, so "the model's own" must always be read
    from the pretrained folder: else phase (iii) would silently go on with a rate that phase (ii) had set.

    Args:
        folder: the pretrained model's.
        rate: replaces all of them; None keeps its own.
    """
    config = _config(Path(folder))
    return {key: getattr(config, key) if rate is None else rate for key in DROPOUT if hasattr(config, key)}


def load_text2text(folder: Path | str, dropout: Rates | None = None, placement: Placement = FLOAT32) -> nn.Module:
    """Load an untied mT5 (or T5).

    Args:
        folder: Hugging Face configuration and weights.
        dropout: replaces rates of the folder's configuration (see `dropout_rates`).
        placement: type and device of the weights; under ZeRO-3 DeepSpeed decides.

    Raises:
        StiltgridError: if it is not T5-like, weights are missing or damaged, or the output matrix is not the
            checkpoint's.
    """
    folder = Path(folder)
    config = _config(folder, dropout)
    model = _from_pretrained(text2text_class(config, folder), folder, config, placement)
    check_head(model, folder)
    return model


def _config(folder: Path, dropout: Rates | None = None) -> Any:
    if not (folder / "config.json").is_file():
        raise StiltgridError(f"{folder}: no config.json; expected a Hugging Face model folder")
    config = AutoConfig.from_pretrained(folder)
    for key, rate in (dropout or {}).items():
        setattr(config, key, rate)
    return config


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the library's report of unused tensors, and its progress bars where they would fill a log file."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    # a decoder or a pooler left out says nothing that matters; missing tensors are looked at by ourselves
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _from_pretrained(cls: type, folder: Path, config: Any, placement: Placement, **extra: Any) -> nn.Module:
    from safetensors import SafetensorError
    from transformers.integrations import is_deepspeed_zero3_enabled

    try:
        # the library's own loading would hold all weights in the first rank
        if is_deepspeed_zero3_enabled() and (model := sharded.load(cls, folder, config, **extra)) is not None:
            return model
        if placement.devices is not None:
            extra["device_map"] = placement.devices
        with _quiet():
            model, found = cls.from_pretrained(
                folder, config=config, dtype=placement.dtype, output_loading_info=True, local_files_only=True, **extra
            )
    except (SafetensorError, OSError, EOFError) as error:
        raise StiltgridError(
            f"{folder}: weights missing, truncated or damaged ({error}); fetch or train the model again"
        ) from None
    if lacking := sorted(found["missing_keys"]) + sorted(map(str, found["mismatched_keys"])):
        raise StiltgridError(
            f"{folder}: {len(lacking)} tensors are missing or of another shape, first {lacking[0]!r}; "
            "the library would have put random numbers there"
        )
    return model


def load_encoder(folder: Path | str, dropout: Rates | None = None, placement: Placement = FLOAT32) -> nn.Module:
    """Load an encoder, of a T5-like model only that half, without the pooler that no head here reads.

    Args:
        folder: Hugging Face configuration and weights.
        dropout: replaces rates of the folder's configuration (see `dropout_rates`).
        placement: type and device of the weights; under ZeRO-3 DeepSpeed decides.

    Raises:
        StiltgridError: if weights are missing or damaged.
    """
    from transformers import MODEL_MAPPING, MT5EncoderModel, T5EncoderModel

    folder = Path(folder)
    config = _config(folder, dropout)
    halves = {"mt5": MT5EncoderModel, "t5": T5EncoderModel}
    cls = halves.get(config.model_type) or MODEL_MAPPING[type(config)]
    # a layer that takes no part in the loss would make DDP wait for its gradient
    bare = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(cls).parameters else {}
    return _from_pretrained(cls, folder, config, placement, **bare)


def load_heads(
    folder: Path | str,
    rows: Mapping[str, TaskRow],
    pooling: str,
    seed: int,
    dropout: Rates | None = None,
    placement: Placement = FLOAT32,
) -> EncoderWithHeads:
    """Load an encoder and put new heads on it.

    Args:
        folder: an encoder's or T5-like model's folder.
        rows: the tasks, in order.
        pooling: "first" or "mean".
        seed: of the heads' initial numbers.
        dropout: replaces rates of the folder's configuration (see `dropout_rates`).
        placement: of the encoder; the heads are trained, so they are float32 but under ZeRO-3.
    """
    encoder = load_encoder(folder, dropout, placement)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = encoder.config
        own = getattr(config, "hidden_dropout_prob", getattr(config, "dropout_rate", 0.1))
        model = EncoderWithHeads(encoder, rows, pooling, own)
    if not sharded.partitioned(encoder):
        model.heads.float()
    return model


def freeze(model: nn.Module, what: str) -> None:
    """Freeze the input embeddings ("embeddings") or nothing ("none"); an untied output matrix stays trainable."""
    if what == "embeddings":
        encoder = model.encoder if isinstance(model, EncoderWithHeads) else model
        encoder.get_input_embeddings().weight.requires_grad_(False)


def most_tokens(config: Any) -> int | None:
    """Return the longest input a model takes, None where positions are relative."""
    most = getattr(config, "max_position_embeddings", None)
    if most is None:
        return None
    # RoBERTa and its kin count positions from the padding id on
    return most - config.pad_token_id - 1 if "roberta" in config.model_type else most


def save_model(model: nn.Module, folder: Path | str, write: bool = True) -> None:
    """Write a model's weights and configuration into a folder.

    Text2text: `config.json`, `model.safetensors`, or several files and an index where it is large. Heads: the same
    under `encoder/`, `heads.safetensors`, `heads.json`. (Not `save_pretrained`, which imports DeepSpeed for a second
    and a half and hides files from colleagues by mode 0600.) A model with adapters: these in place of the frozen
    weights (`stiltgrid.adapters`).

    Args:
        model: the unwrapped model; every rank calls this where it is partitioned.
        folder: is created.
        write: is this the rank that writes?
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    if write:
        folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, EncoderWithHeads):
        own = model.heads.state_dict(keep_vars=True)
        # heads are small: no files of their own
        with sharded.gathered(list(own.values())):
            if write:
                with replacing(folder / "heads.safetensors") as temporary:
                    heads = {name: tensor.detach().contiguous() for name, tensor in own.items()}
                    save_file(heads, temporary, {"format": "pt"})
        if write:
            tasks = {n: {"kind": r.kind, "labels": list(r.labels)} for n, r in model.rows.items()}
            for name, head in shared_heads(model.rows).items():
                tasks[name]["head"] = head
            write_json(folder / "heads.json", {"pooling": model.pooling, "tasks": tasks})
    if adapters.has(model):
        adapters.save(model, folder, write)
        return
    if isinstance(model, EncoderWithHeads):
        model, folder = model.encoder, folder / "encoder"
        if write:
            folder.mkdir(exist_ok=True)
    copies = getattr(model, "_tied_weights_keys", None) or {}
    state = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name not in copies}
    sharded.save(state, folder, write)
    if write:
        config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
        config["dtype"] = str(next(iter(state.values())).dtype).removeprefix("torch.")
        write_json(folder / "config.json", config)


def load_saved(
    folder: Path | str,
    family: str,
    pretrained: Path | str | None = None,
    placement: Placement | None = None,
) -> nn.Module:
    """Load a fine-tuned model, in evaluation mode.

    Args:
        folder: what `save_model` wrote.
        family: "text2text" or "heads".
        pretrained: folder of the pretrained manifest; needed where adapters were saved.
        placement: type and device of the weights; None: as `stiltgrid.placement.placed`. Frozen weights below
            adapters always have the type that these were trained on.

    Raises:
        StiltgridError: if weights are missing or damaged, or adapters are of another pretrained model.
    """
    folder = Path(folder)
    chain = adapters.read(folder)
    whole = folder if family == "text2text" else folder / "encoder"
    if chain is not None:
        whole = _frozen_below(chain, folder, pretrained)
    placement = placed(folder, whole) if placement is None else placement
    if chain is not None:
        placement = replace(placement, dtype=chain.dtype)
    if family == "text2text":
        model: Any = load_text2text(whole, placement=placement)
    else:
        model = _with_saved_heads(folder, load_encoder(whole, placement=placement), chain is not None)
    if chain is not None:
        adapters.attach(model, chain)
    return model.eval()


def _frozen_below(chain: adapters.Chain, folder: Path, pretrained: Path | str | None) -> Path:
    if pretrained is None:
        raise StiltgridError(f"{folder}: holds adapters alone; the pretrained model below them was not named")
    if (found := read_json(Path(pretrained) / "manifest.json")["digest"]) != chain.pretrained:
        raise StiltgridError(
            f"{folder}: adapters of the pretrained model {chain.pretrained[:12]}, but {pretrained} is {found[:12]}; "
            "train again"
        )
    return pretrained_folder(pretrained)


def _with_saved_heads(folder: Path, encoder: nn.Module, own_type: bool) -> EncoderWithHeads:
    """Put saved heads on an encoder, in their own type (on frozen weights) or the encoder's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    about = read_json(folder / "heads.json")
    heads = {name: Head(h["kind"], tuple(h["labels"]), h.get("head")) for name, h in about["tasks"].items()}
    model = EncoderWithHeads(encoder, heads, about["pooling"], 0.0)
    try:
        state = load_file(folder / "heads.safetensors")
        if own_type:
            model.heads.to(next(iter(state.values())).dtype)
        model.heads.load_state_dict(state)
    except (SafetensorError, OSError) as error:
        raise StiltgridError(f"{folder}/heads.safetensors: truncated or damaged ({error}); train again") from None
    model.heads.to(next(encoder.parameters()).device)
    return model


def pretrained_folder(directory: Path | str) -> Path:
    """Return the Hugging Face folder that a pretrained directory's manifest names, if it still holds the same model.

    Runs are identified by the manifest's digest, so a folder that changed since would be used under a wrong name.
    Compared are the sizes of all recorded files and the content of the small ones.

    Raises:
        StiltgridError: if the manifest is missing, its folder does not exist, or a file in it is gone or changed.
    """
    directory = Path(directory)
    manifest = read_json(directory / "manifest.json")
    folder = directory / manifest["path"]  # an absolute path stays as it is
    if not folder.is_dir():
        raise StiltgridError(
            f"{directory}/manifest.json: folder {folder} does not exist; if it was moved, remove that manifest and run "
            "again with its place in the config (`source`, `hub.folder`): the same model trains nothing again"
        )
    for name, record in manifest["files"].items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            found = "is missing"
        elif size != record["bytes"]:
            found = f"has {size} bytes, the manifest says {record['bytes']}"
        elif size < HASHED_BYTES and file_sha256(path) != record["sha256"]:
            found = "has other content than when its manifest was written"
        else:
            continue
        raise StiltgridError(f"{path}: {found}; remove {directory / 'manifest.json'} and run again")
    return folder
