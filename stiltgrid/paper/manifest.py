"""The manifest of a folder of printed files: what each is by content, what it was made from, and by which code."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import file_sha256, write_json
from stiltgrid.commit import code

SCHEMA_VERSION = 1


def write_manifest(
    folder: Path | str, kind: str, files: Iterable[Path], inputs: Iterable[Path | str]
) -> dict[str, Any]:
    """Write `manifest.json` of a folder whose other files are written.

    Args:
        folder: the folder.
        kind: what it holds: tables, figures.
        files: its files.
        inputs: the files that they were made from.

    Returns:
        The manifest: SHA-256 by name of `files`, by path of `inputs`, and `code`.
    """
    folder = Path(folder)
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "code": code(),
        "inputs": {str(path): file_sha256(path) for path in inputs},
        "files": {path.relative_to(folder).as_posix(): file_sha256(path) for path in files},
    }
    write_json(folder / "manifest.json", record)
    return record
