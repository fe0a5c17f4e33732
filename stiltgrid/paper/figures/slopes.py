"""Slopes: the gain of each intermediate task in the small model and in the large one, a line an intermediate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stiltgrid.paper.cells import number
from stiltgrid.paper.figures.drawing import LeftOutError, Material, line_style, new_figure, zero_line
from stiltgrid.paper.notes import arm_title, model_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def spread(wanted: Sequence[float], apart: float) -> list[float]:
    """Move labels as little as needed so that neighbours are at least `apart` from each other.

    >>> spread([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    groups: list[tuple[list[int], float]] = []  # members from below, centre

    def centre(members: Sequence[int]) -> float:
        return sum(wanted[k] for k in members) / len(members)

    for k in order:
        groups.append(([k], wanted[k]))
        while len(groups) > 1:
            (low, at), (high, above) = groups[-2:]
            if above - (len(high) - 1) * apart / 2 - at - (len(low) - 1) * apart / 2 >= apart:
                break
            groups[-2:] = [([*low, *high], centre([*low, *high]))]
    found = [0.0] * len(wanted)
    for members, at in groups:
        for place, k in enumerate(members):
            found[k] = at + (place - (len(members) - 1) / 2) * apart
    return found


def slopes_figure(material: Material) -> "Figure":
    """Return the slopes from the small model to the large one, averages over targets, labelled at their ends.

    Raises:
        LeftOutError: if the grid has no two models, or no intermediate is estimated in both.
    """
    findings, grid = material.findings, material.grid
    d = findings.declaration
    if d.small is None or d.large is None:
        raise LeftOutError("the grid does not compare two models")
    lines: list[tuple[str, str, float, float]] = []
    for arm in (*d.arms, *([""] if len(d.singles) > 1 else [])):
        pair = [findings.find("gain", model, arm, "") for model in (d.small, d.large)]
        if all(found is not None and found.estimated for found in pair):
            title = arm_title(grid, arm) if arm else "mean of tasks"
            lines.append((arm, title, pair[0].value, pair[1].value))  # type: ignore[union-attr]
    if not lines:
        raise LeftOutError("no intermediate task has a gain over all targets in both models")
    ends = [value for _, _, *both in lines for value in both]
    height = max(2.4, 0.9 + 0.2 * len(lines))
    figure = new_figure(height, 4.2)
    axes = figure.subplots()
    for k, (arm, _, left, right) in enumerate(lines, start=1):
        look = line_style(k) if arm else {"color": "black", "linestyle": "-", "linewidth": 2.2}
        axes.plot([0, 1], [left, right], marker="o", markersize=3.5, **look)
    zero_line(axes)
    span = max([*ends, 0.0]) - min([*ends, 0.0]) or 1.0
    apart = span * 0.145 / (height - 0.9)
    at = spread([right for *_, right in lines], apart)
    for k, ((arm, title, _, right), y) in enumerate(zip(lines, at, strict=True), start=1):
        colour = line_style(k)["color"] if arm else "black"
        axes.plot([1.02, 1.06], [right, y], color=colour, linewidth=0.5, clip_on=False)
        text = f"{title}  {number(right, signed=True)}"
        weight = "normal" if arm else "bold"
        axes.text(1.075, y, text, va="center", fontweight=weight, fontsize=7, clip_on=False)
    axes.set_xlim(-0.05, 1.2 + 0.028 * max(len(title) for _, title, *_ in lines))
    axes.set_ylim(min([*at, *ends, 0.0]) - apart, max([*at, *ends, 0.0]) + apart)
    axes.set_xticks([0, 1], [model_title(grid, model) for model in (d.small, d.large)])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("gain, mean over targets, points")
    return figure
