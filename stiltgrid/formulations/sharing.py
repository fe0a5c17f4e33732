"""Which tasks of a run share one head: those that name the same one, as the NLI tasks of ANLI+ do."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from stiltgrid.errors import StiltgridError


def head_owners(rows: Mapping[str, Any]) -> dict[str, str]:
    """Return for each task the one whose head it uses: the first that names the same head, or itself.

    Args:
        rows: the tasks of a run, in order; each with `kind`, `labels` and `head`.

    Raises:
        StiltgridError: if tasks that name one head differ in kind or labels.
    """
    first: dict[str, str] = {}
    found = {}
    for name, row in rows.items():
        found[name] = name if row.head is None else first.setdefault(row.head, name)
        other = rows[found[name]]
        if (row.kind, list(row.labels)) != (other.kind, list(other.labels)):
            raise StiltgridError(
                f"{found[name]} and {name} share the head {row.head!r}, but one is of kind {other.kind} with the "
                f"labels {', '.join(other.labels)}, the other of kind {row.kind} with {', '.join(row.labels)}"
            )
    return found


def shared_heads(rows: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the heads that several of a run's tasks share, by task; {} where each has its own."""
    number = Counter(row.head for row in rows.values())
    return {name: row.head for name, row in rows.items() if row.head is not None and number[row.head] > 1}
