"""What the rules ask that look at the whole grid: all cells, and every file that is made of them."""

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import digest
from stiltgrid.grid import Cell, Grid
from stiltgrid.paper import contents
from stiltgrid.recipes import scoring_recipe
from stiltgrid.score_languages import statistics_file
from stiltgrid.tasks.added import code_of
from stiltgrid.wiring.jobs import Jobs, sidecars
from stiltgrid.wiring.wildcards import Wildcards


def _changed_at(path: str) -> float | None:
    """Return when a file was changed last; None: it is not there."""
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 (thousands of them)
    except OSError:
        return None


class Results:
    """What the rules ask that make analysis, tables and pages.

    Args:
        grid: the expanded config.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid, self.paths = grid, grid.paths
        self.jobs = Jobs(grid)

    @cached_property
    def running(self) -> tuple[str, ...]:
        """The targets of which at least one run is not excluded."""
        return contents.running(self.grid)

    @cached_property
    def retrieved(self) -> tuple[str, ...]:
        """The retrieval targets of which at least one run is not excluded."""
        return tuple(target for target in self.running if self.grid.retrieves(target))

    def holes(self) -> list[str]:
        """Predictions, scores and analyses that are missing although what is made of them is there.

        Snakemake makes what a job needs, and looks at nothing else: a file that was deleted behind a finished one is
        found here. What is missing because nothing was made of it yet is asked for by `collect`, and not here, for each
        file that a rule names costs planning time.
        """
        paths = self.paths
        collected = any(Path(path).exists() for path in (paths.scores, *self.table_files()))
        analyses = (paths.scores, paths.runs, paths.training, *self.bootstraps(), paths.contrasts, paths.headline)
        found = [path for path in analyses if collected and not Path(path).exists()]
        for cell in self.grid.cells():
            score, prediction = paths.score(cell), paths.prediction(cell)
            if not Path(score).exists():
                found += [score] if collected else []
            elif not Path(prediction).exists():
                found.append(prediction)
        return found

    def standing_scores(self) -> list[str]:
        """Score files that stand for every cell's."""
        return self._standing(self.grid.cells(), self.paths.score, self.paths.scores)

    def all_manifests(self) -> list[str]:
        """Every checkpoint's manifest; retrieval targets have none of their own."""
        arms = [self.paths.arm(arm) for arm in self.grid.arms]
        return [*arms, *(self.paths.checkpoint(run) for run in self.grid.fine_tuned)]

    def layer_files(self) -> list[str]:
        """Scores by layer of every run of a retrieval target; a pretrained model's are the same for every seed."""
        return [
            self.jobs.layer_file(run.target).format(model=run.model, intermediate=run.intermediate, seed=run.seed)
            for run in self.grid.runs
            if run.target in self.retrieved and (self.grid.arm_tasks[run.intermediate] or run.seed == 1)
        ]

    def baseline_inputs(self) -> list[str]:
        """Sidecars of the training and evaluation rows of every target that has a training set."""
        found: dict[str, None] = {}
        for target in self.running:
            for splits in self.grid.training_files(None, target).values():
                found |= dict.fromkeys([*sidecars(self.grid, splits["train"]), *self.jobs.gold(target)])
        return list(found)

    def grid_digest(self) -> str:
        """A hash of what the tables' shape rests on: the cells, what is excluded, titles and notes."""
        return self._grid_digest

    @cached_property
    def _grid_digest(self) -> str:
        config = self.grid.config
        excluded = sorted([*key, reason] for key, reason in self.grid.excluded.items())
        axes = (config.models, config.intermediates, config.targets)
        titles = [[name, row.title] for axis in axes for name, row in axis.items()]
        scoring = [scoring_recipe(self.grid, target) for target in config.targets]
        return digest([list(self.grid.cells(with_excluded=True)), excluded, titles, scoring, config.title, config.note])

    def runs_digest(self) -> str:
        """A hash of which runs there are, and which languages are predicted with each."""
        languages = {target: self.grid.languages(target) for target in self.grid.config.targets}
        return digest([self.grid.arms, self.grid.runs, languages])

    def declaration_digest(self) -> str:
        """A hash of what is asked of the scores; how it is planned (`power`) is no part of it."""
        asked = self.grid.config.analysis.model_dump(mode="json", exclude={"power", "replicates"})
        return digest([asked, {target: row.chance for target, row in self.grid.tasks.items()}])

    @staticmethod
    def _standing(cells: Iterable[Cell], path: Callable[[Cell], str], made: str) -> list[str]:
        """Name what the files of all cells would set off in `made`, which is made of them, with few names.

        One job makes the files of all languages of a run, so the first language's stands for them. Where that is there,
        the others are named that are missing, and those that are younger than `made`.
        """
        made_at, there = _changed_at(made), {}
        named = []
        for cell in cells:
            file = path(cell)
            at = _changed_at(file)
            if cell.run not in there:
                there[cell.run] = at is not None
                named.append(file)
            elif there[cell.run] and (at is None or (made_at is not None and at > made_at)):
                named.append(file)
        return named

    @cached_property
    def _cells_of(self) -> dict[str, list[Cell]]:
        found: dict[str, list[Cell]] = {target: [] for target in self.running}
        for cell in self.grid.cells():
            found[cell.target].append(cell)
        return found

    def standing_statistics(self, w: Wildcards) -> list[str]:
        """Files that stand for the per-example statistics of every cell of a target."""
        return self._standing(
            self._cells_of[w.target],
            lambda cell: str(statistics_file(self.paths.score(cell))),
            self.paths.bootstrap(w.target),
        )

    def resampling_params(self, w: Wildcards) -> dict[str, Any]:
        """What determines a target's resamples, beside the statistics."""
        row = self.grid.tasks[w.target]
        return {
            "cells": digest([self.paths.score(cell) for cell in self._cells_of[w.target]]),
            "metrics": list(row.metrics),
            "parallel": row.parallel,
            "replicates": self.grid.config.analysis.replicates,
            **({"code": code} if (code := code_of("metric", row.metrics)) else {}),
        }

    def bootstraps(self) -> list[str]:
        """Resamples of every target that runs."""
        return [self.paths.bootstrap(target) for target in self.running]

    def table_files(self) -> list[str]:
        """Every table in every format."""
        return contents.table_files(self.grid)

    def table_pages(self) -> dict[str, str]:
        """Every table as a page of the report, by its name."""
        names = [Path(path).stem for path in self.table_files() if path.endswith(".tex") and "numbers" not in path]
        return {name: f"{self.paths.report}/tables/{name}.html" for name in names}

    def figure_files(self) -> list[str]:
        """Every figure in every format."""
        return contents.figure_files(self.grid)

    def figures_shown(self) -> dict[str, str]:
        """Every figure as the report shows it, by its name."""
        return {Path(path).stem: path for path in self.figure_files() if path.endswith(".svg")}

    def report_files(self) -> list[str]:
        """Every page of the report."""
        pages = [f"{self.paths.report}/{name}" for name in ("reproducibility.md", "data_card.md")]
        return [self.paths.explorer, *self.table_pages().values(), *pages]
