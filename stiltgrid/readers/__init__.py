"""Original release formats in, examples out.

A task row names, for each layout (release format), a file pattern a split and a reader with its options.
`read_source` is the one way in; it also reports which files were read, their hashes, what was left out by a
declared rule, and whether the count is the published one.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import file_sha256
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.examples import Example
from stiltgrid.readers.json_lines import read_json_lines
from stiltgrid.readers.table import read_table
from stiltgrid.readers.words import read_words
from stiltgrid.tasks.registry import Layout, TaskRow

READERS: dict[str, Callable[..., list[Example]]] = {
    "json_lines": read_json_lines,
    "table": read_table,
    "words": read_words,
}


def source_paths(
    task: TaskRow,
    layout: str | None,
    folder: Path | str,
    split: str,
    language: str,
    files: Mapping[str, str] | None = None,
) -> list[Path]:
    """Return the files that `read_source` reads, whether or not they exist.

    Layouts name files from a suite's root (`POS/en.dev`); `folder` may also be the task's own folder (the one
    with `en.dev`).

    Args:
        task: the task row.
        layout: a release format of the task; None: its first.
        folder: where the source lies.
        split: train, dev or test.
        language: one of the task's languages.
        files: patterns by split that replace the layout's; `{lang}` is filled in.

    Raises:
        StiltgridError: if the task is pending, or lacks the layout, the split or the language.
    """
    chosen = _layout(task, layout)
    if language not in task.languages:
        raise StiltgridError(f"{task.name}: unknown language {language!r}; {nearest(language, task.languages)}")
    if files and split in files:
        return [Path(folder) / files[split].replace("{lang}", language)]
    if split not in chosen.files:
        raise StiltgridError(
            f"{task.name}: layout {_name(task, layout)!r} has no {split} split (it has: "
            f"{', '.join(chosen.files)}); name a labelled file: `files: {{{split}: ...}}`, or with `rows`"
        )
    pattern = Path(chosen.files[split].replace("{lang}", language))
    whole, own = Path(folder) / pattern, Path(folder, *pattern.parts[1:])
    return [own if len(pattern.parts) > 1 and own.is_file() and not whole.is_file() else whole]


def read_source(
    task: TaskRow,
    layout: str | None,
    folder: Path | str,
    split: str,
    language: str,
    *,
    files: Mapping[str, str] | None = None,
    rows: tuple[int, int] | None = None,
) -> tuple[list[Example], dict[str, Any]]:
    """Read one split of one language from a release's own files.

    Args:
        task: the task row.
        layout: a release format of the task; None: its first.
        folder: where the source lies.
        split: train, dev or test.
        language: one of the task's languages.
        files: patterns by split that replace the layout's; `{lang}` is filled in.
        rows: half-open slice, from 0, of the examples read; for a release that lacks a split of its own. Ids
            and groups stay those of the whole file.

    Returns:
        The examples in file order, and a record of JSON values with keys `task`, `split`, `language`,
        `layout`, `source_files` (each with `file` relative to `folder`, `sha256`, `bytes`),
        `examples_published` (int or None), `dropped` (count by reason), `rows` (the slice or None), and
        `warnings` (list of text).

    Raises:
        StiltgridError: as `source_paths`; if a file is missing; for the first bad row, with file, line, what
            was seen and what was expected; if `rows` reaches beyond the file.
    """
    [path] = source_paths(task, layout, folder, split, language, files)
    chosen = _layout(task, layout)
    if not path.is_file():
        raise StiltgridError(_missing(task, layout, Path(folder), path))
    form = _form(chosen, split, files)
    options = {name: value for name, value in chosen.options.items() if name != "splits"}
    options |= chosen.options.get("splits", {}).get(form or split, {})
    dropped: Counter[str] = Counter()
    examples = READERS[chosen.reader](path, task, language, dropped=dropped, **options)

    sizes = chosen.sizes or task.sizes
    published = None if form is None else sizes.get(f"{form}.{language}", sizes.get(form))
    warnings = []
    if published is not None and published not in (len(examples), len(examples) + dropped.total()):
        warnings.append(f"{path}: {len(examples)} examples ({dropped.total()} dropped), published: {published}")
    for field in task.fields:
        if empty := sum(not example.fields[field].strip() for example in examples):
            warnings.append(f"{path}: {empty} examples have an empty {field}")
    if rows is not None:
        first, stop = rows
        if not 0 <= first < stop <= len(examples):
            raise StiltgridError(
                f"{path}: rows [{first}, {stop}) asked of {len(examples)} examples; expected 0 <= first < "
                f"stop <= {len(examples)} (half-open, from 0); mend `rows.{split}` of the source"
            )
        examples = examples[first:stop]
    about = {
        "task": task.name,
        "split": split,
        "language": language,
        "layout": _name(task, layout),
        "source_files": [
            {
                "file": _relative(path, Path(folder)),
                "sha256": file_sha256(path),
                "bytes": path.stat().st_size,
            }
        ],
        "examples_published": published,
        "dropped": dict(dropped),
        "rows": None if rows is None else list(rows),
        "warnings": warnings,
    }
    return examples, about


def _form(layout: Layout, split: str, files: Mapping[str, str] | None) -> str | None:
    """Return the split of the layout whose file is read, or None for a file that the layout does not name.

    A config may say `files: {train: XNLI/{lang}.dev}`: that file has the columns and the count of the
    layout's dev.
    """
    if not files or split not in files:
        return split
    for name, pattern in layout.files.items():
        if files[split] in (pattern, Path(*Path(pattern).parts[1:]).as_posix()):
            return name
    return None


def _relative(path: Path, folder: Path) -> str:
    """Return the path below the source folder, or the whole path of a file that `files` names elsewhere."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _name(task: TaskRow, layout: str | None) -> str:
    return next(iter(task.layouts)) if layout is None else layout


def _layout(task: TaskRow, layout: str | None) -> Layout:
    if task.pending is not None:
        raise StiltgridError(f"{task.name}: {task.pending}")
    if _name(task, layout) not in task.layouts:
        raise StiltgridError(f"{task.name}: unknown layout {layout!r}; {nearest(str(layout), task.layouts)}")
    return task.layouts[_name(task, layout)]


def _missing(task: TaskRow, layout: str | None, folder: Path, path: Path) -> str:
    """Say what was expected, what is there instead, and where the file may be."""
    expected = _relative(path, folder)
    name = _name(task, layout)
    start = f"{path}: no such file; layout {name!r} of {task.name} expects {expected} in the source folder"
    if folder.is_file():
        return f"{start}, but {folder} is a file; unpack it and set the source's `path` to the folder"
    if not folder.is_dir():
        return f"{start}, and there is no folder {folder}; mend the source's `path`"
    contents = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    shown = ", ".join(contents[:12]) + (f" and {len(contents) - 12} more" if len(contents) > 12 else "")
    nearby = [
        place
        for place in (*sorted(entry for entry in folder.iterdir() if entry.is_dir()), folder.parent)
        if (place / expected).is_file()
    ]
    remedy = (
        f"it is in {nearby[0]}: set the source's `path` to that"
        if nearby
        else "is it the wrong archive folder, another release (`layout`), or not unpacked?"
    )
    return f"{start}, which holds: {shown or 'nothing'}; {remedy}"
