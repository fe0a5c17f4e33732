"""Gain by language against its baseline: where is there room, and where does an intermediate task help?"""

import math
from statistics import fmean
from typing import TYPE_CHECKING

from stiltgrid.paper.figures.drawing import MARKERS, SERIES, LeftOutError, Material, new_figure, zero_line
from stiltgrid.paper.notes import model_title, score_title, target_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS, FACET = 3, 1.5
CLOSE = 0.09
"""Share of a facet's width within which two labels would cover each other."""
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
        xs = [x for dots_of in own for _, x, _ in dots_of]
        for m, dots_of in enumerate(own):
            _facet(axes, dots_of, m, CLOSE * (max(xs) - min(xs)))
        axes.set_title(f"{target_title(grid, target)} ({score_title(material.scores.metrics[target])})", fontsize=7)
        axes.margins(0.12, 0.3)
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


def _facet(axes: "Axes", own: list[tuple[str, float, float]], m: int, close: float) -> None:
    """Draw one model's dots, each with its language; the first model's are filled, others open.

    Args:
        axes: the facet.
        own: language, score, gain.
        m: the model's number.
        close: points of score within which labels are set on other levels.
    """
    colour, marker = SERIES[1 + m % (len(SERIES) - 1)], MARKERS[m % len(MARKERS)]
    face = colour if m == 0 else "white"
    xs, ys = [x for _, x, _ in own], [y for _, _, y in own]
    axes.plot(xs, ys, marker, color=colour, markerfacecolor=face, markersize=3.5, label=str(m))
    # the first model's labels above, others below; close neighbours on three levels in turn
    side = 1 if m == 0 else -1
    level, before = 0, -math.inf
    for language, x, y in sorted(own, key=lambda dot: dot[1:]):
        level = (level + 1) % 3 if x - before < close else 0
        before = x
        axes.annotate(
            language,
            (x, y),
            xytext=(0, side * (4 + 6 * level)),
            textcoords="offset points",
            fontsize=5.5,
            color=colour,
            ha="center",
            va="bottom" if m == 0 else "top",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.3, "shrinkA": 0, "shrinkB": 2},
        )
