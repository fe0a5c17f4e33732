"""Which files a split of a language is read from: a layout's patterns filled in, below the source folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.tasks.registry import Layout, TaskRow

TSV = "tsv"
"""A layout that every task of a label an example has beside those of its row: tables that a user made."""

OF_ALL_LANGUAGES = ("tydiqa",)
"""Readers that take one language's rows out of a file of all."""

SIDES = ("src", "tgt")
"""What `{side}` stands for, in the order in which the files are handed to a reader."""


def source_paths(
    task: TaskRow,
    layout: str | None,
    folder: Path | str,
    split: str,
    language: str,
    files: Mapping[str, str] | None = None,
) -> list[Path]:
    """Return the files that `read_source` reads, whether or not they exist.

    Layouts name files from a suite's root (`POS/en.dev`). `folder` may be that root, the task's own folder (the one
    with `en.dev`), or a folder around the root, as an unpacked archive often leaves it, with no other folder beside.

    Args:
        task: the task row.
        layout: a release format of the task; None: its first.
        folder: where the source lies.
        split: train, dev or test.
        language: one of the task's languages.
        files: patterns by split that replace the layout's, with the same `{lang}`, `{name}` and `{side}`.

    Returns:
        One path; two where the pattern has `{side}` (source side first); several where a split has parts, or where
        files match a pattern with `*` (sorted; the pattern itself where none does).

    Raises:
        StiltgridError: if the task is pending, or lacks the layout, the split or the language, or has the split in
            English only.
    """
    filled = filled_patterns(task, layout, split, language, files)
    return [path for pattern in filled for path in _placed(Path(folder), Path(pattern))]


def filled_patterns(
    task: TaskRow, layout: str | None, split: str, language: str, files: Mapping[str, str] | None = None
) -> list[str]:
    """Return the patterns of `source_paths` filled in, as they stand below a suite's root.

    Arguments and errors are those of `source_paths`.
    """
    chosen, name = layout_of(task, layout), layout_name(task, layout)
    if language not in task.languages and not translatable(task, split):
        raise StiltgridError(f"{task.name}: unknown language {language!r}; {nearest(language, task.languages)}")
    if files and split in files:
        patterns: tuple[str, ...] = (files[split],)
    elif split not in chosen.files:
        raise StiltgridError(
            f"{task.name}: layout {name!r} has no {split} split (it has: {', '.join(chosen.files)}); name a labelled "
            f"file: `files: {{{split}: ...}}`, or with `rows`"
        )
    else:
        patterns = patterns_of(chosen, split)
        if not by_language(chosen, split, patterns) and language != "en" and len(task.languages) > 1:
            raise StiltgridError(
                f"{task.name}: the {split} split of layout {name!r} is English; asked for {language!r}; set "
                f"`source_language: en`, or name a file in that language: `files: {{{split}: ...}}`"
            )
    if language not in task.languages and not any("{lang}" in p or language in chosen.names for p in patterns):
        raise StiltgridError(
            f"{task.name}: the {split} split of layout {name!r} is English; asked for translations to {language!r}; "
            f"name a layout or a file by language: `files: {{{split}: <folder>/{{lang}}.tsv}}` (docs/arms.md)"
        )
    filled = [_filled(task, chosen, pattern, split, language) for pattern in patterns]
    return [p.replace("{side}", side) for p in filled for side in (SIDES if "{side}" in p else SIDES[:1])]


def by_language(layout: Layout, split: str, patterns: Sequence[str]) -> bool:
    """Are the rows of each language its own: by the files' names, or because the reader picks them out of one file?"""
    where = options_of(layout, split).get("where") or {}
    named = any(mark in text for text in (*patterns, *where.values()) for mark in ("{lang}", "{name}"))
    return named or layout.reader in OF_ALL_LANGUAGES


def one_for_all(task: TaskRow, layout: str | None, split: str, files: Mapping[str, str]) -> bool:
    """Would the file that a config names for a split be read as every language's, whatever it holds?

    Raises:
        StiltgridError: if the task is pending or has no such layout.
    """
    return split in files and not by_language(layout_of(task, layout), split, (files[split],))


def translatable(task: TaskRow, split: str) -> bool:
    """May a split be in a language that the task is not evaluated in? An English task's training rows, translated."""
    return split == "train" and task.languages == ("en",)


def layout_name(task: TaskRow, layout: str | None) -> str:
    """Return the name of a layout; None means the task's first."""
    return next(iter(task.layouts)) if layout is None else layout


