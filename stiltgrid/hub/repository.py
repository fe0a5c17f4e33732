"""A model or a data set of the hub at one commit, and the folder that it is fetched into."""

from typing import NamedTuple, Protocol

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.tasks.registry import TaskRow

LAYOUT = "hub"
"""The layout of a task's row that reads the hub's files."""


class Repository(NamedTuple):
    """A repository of the hub, pinned.

    Attributes:
        kind: "model" or "dataset".
        id: `owner/name`.
        revision: a commit, 40 hex digits.
    """

    kind: str
    id: str
    revision: str

    def folder(self, root: str) -> str:
        """Return where its files lie below the folder of all fetched ones (`hub.folder`)."""
        return f"{root}/{self.kind}s/{self.id.replace('/', '--')}/{self.revision}"

    def __str__(self) -> str:
        return f"{self.kind} {self.id} at revision {self.revision[:8]}"


class PinnedSource(Protocol):
    """What is asked of an entry of `sources`."""

    hub: bool
    revision: str | None

    def layout_of(self, split: str) -> str | None:
        """Return the layout of a split."""


def applies(key: str, source: PinnedSource, row: TaskRow) -> bool:
    """Tell whether an entry of `sources` is a task's: `hub: true` of a suite is not that of tasks that the hub lacks.

    Args:
        key: the entry's name, a suite or suite/task.
        source: the entry.
        row: a task that the name covers.
    """
    return not source.hub or "/" in key or (row.hub is not None and LAYOUT in row.layouts)


def dataset_of(row: TaskRow, source: PinnedSource) -> Repository:
    """Return the data set that `hub: true` stands for.

    Args:
        row: the task.
        source: its entry of `sources`; its `revision` goes before the row's.

    Raises:
        StiltgridError: if the task has no data set on the hub, no layout for it, or no pinned revision.
    """
    if row.hub is None:
        raise StiltgridError(
            f"{row.name}: `hub: true`, but no data set of the hub is known for it; give its `path` ({row.url})"
        )
    for split in ("train", "dev", "test"):
        if (layout := source.layout_of(split)) not in row.layouts:
            raise StiltgridError(
                f"{row.name}: `hub: true` reads layout {layout!r}, which the task lacks; "
                f"{nearest(str(layout), row.layouts)}"
            )
    revision = source.revision or row.revision
    if revision is None:
        raise StiltgridError(
            f"{row.name}: no revision of data set {row.hub} is pinned; take a commit from the history of its files on "
            f"the hub and write `sources: {{{row.name}: {{hub: true, revision: <40 hex digits>}}}}`"
        )
    return Repository("dataset", row.hub, revision)
