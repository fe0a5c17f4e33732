"""Where a model's weights are held, and in which number format, when it is loaded to predict.

Weights keep the format that they were saved in, the one in which the run scored its dev rows: float32 from one process
and DDP (computed in bf16 by autocast), bf16 from ZeRO-3. A CPU holds float32. Where one GPU is too small for a model,
its layers are shared out over all that the job has (a device map; docs/memory.md says why not ZeRO-3).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stiltgrid import adapters, sharded
from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError

ROOM = 1.2
"""One GPU is used if it is this many times as large as the weights: for what is computed, with batches of their own."""


@dataclass(frozen=True)
class Placement:
    """How weights are held.

    Attributes:
        dtype: of all of them.
        devices: None: host memory; else the library's `device_map`: `{"": 0}` is one GPU, "balanced" all. Tensors are
            read one by one, brought into their type, and put there: no other copy of all is made.
    """

    dtype: torch.dtype = torch.float32
    devices: Mapping[str, Any] | str | None = None


FLOAT32 = Placement()


def placed(weights: Path, whole: Path) -> Placement:
    """Return how a fine-tuned model is held on this machine.

    Args:
        weights: of its checkpoint.
        whole: the model folder that all but adapters and heads is read from.
    """
    if not torch.cuda.is_available():
        return FLOAT32
    chain = adapters.read(weights)
    dtype = getattr(torch, read_json(whole / "config.json")["dtype"]) if chain is None else chain.dtype
    free = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
    return Placement(dtype, devices(numbers(whole) * dtype.itemsize, free))


def devices(size: int, free: list[int]) -> Mapping[str, Any] | str:
    """Return the library's device map for weights of `size` bytes and GPUs with so many bytes free.

    Raises:
        StiltgridError: if all of them together are too small: the library would put the rest into host memory.
    """
    if ROOM * size > sum(free):
        raise StiltgridError(
            f"the weights need {ROOM * size / 1e9:.1f} GB of GPU memory, {sum(free) / 1e9:.1f} GB are free on "
            f"{len(free)} GPUs; raise resources.predict_gpus"
        )
    return "balanced" if ROOM * size > free[0] else {"": 0}


def numbers(folder: Path) -> int:
    """Return how many numbers a model folder's weights are."""
    places, found = sharded.stored_in(folder), 0
    for path in set(places.values()):
        with sharded.opened(path) as tensors:
            found += sum(math.prod(sharded.shape_of(tensor)) for tensor in tensors.values())
    return found
