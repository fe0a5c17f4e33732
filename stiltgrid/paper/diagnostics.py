"""The table of diagnostics: what share of a model's outputs is invalid, empty, in the wrong script or language, cut."""

import math
from collections import defaultdict
from statistics import fmean
from typing import TYPE_CHECKING

from stiltgrid.diagnostics import DIAGNOSTICS
from stiltgrid.grid import Grid
from stiltgrid.paper.cells import DASH, Cell, number
from stiltgrid.paper.notes import model_title
from stiltgrid.paper.render import Column, Panel, Row, Table

if TYPE_CHECKING:
    import pandas as pd

Shares = dict[str, list[float]]


def _cell(values: list[float]) -> Cell:
    if not values:
        return Cell(None, DASH)
    share = fmean(values)
    text = "<0.1" if 0 < share < 0.05 else number(share)
    return Cell(share, text, n=len(values))


def _shares(frame: "pd.DataFrame") -> dict[tuple[str, str, str], Shares]:
    """Return each diagnostic's known shares, one a run, by model, target and language."""
    found: dict[tuple[str, str, str], Shares] = defaultdict(lambda: defaultdict(list))
    done = frame[frame["main"] & (frame["status"] == "done")]
    for name in DIAGNOSTICS:
        columns = (done[key].tolist() for key in ("model", "target", "language", name))
        for model, target, language, share in zip(*columns, strict=True):
            values = found[model, target, language][name]
            if not math.isnan(share):
                values.append(share)
    return found


def diagnostics_table(grid: Grid, frame: "pd.DataFrame") -> Table:
    """Return the shares of outputs with a fault: a panel a model, a row a target and language that has any.

    Args:
        grid: the expanded config.
        frame: the tidy score table.
    """
    shares = _shares(frame)
    panels, clean = [], []
    for model in grid.config.models:
        rows = []
        for target, row in grid.tasks.items():
            title = grid.config.targets[target].title or row.title
            for language in grid.languages(target):
                known = shares.get((model, target, language))
                if known is None:
                    continue
                if any(share > 0 for values in known.values() for share in values):
                    rows.append(Row(f"{title} {language}", tuple(_cell(known[name]) for name in DIAGNOSTICS)))
                elif f"{title} {language}" not in clean:
                    clean.append(f"{title} {language}")
        if not rows:
            rows = [Row("none", tuple(Cell(None, DASH) for _ in DIAGNOSTICS))]
        panels.append(Panel(model_title(grid, model), tuple(rows)))
    caption = (
        "Diagnostics: shares of outputs or inputs in percent, means over all runs done (intermediate arms and seeds); "
        "targets and languages in which every share is 0 in every run of a model are left out."
    )
    notes = [f"{name.replace('_', ' ')}: {meaning}." for name, meaning in DIAGNOSTICS.items()]
    notes.append(f"{DASH}: does not apply, or is not known.")
    if clean:
        notes.insert(0, f"Without any, in at least one model: {', '.join(clean)}.")
    columns = tuple(Column(name.replace("_", " ")) for name in DIAGNOSTICS)
    return Table("diagnostics", grid.config.title or grid.config.grid, caption, columns, tuple(panels), tuple(notes))
