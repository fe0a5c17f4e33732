"""A source that is an archive: unpacked once for all grids, safely, and either whole or not at all.

An archive lies unpacked in results/sources/<stem>-<8 hex digits of its path>/: its members under `files/`, and beside
them `manifest.json`, which is written last. Without the manifest, what is there does not count.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from stiltgrid.artifacts import file_sha256, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.progress import reporter

log = logging.getLogger(__name__)

ENDINGS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")
SOURCES = "results/sources"
MEGABYTE = 1 << 20


def is_archive(path: str) -> bool:
    """Return whether a source's path names an archive: by its ending, also when the file is gone; folders do not."""
    return path.endswith(ENDINGS) and not os.path.isdir(path)  # noqa: PTH112 (asked for every data file)


def plain(path: str) -> str:
    """Return the one spelling of a path: below the working folder relative to it, elsewhere absolute or as it is."""
    path = os.path.normpath(path)
    here = os.getcwd() + os.sep  # noqa: PTH109
    return path[len(here) :] if path.startswith(here) else path


def unpacked_folder(path: str) -> str:
    """Return the folder that belongs to an archive, relative to the working folder; two spellings of a path share it.

    Args:
        path: the archive, variables filled in.
    """
    path = plain(path)
    name = os.path.basename(path)  # noqa: PTH119
    stem = next(name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending))
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in stem)
    return f"{SOURCES}/{safe}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def manifest_of(path: str) -> str:
    """Return the manifest of an unpacked archive: it exists when the unpacking is whole."""
    return f"{unpacked_folder(path)}/manifest.json"


def contents_of(path: str) -> str:
    """Return the folder of an unpacked archive's members."""
    return f"{unpacked_folder(path)}/files"


def check_unpacked(path: str) -> None:
    """Check that a source that is an archive has been unpacked; folders pass.

    Raises:
        StiltgridError: if it has not been, with the command that does it.
    """
    if not is_archive(path) or Path(manifest_of(path)).exists():
        return
    if not Path(path).exists():
        raise StiltgridError(f"{path}: no such archive, and none unpacked before; mend the source's `path`")
    raise StiltgridError(
        f"{path}: not unpacked yet (there is no {manifest_of(path)}). `snakemake` does it; by hand:\n"
        f"  python workflow/scripts/unpack.py --archive {plain(path)}"
    )


def unpack(archive: Path, folder: Path) -> dict[str, Any]:
    """Unpack an archive.

    What an interrupted unpacking left in `folder` is removed. An earlier whole one is replaced in the end.

    Args:
        archive: a tar file (plain, gzip, bzip2, xz) or a zip file.
        folder: see the module; made if it is not there.

    Returns:
        The manifest's content: `archive` (path), `bytes` and `sha256` (of the archive), `files` (number of files).

    Raises:
        StiltgridError: if the archive is missing, cut off, damaged, encrypted, empty, or holds a member that would
            lie outside of the folder, a link that leads out of it, or a device; if the disk is full.
    """
    if not archive.is_file():
        raise StiltgridError(f"{archive}: no such archive; mend the source's `path`")
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".unpacking-*"):
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    part.chmod(0o777 & ~_umask())
    try:
        with _faults_named(archive):
            (_unpack_zip if archive.name.endswith(".zip") else _unpack_tar)(archive, part)
        files = sum(entry.is_file() for entry in part.rglob("*"))
        if not files:
            raise StiltgridError(f"{archive}: no file in the archive; expected a release's files")
        manifest, whole = folder / "manifest.json", folder / "files"
        manifest.unlink(missing_ok=True)
        if whole.exists():
            shutil.rmtree(whole)
        part.rename(whole)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    about = {
        "archive": str(archive),
        "bytes": archive.stat().st_size,
        "sha256": file_sha256(archive),
        "files": files,
    }
    write_json(manifest, about)
    log.info("%s: %d files unpacked into %s", archive, files, whole)
    return about


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _faults_named(archive: Path) -> Iterator[None]:
    """Turn the faults of the standard library's archive modules into messages for users."""
    import lzma
    import tarfile
    import zipfile
    import zlib

    try:
        yield
    except tarfile.FilterError as error:
        raise _unsafe(archive, error.tarinfo.name, str(error)) from None
    except (RuntimeError, NotImplementedError) as error:  # zipfile's words for a password and an odd compression
        raise StiltgridError(f"{archive}: cannot be unpacked ({error}); unpack it by hand") from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StiltgridError(f"{archive}: unpacking failed: {error}") from None
        with archive.open("rb") as handle:
            head = handle.read(24)
        raise StiltgridError(
            f"{archive}: not a whole archive ({error or type(error).__name__}); {archive.stat().st_size} bytes, which "
            f"begin with {head!r}; the download was cut off or is something else: fetch it again"
        ) from None


def _unsafe(archive: Path, member: str, why: str) -> StiltgridError:
    return StiltgridError(
        f"{archive}: member {member!r} is refused ({why}): it would lie or lead outside of the folder that it is "
        "unpacked into; nothing was unpacked. No release has such a member: is it the right file?"
    )


def _check_name(archive: Path, name: str) -> None:
    """Refuse a member that is named absolutely or through its parent: extraction would rename it silently."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise _unsafe(archive, name, "an absolute path or one with '..'")


def _meter(archive: Path) -> Callable[[int], None]:
    """Return a function to call with the bytes of the archive that have been read."""
    total = archive.stat().st_size
    report = reporter(f"unpacking {archive.name}", "MB")

    def at(position: int) -> None:
        if position >= MEGABYTE:
            report(position // MEGABYTE, total // MEGABYTE + 1)

    return at


def _unpack_tar(archive: Path, part: Path) -> None:
    import tarfile

    at = _meter(archive)
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:*") as tar:
        for member in tar:
            _check_name(archive, member.name)
            tar.extract(member, part, filter="data")
            at(raw.tell())
        # tarfile takes a cut between two members for the end; an archive ends with a block of zeros
        stream = tar.fileobj
        stream.seek(tar.offset)
        if stream.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end is missing")
        while stream.read(MEGABYTE):  # to the end, where the compressed stream's checksum is
            pass


def _unpack_zip(archive: Path, part: Path) -> None:
    import stat
    import zipfile

    at, done = _meter(archive), 0
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            _check_name(archive, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _unsafe(archive, member.filename, "a link")
            packed.extract(member, part)
            done += member.compress_size
            at(done)
