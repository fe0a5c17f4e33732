"""What the jobs of a run ask: training, prediction and scoring of one model after one intermediate task, one seed."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from stiltgrid.cluster import KEYS, REQUESTS, node_threads, profile_value
from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, Cell, DataFile, Grid, Run, parent_manifest
from stiltgrid.recipes import prediction_recipe, scoring_recipe, training_recipe
from stiltgrid.storage import Storage
from stiltgrid.wiring.wildcards import Wildcards


def sidecars(grid: Grid, files: list[DataFile]) -> list[str]:
    """Return the small JSON files that stand for data in the graph: compared by content, not by time."""
    return [str(sidecar(grid.paths.data(file))) for file in files]


class Jobs:
    """What the rules ask that train, predict and score.

    Args:
        grid: the expanded config.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid, self.paths = grid, grid.paths
        self.storage = Storage(grid)

    def _files(self, intermediate: str | None, target: str | None) -> list[str]:
        by_task = self.grid.training_files(intermediate, target)
        files = sidecars(
            self.grid, [file for splits in by_task.values() for files in splits.values() for file in files]
        )
        others = self.grid.other_inputs(intermediate, target).values()
        return files + [str(sidecar(path)) for paths in others for path in paths]

    def intermediate_inputs(self, w: Wildcards) -> list[str]:
        """Phase (ii): the pretrained model, the arm's training and dev data."""
        again = self._again(Arm(w.model, w.intermediate, int(w.seed)))
        return [self.paths.pretrained(w.model), *self._files(w.intermediate, None), *again]

    def target_inputs(self, w: Wildcards) -> list[str]:
        """Phase (iii): phase (ii)'s checkpoint, or the pretrained model for the baseline, and the target's data."""
        parent = parent_manifest(self.paths, self.grid, w.model, w.intermediate, int(w.seed))
        again = self._again(Run(w.model, w.intermediate, w.target, int(w.seed)))
        return [parent, *self._files(None, w.target), *again]

    def _again(self, run: Run | Arm) -> list[str]:
        """The note that weights were removed, where they are needed again: it is younger than their manifest."""
        note = self.storage.again(run)
        return [note] if note else []

    def intermediate_params(self, w: Wildcards) -> dict[str, Any]:
        """The recipe of a phase (ii) run."""
        return training_recipe(self.grid, w.model, w.intermediate, None, int(w.seed))

    def target_params(self, w: Wildcards) -> dict[str, Any]:
        """The recipe of a phase (iii) run, and what it comes after."""
        recipe = training_recipe(self.grid, w.model, w.intermediate, w.target, int(w.seed))
        return recipe | {"after": list(self.grid.arm_tasks[w.intermediate])}

    def threads(self, w: Wildcards) -> int:
        """CPU threads of a training job, over all its processes on a node."""
        return node_threads(self.grid.config.models[w.model])

    def predict_threads(self, w: Wildcards) -> int:
        """CPU threads of a prediction job: one process."""
        return self.grid.config.models[w.model].execution.threads

    def resources(self, stage: str, profile: Mapping[str, Any] | None) -> dict[str, Any]:
        """What a stage's jobs ask for: a value where it is the same for all of them, else a function of a job.

        Args:
            stage: "train" or "predict".
            profile: Snakemake's default resources, for what a row leaves open.
        """
        models = self.grid.config.models

        @cache
        def request(model: str, attempt: int) -> dict[str, int | str]:
            return REQUESTS[stage](models[model], attempt)

        rows = [request(model, attempt) for model in models for attempt in (1, 2)]

        def asked(key: str) -> Any:
            def value(w: Wildcards, attempt: int) -> Any:
                return request(w.model, attempt).get(key, profile_value(profile, key))

            same = all(key in row and row[key] == rows[0][key] for row in rows)
            return rows[0][key] if same else value

        # Snakemake works out each function's signature three times a job: only what differs is a function
        return {key: asked(key) for key in KEYS if any(key in row for row in rows)}

    def by_language(self, target: str, path: Callable[[Cell], str]) -> list[str]:
        """Name one file a language of a target, with {model}, {intermediate} and {seed} left open."""
        return [
            path(Cell("{model}", "{intermediate}", target, language, "{seed}"))  # type: ignore[arg-type]
            for language in self.grid.languages(target)
        ]

    def gold(self, target: str) -> list[str]:
        """Sidecars of a target's evaluation data, one a language."""
        return sidecars(self.grid, [self.grid.evaluation(target, x) for x in self.grid.languages(target)])

    def gold_again(self, target: str) -> Callable[[Wildcards], list[str]]:
        """Evaluation data that went missing since a run was predicted; before that, its prediction asks for them."""
        files, first = self.gold(target), self.grid.languages(target)[0]

        @cache
        def missing() -> list[str]:
            return [file for file in files if not Path(file).exists()]

        def asked(w: Wildcards) -> list[str]:
            cell = Cell(w.model, w.intermediate, target, first, int(w.seed))
            return missing() if Path(self.paths.prediction(cell)).exists() else []

        return asked

    def checkpoint(self, target: str) -> str:
        """A target checkpoint's manifest, with wildcards left open."""
        return self.paths.checkpoint(Run("{model}", "{intermediate}", target, "{seed}"))  # type: ignore[arg-type]

    def arm(self) -> str:
        """An intermediate checkpoint's manifest, with wildcards left open."""
        return self.paths.arm(Arm("{model}", "{intermediate}", "{seed}"))  # type: ignore[arg-type]

    def evaluated(self, target: str) -> str | Callable[[Wildcards], str]:
        """The manifest that a target's predictions rest on; of a retrieval target it depends on the arm."""
        if not self.grid.retrieves(target):
            return self.checkpoint(target)
        return lambda w: self.grid.evaluated(Run(w.model, w.intermediate, target, int(w.seed)))

    def prediction_params(self, target: str) -> dict[str, Any] | Callable[[Wildcards], dict[str, Any]]:
        """What, beside the checkpoint, determines a target's predictions; a retrieval's depends on the model."""
        if not self.grid.retrieves(target):
            return prediction_recipe(self.grid, target)
        return lambda w: prediction_recipe(self.grid, target, w.model)

    def layer_file(self, target: str) -> str:
        """Scores by layer of one run of a retrieval target, with wildcards left open."""
        return f"{self.paths.root}/layers/{{model}}/{{intermediate}}/{target}/seed{{seed}}.csv"

    def layer_params(self, target: str) -> Callable[[Wildcards], dict[str, Any]]:
        """What, beside the checkpoint, determines a run's scores by layer: not the layer that is declared."""

        def params(w: Wildcards) -> dict[str, Any]:
            about = prediction_recipe(self.grid, target, w.model)
            return about | {
                "retrieval": {key: value for key, value in about["retrieval"].items() if key != "layer"},
                "score": scoring_recipe(self.grid, target),
            }

        return params
