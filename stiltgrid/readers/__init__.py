"""Original release formats in, examples out.

A task row names, for each layout (release format), a file pattern a split and a reader with its options.
`read_source` is the one way in; it also reports which files were read, their hashes, what was left out by a
declared rule, and whether the count is the published one.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import file_sha256
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.bitext import read_aligned, read_comparable
from stiltgrid.readers.conllu import read_conllu
from stiltgrid.readers.files import (
    layout_name,
    layout_of,
    missing,
    options_of,
    patterns_of,
    relative,
    source_paths,
)
from stiltgrid.readers.json_lines import read_json_lines
from stiltgrid.readers.panx import read_panx
from stiltgrid.readers.parallel import read_parallel
from stiltgrid.readers.parquet_rows import read_parquet_rows
from stiltgrid.readers.squad import read_squad
from stiltgrid.readers.table import read_table
from stiltgrid.readers.tagged_lines import read_tagged_lines
from stiltgrid.readers.tydiqa import read_tydiqa
from stiltgrid.readers.words import read_words, withheld
from stiltgrid.tasks.added import Extended
from stiltgrid.tasks.registry import Layout, TaskRow

__all__ = ["READERS", "read_source", "source_paths"]


def _of_one(read: Callable[..., list[Example]]) -> Callable[..., list[Example]]:
    """Return a reader of a list of files for a reader of one file."""

    def reader(paths: Sequence[Path], task: TaskRow, language: str, **options: Any) -> list[Example]:
        if len(paths) != 1:
            names = " and ".join(str(path) for path in paths)
            raise StiltgridError(
                f"{task.name}: {names}: this layout reads one file a split; `files` names {len(paths)}"
            )
        return read(paths[0], task, language, **options)

    return reader


_OWN: dict[str, Callable[..., list[Example]]] = {
    "aligned": read_aligned,
    "comparable": read_comparable,
    "conllu": read_conllu,
    "json_lines": read_json_lines,
    "panx": _of_one(read_panx),
    "parallel": read_parallel,
    "parquet_rows": read_parquet_rows,
    "squad": _of_one(read_squad),
    "table": _of_one(read_table),
    "tagged_lines": _of_one(read_tagged_lines),
    "tydiqa": _of_one(read_tydiqa),
    "words": _of_one(read_words),
}
READERS: Extended[Callable[..., list[Example]]] = Extended(_OWN, lambda added: added.readers)
"""Functions of (paths, task, language, *, dropped, and the layout's options) that return examples in file order."""


def read_source(
    task: TaskRow,
    layout: str | None,
    folder: Path | str,
    split: str,
    language: str,
    *,
    files: Mapping[str, str] | None = None,
    rows: tuple[int, int | None] | None = None,
) -> tuple[list[Example], dict[str, Any]]:
    """Read one split of one language from a release's own files.

    Args:
        task: the task row.
        layout: a release format of the task; None: its first.
        folder: where the source lies; see `source_paths`.
        split: train, dev or test.
        language: one of the task's languages.
        files: patterns by split that replace the layout's; see `source_paths`.
        rows: half-open slice, from 0, of the examples read, to their end where its own is None; for a release that
            lacks a split of its own. Ids and groups stay those of the whole file.

    Returns:
        The examples in file order, and a record of JSON values with keys `task`, `split`, `language`,
        `layout`, `source_files` (each with `file` relative to `folder`, `sha256`, `bytes`),
        `examples_published` (int or None), `dropped` (count by reason), `rows` (the slice or None), and
        `warnings` (list of text).

    Raises:
        StiltgridError: as `source_paths`; if a file is missing; for the first bad row, with file, line, what
            was seen and what was expected; if `rows` reaches beyond the file.
    """
    paths = source_paths(task, layout, folder, split, language, files)
    chosen = layout_of(task, layout)
    for path in paths:
        if not path.is_file():
            raise StiltgridError(missing(task, layout, Path(folder), path))
    form = _form(chosen, split, files)
    dropped: Counter[str] = Counter()
    options = options_of(chosen, form or split, language)
    examples = READERS[chosen.reader](paths, task, language, dropped=dropped, **options)

    where = " + ".join(str(path) for path in paths)
    sizes = chosen.sizes or task.sizes
    published = None if form is None else sizes.get(f"{form}.{language}", sizes.get(form))
    warnings = []
    if published is not None and published not in (len(examples), len(examples) + dropped.total()):
        warnings.append(f"{where}: {len(examples)} examples ({dropped.total()} dropped), published: {published}")
    warnings += [f"{where}: {count} examples {what}" for what, count in _oddities(task, examples).items() if count]
    if rows is not None:
        first, stop = rows[0], len(examples) if rows[1] is None else rows[1]
        if not 0 <= first < stop <= len(examples):
            raise StiltgridError(
                f"{where}: rows [{first}, {stop}) asked of {len(examples)} examples; expected 0 <= first < "
                f"stop <= {len(examples)} (half-open, from 0); mend `rows.{split}` of the source"
            )
        examples = examples[first:stop]
    about = {
        "task": task.name,
        "split": split,
        "language": language,
        "layout": layout_name(task, layout),
        "source_files": [
            {"file": relative(path, Path(folder)), "sha256": file_sha256(path), "bytes": path.stat().st_size}
            for path in paths
        ],
        "examples_published": published,
        "dropped": dict(dropped),
        "rows": None if rows is None else list(rows),
        "warnings": warnings,
    }
    return examples, about


def _oddities(task: TaskRow, examples: Sequence[Example]) -> dict[str, int]:
    """Count what is kept, since predictions align with it row by row, and yet should be known."""
    found = {
        f"have an empty {name}": sum(not example.fields[name].strip() for example in examples) for name in task.fields
    }
    found["have an empty reference"] = sum(not all(e.references) for e in examples if e.references is not None)
    found["have no word but '_' (kept: predictions align with this file)"] = sum(
        withheld(e.words) for e in examples if e.words is not None
    )
    return found


def _form(layout: Layout, split: str, files: Mapping[str, str] | None) -> str | None:
    """Return the split of the layout whose file is read, or None for a file that the layout does not name.

    A config may say `files: {train: XNLI/{lang}.dev}`: that file has the columns and the count of the
    layout's dev.
    """
    if not files or split not in files:
        return split
    named = [
        name
        for name in layout.files
        for pattern in patterns_of(layout, name)
        if patterns_of(layout, name) == (pattern,)
        and files[split] in (pattern, Path(*Path(pattern).parts[1:]).as_posix())
    ]
    return named[0] if len(named) == 1 else None
