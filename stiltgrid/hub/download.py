"""Fetch files of the hub by its own client: resumed after a kill, checked by content, listed in a manifest.

The client's `snapshot_download` starts a file afresh in each process (huggingface_hub 2.4,
`_download_to_tmp_and_move`), so a killed fetch of a 26 GB file would lose all of it. Hence files are listed and
requested by the client's own functions, one by one, and the part that is there is kept under the hash of the whole.
"""

import fcntl
import hashlib
import io
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from stiltgrid.artifacts import file_sha256, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.exhaustion import FULL
from stiltgrid.hub import fetched
from stiltgrid.hub.repository import Repository
from stiltgrid.hub.wanted import Wanted, selected
from stiltgrid.progress import reporter

log = logging.getLogger(__name__)

PARTIAL = ".partial"
LARGEST_BY_HTTP = 50 * 10**9
"""Bytes; larger files are to be had by the client's own transfer (Xet) alone."""


class Entry(NamedTuple):
    """A file of a repository: name, bytes, and the hash that the hub announces (of large files SHA-256, else Git's)."""

    name: str
    bytes: int
    hash: str


def fetch(wanted: Wanted, folder: Path, endpoint: str | None = None) -> dict[str, Any]:
    """Bring the wanted files of a repository into a folder; what is there already is kept.

    Args:
        wanted: the repository and the patterns of its files.
        folder: where its files lie; it also holds `manifest.json`, and `.partial/` until all is done.
        endpoint: the hub's address; None: HF_ENDPOINT, else the public one.

    Returns:
        The manifest.

    Raises:
        StiltgridError: if the hub cannot be reached, does not know the repository or revision, has no file of a
            pattern, or sends other bytes than it announces; if the disk is too small.
    """
    repository, patterns = wanted
    manifest = fetched.read(folder)
    if manifest is not None and fetched.complete(folder, manifest, patterns):
        log.info("%s: complete in %s", repository, folder)
        return manifest
    entries = _entries(wanted, endpoint)
    about = {"schema_version": fetched.SCHEMA_VERSION, "kind": repository.kind, "id": repository.id}
    about["revision"] = repository.revision
    files: dict[str, Any] = dict(manifest["files"]) if manifest else {}
    done = dict.fromkeys(manifest["patterns"] if manifest else ())
    lacking = [entry for entry in entries if not _there(entry, folder, files)]
    _check_space(repository, folder, lacking)
    total, before = sum(entry.bytes for entry in entries), sum(e.bytes for e in entries if e not in lacking)
    log.info(
        "%s: %d files, %.1f MB, %.1f MB of them to fetch", repository, len(entries), total / 1e6, (total - before) / 1e6
    )
    report = reporter(str(repository), "MB")
    for entry in lacking:
        files[entry.name] = _fetch_file(
            repository, entry, folder, endpoint, lambda at, b=before: report((b + at) / 1e6, total / 1e6)
        )
        # after each file: the next attempt goes on from here
        write_json(folder / fetched.MANIFEST, about | {"files": files, "patterns": list(done)})
        before += entry.bytes
    record = about | {"files": files, "patterns": [*done, *(p for p in patterns if p not in done)]}
    write_json(folder / fetched.MANIFEST, record)
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    return record


def _entries(wanted: Wanted, endpoint: str | None) -> list[Entry]:
    """List the wanted files as the hub describes them."""
    from huggingface_hub import HfApi, RepoFile

    repository = wanted.repository
    try:
        tree = HfApi(endpoint=endpoint).list_repo_tree(
            repository.id, recursive=True, revision=repository.revision, repo_type=repository.kind
        )
        found = {item.path: item for item in tree if isinstance(item, RepoFile)}
    except Exception as error:
        raise _explained(repository, "its list of files", error) from error
    names = selected(wanted, list(found))
    if repository.kind == "dataset":
        for pattern in wanted.patterns:
            if not selected(Wanted(repository, (pattern,)), names):
                shown = ", ".join(sorted(found)[:12]) or "nothing"
                raise StiltgridError(
                    f"{repository}: no file {pattern}; it holds: {shown}; another revision, or name the file: "
                    "`files` of the source"
                )
    items = [found[name] for name in names]
    return [Entry(item.path, item.size, item.lfs.sha256 if item.lfs else item.blob_id) for item in items]


