"""Files whose rows are records, values under names: Parquet as the hub has it, JSON lines, CSV.

`records` reads any of them by the file's ending; what a kind of task makes of a record is told elsewhere.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.readers.lines import numbered_lines


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a source.

    Attributes:
        file: where it stands.
        line: its line in the file (Parquet: its row, from 1), for messages.
        number: its number among the rows of all files of the split, from 1.
        values: by name; nested as in the file.
    """

    file: Path
    line: int
    number: int
    values: Mapping[str, Any]

    @property
    def where(self) -> str:
        """The place for messages, `file:line`."""
        return f"{self.file}:{self.line}"

    def value(self, name: str) -> Any:
        """Return the value of a column; `question.stem` is the value `stem` within the column `question`.

        Raises:
            StiltgridError: if there is none, with the names that there are.
        """
        found: Any = self.values
        for part in name.split("."):
            if not isinstance(found, Mapping) or part not in found:
                seen = sorted(found) if isinstance(found, Mapping) else f"{found!r:.60}"
                raise StiltgridError(
                    f"{self.where}: no column {name!r}, found {seen}; another `layout` may fit this file (test files "
                    "of some releases have no labels)"
                )
            found = found[part]
        return found

    def text(self, name: str) -> str:
        """Return a column's text.

        Raises:
            StiltgridError: if it is not there or no text.
        """
        found = self.value(name)
        if not isinstance(found, str):
            raise StiltgridError(f"{self.where}: expected text in column {name!r}, found {found!r:.60}")
        return found

    def label(self, name: str) -> str:
        """Return a column's label as text; class numbers of the hub come as their digits.

        Raises:
            StiltgridError: if it is neither text nor a whole number.
        """
        found = self.value(name)
        if isinstance(found, bool) or not isinstance(found, (str, int)):
            raise StiltgridError(f"{self.where}: expected a label in column {name!r}, found {found!r:.60}")
        return str(found).strip(" ")


def records(paths: Sequence[Path], columns: Iterable[str] | None = None, form: str | None = None) -> Iterator[Record]:
    """Yield the rows of files, one file after the other.

    Args:
        paths: files ending in `.parquet`, `.jsonl` or `.csv` (comma-separated, with a header).
        columns: names of what is read (of `a.b` the column is `a`); Parquet files are read that far only. None: all.
        form: one of these endings that says the format, whatever the files' own.

    Raises:
        StiltgridError: for another ending, or a file that is not of its format.
    """
    wanted = None if columns is None else list(dict.fromkeys(name.split(".")[0] for name in columns))
    number = 0
    for path in paths:
        ending = form or path.suffix
        if ending not in _READ:
            raise StiltgridError(f"{path}: ending {ending!r}; expected one of: {', '.join(_READ)}")
        for line, values in _READ[ending](path, wanted):
            number += 1
            yield Record(path, line, number, values)


def _parquet(path: Path, columns: list[str] | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            lacking = sorted(set(columns or ()) - set(file.schema_arrow.names))
            if lacking:
                raise StiltgridError(
                    f"{path}: no column {lacking[0]!r}; the file has: {', '.join(file.schema_arrow.names)}; is it "
                    "another data set, or another configuration of it?"
                )
            line = 0
            for batch in file.iter_batches(batch_size=4096, columns=columns):
                for values in batch.to_pylist():
                    line += 1
                    yield line, values
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: not a whole Parquet file ({error}); fetch it again") from None


def _json(path: Path, columns: list[str] | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in numbered_lines(path):
        try:
            values = json.loads(text)
        except ValueError as error:
            raise StiltgridError(f"{path}:{line}: not JSON ({error}); expected one object a line") from None
        if not isinstance(values, dict):
            raise StiltgridError(f"{path}:{line}: a JSON {type(values).__name__}, expected an object")
        yield line, values


def _csv(path: Path, columns: list[str] | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # a quoted cell may hold line breaks, so that the csv module counts the lines
    text = "\n".join(line for _, line in numbered_lines(path)) + "\n"
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows)
        begins = rows.line_num + 1
        for cells in rows:
            if len(cells) != len(header):
                raise StiltgridError(
                    f"{path}:{begins}: {len(cells)} comma-separated columns, expected {len(header)} "
                    f"({', '.join(header)}); the row begins {','.join(cells)[:60]!r}"
                )
            yield begins, dict(zip(header, cells, strict=True))
            begins = rows.line_num + 1
    except csv.Error as error:
        raise StiltgridError(f"{path}:{rows.line_num}: not CSV ({error}); is the download complete?") from None


_READ: dict[str, Callable[[Path, list[str] | None], Iterator[tuple[int, Mapping[str, Any]]]]] = {
    ".parquet": _parquet,
    ".jsonl": _json,
    ".csv": _csv,
}