def layout_of(task: TaskRow, layout: str | None) -> Layout:
    """Return a layout of a task.

    Raises:
        StiltgridError: if the task is pending or has no such layout.
    """
    if task.pending is not None:
        raise StiltgridError(f"{task.name}: {task.pending}")
    if layout == TSV and task.kind in ("classification", "ranking"):
        return _own_table(task)
    if layout_name(task, layout) not in task.layouts:
        raise StiltgridError(f"{task.name}: unknown layout {layout!r}; {nearest(str(layout), task.layouts)}")
    return task.layouts[layout_name(task, layout)]


def _own_table(task: TaskRow) -> Layout:
    """Return the layout of a user's own tables, e.g. machine-translated: a header, the task's fields and `label`."""
    name = task.name.split("/")[1]
    return Layout(
        reader="table",
        files={"train": f"{name}/train.{{lang}}.tsv", "dev": f"{name}/dev.{{lang}}.tsv"},
        options={"columns": {column: column for column in (*task.fields, "label")}},
    )


def patterns_of(layout: Layout, split: str) -> tuple[str, ...]:
    """Return the patterns of a split's files; more than one where it is read from several, one after the other."""
    found = layout.files[split]  # type: ignore[index]
    return (found,) if isinstance(found, str) else found


def options_of(layout: Layout, split: str, language: str | None = None) -> dict[str, Any]:
    """Return a reader's options for a split and language: the layout's, with those of `splits` and `languages`."""
    options = {key: value for key, value in layout.options.items() if key not in ("splits", "languages")}
    options |= layout.options.get("splits", {}).get(split, {})
    return options | layout.options.get("languages", {}).get(language, {})


def relative(path: Path, folder: Path) -> str:
    """Return the path below the source folder, or the whole path of a file that `files` names elsewhere."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def missing(task: TaskRow, layout: str | None, folder: Path, path: Path) -> str:
    """Say which file was expected, what is there instead, and where it may be."""
    expected = relative(path, folder)
    start = (
        f"{path}: no such file; layout {layout_name(task, layout)!r} of {task.name} expects {expected} in the source "
        "folder"
    )
    if folder.is_file():
        return f"{start}, but {folder} is a file; unpack it and set the source's `path` to the folder"
    if not folder.is_dir():
        return f"{start}, and there is no folder {folder}; mend the source's `path`"
    contents = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    shown = ", ".join(contents[:12]) + (f" and {len(contents) - 12} more" if len(contents) > 12 else "")
    inner = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    nearby = [place for place in (*inner, folder.parent) if (place / expected).is_file()]
    remedy = (
        f"it is in {nearby[0]}: set the source's `path` to that"
        if nearby
        else "is it the wrong archive folder, another release (`layout`), or not unpacked?"
    )
    return f"{start}, which holds: {shown or 'nothing'}; {remedy}"


def _filled(task: TaskRow, layout: Layout, pattern: str, split: str, language: str) -> str:
    if "{name}" in pattern:
        if language not in layout.names:
            raise StiltgridError(
                f"{task.name}: no file is named for language {language!r} in this layout (named: "
                f"{', '.join(layout.names) or 'none'}); name one: `files: {{{split}: ...}}`"
            )
        pattern = pattern.replace("{name}", layout.names[language])
    return pattern.replace("{lang}", language).replace("{split}", split)


def _placed(folder: Path, pattern: Path) -> list[Path]:
    """Return the pattern's place below the folder; where there is none, the place from a suite's root."""
    if found := _matching(folder, pattern):
        return found
    if len(pattern.parts) > 1 and (found := _matching(folder, Path(*pattern.parts[1:]))):
        return found
    inner = _only_folder(folder)
    return (inner is not None and _matching(inner, pattern)) or [folder / pattern]


def _matching(folder: Path, pattern: Path) -> list[Path]:
    """Return the file of this name, or the files that match it; none, if there is none."""
    if "*" in str(pattern):
        return sorted(path for path in folder.glob(pattern.as_posix()) if path.is_file())
    return [folder / pattern] if (folder / pattern).is_file() else []


def _only_folder(folder: Path) -> Path | None:
    """Return the one folder in a folder, None where there are more or none; hidden ones and macOS's do not count."""
    found = None
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith((".", "__")) or not entry.is_dir():
                    continue
                if found is not None:
                    return None
                found = Path(entry.path)
    except OSError:
        return None
    return found
