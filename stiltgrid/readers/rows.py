"""The step from a source row, named texts and a label, to an `Example`: shared by tables and JSON lines."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.lines import resolve_label
from stiltgrid.tasks.registry import TaskRow


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of a source file.

    Attributes:
        line: its line number in the file, for messages.
        number: its number among the data rows, from 1, header not counted.
        values: text by column name (the file's names).
        file: where it stands, if the rows are of several files.
    """

    line: int
    number: int
    values: Mapping[str, str]
    file: Path | None = None


def clustering(group: Mapping[str, str] | None) -> Callable[[str, SourceRow, Mapping[str, str]], str]:
    """Return the function of (id, row, fields) that names an example's cluster.

    Args:
        group: the rule, as `to_examples` has it.
    """
    [(rule, key)] = (group or {"row": ""}).items()
    first_row: dict[str, str] = {}
    previous: tuple[str, str] | None = None  # key text and name of the run that the last row belongs to

    def cluster(name: str, row: SourceRow, fields: Mapping[str, str]) -> str:
        nonlocal previous
        if rule == "row":
            return name
        if rule == "column":
            return row.values[key]
        if rule == "same":
            return first_row.setdefault(fields[key], str(row.number))
        if previous is None or previous[0] != fields[key]:
            previous = (fields[key], str(row.number))
        return previous[1]

    return cluster


def to_examples(
    path: Path,
    task: TaskRow,
    rows: Iterable[SourceRow],
    *,
    columns: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    id: str | None = None,
    group: Mapping[str, str] | None = None,
    drop_labels: Iterable[str] = (),
    dropped: Counter[str],
) -> list[Example]:
    """Turn source rows into examples.

    Args:
        path: the file, for messages.
        task: the task row: its fields and labels.
        rows: the rows of one split and language, in file order.
        columns: the file's column for each field of the task and for `label`.
        labels: other spellings of labels, e.g. `{contradictory: contradiction}`.
        id: the column of the release's own ids; None: the data row's number.
        group: the rule that names an example's cluster. None: the row itself. `{column: c}`: the text of
            column c. `{runs_of: f}`: consecutive rows with the same text in field f, named by the first row's
            number, so that the names agree between the languages of a parallel set (XNLI's premises come in
            threes in each). `{same: f}`: all rows with the same text in field f, wherever they are, named
            likewise.
        drop_labels: labels that mean "no gold label"; their rows are left out and counted.
        dropped: number of rows left out by reason; added to.

    Raises:
        StiltgridError: for an unknown label or an id that occurs twice, with file and line.
    """
    aliases = dict(labels or {})
    cluster = clustering(group)
    no_gold = frozenset(drop_labels)
    seen_ids: dict[str, int] = {}
    found: list[Example] = []
    for row in rows:
        fields = {name: row.values[columns[name]] for name in task.fields}
        said = row.values[columns["label"]].strip(" ")
        if said in no_gold:
            dropped[f"label {said!r} (no gold label)"] += 1
            continue
        hint = "; test files without labels cannot be scored" if said == "" else ""
        file = row.file or path
        label = resolve_label(said, aliases, task.labels, f"{file}:{row.line}", hint)
        name = str(row.number) if id is None else row.values[id]
        if name in seen_ids:
            raise StiltgridError(
                f"{file}:{row.line}: id {name!r} occurred before on line {seen_ids[name]}; expected "
                "ids unique within a file (was the file joined from two, or a row pasted twice?)"
            )
        seen_ids[name] = row.line
        found.append(Example(id=name, group=cluster(name, row, fields), fields=fields, label=label))
    return found
