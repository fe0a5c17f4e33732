"""Weights that never sit whole in one process: read by ranges into ZeRO-3's partitions, written shard by shard.

The library reads a checkpoint whole on the first rank and hands it round. Here every rank reads from the files the
numbers of its own partition and no others, without a word to the other ranks. Writing gathers one tensor at a time, and
the first rank keeps no more of them than one file's worth.
"""

import contextlib
import gc
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stiltgrid.artifacts import read_json, replacing, write_json
from stiltgrid.errors import StiltgridError

NAMES = ("model.safetensors", "pytorch_model.bin")
SHARD_BYTES = 1_000_000_000
"""Largest file of weights, unless one tensor is larger."""
AT_ONCE = 1 << 24
"""Numbers read at once."""
MAPPED_BYTES = 1 << 27
"""A file is opened anew after so many bytes, because pages that were read count as this process's memory until then."""


def stored_in(folder: Path) -> dict[str, Path]:
    """Return which file of a model folder holds each tensor; {} where no file can be read by ranges.

    Raises:
        StiltgridError: if an index names a file that is not there.
    """
    for name in NAMES:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            if not _by_ranges(folder / name):
                return {}
            with opened(folder / name) as tensors:
                return dict.fromkeys(tensors, folder / name)
        if index.is_file():
            found = {tensor: folder / file for tensor, file in read_json(index)["weight_map"].items()}
            if lacking := sorted(str(path) for path in set(found.values()) if not path.is_file()):
                raise StiltgridError(f"{lacking[0]}: named by {index}, and not there; fetch or train the model again")
            return found if all(map(_by_ranges, set(found.values()))) else {}
    return {}


def _by_ranges(path: Path) -> bool:
    """Can the file be read in parts? PyTorch's format of before 2020 cannot."""
    return path.suffix == ".safetensors" or zipfile.is_zipfile(path)


