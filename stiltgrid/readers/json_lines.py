"""Files with one JSON object a line: MultiNLI, SNLI and ANLI in their own releases."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.records import records
from stiltgrid.readers.rows import SourceRow, to_examples
from stiltgrid.tasks.registry import TaskRow


def read_json_lines(
    paths: Sequence[Path],
    task: TaskRow,
    language: str,
    *,
    dropped: Counter[str],
    columns: Mapping[str, str],
    **row_options: Any,
) -> list[Example]:
    """Read files of JSON objects, one after the other.

    Args:
        paths: the files; rows are numbered through (ANLI's three rounds are one split).
        task: the task row.
        language: not used; the files hold one language.
        dropped: number of rows left out by reason; added to.
        columns: the key of each field and of `label`.
        **row_options: see `rows.to_examples`.

    Raises:
        StiltgridError: for a line that is no JSON object, lacks a key, or holds something other than text.
    """
    named = (row_options.get("id"), (row_options.get("group") or {}).get("column"))
    rows = _rows(paths, [*columns.values(), *(key for key in named if key)])
    found = to_examples(paths[0], task, rows, columns=columns, dropped=dropped, **row_options)
    if not found:
        raise StiltgridError(f"{paths[0]}: no row is left ({dict(dropped)} dropped); expected some")
    return found


def _rows(paths: Sequence[Path], keys: Sequence[str]) -> Iterator[SourceRow]:
    for row in records(paths, form=".jsonl"):
        for key in keys:
            if not isinstance(row.values.get(key), str):
                seen = f"{row.values[key]!r}" if key in row.values else f"keys {sorted(row.values)}"
                raise StiltgridError(f"{row.where}: expected text under key {key!r}, found {seen}")
        yield SourceRow(row.line, row.number, row.values, row.file)
