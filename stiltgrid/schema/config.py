"""The whole config of a grid, and the checks between its blocks."""

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Field, model_validator

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.hub.repository import applies, dataset_of
from stiltgrid.intermediates import check_arms, training_tasks
from stiltgrid.schema.analysis import Analysis, SubmissionOptions
from stiltgrid.schema.arms import DenoisingText, Intermediate, Target
from stiltgrid.schema.block import Block, Name
from stiltgrid.schema.models import Model
from stiltgrid.schema.retrieval import Retrieval, RetrievalOverride
from stiltgrid.schema.sources import Hub, Source
from stiltgrid.schema.training import Training, TrainingOverride
from stiltgrid.tasks.registry import task, tasks


class Config(Block):
    """The whole config of one grid."""

    grid: Name = Field(description="name of the grid; everything goes to results/<grid>/")
    title: str | None = Field(None, description="a line above every table; null: the grid's name")
    note: str | None = Field(None, description="what the numbers do and do not mean; printed under every table")
    seeds: int = Field(3, ge=1, description="seeds a cell (seed k is a whole chain: phase ii and phase iii)")
    baseline_seeds: int | None = Field(None, ge=1, description="seeds of the `none` row; null: `seeds`")
    training: TrainingOverride = Field(default_factory=TrainingOverride, description="hyperparameters of every run")
    sources: dict[str, Source] = Field({}, description="a suite's or a task's (suite/task) original files")
    denoising_text: DenoisingText | None = Field(None, description="plain text of the arms with `denoising`")
    extensions: tuple[str, ...] = Field(
        (), description="folders with tasks, readers and metrics of your own (docs/adding.md), as a source's `path`"
    )
    hub: Hub = Field(default_factory=Hub, description="what is fetched from the hub")
    models: dict[Name, Model] = Field(min_length=1, description="the pretrained models")
    intermediates: dict[Name, Intermediate] = Field(min_length=1, description="the intermediate arms")
    targets: dict[Name, Target] = Field(min_length=1, description="the target tasks")
    submission: SubmissionOptions = Field(default_factory=SubmissionOptions, description="export for a leaderboard")
    analysis: Analysis = Field(default_factory=Analysis, description="which comparisons are made, how they are tested")

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        for name, target in self.targets.items():
            try:
                row = task(target.task)
            except StiltgridError as error:
                raise ValueError(f"targets.{name}.task: {error}") from None
            if target.retrieval.model_fields_set and row.kind != "retrieval":
                raise ValueError(f"targets.{name}.retrieval: {row.name} is of kind {row.kind}; only retrieval reads it")
            if row.kind == "retrieval":
                for key in ("training", "robust", "source_language"):
                    if getattr(target, key) != Target.model_fields[key].get_default(call_default_factory=True):
                        raise ValueError(f"targets.{name}.{key}: {row.name} has no training set; it is only evaluated")
            if target.languages != "all":
                if not target.languages:
                    raise ValueError(f"targets.{name}.languages: empty; write `all` or name at least one")
                for language in target.languages:
                    if language not in row.languages:
                        raise ValueError(
                            f"targets.{name}.languages: unknown language {language!r} for {row.name}; "
                            f"{nearest(language, row.languages)}"
                        )
            if target.source_language not in ("en", *row.languages):
                raise ValueError(
                    f"targets.{name}.source_language: unknown language {target.source_language!r} for {row.name}; "
                    f"{nearest(target.source_language, row.languages)}"
                )
        arms = {name: row.tasks for name, row in self.intermediates.items()}
        for name in arms:
            try:
                training_tasks(name, arms)
            except StiltgridError as error:
                raise ValueError(f"intermediates.{name}.tasks: {error}") from None
        if faults := check_arms(self.intermediates, self.denoising_text is not None):
            raise ValueError(faults[0])
        suites = {row.suite for row in tasks().values()}
        for name in self.sources:
            if name not in suites and name not in tasks():
                raise ValueError(f"sources: {name!r} is no suite or task; {nearest(name, suites | set(tasks()))}")
        return self

    @model_validator(mode="after")
    def _fetchable(self) -> "Config":
        for name, source in self.sources.items():
            if source.revision and "/" not in name:
                raise ValueError(
                    f"sources.{name}.revision: a suite has several data sets; write it at a task's own entry"
                )
        arms = {name: row.tasks for name, row in self.intermediates.items()}
        named = {x: f"intermediates.{arm}" for arm in arms for x in training_tasks(arm, arms)}
        named |= {task(target.task).name: f"targets.{name}" for name, target in self.targets.items()}
        for name, where in named.items():
            row = task(name)
            entry = next((key for key in (row.name, row.suite) if key in self.sources), None)
            if (
                entry is None
                or not (source := self.sources[entry]).hub
                or row.pending
                or not applies(entry, source, row)
            ):
                continue
            try:
                dataset_of(row, source)
            except StiltgridError as error:
                raise ValueError(f"sources.{entry} ({where}): {error}") from None
        return self

    @model_validator(mode="after")
    def _analysed(self) -> "Config":
        asked = self.analysis
        named = [("small", asked.small, self.models), ("large", asked.large, self.models)]
        named += [("singles", name, self.intermediates) for name in asked.singles or ()]
        named += [("metrics", name, self.targets) for name in asked.metrics]
        named += [("power.seed_sd", name, self.models) for name in asked.power.seed_sd]
        named += [("power.baseline_sd", name, self.models) for name in asked.power.baseline_sd]
        for key, name, allowed in named:
            if name is not None and name not in allowed:
                raise ValueError(f"analysis.{key}: unknown name {name!r}; {nearest(name, allowed)}")
        for target, names in asked.metrics.items():
            own = task(self.targets[target].task).metrics
            for name in names:
                if name not in own:
                    raise ValueError(f"analysis.metrics.{target}: unknown metric {name!r}; {nearest(name, own)}")
        return self


def blocks() -> list[type[Block]]:
    """Return the blocks of the config in reading order, for the reference page."""
    found: list[type[Block]] = []

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, Block):
            shown = {TrainingOverride: Training, RetrievalOverride: Retrieval}.get(annotation, annotation)
            if shown not in found:
                found.append(shown)
                for info in shown.model_fields.values():
                    visit(info.annotation)
        elif get_origin(annotation) in (Union, types.UnionType, dict, tuple, Annotated):
            for part in get_args(annotation):
                visit(part)

    visit(Config)
    return found
