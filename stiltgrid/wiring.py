"""What the rules ask: inputs, params and resources of a job as functions of its wildcards. Pure look-ups, no torch."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

from stiltgrid.artifacts import digest, read_json
from stiltgrid.cluster import KEYS, REQUESTS, node_threads, profile_value
from stiltgrid.config import expanded, parse
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, Cell, DataFile, Grid, Paths, Run, parent_manifest
from stiltgrid.paper import contents
from stiltgrid.readers.archive import contents_of, is_archive, manifest_of, plain, unpacked_folder
from stiltgrid.readers.files import source_paths
from stiltgrid.recipes import data_recipe, prediction_recipe, pretrained_recipe, scoring_recipe, training_recipe
from stiltgrid.score_languages import statistics_file
from stiltgrid.storage import Storage
from stiltgrid.tasks.added import code_of
from stiltgrid.tasks.registry import task

DEMO = "demo:"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
"""No job asks the hub: what it needs is fetched before (`snakemake fetch`, the one exception)."""
MODEL_FILES = {".json", ".safetensors", ".bin", ".model"}


class Wildcards(Protocol):
    """A rule's wildcards: model, intermediate, target, seed, task, split, language, where the rule has them."""

    def __getattr__(self, name: str) -> str: ...


def source_folder(grid: Grid, path: str) -> str:
    """Return a source's folder; `demo:x` is folder x of the miniature's own sources, an archive's its unpacked one."""
    if path.startswith(DEMO):
        return f"{grid.paths.root}/source/{path.removeprefix(DEMO)}"
    place = expanded(path)
    return contents_of(place) if is_archive(place) else place


def started_with(config: dict[str, Any], files: Iterable[Path | str], remote: bool) -> tuple[dict[str, Any], str]:
    """Return the config that a run was started with, and the snapshot file that its jobs read.

    Args:
        config: what Snakemake loaded now.
        files: the files that it came from, read again for what Snakemake's loader lets pass: a key written twice.
        remote: whether this is a job's own Snakemake process on a cluster node. There the snapshot that the submitting
            process exported counts, because the config file may have been edited since.
    """
    exported = os.environ.get("STILTGRID_CONFIG")
    if remote and exported and Path(exported).exists():
        return read_json(exported), exported
    for file in files:
        parse(file)
    return config, f"{Paths(str(config.get('grid'))).root}/config/{digest(config)[:12]}.json"


