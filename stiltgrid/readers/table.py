"""Tab-separated files with one example a line: XGLUE, XTREME, PAWS-X, XNLI, GLUE, BiMPM."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.lines import numbered_lines
from stiltgrid.readers.rows import SourceRow, to_examples
from stiltgrid.tasks.registry import TaskRow


def read_table(
    path: Path,
    task: TaskRow,
    language: str,
    *,
    dropped: Counter[str],
    columns: Sequence[str] | Mapping[str, str],
    quoting: Literal["none", "csv"] = "none",
    where: Mapping[str, str] | None = None,
    broken_rows: Literal["error", "drop"] = "error",
    **row_options: Any,
) -> list[Example]:
    """Read a tab-separated file.

    Args:
        path: the file.
        task: the task row.
        language: fills `{lang}` in `where`.
        dropped: number of rows left out by reason; added to.
        columns: without a header, the names of all columns in order, fields and `label` among them. With a
            header, a map from each field and `label` to its column's name.
        quoting: `none`: a tab always separates and quotes are text (XGLUE, PAWS-X, GLUE). `csv`: as Python's
            csv.writer quotes by default (the files that XTREME's scripts write).
        where: with a header, keep only rows with this text in this column (XNLI 1.0 holds all languages in a
            file).
        broken_rows: what to do with a row of the wrong number of columns; `drop` counts them.
        **row_options: see `rows.to_examples`.

    Raises:
        StiltgridError: for a bad row or header, with file, line, what was seen and what was expected.
    """
    lines = numbered_lines(path)
    if isinstance(columns, Mapping):
        header = _split(path, *lines[0], quoting)
        wanted = {*columns.values(), *(where or {})} | _named(row_options)
        if missing := [name for name in wanted if name not in header]:
            raise StiltgridError(
                f"{path}:1: the header {header} lacks {sorted(missing)}; expected a header line with these "
                "names (test files of some releases have no label column; another `layout` may fit this file)"
            )
        names, body, field_columns = header, lines[1:], dict(columns)
    else:
        names, body, field_columns = list(columns), lines, {name: name for name in columns}
    keep = {column: text.replace("{lang}", language) for column, text in (where or {}).items()}
    rows = _rows(path, body, names, quoting, broken_rows, dropped)
    kept = (row for row in rows if all(row.values[column] == text for column, text in keep.items()))
    found = to_examples(path, task, kept, columns=field_columns, dropped=dropped, **row_options)
    if not found:
        condition = f" with {keep}" if keep else ""
        raise StiltgridError(f"{path}: no rows{condition} below {len(lines) - len(body)} header lines; expected some")
    return found


def _named(row_options: Mapping[str, Any]) -> set[str]:
    """Return the columns that the id and the group rule name."""
    group = row_options.get("group") or {}
    return {name for name in (row_options.get("id"), group.get("column")) if name}


def _rows(
    path: Path,
    lines: Sequence[tuple[int, str]],
    names: Sequence[str],
    quoting: Literal["none", "csv"],
    broken_rows: Literal["error", "drop"],
    dropped: Counter[str],
) -> Iterator[SourceRow]:
    """Yield the rows with the right number of columns; refuse or count the others."""
    for number, (line, text) in enumerate(lines, start=1):
        cells = _split(path, line, text, quoting)
        if len(cells) == len(names):
            yield SourceRow(line, number, dict(zip(names, cells, strict=True)))
        elif broken_rows == "drop":
            dropped["wrong number of columns"] += 1
        else:
            raise StiltgridError(f"{path}:{line}: {_complaint(cells, text, names)}")


def _complaint(cells: list[str], text: str, names: Sequence[str]) -> str:
    """Say what is wrong with a row, and what to do."""
    seen = f"{len(cells)} tab-separated columns, expected {len(names)} ({', '.join(names)})"
    if not text:
        return f"blank line; {seen}"
    if len(cells) == len(names) - 1 and names[-1] == "label":
        return (
            f"{seen}; the label seems to be missing. XTREME and the first XGLUE release publish test files "
            "without labels, which cannot be scored: use a labelled file (another `layout`, `files`, or dev)"
        )
    remedy = "mend the row, or set `layout` or `files` if this is another release"
    return f"{seen}; {remedy}. The row begins {text[:60]!r}"


def _split(path: Path, line: int, text: str, quoting: Literal["none", "csv"]) -> list[str]:
    """Split one line into cells."""
    if quoting == "none" or '"' not in text:
        return text.split("\t")
    try:
        # one line is one row: strict mode refuses a quote left open, which would swallow the rows that follow
        return next(csv.reader([text], delimiter="\t", strict=True))
    except csv.Error as error:
        raise StiltgridError(
            f"{path}:{line}: not quoted as csv.writer does ({error}); expected a file as XTREME's scripts "
            f"write it. The row begins {text[:60]!r}"
        ) from None
