"""Tasks whose files a person must bring (`by_hand`): are they there? Where not, their arms are excluded, not failed."""

import os
from collections.abc import Iterable
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.readers.archive import is_archive, manifest_of
from stiltgrid.readers.files import source_paths
from stiltgrid.schema import Source
from stiltgrid.tasks.registry import TaskRow

DEMO = "demo:"


def absent(row: TaskRow, source: Source | None, made: Iterable[str]) -> str | None:
    """Return why a task's files are not there, None if they are or the task is not one that asks for them by hand.

    Args:
        row: the task.
        source: where the config says that they lie.
        made: the example files that are made of them; once these exist, the source may go.
    """
    from stiltgrid.config import expanded

    if row.by_hand is None or all(Path(path).exists() for path in made):
        return None
    reason = f"{row.name}: {row.by_hand}"
    if source is None:
        return f"{reason}; `sources` names no folder for it"
    if source.path is None:
        return f"{reason}; the hub does not have it"
    if source.path.startswith(DEMO):
        return None
    try:
        place = expanded(source.path)
        if is_archive(place):
            there = os.path.exists(place) or os.path.exists(manifest_of(place))  # noqa: PTH110
            return None if there else f"{reason}; there is no {place}"
        for split in ("train", "dev"):
            for path in source_paths(row, source.layout_of(split), place, split, "en", files=source.files):
                if not path.is_file():
                    return f"{reason}; there is no {path}"
    except StiltgridError as error:
        return f"{reason}; {error}"
    return None
