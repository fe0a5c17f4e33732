"""Training curves, loss and dev scores: a column a model, a row the intermediate tasks or a target."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from stiltgrid.paper.figures.drawing import LeftOutError, Material, line_style, new_figure
from stiltgrid.paper.notes import arm_title, metric_title, model_title, target_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 50
"""Points of a loss curve: each is the mean of a fiftieth of the longest run's steps."""
ROW, TALLEST = 1.05, 9.0


def binned(frame: "pd.DataFrame", last: int) -> tuple[list[float], list[float]]:
    """Return steps and mean losses, in bins of `last / BINS` steps, over seeds."""
    width = max(1.0, last / BINS)
    bins = ((frame["step"] - 1) // width).astype(int)
    means = frame.groupby(bins).agg({"step": "mean", "value": "mean"})
    return means["step"].tolist(), means["value"].tolist()


def by_step(frame: "pd.DataFrame", last: int) -> tuple[list[float], list[float]]:
    """Return steps and mean dev scores, over seeds and the run's tasks; only steps that every seed reached."""
    means = frame.groupby("step").agg({"value": "mean", "seed": "nunique"})
    means = means[means["seed"] == frame["seed"].nunique()]
    return [float(step) for step in means.index], means["value"].tolist()


def training_figure(material: Material) -> "Figure":
    """Return the training losses.

    Raises:
        LeftOutError: if no run has a log.
    """
    return _curves(material, "loss", binned, lambda target: "loss")


def dev_figure(material: Material) -> "Figure":
    """Return the English dev scores during training, by the main metric.

    Raises:
        LeftOutError: if no run was evaluated.
    """
    grid = material.grid

    def what(target: str) -> str:
        return metric_title(grid.tasks[target].metrics[0]) if target else "main metric"

    return _curves(material, "dev", by_step, what)


def _curves(
    material: Material,
    kind: str,
    points: Callable[["pd.DataFrame", int], tuple[list[float], list[float]]],
    what: Callable[[str], str],
) -> "Figure":
    grid = material.grid
    frame = material.records.training
    frame = frame[(frame["kind"] == kind) & frame["main"] & ~frame["value"].isna()]
    if frame.empty:
        raise LeftOutError(f"no finished run has a metrics.jsonl with a {kind} in it")
    targets = [t for t in ("", *grid.config.targets) if (frame["target"] == t).any()]
    models = list(grid.config.models)
    arms = material.scores.arms
    height = min(TALLEST, 0.7 + ROW * len(targets))
    figure = new_figure(height)
    facets = figure.subplots(len(targets), len(models), squeeze=False)
    drawn: dict[str, object] = {}
    for r, target in enumerate(targets):
        for c, model in enumerate(models):
            axes: Axes = facets[r, c]
            own = frame[(frame["model"] == model) & (frame["target"] == target)]
            last = int(own["step"].max()) if len(own) else 0
            for k, arm in enumerate(arms):
                xs, ys = points(own[own["intermediate"] == arm], last)
                if xs:
                    marker = {"marker": "o", "markersize": 2} if kind == "dev" else {}
                    [drawn[arm]] = axes.plot(xs, ys, **line_style(k), linewidth=0.9, **marker)
            title = target_title(grid, target) if target else "intermediate tasks"
            axes.set_title(f"{model_title(grid, model)}: {title}" if r == 0 else title, fontsize=7, pad=2)
            axes.locator_params(axis="x", nbins=5)
            axes.locator_params(axis="y", nbins=3)
            if r == len(targets) - 1:
                axes.set_xlabel("optimizer step; means over seeds", fontsize=6.5)
            axes.tick_params(labelsize=6)
            if c == 0:
                axes.set_ylabel(what(target), fontsize=6.5)
            if not len(own):
                axes.text(0.5, 0.5, "no run", ha="center", va="center", transform=axes.transAxes, color="#666666")
    shown = [arm for arm in arms if arm in drawn]
    columns = min(6, len(shown))
    figure.legend(
        [drawn[arm] for arm in shown],
        [arm_title(grid, arm) for arm in shown],
        loc="outside lower center",
        ncols=math.ceil(len(shown) / math.ceil(len(shown) / columns)),
        handlelength=2.6,
    )
    return figure
