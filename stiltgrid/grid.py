"""The grid: a config expanded into runs, cells, paths and the reasons for what is left out. Imports no torch.

A *run* is one fine-tuned target model (model, intermediate, target, seed); a *cell* is one language of a run. Look-ups
are by dictionaries built once, so the cost a job does not grow with the grid (workflow.md section 4).
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from stiltgrid.hub.repository import applies, dataset_of
from stiltgrid.intermediates import training_tasks
from stiltgrid.paths import Paths
from stiltgrid.schema import Config, ResolvedRetrieval, Source
from stiltgrid.tasks.registry import Decoding, TaskRow, task

BASELINE = "none"


class Arm(NamedTuple):
    """A phase (ii) run: one checkpoint, shared by every target."""

    model: str
    intermediate: str
    seed: int


class Run(NamedTuple):
    """A phase (iii) run: one fine-tuned target model."""

    model: str
    intermediate: str
    target: str
    seed: int


class Cell(NamedTuple):
    """One language of a run: one prediction file, one score."""

    model: str
    intermediate: str
    target: str
    language: str
    seed: int

    @property
    def run(self) -> Run:
        """The run that the cell belongs to."""
        return Run(self.model, self.intermediate, self.target, self.seed)


class DataFile(NamedTuple):
    """One split of one task in one language."""

    task: str
    split: str
    language: str


class Grid:
    """A config's cells, runs and exclusions."""

    def __init__(self, config: Config) -> None:
        use_extensions_of(config)
        self.config = config
        self.paths = Paths(config.grid)
        self.tasks: dict[str, TaskRow] = {name: task(t.task) for name, t in config.targets.items()}
        arms = {name: row.tasks for name, row in config.intermediates.items()}
        self.arm_tasks: dict[str, tuple[str, ...]] = {name: training_tasks(name, arms) for name in arms}

    def languages(self, target: str) -> tuple[str, ...]:
        """Return a target's evaluation languages, in the task's official order."""
        chosen = self.config.targets[target].languages
        everything = self.tasks[target].languages
        return everything if chosen == "all" else tuple(x for x in everything if x in chosen)

    def seeds(self, model: str, intermediate: str) -> range:
        """Return the seeds 1..n of a model's arm; the baseline has a number of its own."""
        row, config = self.config.models[model], self.config
        seeds = row.seeds or config.seeds
        if intermediate == BASELINE or not self.arm_tasks[intermediate]:
            seeds = row.baseline_seeds or config.baseline_seeds or seeds
        return range(1, seeds + 1)

    @cached_property
    def excluded(self) -> dict[tuple[str, str, str], str]:
        """Reason why a (model, intermediate, target) has no cells to run; absent: it runs."""
        from stiltgrid.availability import absent
        from stiltgrid.support import unsupported, untrainable, untranslated

        named = {name for names in self.arm_tasks.values() for name in names} | {
            row.name for row in self.tasks.values()
        }
        lost = {
            name: absent(row, self.source(name), [self.paths.data(DataFile(name, s, "en")) for s in ("train", "dev")])
            for name in sorted(named)
            if (row := task(name)).by_hand is not None
        }
        reasons = {}
        for model, row in self.config.models.items():
            lacking = {
                name: unsupported(aim, row.family)
                or lost.get(aim.name)
                or untrainable(aim, self.config.targets[name], self.source(aim.name))
                for name, aim in self.tasks.items()
            }
            for arm, names in self.arm_tasks.items():
                spoken = self.config.intermediates[arm].languages
                foreign = (untranslated(task(n), spoken, self.source(n)) for n in names)
                arm_reason = next((r for n in names if (r := unsupported(task(n), row.family) or lost.get(n))), None)
                arm_reason = arm_reason or next(filter(None, foreign), None)
                for target in self.config.targets:
                    if reason := lacking[target] or arm_reason:
                        reasons[model, arm, target] = reason
        return reasons

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every phase (iii) run that is not excluded."""
        return tuple(
            Run(model, arm, target, seed)
            for model in self.config.models
            for arm in self.config.intermediates
            for target in self.config.targets
            if (model, arm, target) not in self.excluded
            for seed in self.seeds(model, arm)
        )

    def retrieves(self, target: str) -> bool:
        """Tell whether a target has no training set: its runs are evaluated straight from phase (ii)'s checkpoint."""
        return self.tasks[target].kind == "retrieval"

    @cached_property
    def fine_tuned(self) -> tuple[Run, ...]:
        """Every run that has a phase (iii): all but those of retrieval targets."""
        return tuple(run for run in self.runs if not self.retrieves(run.target))

    def evaluated(self, run: Run) -> str:
        """Return the manifest of the model that predicts a run: phase (iii)'s, or what a retrieval is evaluated on."""
        if self.retrieves(run.target):
            return parent_manifest(self.paths, self, run.model, run.intermediate, run.seed)
        return self.paths.checkpoint(run)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Every phase (ii) run that some target needs."""
        needed = {(r.model, r.intermediate, r.seed): None for r in self.runs if self.arm_tasks[r.intermediate]}
        return tuple(Arm(*key) for key in needed)

    def cells(self, *, with_excluded: bool = False) -> Iterator[Cell]:
        """Yield every cell, run by run; `with_excluded` also those that are declared but cannot run."""
        for model in self.config.models:
            for arm in self.config.intermediates:
                for target in self.config.targets:
                    if (model, arm, target) in self.excluded and not with_excluded:
                        continue
                    for seed in self.seeds(model, arm):
                        for language in self.languages(target):
                            yield Cell(model, arm, target, language, seed)

    def retrieval(self, target: str, model: str) -> ResolvedRetrieval:
        """Return how a model's sentences are embedded and searched: the defaults, the model's keys, the target's."""
        layers = (self.config.models[model].retrieval, self.config.targets[target].retrieval)
        return ResolvedRetrieval(**{k: v for row in layers for k, v in row.model_dump(exclude_unset=True).items()})

    def decoding(self, target: str, model: str | None = None) -> Decoding | ResolvedRetrieval | None:
        """Return how a target is answered, where that is no part of a training: written, or retrieved; else None.

        Answers are written in the task's way, with the target's own keys; sentences are retrieved as `retrieval` says.

        Args:
            target: the target.
            model: whose answers; those of an encoder with heads are never written. None: a text2text model's.
        """
        row = self.tasks[target]
        if model is not None and self.retrieves(target):
            return self.retrieval(target, model)
        if row.kind not in ("span", "generation"):
            return None
        if model is not None and self.config.models[model].family != "text2text":
            return None
        return row.decoding.model_copy(update=self.config.targets[target].decoding.model_dump(exclude_none=True))

    def evaluation(self, target: str, language: str) -> DataFile:
        """Return the data file that a cell of this target and language is scored on."""
        return DataFile(self.tasks[target].name, self.config.targets[target].eval_split, language)

    def training_files(self, intermediate: str | None, target: str | None) -> dict[str, dict[str, list[DataFile]]]:
        """Return the files that a run trains on and is selected on, by task and split.

        Args:
            intermediate: the arm, for phase (ii); ignored where `target` is given.
            target: the target, for phase (iii), else None. A retrieval target has no files.
        """
        if target is not None and self.retrieves(target):
            return {}
        if target is not None:
            row = self.config.targets[target]
            names, train, dev = (self.tasks[target].name,), (row.source_language,), row.source_language
        else:
            names = self.arm_tasks[intermediate or BASELINE]
            # zero-shot: what is selected on is English, whatever languages the training rows were translated to
            train, dev = self.config.intermediates[intermediate or BASELINE].languages, "en"
        return {
            name: {"train": [DataFile(name, "train", x) for x in train], "dev": [DataFile(name, "dev", dev)]}
            for name in names
        }

    def other_inputs(self, intermediate: str | None, target: str | None) -> dict[str, list[str]]:
        """Return what else a run is made from, by what it is for: text to be restored, neighbours of words.

        Arguments as `training_files`. The files have fingerprints in sidecars, as data have.
        """
        if target is not None:
            return {} if self.neighbours_source(target) is None else {"synonyms": [self.paths.neighbours(target)]}
        text = self.config.denoising_text
        if text is None or self.config.intermediates[intermediate or BASELINE].denoising is None:
            return {}
        return {"denoising": [self.paths.text(language) for language in text.languages]}

    def neighbours_source(self, target: str) -> str | None:
        """Return the user's file of neighbours for a target, None if its training asks for none."""
        return getattr(self.config.targets[target].robust, "neighbours", None)

    def source(self, name: str) -> Source | None:
        """Return where a task's original files lie: its own entry of `sources`, else its suite's.

        The path of a data set of the hub is the folder that it is fetched into.
        """
        key = next((key for key in (name, name.split("/")[0]) if key in self.config.sources), None)
        if key is None:
            return None
        source = self.config.sources[key]
        if not source.hub:
            return source
        if not applies(key, source, row := task(name)):
            return None
        return source.model_copy(update={"path": dataset_of(row, source).folder(self.config.hub.folder)})


def use_extensions_of(config: Config) -> None:
    """Put a config's extensions in force: where another config was validated since, or in a process that it is sent to.

    Raises:
        StiltgridError: if a folder is not what it was when the config was validated, and not valid any more.
    """
    from stiltgrid.extensions import use

    use(config.extensions)


def parent_manifest(paths: Paths, grid: Grid, model: str, intermediate: str, seed: int) -> str:
    """Return the manifest that phase (iii) starts from: phase (ii)'s, or the pretrained model's for the baseline."""
    if grid.arm_tasks[intermediate]:
        return paths.arm(Arm(model, intermediate, seed))
    return paths.pretrained(model)


def folder(manifest: str) -> str:
    """Return the folder of a manifest."""
    return str(PurePosixPath(manifest).parent)
