"""What a grid cost: device hours, energy where it was measured, disk; a panel a model, a row a stage."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from stiltgrid.grid import Grid
from stiltgrid.paper.cells import DASH, Cell
from stiltgrid.paper.notes import arm_title, model_title
from stiltgrid.paper.render import Column, Panel, Row, Table

if TYPE_CHECKING:
    import pandas as pd


PREDICT = "predict"


class Cost(NamedTuple):
    """What one run took, in device hours, kWh and GB; NaN: not known."""

    hours: float
    energy: float
    weights: float


class Stage(NamedTuple):
    """A row of the table: what its finished runs took, and how many runs it has."""

    title: str
    found: tuple[Cost, ...]
    of: int


def amount(value: float) -> str:
    """Return a positive quantity with at least two digits that count.

    >>> amount(0), amount(0.004), amount(0.25), amount(12.34), amount(1234.5)
    ('0', '<0.01', '0.25', '12.3', '1,234')
    """
    if value == 0:
        return "0"
    if value < 0.005:
        return "<0.01"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def _sum(values: Iterable[float], of: int) -> Cell:
    """Return the sum of what is known, with how many of how many where that is not all."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Cell(None, DASH)
    total = math.fsum(known)
    return Cell(total, amount(total) + (f" ({len(known)}/{of})" if len(known) < of else ""), n=len(known))


def _stages(grid: Grid, runs: "pd.DataFrame", model: str) -> list[Stage]:
    own = runs[runs["model"] == model]
    second, third = own[own["target"] == ""], own[own["target"] != ""]

    def trained(frame: "pd.DataFrame") -> tuple[Cost, ...]:
        done = frame[frame["status"] == "done"]
        disk = done["kept_bytes"].astype("float64") / 1e9
        return tuple(map(Cost, done["device_hours"], done["energy_kwh"], disk))

    stages = [
        Stage(f"train {arm_title(grid, arm)}", trained(second[second["intermediate"] == arm]), int(count))
        for arm in grid.config.intermediates
        if (count := (second["intermediate"] == arm).sum())
    ]
    # a retrieval target has no training of its own
    tuned = third[third["status"] != "untrained"]
    if len(tuned):
        stages.append(Stage("train targets", trained(tuned), len(tuned)))
    said = third[third["predicted"] > 0]
    predicted = tuple(
        Cost(h, e, math.nan) for h, e in zip(said["predict_hours"], said["predict_energy_kwh"], strict=True)
    )
    stages.append(Stage(PREDICT, predicted, len(third)))
    return stages


def costs_table(grid: Grid, runs: "pd.DataFrame") -> Table:
    """Return the costs of a grid.

    Args:
        grid: the expanded config.
        runs: the table of `stiltgrid.runs`.
    """
    by_model = {model: _stages(grid, runs, model) for model in grid.config.models}
    everything = [cost for stages in by_model.values() for stage in stages for cost in stage.found]
    measured = any(not math.isnan(cost.energy) for cost in everything)
    columns = [Column("runs"), Column("device hours", "sum"), Column("device hours", "a run")]
    columns += [Column("energy", "kWh")] if measured else []
    columns.append(Column("weights", "GB"))

    def row(stage: Stage, with_weights: int) -> Row:
        count = f"{len(stage.found)}" if len(stage.found) == stage.of else f"{len(stage.found)} of {stage.of}"
        known = [cost.hours for cost in stage.found if not math.isnan(cost.hours)]
        each = math.fsum(known) / len(known) if known else None
        cells = [Cell(float(len(stage.found)), count, n=len(stage.found))]
        cells += [_sum(known, stage.of), Cell(each, DASH if each is None else amount(each), n=len(known))]
        if measured:
            cells.append(_sum((cost.energy for cost in stage.found), stage.of))
        return Row(stage.title, (*cells, _sum((cost.weights for cost in stage.found), with_weights)))

    panels = []
    for model, stages in by_model.items():
        kept = [0 if stage.title == PREDICT else stage.of for stage in stages]
        whole = Stage("all", tuple(cost for stage in stages for cost in stage.found), sum(s.of for s in stages))
        rows = [row(stage, number) for stage, number in zip((*stages, whole), (*kept, sum(kept)), strict=True)]
        panels.append(Panel(model_title(grid, model), tuple(rows)))
    caption = (
        "Costs: device hours are wall time times devices, loading, evaluation and resumed attempts included; a run's "
        "prediction, of all its languages, counts as one. Weights: what is kept on disk."
    )
    devices = sorted({name for name in runs["device"].tolist() if name})
    below = [f"Devices: {', '.join(devices)}."] if devices else []
    if measured:
        below.append("Energy: of the GPUs alone, by their own counters; hosts are not measured.")
    shown = [c.text for panel in panels for r in panel.rows for c in r.cells]
    if any("/" in text for text in shown):
        below.append("(k/n): the sum over the k of n runs for which it is known.")
    if DASH in shown:
        below.append(f"{DASH}: does not apply, or is not known.")
    if grid.config.note:
        below.append(grid.config.note)
    title = grid.config.title or grid.config.grid
    return Table("costs", title, caption, tuple(columns), tuple(panels), tuple(below))