def _explained(repository: Repository, what: str, error: Exception) -> StiltgridError:
    """Say what is likely wrong where the client failed."""
    from huggingface_hub import errors

    if isinstance(error, OSError) and error.errno in FULL:
        why = "the disk or the quota of `hub.folder` is full; make room; what was fetched is kept: run again"
    elif isinstance(error, errors.GatedRepoError):
        why = "access is granted on its page, to your account; then log in: `hf auth login`"
    elif isinstance(error, errors.RevisionNotFoundError):
        why = "there is no such revision; mend it in the config"
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = "there is no such repository, or it is private (`hf auth login`); mend its name in the config"
    else:
        why = (
            "is there a network here, and is `hub.endpoint` (or HF_ENDPOINT) a hub? what was fetched is kept: run again"
        )
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return StiltgridError(f"{repository}: {what} was not to be had ({first}); {why}")


def _there(entry: Entry, folder: Path, files: dict[str, Any]) -> bool:
    """Tell whether a file is there whole; one that a killed fetch moved into place is recorded now."""
    path = folder / entry.name
    if not path.is_file() or path.stat().st_size != entry.bytes:
        return False
    if entry.name not in files:
        if _hash(path, entry) != entry.hash:
            return False
        files[entry.name] = {"bytes": entry.bytes, "sha256": file_sha256(path)}
    return True


def _check_space(repository: Repository, folder: Path, entries: list[Entry]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / PARTIAL
    held = sum(path.stat().st_size for path in partial.iterdir() if path.is_file()) if partial.is_dir() else 0
    needed, free = sum(entry.bytes for entry in entries) - held, shutil.disk_usage(folder).free
    if needed > free:
        raise StiltgridError(
            f"{repository}: {needed / 1e9:.1f} GB to fetch, {free / 1e9:.1f} GB free in {folder}; set `hub.folder`"
        )


class _Counted(io.FileIO):
    """A file that tells how much of it is written, and writes all that it is given."""

    tell_progress: Callable[[int], None] = staticmethod(lambda _: None)

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        rest = memoryview(data)
        while rest:
            rest = rest[super().write(rest) :]
        self.tell_progress(self.tell())
        return len(data)


def _fetch_file(
    repository: Repository, entry: Entry, folder: Path, endpoint: str | None, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Fetch one file, or what lacks of it, check it and move it into place."""
    part = folder / PARTIAL / entry.hash
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        if entry.bytes > LARGEST_BY_HTTP:
            _by_client(repository, entry, part, endpoint)
        else:
            _by_http(repository, entry, part, endpoint, progress)
    except StiltgridError:
        raise
    except Exception as error:
        raise _explained(repository, entry.name, error) from error
    if (seen := _hash(part, entry)) != entry.hash:
        part.unlink()
        raise StiltgridError(
            f"{repository}: {entry.name} came with hash {seen[:12]}, the hub announces {entry.hash[:12]}; it was "
            "removed: run `snakemake fetch` again; if it stays so, `hub.endpoint` (or HF_ENDPOINT) serves other bytes"
        )
    record = {"bytes": entry.bytes, "sha256": file_sha256(part)}
    (folder / entry.name).parent.mkdir(parents=True, exist_ok=True)
    part.replace(folder / entry.name)
    log.info("%s: %s, %.1f MB", repository, entry.name, entry.bytes / 1e6)
    return record


def _by_http(
    repository: Repository, entry: Entry, part: Path, endpoint: str | None, progress: Callable[[int], None]
) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars

    disable_progress_bars()  # one bar a repository, ours
    part.touch()
    with _Counted(part, "r+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StiltgridError(f"{part}: {entry.name} is being fetched by another process; wait for it") from None
        held = handle.seek(0, os.SEEK_END)
        if held > entry.bytes:
            held = handle.seek(0)
            handle.truncate()
        handle.tell_progress = progress
        if held:
            log.info("%s: %s goes on after %.1f MB", repository, entry.name, held / 1e6)
        url = hf_hub_url(
            repository.id, entry.name, repo_type=repository.kind, revision=repository.revision, endpoint=endpoint
        )
        # bytes of the file itself: a compressed answer cannot be resumed
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        http_get(url, handle, resume_size=held, headers=headers, expected_size=entry.bytes)
        os.fsync(handle.fileno())


def _by_client(repository: Repository, entry: Entry, part: Path, endpoint: str | None) -> None:
    from huggingface_hub import hf_hub_download

    place = part.with_name(f"{part.name}.client")
    got = hf_hub_download(
        repository.id,
        entry.name,
        repo_type=repository.kind,
        revision=repository.revision,
        endpoint=endpoint,
        local_dir=place,
    )
    Path(got).replace(part)
    shutil.rmtree(place)


def _hash(path: Path, entry: Entry) -> str:
    """Return a file's hash in the form that the hub announces: SHA-256 (64 digits), or Git's of a blob (40)."""
    if len(entry.hash) == 64:
        return file_sha256(path)
    sha1 = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            sha1.update(block)
    return sha1.hexdigest()
