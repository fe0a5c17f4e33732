"""Phase (i): a pretrained model pinned by a manifest, from a folder, the hub, or the demo's own builder."""

import os
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import digest, file_sha256, read_json, write_json
from stiltgrid.commit import code
from stiltgrid.config import expanded
from stiltgrid.errors import StiltgridError
from stiltgrid.hub import fetched
from stiltgrid.hub.repository import Repository
from stiltgrid.hub.wanted import MODEL, model_of

SCHEMA_VERSION = 1


def _hub_folder(source: str, revision: str, root: Path) -> Path:
    """Return the folder of a hub model: fetched, else the snapshot in the library's own cache, if it is whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, patterns = model_of(source, revision)
    folder = Path(repository.folder(str(root)))
    if fetched.read(folder) is None:
        try:
            # of one file only: whether the model is whole is asked of its own files below
            cached = Path(snapshot_download(source, revision=revision, allow_patterns=MODEL[:1], local_files_only=True))
            model_files(cached)
            return cached
        except (LocalEntryNotFoundError, StiltgridError):
            pass
    fetched.require(repository, folder, patterns)
    return folder


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


def prepare(
    source: str, revision: str | None, family: str, manifest: Path, fetched_to: Path = Path("data/hub")
) -> dict[str, Any]:
    """Pin a pretrained model that is at hand, or the demo's, which is built, by its manifest.

    Args:
        source: hub id, folder, or `demo:<size>`.
        revision: 40-hex revision of a hub model, else None.
        family: text2text or heads.
        manifest: the manifest to write; a demo model is built into `weights/` beside it.
        fetched_to: the folder of what `snakemake fetch` brings from the hub.

    Returns:
        The manifest: `digest` names the model by content, `path` says where its files lie (relative to the manifest's
        folder for a demo model; as given for a folder).

    Raises:
        StiltgridError: if a hub model is not fetched, is not what was fetched, or the model's folder is incomplete.
    """
    manifest.parent.mkdir(parents=True, exist_ok=True)
    if source.startswith("demo:"):
        from stiltgrid.demo.tiny_mt5 import build

        folder = manifest.parent / "weights"
        build(folder, size=source.removeprefix("demo:"), seed=0)
        path = "weights"
    elif revision is not None:
        folder = _hub_folder(source, revision, fetched_to)
        path = _recorded(folder, manifest)
    else:
        folder = Path(expanded(source))
        path = _recorded(folder, manifest)
    files = describe(folder)
    if revision is not None and (record := fetched.read(folder)):
        found = {name: about["sha256"] for name, about in files.items()}
        fetched.check_content(Repository("model", source, revision), folder, record, found)
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


def _recorded(folder: Path, manifest: Path) -> str:
    """Return a folder relative to the manifest's, so that a results folder can be moved together with its models."""
    return os.path.relpath(folder, manifest.parent) if not folder.is_absolute() else str(folder)
