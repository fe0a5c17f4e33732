"""The heat map of gains: a panel a model, a row an intermediate, a column a target; one scale for all; daggers."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stiltgrid.paper.cells import number
from stiltgrid.paper.colours import shade
from stiltgrid.paper.figures.drawing import LeftOutError, Material, new_figure
from stiltgrid.paper.findings import Finding
from stiltgrid.paper.notes import arm_title, model_title, score_title, target_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, LINE, TITLE, BAR = 0.235, 0.12, 0.26, 0.55
"""Inches of a row, of a line above the columns, of a panel's title, of the scale below."""
GAP, MARGIN = 0.12, 0.01
"""The average's distance, and what keeps the outer cells' edges whole, in columns."""
COMMON = 0.95
"""Share of gains that the scale holds; it ends at the largest unless that is more than twice as far."""


def scale(gains: Sequence[float]) -> tuple[float, bool]:
    """Return the end of the symmetric scale in points, and whether some gains lie beyond it.

    One run that collapsed would otherwise make all others white.

    >>> scale([1.0, -2.0]), scale([1.0] * 99 + [-30.0])
    ((2.0, False), (1.0, True))
    """
    sizes = sorted(map(abs, gains))
    common = sizes[max(0, math.ceil(COMMON * len(sizes)) - 1)]
    return (common, True) if sizes[-1] > 2 * common > 0 else (sizes[-1], False)


def gains_figure(material: Material) -> "Figure":
    """Return the heat map of zero-shot gains.

    Raises:
        LeftOutError: if no gain is estimated.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    grid, findings = material.grid, material.findings
    d = findings.declaration
    targets = [t for t, own in d.zero_shot.items() if own]
    places = [*targets, ""]
    rows = {
        model: [[findings.find("gain", model, arm, target) for target in places] for arm in d.arms]
        for model in d.models
    }
    known = [f.value for body in rows.values() for row in body for f in row if f is not None and f.estimated]
    if not known:
        raise LeftOutError("no gain is estimated: a run with and one without an intermediate task must be complete")
    end, clipped = scale(known)
    heads = _wrapped(
        [*(f"{target_title(grid, t)}\n{score_title(material.scores.metrics[t])}" for t in targets), "Average"]
    )
    above = LINE * max(head.count("\n") + 1 for head in heads)
    figure = new_figure(above + BAR + len(d.models) * (TITLE + ROW * len(d.arms)))
    panels = figure.subplots(len(d.models), 1, squeeze=False)[:, 0]
    for k, (axes, model) in enumerate(zip(panels, d.models, strict=True)):
        _panel(axes, rows[model], end)
        axes.set_title(model_title(grid, model))
        axes.set_yticks(range(len(d.arms)), [arm_title(grid, arm) for arm in d.arms])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xticks([])
        if k == 0:
            axes.set_xticks([*range(len(targets)), len(targets) + GAP], heads)
            axes.tick_params(axis="x", top=False, bottom=False, labeltop=True, labelbottom=False)
            axes.tick_params(axis="x", labelsize=6 if len(targets) > 6 else 7)
    colours = [f"#{shade(x * end, end) or 'FFFFFF'}" for x in (-1.0, 0.0, 1.0)]
    bar = figure.colorbar(
        ScalarMappable(Normalize(-end, end), LinearSegmentedColormap.from_list("gain", colours)),
        ax=list(panels),
        orientation="horizontal",
        extend="both" if clipped else "neither",
        fraction=0.05,
        aspect=45,
        pad=0.08 / figure.get_figheight(),
    )
    bar.set_label("gain over no intermediate task, languages that are not trained on, in points (†: differs from 0)")
    bar.outline.set_linewidth(0.5)
    return figure


def _wrapped(heads: Sequence[str]) -> list[str]:
    """Break a metric's name of several words, so that columns stay narrow."""
    return [head.replace(" (", "\n(").replace("token ", "token\n").replace(", ", ",\n") for head in heads]


def _panel(axes: "Axes", rows: Sequence[Sequence[Finding | None]], end: float) -> None:
    """Draw the cells of one model: rectangles with their numbers, hatched where there is none."""
    from matplotlib.patches import Rectangle

    columns = len(rows[0])
    small = 6.0 if columns > 8 else 7.0
    for y, row in enumerate(rows):
        for x, found in enumerate(row):
            left = x + (GAP if x == columns - 1 else 0)
            there = found is not None and found.estimated
            colour = f"#{shade(found.value, end) or 'FFFFFF'}" if there else "white"  # type: ignore[union-attr]
            corner = (left - 0.5, y - 0.5)
            cell = Rectangle(corner, 1, 1, facecolor=colour, edgecolor="#BBBBBB", linewidth=0.4)
            if not there:
                cell.set_hatch("////")
            axes.add_patch(cell)
            if there:
                text = number(found.value, signed=True) + ("†" if found.marked else "")  # type: ignore[union-attr]
                axes.text(left, y, text, ha="center", va="center", fontsize=small)
    axes.set_xlim(-0.5 - MARGIN, columns - 0.5 + GAP + MARGIN)
    axes.set_ylim(len(rows) - 0.5 + 3 * MARGIN, -0.5 - 3 * MARGIN)
