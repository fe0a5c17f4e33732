"""Multiple choice: from a record to a prompt, its choices, and the place of the right one."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.records import Record
from stiltgrid.readers.rows import SourceRow, clustering
from stiltgrid.tasks.registry import TaskRow


def choice_columns(columns: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """Return every column that `columns` and `lead` name; the choices may stand in several."""
    found = [name for value in columns.values() for name in ([value] if isinstance(value, str) else value)]
    return [*found, *([options["lead"]] if options.get("lead") else [])]


def choice_examples(
    path: Path, task: TaskRow, rows: Iterable[Record], dropped: Counter[str], options: Mapping[str, Any]
) -> list[Example]:
    """Turn records into examples of kind choice; the label is the right choice's place, from "0".

    Args:
        path: the first file, for messages.
        task: the task row; as many labels as an example may have choices.
        rows: in file order.
        dropped: number of rows left out by reason; added to.
        options: `columns`: a column for each field, `label`, and `choices`: a list of columns, or one column with a
            list of texts, a list of objects {label, text}, or a struct of the lists `label` and `text`. `lead`: a
            column whose text begins every choice (HellaSwag's half sentence `ctx_b`). `id`, `group`, `drop_labels`:
            see `rows.to_examples`.

    Raises:
        StiltgridError: for a row without a right choice, fewer than two choices, more choices than the task has
            labels, an empty choice, or an id that occurs twice, with file and line.
    """
    columns = options["columns"]
    no_gold = frozenset(options.get("drop_labels") or ())
    cluster = clustering(options.get("group"))
    found: list[Example] = []
    seen: dict[str, str] = {}
    for row in rows:
        texts, names = _choices(row, columns["choices"])
        if options.get("lead"):
            texts = [f"{row.text(options['lead'])} {text}".strip() for text in texts]
        if not 2 <= len(texts) <= len(task.labels):
            raise StiltgridError(f"{row.where}: {len(texts)} choices; {task.name} takes 2 to {len(task.labels)}")
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise StiltgridError(f"{row.where}: the choices {texts!r:.100}; expected a text each")
        said = row.label(columns["label"])
        if said in no_gold:
            dropped[f"label {said!r} (no gold label)"] += 1
            continue
        if said not in names:
            hint = "; test files without labels cannot be scored" if said in ("", "-1") else ""
            raise StiltgridError(f"{row.where}: label {said!r}, expected one of: {', '.join(names)}{hint}")
        fields = {name: row.text(columns[name]) for name in task.fields}
        name = str(row.number) if options.get("id") is None else row.label(options["id"])
        if name in seen:
            raise StiltgridError(f"{row.where}: id {name!r} occurred before in {seen[name]}; expected unique ids")
        seen[name] = row.where
        found.append(
            Example(
                id=name,
                group=cluster(name, SourceRow(row.line, row.number, row.values, row.file), fields),
                fields=fields,
                label=str(names.index(said)),
                choices=tuple(texts),
            )
        )
    return found


def _choices(row: Record, spec: str | Sequence[str]) -> tuple[list[Any], list[str]]:
    """Return the choices' texts, and what a label calls each: its own name, or its place from 0."""
    if not isinstance(spec, str):
        texts = [row.text(name) for name in spec]
        return texts, list(map(str, range(len(texts))))
    value = row.value(spec)
    try:
        if isinstance(value, Mapping):
            return list(value["text"]), list(value["label"])
        if value and all(isinstance(one, Mapping) for one in value):
            return [one["text"] for one in value], [one["label"] for one in value]
        texts = list(value)
    except (KeyError, TypeError):
        raise StiltgridError(
            f"{row.where}: column {spec!r} holds {value!r:.80}; expected texts, or texts with labels"
        ) from None
    return texts, list(map(str, range(len(texts))))