class _Lazy(Mapping):
    """The tensors of a safetensors file, by name, read when they are cut."""

    def __init__(self, file: Any) -> None:
        self.file, self.names = file, list(file.keys())

    def __getitem__(self, name: str) -> Any:
        return self.file.get_slice(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the tensors of a weights file by name, none of them read yet."""
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            yield _Lazy(file)
    else:
        yield torch.load(path, map_location="cpu", mmap=True, weights_only=True)


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Return the shape of a tensor, read or not."""
    return tuple(tensor.get_shape() if hasattr(tensor, "get_shape") else tensor.shape)


def flat(tensor: Any, start: int, stop: int) -> Tensor:
    """Return numbers `start` to `stop` of a stored tensor, counted row by row; only the rows they lie in are read."""
    shape = shape_of(tensor)
    width = math.prod(shape[1:])
    if not shape:
        return tensor[...].reshape(1)[start:stop]
    first = start // width
    return tensor[first : -(-stop // width)].reshape(-1)[start - first * width : stop - first * width]


def load(cls: type, folder: Path, config: Any, **extra: Any) -> nn.Module | None:
    """Build a model under ZeRO-3 and fill each rank's partitions from the files.

    Args:
        cls: a library's model class.
        folder: its weights.
        config: its configuration.
        extra: of its constructor.

    Returns:
        The model; None where the files are not in a known form or lack a parameter under its own name.

    Raises:
        StiltgridError: if a tensor has another shape than the configuration says, or the format is PyTorch's of
            before 2020, which can only be read whole.
    """
    places = stored_in(folder)
    if not places and (old := sorted(folder.glob("pytorch_model*.bin"))):
        raise StiltgridError(
            f"{old[0]}: an old format that can only be read whole, which ZeRO-3 is there to avoid; write it anew "
            f"once, where there is memory for all of it: stiltgrid safetensors {folder}"
        )
    with contextlib.ExitStack() as stack:
        for context in cls.get_init_context(torch.float32, False, False, None):
            stack.enter_context(context)
        model = cls(config, **extra)
    model.tie_weights()
    gc.collect()  # embeddings that were tied away are rings of references
    wanted: dict[Path, dict[str, Tensor]] = {}
    for name, parameter in (*model.named_parameters(), *_buffers(model)):
        # checkpoints of a model with a head hold the body's tensors under a prefix
        known = next((n for n in (name, f"{model.base_model_prefix}.{name}") if n in places), None)
        if known is None or not _plain(parameter):
            return None
        wanted.setdefault(places[known], {})[known] = parameter
    for path, tensors in wanted.items():
        _fill(path, tensors)
    return model.eval()


def _buffers(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the buffers that a checkpoint holds."""
    state = model.state_dict(keep_vars=True)
    return [(name, buffer) for name, buffer in model.named_buffers() if name in state]


def _plain(parameter: Tensor) -> bool:
    """Is it whole, or one partition in memory, of which there is no second copy?"""
    if not hasattr(parameter, "ds_tensor"):
        return True
    return parameter.ds_tensor.final_location is None and getattr(parameter, "ds_secondary_tensor", None) is None


def _fill(path: Path, tensors: Mapping[str, Tensor]) -> None:
    left = list(tensors)
    while left:
        read = 0
        with opened(path) as stored:
            while left and read < MAPPED_BYTES:
                read += _copy(stored[left[-1]], tensors[left[-1]], f"{path}: {left[-1]}")
                left.pop()


@torch.no_grad()
def _copy(stored: Any, parameter: Tensor, where: str) -> int:
    """Copy this rank's part of a stored tensor; return the bytes read."""
    shape = tuple(getattr(parameter, "ds_shape", parameter.shape))
    if shape_of(stored) != shape:
        raise StiltgridError(f"{where} has shape {shape_of(stored)}, the configuration says {shape}")
    part, start, stop = own_part(parameter)
    for at in range(start, stop, AT_ONCE):
        end = min(at + AT_ONCE, stop)
        part[at - start : end - start].copy_(flat(stored, at, end))
    return (stop - start) * 4


def partitioned(model: nn.Module) -> bool:
    """Tell whether a model's parameters are shared out over ranks."""
    return any(hasattr(parameter, "ds_id") for parameter in model.parameters())


@torch.no_grad()
def add(parameter: Tensor, change: Tensor) -> None:
    """Add a whole matrix (float32, on the host) to a parameter, each rank to its own part; rounded once.

    Args:
        parameter: whole, or partitioned by ZeRO-3.
        change: of the parameter's whole shape.
    """
    part, start, stop = own_part(parameter)
    mine = change.reshape(-1)[start:stop].to(part.device)
    held = part[: stop - start]
    held.copy_((held.float() + mine).to(held.dtype))


def own_part(parameter: Tensor) -> tuple[Tensor, int, int]:
    """Return what this rank holds of a parameter, flat, and which of its numbers these are."""
    if not hasattr(parameter, "ds_tensor"):
        return parameter.detach().view(-1), 0, parameter.numel()
    part = parameter.ds_tensor
    start = part.numel() * parameter.ds_zero_partition_rank
    return part, start, max(start, min(start + part.numel(), parameter.ds_numel))


def gathered(parameters: list[Tensor]) -> Any:
    """Return the context in which partitioned parameters are whole, on every rank; all ranks must enter it."""
    if any(hasattr(parameter, "ds_id") for parameter in parameters):
        import deepspeed

        return deepspeed.zero.GatheredParameters(parameters)
    return contextlib.nullcontext()


def shards(sizes: Mapping[str, int], most: int) -> list[list[str]]:
    """Return the tensors of each file, in order: as many as fit into `most` bytes, at least one."""
    files: list[list[str]] = []
    used = most
    for name, size in sizes.items():
        if used + size > most or not files:
            files.append([])
            used = 0
        files[-1].append(name)
        used += size
    return files


def save(tensors: Mapping[str, Tensor], folder: Path, write: bool = True) -> None:
    """Write tensors as `model.safetensors`, or as several files with an index, as the library names them.

    Args:
        tensors: by name; partitioned ones are gathered one by one, so every rank must call this.
        folder: exists; older weights in it are removed.
        write: is this the rank that writes?
    """
    from safetensors.torch import save_file

    counts = {name: getattr(tensor, "ds_numel", tensor.numel()) for name, tensor in tensors.items()}
    sizes = {name: counts[name] * tensor.element_size() for name, tensor in tensors.items()}
    files = shards(sizes, SHARD_BYTES)
    stem, dot = NAMES[0].split(".")
    names = (
        [f"{stem}-{i + 1:05d}-of-{len(files):05d}.{dot}" for i in range(len(files))] if len(files) > 1 else NAMES[:1]
    )
    for file, members in zip(names, files, strict=True):
        held = {}
        for name in members:
            with gathered([tensors[name]]):
                if write:
                    # a copy: what was gathered is given back at the end of the block
                    tensor = tensors[name].detach()
                    held[name] = tensor.cpu().clone() if hasattr(tensors[name], "ds_id") else tensor.contiguous()
        if write:
            with replacing(folder / file) as temporary:
                save_file(held, temporary, {"format": "pt"})
    if not write:
        return
    for old in {*folder.glob(f"{stem}*.{dot}"), folder / f"{NAMES[0]}.index.json"}:
        if old.name not in names:
            old.unlink(missing_ok=True)
    if len(files) > 1:
        index = {name: file for file, members in zip(names, files, strict=True) for name in members}
        write_json(
            folder / f"{NAMES[0]}.index.json",
            {"metadata": {"total_size": sum(sizes.values())}, "weight_map": index},
        )
