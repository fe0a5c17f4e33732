"""data_card.md: every data set that a grid rests on, from the task rows and the sidecars of the files read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json
from stiltgrid.examples import sidecar
from stiltgrid.grid import DataFile, Grid
from stiltgrid.hub.repository import dataset_of
from stiltgrid.paper.notes import arm_title, target_title
from stiltgrid.paper.render import markdown_text, pipe_table
from stiltgrid.tasks.registry import TaskRow, task

PARALLEL = {True: "rows correspond across languages", "ids": "rows with the same id correspond across languages"}


def files_of(grid: Grid) -> dict[str, dict[DataFile, None]]:
    """Return the example files that a grid's runs are trained, selected and tested on, by task, in the grid's order."""
    found: dict[str, dict[DataFile, None]] = {}
    for target in dict.fromkeys(run.target for run in grid.runs):
        trained = {} if grid.retrieves(target) else grid.training_files(None, target)
        for splits in trained.values():
            for files in splits.values():
                found.setdefault(grid.tasks[target].name, {}).update(dict.fromkeys(files))
        tested = [grid.evaluation(target, language) for language in grid.languages(target)]
        found.setdefault(grid.tasks[target].name, {}).update(dict.fromkeys(tested))
    for arm in dict.fromkeys(arm.intermediate for arm in grid.arms):
        for name, splits in grid.training_files(arm, None).items():
            for files in splits.values():
                found.setdefault(name, {}).update(dict.fromkeys(files))
    return found


def _uses(grid: Grid, name: str) -> str:
    targets = [target_title(grid, t) for t, row in grid.tasks.items() if row.name == name]
    arms = [arm_title(grid, arm) for arm, names in grid.arm_tasks.items() if name in names]
    parts = [f"target {', '.join(targets)}"] if targets else []
    return "; ".join([*parts, *([f"in intermediate {', '.join(arms)}"] if arms else [])])


def _hub(grid: Grid, row: TaskRow) -> str:
    """Return the data set of the hub that a task was read from, "" if its rows came from files."""
    source = grid.source(row.name)
    if source is None or not source.hub:
        return ""
    repository = dataset_of(row, source)
    return f"{repository.id} at {repository.revision}"


def _facts(row: TaskRow, used: str, hub: str) -> list[tuple[str, str]]:
    """Return what a task's row says, and the data set of the hub that it was read from: name and text."""
    facts = [
        ("Used as", used),
        ("Kind", row.kind),
        ("Labels", ", ".join(f"{label} ({word})" if word != label else label for label, word in row.labels.items())),
        ("Metrics", ", ".join(row.metrics)),
        ("Chance level", f"{row.chance:g}"),
        ("Resampled as one", row.cluster),
        ("Across languages", PARALLEL.get(row.parallel, "rows do not correspond across languages")),
        ("Licence", row.licence),
        ("Citation", row.citation),
        ("Source", row.url),
        ("Hub data set", hub),
    ]
    return [(name, text) for name, text in facts if text]


def _row(file: DataFile, about: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a file's line: split, language, rows read and published, dropped, fingerprint, original files."""
    dropped = about.get("dropped") or {}
    sources = ", ".join(f"{part['file']} ({part['sha256'][:12]})" for part in about.get("source_files", ()))
    published = about.get("examples_published")
    return (
        file.split,
        file.language,
        f"{about['examples']:,}",
        "not known" if published is None else f"{published:,}",
        "; ".join(f"{reason}: {count:,}" for reason, count in dropped.items()) or "0",
        f"`{about['fingerprint'][:12]}`",
        markdown_text(sources) or "made by the workflow",
    )


def data_card(grid: Grid) -> str:
    """Return the data card as Markdown.

    Raises:
        StiltgridError: if the sidecar of a file that the grid rests on is missing.
    """
    lines = [f"# Data of {markdown_text(grid.config.title or grid.config.grid)}", ""]
    lines += [
        "Generated from the task rows (`stiltgrid/tasks/`) and the sidecars of the files that were read. Rows are "
        "those that the runs may use; a run's recipe may cap them. No data set is distributed with this project.",
        "",
    ]
    for name, files in files_of(grid).items():
        lines += _section(grid, name, list(files))
    return "\n".join(lines).rstrip() + "\n"


def _section(grid: Grid, name: str, files: Sequence[DataFile]) -> list[str]:
    row = task(name)
    lines = [f"## {markdown_text(row.title)} (`{name}`)", ""]
    lines += [f"- {what}: {markdown_text(text)}" for what, text in _facts(row, _uses(grid, name), _hub(grid, row))]
    about = {file: read_json(sidecar(Path(grid.paths.data(file)))) for file in files}
    head = ("split", "language", "rows", "published", "dropped", "fingerprint", "original file (SHA-256)")
    table = pipe_table([head, *(_row(file, record) for file, record in about.items())], left=(0, 1, 4, 5, 6))
    lines += ["", *table, ""]
    differing = [
        f"{file.split} {file.language}"
        for file, record in about.items()
        if record.get("examples_published") not in (None, record["examples"])
    ]
    if differing:
        lines += [f"Not as many rows as published: {', '.join(differing)}.", ""]
    return lines
