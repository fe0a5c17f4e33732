"""Who trains or predicts in a run's folder: one process holds its lock, and gives signs of life for other machines.

The system lets go of the lock when the process ends, however it ends. Over a shared file system that passes locks on, a
held lock says "alive" on every node; one that is free says nothing, for many pass none on. So the holder also touches
the file twice a minute, and only a process that has done neither for three minutes is taken for dead.
"""

import errno
import fcntl
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import canonical_json, read_json
from stiltgrid.errors import StiltgridError

LOCK = ".training.lock"
PREDICTING = ".predicting.lock"
LOG = "STILTGRID_LOG"
TOUCHED_SECONDS = 30.0
"""Between two signs of life."""
SILENT_SECONDS = 180.0
"""A process that holds no lock and was silent for so long is dead; a node's view of a file may be a minute old."""
PATIENCE_SECONDS = 2.0
"""How long a lock that `status` may be trying at this moment is waited for."""
log = logging.getLogger(__name__)
HELD = (errno.EWOULDBLOCK, errno.EACCES)


class Held:
    """A lock that this process holds."""

    def __init__(self, handle: Any) -> None:
        self._handle, self._closed = handle, threading.Event()
        self._thread = threading.Thread(target=self._touch, name="lock", daemon=True)
        self._thread.start()

    def _touch(self) -> None:
        while not self._closed.wait(TOUCHED_SECONDS):
            try:
                os.utime(self._handle.fileno())
            except OSError:
                continue  # a server that is away for a moment must not end a run

    def close(self) -> None:
        """Let go."""
        self._closed.set()
        self._thread.join()
        self._handle.close()


def hold(out: Path, name: str = LOCK, doing: str = "training") -> Held:
    """Hold a run's folder.

    A killed launcher can leave its ranks running, and a node that its controller lost may be alive: a second run beside
    them would write into the same files. Where the file system passes no locks on, the file names its holder's machine;
    one on another machine is waited for until it has been silent for so long that it is dead.

    Args:
        out: the folder.
        name: the lock's file name.
        doing: what the holder does, for the message.

    Raises:
        StiltgridError: if another process holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / name
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        handle = path.open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                handle.close()
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise _taken(out, doing) from None
            # a file system without locks: go on without
        if _is_still(handle, path):
            break
        handle.close()  # its last holder removed it meanwhile
    try:
        _await_silence(path, doing)
    except BaseException:
        handle.close()
        raise
    # for `status`: whose run this is, should it end without a word
    about = {"host": socket.gethostname(), "pid": os.getpid(), "log": os.environ.get(LOG), "touched": TOUCHED_SECONDS}
    handle.truncate(0)
    handle.write(canonical_json(about))
    handle.flush()
    return Held(handle)


@contextmanager
def holding(out: Path, name: str = LOCK, doing: str = "training") -> Iterator[None]:
    """Hold a folder while the block lasts; the file stays only if the process is killed. Arguments as `hold`."""
    held = hold(out, name, doing)
    try:
        yield
    finally:
        (out / name).unlink(missing_ok=True)
        held.close()


def _taken(out: Path, doing: str, where: str = "") -> StiltgridError:
    return StiltgridError(
        f"{out}: another process is {doing} here{where} (perhaps one that outlived its launcher); wait for it or "
        "end it, then run again"
    )


def _is_still(handle: Any, path: Path) -> bool:
    try:
        return os.fstat(handle.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _await_silence(path: Path, doing: str) -> None:
    """Wait until the holder that the file names, if it is another machine's, can be taken for dead."""
    try:
        about = read_json(path)
        host, signs = about["host"], about.get("touched")
    except (StiltgridError, OSError, KeyError, TypeError, AttributeError):
        return  # new, or of an older version
    if host == socket.gethostname() or not signs:
        return  # here the lock itself tells
    seen = path.stat().st_mtime
    while (silent := _silent_for(path)) < SILENT_SECONDS:
        log.info("%s: %s had it %.0f s ago; taken for dead after %.0f s", path, host, silent, SILENT_SECONDS)
        time.sleep(min(TOUCHED_SECONDS, SILENT_SECONDS - silent))
        if path.stat().st_mtime != seen:
            raise _taken(path.parent, doing, f", on {host}")


def died(lock: Path | str) -> dict[str, Any] | None:
    """Return what a run's lock says of its process if that is no more; None if it lives or nobody can tell.

    On the process's own machine this is known at once, on others within three minutes. Nothing is waited for.
    """
    lock = Path(lock)
    try:
        about = read_json(lock)
        here, pid = about["host"] == socket.gethostname(), int(about["pid"])
    except (StiltgridError, OSError, KeyError, TypeError, ValueError):
        return None  # of an older version, or on its way
    gone = here and not _runs(pid)
    # a process of before this version gives no signs
    if not gone and (not about.get("touched") or _silent_for(lock) < SILENT_SECONDS):
        return None
    return None if _is_held(lock) else about


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another person's
    return True


def _silent_for(lock: Path) -> float:
    """Return the seconds since the last sign of life, by the file system's clock where this machine's may be wrong."""
    try:
        touched = lock.stat().st_mtime
        silent = time.time() - touched
        if silent >= SILENT_SECONDS:
            with tempfile.TemporaryFile(dir=lock.parent) as now:
                silent = min(silent, os.fstat(now.fileno()).st_mtime - touched)
    except PermissionError:
        return silent  # read by somebody who may not write here
    except OSError:
        return 0.0
    return silent


def _is_held(lock: Path) -> bool:
    """Tell whether a process holds the lock, as far as the file system tells; it is not kept."""
    try:
        with lock.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in HELD
    return False
