"""Rows with named columns, as the hub's Parquet files have them; JSON lines and CSV are read alike.

Class numbers of the hub become labels by the layout's `labels`, e.g. `{"0": entailment}`. What columns a kind needs:

- classification, ranking: one for each field, and `label`;
- choice: one for each field, `choices` and `label` (see `choices`);
- span: `question`, `context`, and `answers`, a struct of the lists `text` and `answer_start`;
- tagging: `words` and `tags`, two lists of one length.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.choices import choice_columns, choice_examples
from stiltgrid.readers.lines import resolve_label
from stiltgrid.readers.records import Record, records
from stiltgrid.readers.rows import SourceRow, clustering, to_examples
from stiltgrid.readers.squad import checked_answer
from stiltgrid.tasks.registry import TaskRow

Options = Mapping[str, Any]


def read_parquet_rows(
    paths: Sequence[Path], task: TaskRow, language: str, *, dropped: Counter[str], **options: Any
) -> list[Example]:
    """Read a split's files, one after the other.

    Args:
        paths: files ending in `.parquet` (or `.jsonl`, `.csv`).
        task: the task row.
        language: fills `{lang}` in `where`.
        dropped: number of rows left out by reason; added to.
        **options: `columns`: the column of each field and of what else the kind needs, `a.b` within a column; `where`:
            keep only rows with this text in this column; `id`, `group`, `labels`, `drop_labels`: see
            `rows.to_examples`.

    Raises:
        StiltgridError: for a file that lacks a column, or a bad row, with file, row, what was seen and what was
            expected.
    """
    options = dict(options)
    columns = options["columns"]
    keep = {column: text.replace("{lang}", language) for column, text in (options.pop("where", None) or {}).items()}
    named = [options.get("id"), (options.get("group") or {}).get("column"), *keep]
    chosen = [name for name in [*choice_columns(columns, options), *named] if name]
    rows = (
        row for row in records(paths, chosen) if all(str(row.value(column)) == text for column, text in keep.items())
    )
    found = _KINDS[task.kind](paths[0], task, rows, dropped, options)
    if not found:
        condition = f" with {keep}" if keep else ""
        raise StiltgridError(f"{paths[0]}: no row{condition} is left ({dict(dropped)} dropped); expected some")
    return found


def labelled_rows(task: TaskRow, rows: Iterable[Record], columns: Mapping[str, str], names: Iterable[str]) -> Iterator:
    """Yield records as rows of texts: fields, the label, and the columns of `names`."""
    for row in rows:
        values = {columns[name]: row.text(columns[name]) for name in task.fields}
        values |= {name: row.label(name) for name in (columns["label"], *names)}
        yield SourceRow(row.line, row.number, values, row.file)


def _labelled(path: Path, task: TaskRow, rows: Iterable[Record], dropped: Counter[str], options: Options) -> list:
    names = [name for name in (options.get("id"), (options.get("group") or {}).get("column")) if name]
    return to_examples(path, task, labelled_rows(task, rows, options["columns"], names), dropped=dropped, **options)


def _answered(path: Path, task: TaskRow, rows: Iterable[Record], dropped: Counter[str], options: Options) -> list:
    columns = options["columns"]
    cluster = clustering(options.get("group"))
    found: list[Example] = []
    seen: dict[str, str] = {}
    for row in rows:
        fields = {name: row.text(columns[name]) for name in task.fields}
        texts, starts = (row.value(f"{columns['answers']}.{part}") for part in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise StiltgridError(f"{row.where}: {len(texts)} answers and {len(starts)} places of answers")
        if not texts and task.no_answer is None:
            raise StiltgridError(f"{row.where}: no answers; expected one at least (SQuAD 2.0 is another task)")
        for text, start in zip(texts, starts, strict=True):
            checked_answer(text, start, fields["context"], row.where)
        name = _unique(row, options.get("id"), seen)
        group = cluster(name, SourceRow(row.line, row.number, row.values, row.file), fields)
        found.append(Example(id=name, group=group, fields=fields, references=tuple(texts), starts=tuple(starts)))
    return found


def _tagged(path: Path, task: TaskRow, rows: Iterable[Record], dropped: Counter[str], options: Options) -> list:
    columns, aliases = options["columns"], dict(options.get("labels") or {})
    found: list[Example] = []
    seen: dict[str, str] = {}
    for row in rows:
        words, tags = row.value(columns["words"]), [str(tag) for tag in row.value(columns["tags"])]
        if len(words) != len(tags) or not words:
            raise StiltgridError(f"{row.where}: {len(words)} words and {len(tags)} tags; expected as many, and some")
        if not task.labels_from:
            tags = [resolve_label(tag, aliases, task.labels, row.where) for tag in tags]
        name = _unique(row, options.get("id"), seen)
        found.append(Example(id=name, group=name, words=tuple(words), tags=tuple(tags)))
    return found


def _unique(row: Record, column: str | None, seen: dict[str, str]) -> str:
    name = str(row.number) if column is None else row.label(column)
    if name in seen:
        raise StiltgridError(f"{row.where}: id {name!r} occurred before in {seen[name]}; expected unique ids")
    seen[name] = row.where
    return name


_KINDS: dict[str, Callable[[Path, TaskRow, Iterable[Record], Counter[str], Options], list[Example]]] = {
    "classification": _labelled,
    "ranking": _labelled,
    "choice": choice_examples,
    "span": _answered,
    "tagging": _tagged,
}
