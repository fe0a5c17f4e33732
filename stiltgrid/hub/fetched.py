"""What has been fetched: the manifest beside a repository's files, and the questions that jobs ask of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.hub.repository import Repository

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1


def read(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of fetched files; None if nothing was fetched yet.

    Its `files` maps names to `bytes` and `sha256`; `patterns` lists those of which every file is there.

    Raises:
        StiltgridError: if it is damaged.
    """
    return read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else None


def complete(folder: Path, manifest: Mapping[str, Any] | None, patterns: Sequence[str]) -> bool:
    """Tell whether all files of these patterns are there in their full size; nothing is hashed."""
    if manifest is None or not set(patterns) <= set(manifest["patterns"]):
        return False
    return all(_size(folder / name) == record["bytes"] for name, record in manifest["files"].items())


def require(repository: Repository, folder: Path, patterns: Sequence[str]) -> dict[str, Any]:
    """Return the manifest of a repository whose files are needed now.

    Raises:
        StiltgridError: if they are not (all) there, with the command that fetches them.
    """
    manifest = read(folder)
    if manifest is None or not complete(folder, manifest, patterns):
        what = "not fetched" if manifest is None else "not fetched whole"
        raise StiltgridError(
            f"{repository}: {what} ({folder}); run `snakemake fetch` with this config on a machine with a network: "
            "jobs use none"
        )
    return manifest


def check_content(repository: Repository, folder: Path, manifest: Mapping[str, Any], found: Mapping[str, str]) -> None:
    """Check that files are still those that were fetched.

    Args:
        repository: for the message.
        folder: its folder.
        manifest: of `require`.
        found: SHA-256 by file name; names that the manifest lacks are not checked.

    Raises:
        StiltgridError: naming the first file that differs.
    """
    for name, sha256 in found.items():
        record = manifest["files"].get(name)
        if record is not None and record["sha256"] != sha256:
            raise StiltgridError(
                f"{folder / name}: SHA-256 {sha256[:12]}, {record['sha256'][:12]} when it was fetched ({repository}); "
                "remove the file and run `snakemake fetch` again"
            )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
