"""The table of licences, citations and files in docs/data.md, from the rows of the tasks."""

from collections.abc import Iterable

from stiltgrid.hub.repository import LAYOUT
from stiltgrid.readers.files import patterns_of
from stiltgrid.tasks.registry import TaskRow

HEAD = ["task", "data set", "licence", "cite", "files to bring: `layout` and the first of them", "`hub: true`"]


def licence_table(rows: Iterable[TaskRow]) -> str:
    """Return the table, Markdown, a line a task."""
    lines = [HEAD, ["---"] * len(HEAD)]
    for row in rows:
        lines.append(
            [f"`{row.name}`", f"[{row.title}]({row.url})", row.licence, row.citation, _to_bring(row), _fetched(row)]
        )
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _to_bring(row: TaskRow) -> str:
    if row.pending:
        return f"does not run: {row.pending}"
    found = []
    for name, layout in row.layouts.items():
        if name != LAYOUT:
            first = next(iter(layout.files))
            found.append(f"`{name}`: {patterns_of(layout, first)[0]}")
    return "; ".join(found) or "nothing"


def _fetched(row: TaskRow) -> str:
    if row.pending or row.hub is None or LAYOUT not in row.layouts:
        return "no"
    return f"{row.hub} at {row.revision[:8]}" if row.revision else f"{row.hub}, its `revision` to be pinned by you"
