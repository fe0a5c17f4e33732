"""Files that are either whole or absent: atomic writes, JSON, hashes.

Every artifact is written under a temporary name in its own folder, flushed to disk, and moved into place by
`os.replace`, so a reader never meets half a file (DESIGN section 3).
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success move it into place, on error remove it.

    Args:
        path: the final name; its folder is created.

    Yields:
        A name in the same folder that does not exist yet.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.unlink()
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp's 0600 and safetensors' 0600 would lock colleagues out of a shared results folder
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically, with LF line ends."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: keys sorted, no spaces, so that it can be hashed.

    Raises:
        TypeError: if the value holds a set, a path or an object of ours (their order or text is not stable).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_sha256(path: Path | str) -> str:
    """Return the SHA-256 (64 hex digits) of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        StiltgridError: if it is missing, truncated or not JSON, naming the file.
    """
    path = Path(path)
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file") from None
    except ValueError as error:
        raise StiltgridError(f"{path}: not whole JSON ({error}); remove it and run again") from None
