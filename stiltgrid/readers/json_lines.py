"""Files with one JSON object a line: MultiNLI in its own release."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.lines import numbered_lines
from stiltgrid.readers.rows import SourceRow, to_examples
from stiltgrid.tasks.registry import TaskRow


def read_json_lines(
    path: Path,
    task: TaskRow,
    language: str,
    *,
    dropped: Counter[str],
    columns: Mapping[str, str],
    **row_options: Any,
) -> list[Example]:
    """Read a file of JSON objects.

    Args:
        path: the file.
        task: the task row.
        language: not used; the file holds one language.
        dropped: number of rows left out by reason; added to.
        columns: the key of each field and of `label`.
        **row_options: see `rows.to_examples`.

    Raises:
        StiltgridError: for a line that is no JSON object, lacks a key, or holds something other than text.
    """
    rows = _rows(path, columns)
    found = to_examples(path, task, rows, columns=columns, dropped=dropped, **row_options)
    if not found:
        raise StiltgridError(f"{path}: no row is left ({dict(dropped)} dropped); expected some")
    return found


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[SourceRow]:
    for number, (line, text) in enumerate(numbered_lines(path), start=1):
        try:
            values = json.loads(text)
        except ValueError as error:
            raise StiltgridError(f"{path}:{line}: not JSON ({error}); expected one object a line") from None
        if not isinstance(values, dict):
            raise StiltgridError(f"{path}:{line}: a JSON {type(values).__name__}, expected an object")
        for key in columns.values():
            if not isinstance(values.get(key), str):
                seen = f"{values[key]!r}" if key in values else f"keys {sorted(values)}"
                raise StiltgridError(f"{path}:{line}: expected text under key {key!r}, found {seen}")
        yield SourceRow(line, number, values)
