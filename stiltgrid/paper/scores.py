"""Means of a grid's tidy scores, by cell, target and over targets: what every table reads."""

import math
from functools import cached_property
from typing import TYPE_CHECKING

from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Grid
from stiltgrid.paper.averages import Mean, mean, score, seed_mean

if TYPE_CHECKING:
    import pandas as pd


class Scores:
    """Look-ups of means in a grid's tidy score table.

    Args:
        grid: the expanded config; its declared cells, not the table's rows, say what an average must cover.
        frame: the table of `stiltgrid.collect`, rows in any order.

    Raises:
        StiltgridError: if a (cell, metric) occurs twice, or a row belongs to no cell of the grid.
    """

    def __init__(self, grid: Grid, frame: "pd.DataFrame") -> None:
        self.grid = grid
        self.values: dict[tuple[Cell, str], float] = {}
        self.states: dict[Cell, tuple[str, str]] = {}
        self.collapsed: set[Cell] = set()
        declared = set(grid.cells(with_excluded=True))
        names = [
            "model",
            "intermediate",
            "target",
            "language",
            "seed",
            "metric",
            "value",
            "status",
            "reason",
            "collapsed",
        ]
        for model, arm, target, language, seed, metric, value, status, reason, collapsed in zip(
            *(frame[name].tolist() for name in names), strict=True
        ):
            key = Cell(model, arm, target, language, seed)
            if key not in declared:
                raise StiltgridError(f"the scores have {key}, no cell of grid {grid.config.grid}; collect again")
            if (key, metric) in self.values:
                raise StiltgridError(f"the scores have {metric} of {key} twice; collect again")
            self.values[key, metric] = value
            self.states[key] = (status, reason)
            if collapsed:
                self.collapsed.add(key)

    @cached_property
    def baseline(self) -> str | None:
        """The arm without intermediate training, if the grid has one."""
        return next((arm for arm, tasks in self.grid.arm_tasks.items() if not tasks), None)

    def state(self, cell: Cell) -> tuple[str, str]:
        """Return a cell's status and reason; a cell that the table lacks is missing."""
        if reason := self.grid.excluded.get((cell.model, cell.intermediate, cell.target)):
            return "excluded", reason
        return self.states.get(cell, ("missing", ""))

    @cached_property
    def metrics(self) -> dict[str, tuple[str, ...]]:
        """Target -> the metrics whose mean is its score: those of `analysis.metrics`, else the main one."""
        chosen = self.grid.config.analysis.metrics
        return {target: tuple(chosen.get(target, row.metrics[:1])) for target, row in self.grid.tasks.items()}

    @property
    def arms(self) -> list[str]:
        """The arms, baseline first."""
        return sorted(self.grid.config.intermediates, key=lambda arm: arm != self.baseline)

    def run(self, model: str, arm: str, target: str, language: str, seed: int, metric: str | tuple[str, ...]) -> Mean:
        """Return one run's score in one language: by a metric, or by the mean of several."""
        cell = Cell(model, arm, target, language, seed)
        each = [self.values.get((cell, name)) for name in ((metric,) if isinstance(metric, str) else metric)]
        known = [value for value in each if value is not None]
        whole = math.fsum(known) / len(each) if len(known) == len(each) else None
        return score(whole, self.state(cell)[0])  # type: ignore[arg-type]

    def language(self, model: str, arm: str, target: str, language: str, metric: str | tuple[str, ...]) -> Mean:
        """Return the mean over seeds in one language."""
        seeds = self.grid.seeds(model, arm)
        return seed_mean({str(k): self.run(model, arm, target, language, k, metric) for k in seeds})

    def target(self, model: str, arm: str, target: str, metric: str | tuple[str, ...], *, source: bool = True) -> Mean:
        """Return the mean over languages of seed means; `source` false leaves the training language out."""
        languages = self.evaluated(target, source=source)
        if not languages:
            return score(None, "excluded")
        return mean({x: self.language(model, arm, target, x, metric) for x in languages})

    def evaluated(self, target: str, *, source: bool) -> list[str]:
        """Return a target's languages, the training language first or left out."""
        own = self.grid.config.targets[target].source_language
        languages = sorted(self.grid.languages(target), key=lambda x: x != own)
        return languages if source else [x for x in languages if x != own]

    def average(self, model: str, arm: str, *, source: bool = True) -> Mean:
        """Return the mean over targets of `target`, by each target's `metrics`."""
        return mean({t: self.target(model, arm, t, chosen, source=source) for t, chosen in self.metrics.items()})

    def seeds(self, model: str, arm: str, target: str, metric: str | tuple[str, ...]) -> dict[str, Mean]:
        """Return the mean over languages of each seed."""
        languages = self.grid.languages(target)
        return {
            str(k): mean({x: self.run(model, arm, target, x, k, metric) for x in languages})
            for k in self.grid.seeds(model, arm)
        }
