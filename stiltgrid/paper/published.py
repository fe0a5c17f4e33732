"""Published scores beside ours, with the difference: only where task, metric and test rows are the same.

`reference_results.csv` holds them, one row a task, metric, language and system, each with its source; language `all` is
the mean over the task's official languages. The published systems differ in size, data and tuning: the table shows how
far a number is from a known one, not which method is better.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from stiltgrid.grid import Grid
from stiltgrid.paper.averages import Mean
from stiltgrid.paper.cells import DASH, Cell, cell, number
from stiltgrid.paper.comparable import comparable_targets, published
from stiltgrid.paper.notes import arm_title, metric_title, model_title, seed_counts, target_title
from stiltgrid.paper.render import Column, Panel, Row, Table
from stiltgrid.paper.scores import Scores

if TYPE_CHECKING:
    import pandas as pd


def _other_rows(grid: Grid, frame: "pd.DataFrame", target: str) -> str:
    """Say which language's test file has not the published number of rows; empty if none is known to differ."""
    sizes = grid.tasks[target].sizes
    own = frame[(frame["target"] == target) & (frame["status"] == "done")].drop_duplicates("language")
    for language, rows in zip(own["language"].tolist(), own["examples"].tolist(), strict=True):
        expected = sizes.get(f"test.{language}", sizes.get("test"))
        if expected is not None and rows != expected:
            return f"{target_title(grid, target)}: {language} has {rows} test rows here, {expected} as published"
    return ""


def _difference(ours: Mean, theirs: float | None) -> Cell:
    if theirs is None:
        return Cell(None, DASH)
    if ours.status != "done" or ours.value is None:
        return replace(cell(ours), value=None)
    return Cell(ours.value - theirs, number(ours.value - theirs, signed=True))


def published_table(scores: Scores, frame: "pd.DataFrame") -> Table:
    """Return ours beside what is published: a panel a task and metric, ours in the first column, then a system each.

    Args:
        scores: of the grid.
        frame: the tidy score table, for the number of test rows.
    """
    grid = scores.grid
    chosen = comparable_targets(grid)
    refused = {target: reason for target in chosen if (reason := _other_rows(grid, frame, target))}
    by_place: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for row in published():
        if row.language == "all":
            by_place.setdefault((row.task, row.metric), {})[row.system, row.variant] = row.value
    places = [(target, metric) for target, metrics in chosen.items() for metric in metrics]
    known: dict[tuple[str, str], Mapping[tuple[str, str], float]] = {
        (target, metric): by_place.get((grid.tasks[target].name, metric), {}) for target, metric in places
    }
    systems = list(dict.fromkeys(system for values in known.values() for system in values))
    panels = []
    for (target, metric), values in known.items():
        theirs = [values.get(system) for system in systems]
        rows = [Row("published", (Cell(None, DASH), *(Cell(v, DASH if v is None else number(v)) for v in theirs)))]
        for model in grid.config.models:
            for arm in scores.arms:
                ours = scores.target(model, arm, target, metric)
                if target in refused:
                    differences = [Cell(None, DASH) for _ in theirs]
                else:
                    differences = [_difference(ours, value) for value in theirs]
                rows.append(Row(f"{model_title(grid, model)}, {arm_title(grid, arm)}", (cell(ours), *differences)))
        panels.append(Panel(f"{target_title(grid, target)}, {metric_title(metric)}", tuple(rows)))
    names = {(grid.tasks[target].name, metric) for target, metric in places}
    sources: dict[str, dict[str, None]] = {}
    for row in published():
        if (row.task, row.metric) in names and row.language == "all":
            sources.setdefault(row.source, {})[f"{row.system} {row.variant}".strip()] = None
    caption = (
        "Published scores beside ours: means over all languages, the training language included. Column ours: absolute "
        "scores; row published: theirs; other cells: ours minus theirs, in points."
    )
    below = [seed_counts(scores), *(f"{', '.join(own)}: {source}." for source, own in sources.items())]
    below.append(f"{DASH}: not published.")
    below += [f"{reason}: no difference is shown." for reason in refused.values()]
    if any(variant == "translated" for _, variant in systems):
        below.append("translated: trained on translated rows of the target languages, so not zero-shot.")
    columns = (Column("ours"), *(Column(name, variant, apart=k == 0) for k, (name, variant) in enumerate(systems)))
    if grid.config.note:
        below.append(grid.config.note)
    return Table("published", grid.config.title or grid.config.grid, caption, columns, tuple(panels), tuple(below))
