"""How well the intermediate checkpoints do their own tasks: English dev scores of phase (ii)."""

from collections import defaultdict
from typing import TYPE_CHECKING

from stiltgrid.grid import Grid
from stiltgrid.paper.averages import score, seed_mean
from stiltgrid.paper.cells import DASH, Cell, cell
from stiltgrid.paper.notes import arm_title, metric_title, model_title
from stiltgrid.paper.render import Column, Panel, Row, Table
from stiltgrid.tasks.registry import task

if TYPE_CHECKING:
    import pandas as pd


def trained_tasks(grid: Grid) -> tuple[str, ...]:
    """Return the tasks that intermediate runs train on, suite/task, in the config's order."""
    arms = dict.fromkeys(arm.intermediate for arm in grid.arms)
    return tuple(dict.fromkeys(task(name).name for arm in arms for name in grid.arm_tasks[arm]))


def intermediate_table(grid: Grid, runs: "pd.DataFrame", training: "pd.DataFrame") -> Table:
    """Return the dev scores of phase (ii): a panel a model, a row an arm, a column a task that some arm trains on.

    Args:
        grid: the expanded config; it has at least one intermediate run.
        runs: the table of runs of `stiltgrid.runs`.
        training: the table of logged values of `stiltgrid.runs`.
    """
    names = trained_tasks(grid)
    chosen = training[(training["kind"] == "chosen") & training["main"] & (training["target"] == "")]
    keys = ("model", "intermediate", "seed", "task", "value")
    found = {(m, a, s, t): v for m, a, s, t, v in zip(*(chosen[key].tolist() for key in keys), strict=True)}
    second = runs[runs["target"] == ""]
    collapsed = second[second["collapsed"]]
    fallen = list(zip(*(collapsed[key].tolist() for key in ("model", "intermediate", "seed")), strict=True))
    arms_of: dict[str, list[str]] = defaultdict(list)
    for arm in grid.arms:
        if arm.intermediate not in arms_of[arm.model]:
            arms_of[arm.model].append(arm.intermediate)

    def one(model: str, arm: str, name: str) -> Cell:
        if name not in {task(own).name for own in grid.arm_tasks[arm]}:
            return Cell(None, DASH)
        values = {k: found.get((model, arm, k, name)) for k in grid.seeds(model, arm)}
        return cell(seed_mean({str(k): score(value, "done") for k, value in values.items()}))

    panels = tuple(
        Panel(
            model_title(grid, model),
            tuple(Row(arm_title(grid, a), tuple(one(model, a, t) for t in names)) for a in arms),
        )
        for model, arms in arms_of.items()
    )
    columns = tuple(Column(task(name).title, metric_title(task(name).metrics[0])) for name in names)
    caption = (
        "Intermediate tasks: English dev scores of the checkpoints that targets are fine-tuned from, of the weights "
        "that were kept; means over seeds."
    )
    shown = [c for panel in panels for row in panel.rows for c in row.cells]
    below = [f"{DASH}: the arm does not train on the task."] if any(c.text == DASH for c in shown) else []
    if any(c.status == "incomplete" for c in shown):
        below.append("(k/n): k of n seeds are complete.")
    if fallen:
        below.append(f"Learned nothing: {', '.join(f'{m}/{a}/seed{s}' for m, a, s in fallen)}.")
    if grid.config.note:
        below.append(grid.config.note)
    return Table("intermediates", grid.config.title or grid.config.grid, caption, columns, panels, tuple(below))
