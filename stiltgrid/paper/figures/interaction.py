"""The forest plot: for each target, how much more the large model gains than the small one; the headline a diamond."""

from textwrap import fill
from typing import TYPE_CHECKING

from stiltgrid.paper.answer import confidence, interval, points
from stiltgrid.paper.figures.drawing import LeftOutError, Material, new_figure, zero_line
from stiltgrid.paper.findings import DAGGER, Finding
from stiltgrid.paper.notes import model_title, target_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.23
LINE = 95
"""Letters of a line across the figure."""


def interaction_figure(material: Material) -> "Figure":
    """Return the forest plot of the interaction, a row a target and the headline below.

    Raises:
        LeftOutError: if the headline is not estimated, or the grid has none.
    """
    findings, grid = material.findings, material.grid
    d = findings.declaration
    headline = next(iter(findings.family("headline")), None)
    if headline is None or d.small is None or d.large is None:
        raise LeftOutError("the grid does not compare the gains of two models")
    if not headline.estimated:
        raise LeftOutError(f"the headline is not estimated: {headline.reason}")
    targets = [t for t, own in d.zero_shot.items() if own]
    rows = [(target_title(grid, t), findings.find("interaction", "", "", t)) for t in targets]
    if len(targets) == 1:
        rows = []  # the headline is of that target, and drawn below
    figure = new_figure(1.05 + ROW * (len(rows) + 1))
    axes = figure.subplots()
    for y, (_, found) in enumerate(rows):
        if found is not None and found.estimated:
            _interval(axes, y, found)
        else:
            axes.text(0, y, "missing", ha="center", va="center", color="#666666")
    below = len(rows) + 0.3
    _diamond(axes, below, headline)
    zero_line(axes, vertical=True)
    axes.set_yticks([*range(len(rows)), below], [*(title for title, _ in rows), "all targets"])
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(below + 0.7, -0.7)
    numbers = axes.twinx()
    numbers.set_ylim(axes.get_ylim())
    shown = [*(found for _, found in rows), headline]
    numbers.set_yticks([*range(len(rows)), below], [_text(found) for found in shown])
    numbers.tick_params(axis="y", length=0)
    numbers.spines["left"].set_visible(False)
    small, large = model_title(grid, d.small), model_title(grid, d.large)
    low, high = axes.get_xlim()
    edge = max(abs(low), abs(high))
    axes.set_xlim(-edge, edge)
    axes.set_xlabel(f"← helps {small} more          helps {large} more →")
    told = (
        f"gain of {large} minus gain of {small}, points, {confidence(findings)} intervals"
        + ("; open: seed noise not measured" if any(f and f.seed_status != "measured" for f in shown) else "")
        + (f"; {DAGGER}: differs from 0" if any(f and f.family and f.marked for f in shown) else "")
    )
    # under the whole figure: the axes are narrower than what is to be said
    figure.supxlabel(fill(told, LINE), fontsize=axes.xaxis.label.get_fontsize())
    return figure


def _open(found: Finding) -> bool:
    return found.seed_status != "measured"


def _text(found: Finding | None) -> str:
    if found is None or not found.estimated:
        return ""
    mark = DAGGER if found.family and found.marked else ""
    return f"{points(found.value)}{mark}  ({interval(found.low, found.high)})"


def _interval(axes: "Axes", y: float, found: Finding) -> None:
    axes.plot([found.low, found.high], [y, y], color="black", linewidth=1.0, solid_capstyle="butt")
    axes.plot(found.value, y, "o", color="black", markerfacecolor="white" if _open(found) else "black", markersize=4.5)


def _diamond(axes: "Axes", y: float, found: Finding) -> None:
    from matplotlib.patches import Polygon

    corners = [(found.low, y), (found.value, y - 0.32), (found.high, y), (found.value, y + 0.32)]
    face = "white" if _open(found) else "black"
    axes.add_patch(Polygon(corners, closed=True, facecolor=face, edgecolor="black", linewidth=1.0))
    axes.update_datalim(corners)
    axes.autoscale_view()