class Wiring:
    """The functions that rules name.

    Args:
        grid: the expanded config.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.paths = grid.paths
        self.storage = Storage(grid)
        self.demo_sources = f"{grid.paths.root}/source/manifest.json"

    @staticmethod
    def environment(checkout: Path | str, snapshot: str) -> dict[str, str]:
        """Return the variables that the shell commands read: where scripts, package and config are, and no network."""
        checkout = str(checkout)
        return OFFLINE | {
            "PYTHONPATH": os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")])),
            "STILTGRID_SCRIPTS": f"{checkout}/workflow/scripts",
            "STILTGRID_CONFIG": snapshot,
        }

    def sidecars(self, files: list[DataFile]) -> list[str]:
        """The small JSON files that stand for data in the graph: compared by content, not by time."""
        return [str(sidecar(self.paths.data(file))) for file in files]

    # data

    @cached_property
    def archives(self) -> dict[str, str]:
        """Sources that are archives: the path by the name of the folder that it is unpacked into."""
        found = {}
        for source in self.grid.config.sources.values():
            if source.path is None or source.path.startswith(DEMO):
                continue
            try:
                place = expanded(source.path)
            except StiltgridError:
                continue  # the data job reports it
            if is_archive(place):
                found[Path(unpacked_folder(place)).name] = plain(place)
        return found

    def archive(self, w: Wildcards) -> str:
        """Path of the archive that is unpacked into results/sources/{archive}."""
        try:
            return self.archives[w.archive]
        except KeyError:
            raise StiltgridError(
                f"{w.archive}: no source of this config; {nearest(w.archive, self.archives)}"
            ) from None

    def archive_inputs(self, w: Wildcards) -> list[str]:
        """The archive, if it is there: once unpacked it may be moved away."""
        path = self.archive(w)
        return [path] if Path(path).exists() else []

    def data_inputs(self, w: Wildcards) -> list[str]:
        """Original files of a data file, as far as they are there: a plan must not need them.

        An archive's manifest stands for the files in it.
        """
        source = self.grid.source(w.task)
        if source is None:
            return []
        if source.path.startswith(DEMO):
            return [self.demo_sources]
        try:
            if is_archive(place := expanded(source.path)):
                manifest = manifest_of(place)
                return [manifest] if Path(manifest).exists() or Path(place).exists() else []
            found = source_paths(
                task(w.task), source.layout_of(w.split), place, w.split, w.language, files=source.files
            )
        except StiltgridError:
            return []  # the job itself reports it, with all it knows
        return [str(path) for path in found if path.exists()]

    def data_params(self, w: Wildcards) -> dict[str, Any]:
        """What determines a data file, beside the original bytes."""
        return data_recipe(self.grid, w.task, w.split)

    def text_inputs(self, w: Wildcards) -> list[str]:
        """A language's plain text, if it is there: a plan must not need it."""
        text = self.grid.config.denoising_text
        return [] if text is None else self._there(text.path.replace("{lang}", w.language))

    def neighbours_inputs(self, w: Wildcards) -> list[str]:
        """A target's file of neighbours, if it is there."""
        source = self.grid.neighbours_source(w.target)
        return [] if source is None else self._there(source)

    @staticmethod
    def _there(path: str) -> list[str]:
        try:
            place = expanded(path)
        except StiltgridError:
            return []  # the job itself reports it
        return [place] if Path(place).exists() else []

    # models and training

    def pretrained_params(self, w: Wildcards) -> dict[str, Any]:
        """What determines a pretrained model."""
        return pretrained_recipe(self.grid, w.model)

    def pretrained_inputs(self, w: Wildcards) -> list[str]:
        """Files of a model folder, so that changed weights are pinned anew; hub and demo models have none."""
        row = self.grid.config.models[w.model]
        if row.is_hub or row.source.startswith(DEMO):
            return []
        try:
            found = Path(expanded(row.source)).iterdir()
            return sorted(str(path) for path in found if path.is_file() and path.suffix in MODEL_FILES)
        except (StiltgridError, OSError):
            return []  # the job itself reports it

    def _files(self, intermediate: str | None, target: str | None) -> list[str]:
        by_task = self.grid.training_files(intermediate, target)
        files = self.sidecars([file for splits in by_task.values() for files in splits.values() for file in files])
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

    # resources, from the model's row

    def threads(self, w: Wildcards) -> int:
        """CPU threads of a training job, over all its processes on a node."""
        return node_threads(self.grid.config.models[w.model])

    def predict_threads(self, w: Wildcards) -> int:
        """CPU threads of a prediction job: one process."""
        return self.grid.config.models[w.model].execution.threads

    def resources(self, stage: str, profile: Mapping[str, Any] | None) -> dict[str, Callable[..., Any]]:
        """What a stage's jobs ask for, as functions of a job.

        Args:
            stage: "train" or "predict".
            profile: Snakemake's default resources, for what a row leaves open.
        """
        models = self.grid.config.models

        @cache
        def request(model: str, attempt: int) -> dict[str, int | str]:
            return REQUESTS[stage](models[model], attempt)

        def asked(key: str) -> Callable[..., Any]:
            def value(w: Wildcards, attempt: int) -> Any:
                return request(w.model, attempt).get(key, profile_value(profile, key))

            return value

        # Snakemake looks at each function's signature once a job: only what some row asks for is a function
        return {key: asked(key) for key in KEYS if any(key in request(model, 1) for model in models)}

    # per target: names of a run's files with wildcards left open, and of all its cells

    def by_language(self, target: str, path: Callable[[Cell], str]) -> list[str]:
        """Name one file a language of a target, with {model}, {intermediate} and {seed} left open."""
        return [
            path(Cell("{model}", "{intermediate}", target, language, "{seed}"))  # type: ignore[arg-type]
            for language in self.grid.languages(target)
        ]

    def gold(self, target: str) -> list[str]:
        """Sidecars of a target's evaluation data, one a language."""
        return self.sidecars([self.grid.evaluation(target, x) for x in self.grid.languages(target)])

    def checkpoint(self, target: str) -> str:
        """A target checkpoint's manifest, with wildcards left open."""
        return self.paths.checkpoint(Run("{model}", "{intermediate}", target, "{seed}"))  # type: ignore[arg-type]

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

    @cached_property
    def retrieved(self) -> tuple[str, ...]:
        """The retrieval targets of which at least one run is not excluded."""
        return tuple(target for target in self.running if self.grid.retrieves(target))

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

    def layer_files(self) -> list[str]:
        """Scores by layer of every run of a retrieval target; a pretrained model's are the same for every seed."""
        return [
            self.layer_file(run.target).format(model=run.model, intermediate=run.intermediate, seed=run.seed)
            for run in self.grid.runs
            if run.target in self.retrieved and (self.grid.arm_tasks[run.intermediate] or run.seed == 1)
        ]

    def baseline_inputs(self) -> list[str]:
        """Sidecars of the training and evaluation rows of every target that has a training set."""
        found: dict[str, None] = {}
        for target in self.running:
            for splits in self.grid.training_files(None, target).values():
                found |= dict.fromkeys([*self.sidecars(splits["train"]), *self.gold(target)])
        return list(found)

    def arm(self) -> str:
        """An intermediate checkpoint's manifest, with wildcards left open."""
        return self.paths.arm(Arm("{model}", "{intermediate}", "{seed}"))  # type: ignore[arg-type]

    def holes(self) -> list[str]:
        """Predictions and scores that are missing although what is made of them is there.

        Snakemake makes what a job needs, and looks at nothing else: a file that was deleted behind a finished one is
        found here. What is missing because nothing was made of it yet is asked for by `collect`, and not here, for each
        file that a rule names costs planning time.
        """
        collected = Path(self.paths.scores).exists()
        found = []
        for cell in self.grid.cells():
            score, prediction = self.paths.score(cell), self.paths.prediction(cell)
            if not Path(score).exists():
                found += [score] if collected else []
            elif not Path(prediction).exists():
                found.append(prediction)
        return found

    def all_scores(self) -> list[str]:
        """Every cell's score file."""
        return [self.paths.score(cell) for cell in self.grid.cells()]

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

    # analysis

    @cached_property
    def running(self) -> tuple[str, ...]:
        """The targets of which at least one run is not excluded."""
        return contents.running(self.grid)

    @cached_property
    def _scores_of(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {target: [] for target in self.running}
        for cell in self.grid.cells():
            found[cell.target].append(self.paths.score(cell))
        return found

    def statistics(self, w: Wildcards) -> list[str]:
        """Per-example statistics of every cell of a target."""
        return [statistics_file(path) for path in self._scores_of[w.target]]

    def resampling_params(self, w: Wildcards) -> dict[str, Any]:
        """What determines a target's resamples, beside the statistics."""
        row = self.grid.tasks[w.target]
        return {
            "cells": digest(self._scores_of[w.target]),
            "metrics": list(row.metrics),
            "parallel": row.parallel,
            "replicates": self.grid.config.analysis.replicates,
            **({"code": code} if (code := code_of("metric", row.metrics)) else {}),
        }

    def bootstraps(self) -> list[str]:
        """Resamples of every target that runs."""
        return [self.paths.bootstrap(target) for target in self.running]

    def declaration_digest(self) -> str:
        """A hash of what is asked of the scores; how it is planned (`power`) is no part of it."""
        asked = self.grid.config.analysis.model_dump(mode="json", exclude={"power", "replicates"})
        return digest([asked, {target: row.chance for target, row in self.grid.tasks.items()}])

    def table_files(self) -> list[str]:
        """Every table in every format."""
        return contents.table_files(self.grid)

    def figure_files(self) -> list[str]:
        """Every figure in every format."""
        return contents.figure_files(self.grid)

    def runs_digest(self) -> str:
        """A hash of which runs there are, and which languages are predicted with each."""
        languages = {target: self.grid.languages(target) for target in self.grid.config.targets}
        return digest([self.grid.arms, self.grid.runs, languages])

    def all_manifests(self) -> list[str]:
        """Every checkpoint's manifest; retrieval targets have none of their own."""
        arms = [self.paths.arm(arm) for arm in self.grid.arms]
        return [*arms, *(self.paths.checkpoint(run) for run in self.grid.fine_tuned)]

    def table_pages(self) -> dict[str, str]:
        """Every table as a page of the report, by its name."""
        names = [Path(path).stem for path in self.table_files() if path.endswith(".tex") and "numbers" not in path]
        return {name: f"{self.paths.report}/tables/{name}.html" for name in names}

    def figures_shown(self) -> dict[str, str]:
        """Every figure as the report shows it, by its name."""
        return {Path(path).stem: path for path in self.figure_files() if path.endswith(".svg")}

    def report_files(self) -> list[str]:
        """Every page of the report."""
        pages = [f"{self.paths.report}/{name}" for name in ("reproducibility.md", "data_card.md")]
        return [self.paths.explorer, *self.table_pages().values(), *pages]

    @staticmethod
    def rule_name(stage: str, target: str) -> str:
        """A rule name for one target: letters, digits, underscores."""
        # other characters by their code, so that `a-b` and `a.b` stay two rules
        return f"{stage}_" + "".join(c if (c.isalnum() and c.isascii()) or c == "_" else f"x{ord(c):x}" for c in target)
