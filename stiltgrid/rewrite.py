"""PyTorch's weights files (`.bin`) written anew as safetensors, which can be read in parts: `stiltgrid safetensors`."""

from pathlib import Path
from typing import Any

from stiltgrid import sharded
from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError

BIN = "pytorch_model.bin"


def bin_files(folder: Path) -> list[Path]:
    """Return the `.bin` files of a model folder, as its index lists them if there is one.

    Raises:
        StiltgridError: if an index names a file that is not there.
    """
    if (folder / BIN).is_file():
        return [folder / BIN]
    index = folder / f"{BIN}.index.json"
    if not index.is_file():
        return []
    found = sorted({folder / name for name in read_json(index)["weight_map"].values()})
    if lacking := [path for path in found if not path.is_file()]:
        raise StiltgridError(f"{lacking[0]}: named by {index}, and not there; fetch the model again")
    return found


def read_whole(path: Path) -> dict[str, Any]:
    """Return all tensors of a `.bin` file; no code in it is run.

    Raises:
        StiltgridError: if it is damaged, or holds anything but tensors.
    """
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise StiltgridError(f"{path}: damaged, or not weights alone ({str(error).splitlines()[0]})") from None


def to_safetensors(folder: Path | str) -> list[Path]:
    """Write a folder's `.bin` weights as safetensors beside them; these are read from then on.

    Of tensors that share their numbers (mT5's embedding has three names) the shortest name stays, the model's own. The
    files are held in host memory, all at once.

    Args:
        folder: a Hugging Face model folder.

    Returns:
        The files written.

    Raises:
        StiltgridError: if there are no `.bin` weights, or safetensors already.
    """
    folder = Path(folder)
    if there := [name for name in (sharded.NAMES[0], f"{sharded.NAMES[0]}.index.json") if (folder / name).exists()]:
        raise StiltgridError(f"{folder / there[0]}: is there already; nothing to do")
    files = bin_files(folder)
    if not files:
        raise StiltgridError(f"{folder}: no {BIN} in it; expected a Hugging Face model folder")
    tensors = {name: tensor for path in files for name, tensor in read_whole(path).items()}
    kept: dict[tuple[Any, ...], str] = {}
    for name in sorted(tensors, key=lambda name: (len(name), name)):
        tensor = tensors[name]
        kept.setdefault((tensor.data_ptr(), tuple(tensor.shape), tensor.stride()), name)
    sharded.save({name: tensors[name] for name in tensors if name in set(kept.values())}, folder)
    return sorted(path for path in folder.glob("model*") if path.suffix == ".safetensors")
