"""The note that a failed run leaves, and that its success removes: `failed.json`."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from stiltgrid.artifacts import write_json
from stiltgrid.errors import StiltgridError

OTHER_RANKS_WAIT = 3.0
"""Seconds that a rank whose error is not its own leaves to the one that caused it; the first is the next to speak."""


def end_by_signal(words: str) -> None:
    """Let SIGTERM end this process by `SystemExit`, with words for its note, rather than without a word."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(words)

    signal.signal(signal.SIGTERM, end)


@contextmanager
def noting_failure(folder: Path | str, log: str | None = None) -> Iterator[None]:
    """Write `folder/failed.json` if the block raises, remove it if the block succeeds.

    Args:
        folder: the run's folder.
        log: the log file that the note names; default: environment variable STILTGRID_LOG, set by the rules.

    Raises:
        Exception: what the block raised, unchanged.
    """
    note = Path(folder) / "failed.json"
    first = os.environ.get("RANK", "0") == "0"
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if first:
        note.unlink(missing_ok=True)  # an earlier attempt's: whoever is killed now must not seem to have failed of that
    try:
        yield
    except BaseException as error:
        # a rank that says plainly what happened is the cause; the others see their connection close
        plain = isinstance(error, StiltgridError)
        if several and not plain:
            time.sleep(OTHER_RANKS_WAIT * (1 if first else 2))
        if not isinstance(error, KeyboardInterrupt) and (plain or not note.exists()):
            reason = str(error).strip() or type(error).__name__
            when = datetime.now(UTC).isoformat(timespec="seconds")
            # a full disk must not hide the error that it caused
            try:
                write_json(note, {"reason": reason, "when": when, "log": log or os.environ.get("STILTGRID_LOG")})
            except OSError as full:
                error.add_note(f"and {note} could not be written: {full}")
        raise
    note.unlink(missing_ok=True)
