"""Phase (i): a pretrained model pinned by a manifest, from a folder, the hub, or the demo's own builder."""

import logging
import os
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import digest, file_sha256, read_json, write_json
from stiltgrid.commit import code
from stiltgrid.config import expanded
from stiltgrid.errors import StiltgridError

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
# PyTorch's weights, not the copies for other frameworks
HUB_FILES = ["config.json", "generation_config.json", "*.safetensors*", "pytorch_model*.bin*"]
HUB_TOKENIZER = ["tokenizer*", "spiece.model", "sentencepiece*", "special_tokens_map.json", "vocab*", "merges.txt"]


def _hub_folder(source: str, revision: str) -> Path:
    """Return the snapshot of a hub model, from the cache or, where there is a network, downloaded (it resumes)."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = HUB_FILES + HUB_TOKENIZER
    try:
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=patterns, local_files_only=True))
        model_files(folder)
        return folder
    except (LocalEntryNotFoundError, StiltgridError):
        log.info("%s at %s is not whole in the local hub cache; downloading", source, revision[:8])
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except Exception as error:
        raise StiltgridError(
            f"model {source} at revision {revision}: not in the local hub cache and not to be had ({error}); on a "
            f"machine with a network run: hf download {source} --revision {revision}, with the same HF_HOME"
        ) from error


def _weight_files(folder: Path) -> list[Path]:
    safetensors = sorted(folder.glob("*.safetensors"))
    return safetensors or sorted(folder.glob("pytorch_model*.bin"))


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that determine it: configuration, weights, their index, tokenizer.

    Raises:
        StiltgridError: if the folder lacks a configuration, weights or a tokenizer, listing what it holds.
    """
    weights = _weight_files(folder)
    names = ("tokenizer.json", "spiece.model", "sentencepiece.bpe.model")
    tokenizer = [folder / name for name in names if (folder / name).exists()]
    configuration = folder / "config.json"
    for what, there in (("config.json", configuration.exists()), ("weights", weights), ("a tokenizer", tokenizer)):
        if not there:
            held = ", ".join(sorted(p.name for p in folder.iterdir())[:12]) if folder.is_dir() else "no such folder"
            raise StiltgridError(f"model folder {folder}: {what} not found; it holds: {held}")
    indices = sorted(folder.glob(f"*{weights[0].suffix}.index.json"))
    for index in indices:
        shards = set(read_json(index)["weight_map"].values())
        if missing := sorted(name for name in shards if not (folder / name).exists()):
            raise StiltgridError(f"model folder {folder}: {index.name} names {missing[0]}, which is not there")
    settings = folder / "tokenizer_config.json"
    return [configuration, *weights, *indices, *tokenizer, *([settings] if settings.exists() else [])]


def describe(folder: Path) -> dict[str, Any]:
    """Return SHA-256 and bytes of each file that determines a model.

    Raises:
        StiltgridError: as `model_files`.
    """
    return {p.name: {"sha256": file_sha256(p), "bytes": p.stat().st_size} for p in model_files(folder)}


def prepare(source: str, revision: str | None, family: str, manifest: Path) -> dict[str, Any]:
    """Make a pretrained model available and write its manifest.

    Args:
        source: hub id, folder, or `demo:<size>`.
        revision: 40-hex revision of a hub model, else None.
        family: text2text or heads.
        manifest: the manifest to write; a demo model is built into `weights/` beside it.

    Returns:
        The manifest: `digest` names the model by content, `path` says where its files lie (relative to the manifest's
        folder for a demo model; as given for a folder).

    Raises:
        StiltgridError: if the model cannot be had or its folder is incomplete.
    """
    manifest.parent.mkdir(parents=True, exist_ok=True)
    if source.startswith("demo:"):
        from stiltgrid.demo.tiny_mt5 import build

        folder = manifest.parent / "weights"
        build(folder, size=source.removeprefix("demo:"), seed=0)
        path = "weights"
    elif revision is not None:
        folder = _hub_folder(source, revision)
        path = str(folder)
    else:
        folder = Path(expanded(source))
        # relative to the manifest's folder, so that a results folder can be moved together with its models
        path = os.path.relpath(folder, manifest.parent) if not folder.is_absolute() else str(folder)
    files = describe(folder)
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": "pretrained",
        "family": family,
        "source": source,
        "revision": revision,
        "path": path,
        "files": files,
        "digest": digest({name: f["sha256"] for name, f in files.items()}),
        "weights_bytes": sum(f["bytes"] for name, f in files.items() if name.endswith((".safetensors", ".bin"))),
    }
    write_json(manifest, record)
    # beside the manifest, on which trainings rest: another commit that pins the same weights must rerun nothing
    write_json(manifest.parent / "code.json", code())
    return record
