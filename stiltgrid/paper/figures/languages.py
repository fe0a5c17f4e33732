"""Gain by language against its baseline: where is there room, and where does an intermediate task help?"""

import itertools
import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from stiltgrid.paper.figures.drawing import MARKERS, SERIES, WIDTH, LeftOutError, Material, new_figure, zero_line
from stiltgrid.paper.notes import model_title, score_title, target_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS, FACET = 3, 1.5
MARGINS = 0.12, 0.3
"""Room around the dots of a facet, shares of what they span."""
LABEL = 8.5, 6.0
"""Width and height of a language's label, in points."""
DOT = 2.0
"""Half of a dot's width, in points."""
Dots = dict[tuple[str, str], list[tuple[str, float, float]]]


def dots(material: Material) -> Dots:
    """Return (model, target) -> language, score without an intermediate task, mean gain over the headline's tasks.

    A language with a gain that is not estimated is left out.
    """
    findings = material.findings
    d = findings.declaration
    found: Dots = {}
    for model in d.models:
        for target, languages in d.zero_shot.items():
            own = []
            for language in languages:
                base = findings.find("score", model, d.baseline or "", target, language)
                gains = [findings.find("gain", model, arm, target, language) for arm in d.singles]
                if base is not None and base.estimated and all(g is not None and g.estimated for g in gains):
                    mean = fmean(g.value for g in gains)  # type: ignore[union-attr]
                    own.append((language, base.value, mean))
            if own:
                found[model, target] = own
    return found


def languages_figure(material: Material) -> "Figure":
    """Return gains by language against the baseline's score: a facet a target, a shape and colour a model.

    Raises:
        LeftOutError: if no language has both, or no intermediate is of the headline's.
    """
    found = dots(material)
    grid, d = material.grid, material.findings.declaration
    targets = [t for t in d.zero_shot if any((model, t) in found for model in d.models)]
    if not d.singles or not targets:
        raise LeftOutError("no language has a baseline score and the gains of all intermediate tasks")
    across = min(ACROSS, len(targets))
    down = math.ceil(len(targets) / across)
    figure = new_figure(0.55 + FACET * down)
    facets = figure.subplots(down, across, squeeze=False).ravel()
    for axes in facets[len(targets) :]:
        axes.set_visible(False)
    for k, (axes, target) in enumerate(zip(facets, targets, strict=False)):
        zero_line(axes)
        own = [found.get((model, target), []) for model in d.models]
        whole = [(x, y) for dots_of in own for _, x, y in dots_of]
        low, high = (of(0.0, *(y for _, y in whole)) for of in (min, max))  # the line at 0 is in the facet, too
        scale = _points_a_unit(
            [*whole, (whole[0][0], low), (whole[0][0], high)], 72 * WIDTH / across - 30, 72 * FACET - 30
        )
        room = MARGINS[1] * (high - low)
        bounds = (low - room) * scale[1], (high + room) * scale[1]
        sides = (1, -1) if len(d.models) == 1 else None
        for m, dots_of in enumerate(own):
            _facet(axes, dots_of, m, scale, bounds, sides or ((1,) if m == 0 else (-1,)))
        axes.set_title(f"{target_title(grid, target)} ({score_title(material.scores.metrics[target])})", fontsize=7)
        axes.margins(*MARGINS)
        axes.locator_params(nbins=4)
        if k % across == 0:
            axes.set_ylabel("mean gain, points")
    figure.supxlabel("score without an intermediate task, a dot a language that is not trained on", fontsize=7.5)
    handles, names = facets[0].get_legend_handles_labels()
    if not handles:
        raise LeftOutError("the first target has no language to draw")
    names = [model_title(grid, d.models[int(name)]) for name in names]
    figure.legend(handles, names, loc="outside upper left", ncols=len(names), handletextpad=0.1)
    return figure


def _points_a_unit(dots_of: Sequence[tuple[float, float]], width: float, height: float) -> tuple[float, float]:
    """Return how many points on paper a unit of score and one of gain are, roughly: the layout is not made yet."""
    spans = [max(values) - min(values) for values in zip(*dots_of, strict=True)]
    across, up = (span * (1 + 2 * margin) or 1.0 for span, margin in zip(spans, MARGINS, strict=True))
    return width / across, height / up


def label_offsets(
    places: Sequence[tuple[float, float]],
    sides: Sequence[int],
    label: tuple[float, float] = LABEL,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> list[float]:
    """Return how far above each dot (below: negative) its label begins, so that it covers no other label and no dot.

    Args:
        places: of the dots on paper, in points.
        sides: 1 for above, -1 for below, in the order of preference.
        label: width and height of a label, in points.
        bounds: lowest and highest place of a label; where there is none left between them it stands beyond.
    """
    width, height = label
    # boxes: middle, lower edge, half of the width, height
    taken = [(x, y - DOT, DOT, 2 * DOT) for x, y in places]
    found = []
    for x, y in places:
        free: list[tuple[bool, int, float, float]] = []
        for level, side in itertools.product(range(len(taken) + 2), sides):
            offset = side * (4 + height * level)
            lower = y + offset - (height if side < 0 else 0)
            if all(
                abs(x - u) >= width / 2 + half or lower >= v + tall or v >= lower + height for u, v, half, tall in taken
            ):
                beyond = not bounds[0] <= lower <= bounds[1] - height
                free.append((beyond, level, offset, lower))
        _, _, offset, lower = min(free, key=lambda place: place[:2])
        found.append(offset)
        taken.append((x, lower, width / 2, height))
    return found


def _facet(
    axes: "Axes",
    own: list[tuple[str, float, float]],
    m: int,
    scale: tuple[float, float],
    bounds: tuple[float, float],
    sides: Sequence[int],
) -> None:
    """Draw one model's dots, each with its language; the first model's are filled, others open.

    Args:
        axes: the facet.
        own: language, score, gain.
        m: the model's number.
        scale: points on paper that a unit of score and one of gain are.
        bounds: of the facet, in points, as `label_offsets` takes them.
        sides: where labels may stand, as it takes them.
    """
    colour, marker = SERIES[1 + m % (len(SERIES) - 1)], MARKERS[m % len(MARKERS)]
    face = colour if m == 0 else "white"
    own = sorted(own, key=lambda dot: dot[1:])
    xs, ys = [x for _, x, _ in own], [y for _, _, y in own]
    axes.plot(xs, ys, marker, color=colour, markerfacecolor=face, markersize=3.5, label=str(m))
    places = [(x * scale[0], y * scale[1]) for x, y in zip(xs, ys, strict=True)]
    offsets = label_offsets(places, sides, bounds=bounds)
    for (language, x, y), offset in zip(own, offsets, strict=True):
        axes.annotate(
            language,
            (x, y),
            xytext=(0, offset),
            textcoords="offset points",
            fontsize=5.5,
            color=colour,
            ha="center",
            va="bottom" if offset > 0 else "top",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.3, "shrinkA": 0, "shrinkB": 2},
        )
