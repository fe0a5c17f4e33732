"""The blocks of a config: every key, its default and its meaning, and the checks between keys.

`docs/config.md` is generated from the descriptions here (`make docs`).
"""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field, create_model, model_validator

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.hub.repository import LAYOUT, applies, dataset_of
from stiltgrid.intermediates import check_arms, training_tasks
from stiltgrid.schema_arms import DenoisingText, Mixing, Robust
from stiltgrid.schema_block import Block, Name
from stiltgrid.tasks.registry import task, tasks


class Training(Block):
    """Hyperparameters of a fine-tuning run; a run's values are these defaults, then the model's, then the task's."""

    optimizer: Literal["adamw", "adafactor"] = Field(
        "adamw", description="`adafactor` runs unsharded only: under ZeRO-3 it would see flat shards"
    )
    learning_rate: float = Field(1e-4, gt=0, description="peak learning rate")
    schedule: Literal["linear", "constant"] = Field("linear", description="after warm-up: decay to 0, or constant")
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="share of the steps in linear warm-up")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay, not on biases and norms")
    max_grad_norm: float = Field(1.0, gt=0, description="global gradient norm at which gradients are clipped")
    batch_size: int = Field(32, ge=1, description="examples an optimizer step, over all devices and accumulation")
    epochs: float | None = Field(3, gt=0, description="passes over the training rows; setting `max_steps` replaces it")
    max_steps: int | None = Field(None, ge=1, description="optimizer steps; setting `epochs` replaces it")
    max_input_length: int = Field(256, ge=8, description="input tokens; longer ones are cut by the formulation's rule")
    train_examples: int | None = Field(None, ge=1, description="cap on training rows a task (a seeded sample)")
    dev_examples: int | None = Field(None, ge=1, description="cap on English dev rows a task (a fixed sample)")
    selection: Literal["last_step", "best_dev"] = Field(
        "best_dev", description="which step's weights are kept: the last, or the best on English dev"
    )
    evaluations: int = Field(10, ge=0, description="evenly spaced dev evaluations, the last step's among them")
    patience: int | None = Field(None, ge=1, description="`best_dev`: stop after so many evaluations without a gain")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="`auto`: bf16 where the device has it; fp16 is never used (mT5 overflows)"
    )
    freeze: Literal["none", "embeddings"] = Field("none", description="`embeddings`: input embeddings are not trained")
    dropout: float | None = Field(None, ge=0, lt=1, description="dropout rate; null keeps the model's own")

    @model_validator(mode="after")
    def _one_length(self) -> "Training":
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError("exactly one of `epochs` and `max_steps` must be set; set the other to null")
        if self.patience is not None and self.selection != "best_dev":
            raise ValueError("`patience` needs `selection: best_dev`")
        return self


def _partial(block: type[Block], name: str) -> type[Block]:
    """Make a block with the same keys, each optional and without the cross checks, for overrides."""
    fields = {}
    for key, info in block.model_fields.items():
        annotation: Any = info.annotation
        for constraint in info.metadata:
            annotation = Annotated[annotation, constraint]
        fields[key] = (annotation | None, Field(None, description=info.description))
    return create_model(name, __base__=Block, **fields)  # type: ignore[call-overload]


TrainingOverride = _partial(Training, "TrainingOverride")


class Retrieval(Block):
    """How retrieval targets are embedded and searched: these defaults, then the model's keys, then the target's."""

    layer: int | None = Field(
        None,
        ge=0,
        description="hidden states of this layer, 0 being the embeddings; null: seven twelfths of the encoder's depth, "
        "rounded (14 of 24, which XTREME takes for XLM-R Large, 7 of 12)",
    )
    pooling: Literal["mean", "first"] = Field("mean", description="mean of a sentence's tokens, or its first one")
    special_tokens: bool = Field(True, description="does the mean take in what the vocabulary puts around a sentence?")
    max_input_length: int = Field(256, ge=8, description="input tokens of a sentence; longer ones are cut at the end")
    neighbours: int = Field(4, ge=1, description="mining: neighbours that a margin is taken over")
    seed: int = Field(1, ge=0, description="mining on dev: of the two halves whose thresholds are tuned on each other")


RetrievalOverride = _partial(Retrieval, "RetrievalOverride")

RETRIEVAL_VERSION = 1
"""Raise when embedding or search change in a way that changes predictions."""


class ResolvedRetrieval(Retrieval):
    """A run's settings, all layers of the config merged: part of its predictions' identity."""

    version: int = RETRIEVAL_VERSION


class Execution(Block):
    """How a run is carried out: changes its speed and memory, not its result, and is not part of its identity."""

    strategy: Literal["single", "ddp", "zero3"] = Field("single", description="one process, DDP, or DeepSpeed ZeRO-3")
    devices: int = Field(1, ge=1, description="processes, one a device")
    micro_batch_size: int | None = Field(
        None, ge=1, description="examples a device and forward pass; null: batch_size / devices"
    )
    predict_batch_size: int = Field(64, ge=1, description="examples a forward pass in prediction")
    threads: int = Field(1, ge=1, description="CPU threads a process")
    checkpoint_minutes: float = Field(15, gt=0, description="minutes between training checkpoints")
    gradient_checkpointing: bool = Field(False, description="recompute activations in the backward pass")
    offload: bool = Field(False, description="ZeRO-3: keep the optimizer's state in host memory")
    offload_parameters: bool = Field(False, description="ZeRO-3: keep the parameters in host memory, too")

    @model_validator(mode="after")
    def _offloaded(self) -> "Execution":
        if (self.offload or self.offload_parameters) and self.strategy != "zero3":
            raise ValueError(f"execution.offload: needs strategy zero3, found {self.strategy}")
        return self


class Lora(Block):
    """Low-rank adapters on a frozen model, instead of fine-tuning all of it: another method, so part of the recipe."""

    rank: int = Field(16, ge=1, description="rank of an adapter")
    alpha: float = Field(32, gt=0, description="an adapter's product is multiplied by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on an adapter's input")
    targets: tuple[str, ...] | None = Field(
        None, description="names of the linear layers that get adapters; null: all queries and values"
    )
    phases: Literal["merge", "stack"] = Field(
        "merge",
        description="phase (iii): `merge` adds phase (ii)'s adapters to the frozen weights; `stack` keeps them apart, "
        "frozen; both then train new ones",
    )
    weights: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="the frozen weights; `auto`: bf16 on a GPU where `precision` is bf16, else fp32"
    )


class Cost(Block):
    """What `plan` reckons with until runs of this model have been measured."""

    parameters: float = Field(description="all parameters, for disk")
    compute_parameters: float = Field(description="parameters that each input token passes, for FLOP")
    device_tflops: float = Field(312, gt=0, description="peak dense bf16 TFLOP/s of one device (312: A100)")
    utilisation: float = Field(0.3, gt=0, le=1, description="share of the peak that training reaches")
    tokens_per_example: float = Field(80, gt=0, description="mean input tokens an example")


class Resources(Block):
    """What a model's train and predict jobs ask a cluster for; keys that are null are left to the profile."""

    gpus: int = Field(0, ge=0, description="GPUs a training job, over all its nodes")
    predict_gpus: int | None = Field(None, ge=0, description="GPUs a prediction job; null: 1 if training has any")
    nodes: int = Field(
        1, ge=1, description="nodes of a training job; they share its GPUs and `execution.devices` evenly"
    )
    mem_mb: int = Field(8000, ge=100, description="host memory a node")
    runtime: int = Field(240, ge=1, description="minutes a training job; doubled on each retry")
    predict_runtime: int = Field(60, ge=1, description="minutes a prediction job; doubled on each retry")
    max_runtime: int | None = Field(None, ge=1, description="minutes that the partition allows: no retry asks for more")
    stop_seconds: int = Field(
        120, ge=0, description="SLURM: a training job is told to save and stop so long before its time limit; 0: not"
    )
    partition: str | None = Field(None, description="SLURM partition")
    account: str | None = Field(None, description="SLURM account")
    qos: str | None = Field(None, description="SLURM quality of service")
    constraint: str | None = Field(None, description="SLURM node features, e.g. `a100&nvlink`")
    gpu_model: str | None = Field(None, description="type of GPU as the cluster names it, e.g. `a100`")
    gres: str | None = Field(
        None, description="ask by `--gres=<this>:<GPUs a node>`, e.g. `gpu` or `gpu:a100`; null: by `--gpus`"
    )
    extra: str | None = Field(None, description="further options of `sbatch`, e.g. `--exclusive`")


class Model(Block):
    """A pretrained multilingual model: one column of the question."""

    source: str = Field(
        description="hub id (with `revision`), a folder (`./…`, `/…`, `${VARIABLE}/…`), or `demo:base`, `demo:xxl`"
    )
    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$", description="40-hex revision of a hub model")
    title: str | None = Field(None, description="name in tables; null: the key")
    family: Literal["text2text", "heads"] = Field(
        "text2text", description="`text2text`: mT5, text in and text out; `heads`: an encoder with task heads"
    )
    pooling: Literal["first", "mean"] = Field("first", description="heads: what a sequence head reads")
    seeds: int | None = Field(None, ge=1, description="seeds a cell of this model; null: the grid's `seeds`")
    baseline_seeds: int | None = Field(None, ge=1, description="seeds of its `none` row; null: the grid's")
    storage: Literal["all", "intermediate", "none"] = Field(
        "all",
        description="weights that are kept: all; phase (ii)'s, a target's going once its languages are predicted; none."
        " What is asked for later is trained again, as `plan` says",
    )
    training: TrainingOverride = Field(default_factory=TrainingOverride, description="hyperparameters of this model")
    lora: Lora | None = Field(None, description="train adapters only; null: all weights. A column of its own")
    retrieval: RetrievalOverride = Field(
        default_factory=RetrievalOverride, description="how this model's sentences are embedded and searched"
    )
    execution: Execution = Field(default_factory=Execution)
    resources: Resources = Field(default_factory=Resources)
    cost: Cost | None = Field(None, description="for `plan`")

    @model_validator(mode="after")
    def _pinned(self) -> "Model":
        if self.is_hub and self.revision is None:
            raise ValueError(
                f"source {self.source!r} is a hub id without `revision`; expected a 40-hex commit, so that the "
                "same weights are loaded next year (a folder starts with ./ or /)"
            )
        return self

    @model_validator(mode="after")
    def _placed(self) -> "Model":
        execution, resources = self.execution, self.resources
        nodes, gpus = resources.nodes, resources.gpus
        if nodes > 1 and (execution.strategy == "single" or execution.devices % nodes or gpus % nodes):
            raise ValueError(
                f"resources.nodes: {nodes} needs a strategy of several processes, and devices and gpus that are "
                f"multiples of it; found strategy {execution.strategy}, devices {execution.devices}, gpus {gpus}"
            )
        if 0 < gpus < execution.devices:
            raise ValueError(f"execution.devices: {execution.devices} processes on resources.gpus: {gpus} GPUs")
        if resources.gres and resources.gpu_model:
            raise ValueError("resources.gres names the type of GPU itself (gpu:a100); drop gpu_model")
        if resources.stop_seconds >= 60 * resources.runtime:
            raise ValueError(
                f"resources.stop_seconds: {resources.stop_seconds} is no less than runtime: {resources.runtime} min"
            )
        return self

    @property
    def is_hub(self) -> bool:
        """Whether `source` is a hub id rather than a folder or a demo model."""
        return not self.source.startswith(("demo:", ".", "/", "~", "$"))


class Intermediate(Block):
    """An intermediate arm: `{}` is the baseline without one."""

    tasks: tuple[str, ...] = Field(
        (), description="tasks of suite `intermediate` (or suite/task), or other intermediates' names; each used once"
    )
    mixing: Mixing = Field(
        "proportional", description="several tasks: how often each is drawn; `uniform`: all alike (docs/arms.md)"
    )
    languages: tuple[str, ...] = Field(
        ("en",),
        min_length=1,
        description="languages of the training rows, others than `en` machine-translated; dev rows stay English",
    )
    denoising: float | None = Field(
        None, gt=0, lt=1, description="share of the optimizer steps that restore `denoising_text` instead of a task"
    )
    training: TrainingOverride = Field(default_factory=TrainingOverride, description="hyperparameters of this arm")
    title: str | None = Field(None, description="name in tables; null: the key")


class DecodingOverride(Block):
    """How a text2text model writes answers; null keeps the task's own. Part of predictions, not of training."""

    beams: int | None = Field(None, ge=1, le=32, description="beams of beam search; 1: greedy")
    length_penalty: float | None = Field(
        None, description="the log-likelihood is divided by the length to this power: a higher one prefers longer texts"
    )


class Target(Block):
    """A target task."""

    task: str = Field(description="suite/task, e.g. xglue/xnli")
    languages: Literal["all"] | tuple[str, ...] = Field("all", description="evaluation languages; `all`: the task's")
    source_language: str = Field(
        "en", description="language of the training and dev rows; all others, English too, are then zero-shot"
    )
    robust: Robust | None = Field(None, description="robust training, against embeddings that differ by language")
    eval_split: Literal["test", "dev"] = Field("test", description="the split that is scored")
    training: TrainingOverride = Field(default_factory=TrainingOverride, description="hyperparameters of this target")
    decoding: DecodingOverride = Field(
        default_factory=DecodingOverride, description="text2text question answering and generation: how text is written"
    )
    retrieval: RetrievalOverride = Field(
        default_factory=RetrievalOverride, description="retrieval targets: how sentences are embedded and searched"
    )
    title: str | None = Field(None, description="name in tables; null: the task's title")


class Source(Block):
    """Where a suite's or a task's original files lie: at `path`, or fetched from the `hub`."""

    path: str | None = Field(
        None,
        description="folder, or archive (.tar.gz, .tgz, .tar, .zip), relative to the working folder or absolute; "
        "`${VARIABLE}` is filled in",
    )
    hub: bool = Field(False, description="instead of `path`: the hub's files, which `snakemake fetch` brings")
    revision: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{40}$",
        description="with `hub`, for one task: a commit of its data set, 40 hex digits; null: the task's row has it",
    )
    layout: str | dict[Literal["train", "dev", "test"], str] | None = Field(
        None, description="release format, or one a split; null: the task's first"
    )
    files: dict[Literal["train", "dev", "test"], str] = Field(
        {}, description="file patterns that replace the layout's, `{lang}` is filled in"
    )
    rows: dict[Literal["train", "dev", "test"], tuple[int, int | None]] = Field(
        {},
        description="half-open slice of data rows, e.g. [0, 1600], or [1600, null] for all others, where a release "
        "lacks a split of its own",
    )

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if self.hub == (self.path is not None):
            found = "both" if self.hub else "neither"
            raise ValueError(f"expected `path: <folder or archive>` or `hub: true`, found {found}")
        if self.revision is not None and not self.hub:
            raise ValueError("`revision` is a data set's of the hub; it needs `hub: true`")
        return self

    def layout_of(self, split: str) -> str | None:
        """Return the release format of a split; None: the task's first, or of the hub `hub`."""
        named = self.layout.get(split) if isinstance(self.layout, dict) else self.layout  # type: ignore[call-overload]
        return LAYOUT if named is None and self.hub else named


class Hub(Block):
    """Where `snakemake fetch` puts models and data sets of the hub; no part of any recipe."""

    folder: str = Field(
        "data/hub", description="folder, relative to the working folder or absolute; `${VARIABLE}` is filled in"
    )
    endpoint: str | None = Field(
        None, description="address of the hub or a mirror; null: the environment's HF_ENDPOINT, else the public one"
    )


class SubmissionOptions(Block):
    """What `snakemake submission` exports for a benchmark's leaderboard."""

    split: Literal["test", "dev"] = Field(
        "test", description="the split that every exported target must be evaluated on (`eval_split`)"
    )
    partial: bool = Field(
        False, description="export although tasks or languages of the leaderboard are lacking; marked PARTIAL"
    )


class Power(Block):
    """What `snakemake power` reckons with before there are scores."""

    seed_sd: dict[Name, Annotated[float, Field(ge=0)]] = Field(
        {}, description="model -> standard deviation between seeds of a target's mean over languages, in points"
    )
    baseline_sd: dict[Name, Annotated[float, Field(ge=0)]] = Field(
        {}, description="the same for the `none` row; a model that is not named: as `seed_sd`"
    )
    disagreement: float = Field(
        0.1, ge=0, le=1, description="share of the test examples that two seeds answer differently"
    )
    checkpoint: float = Field(
        0.0, ge=0, le=1, description="share of the seed variance that targets share: the intermediate checkpoint's"
    )


class Analysis(Block):
    """What is asked of the scores, declared before there are any. Changing it reruns no training and no prediction."""

    small: str | None = Field(None, description="the model whose gain is subtracted; null: the first of `models`")
    large: str | None = Field(None, description="the model whose gain it is subtracted from; null: the last")
    singles: tuple[str, ...] | None = Field(
        None, min_length=1, description="intermediates of the headline; null: all but the baseline and mixtures"
    )
    metrics: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {}, description="target -> metrics whose mean is its score; a target that is not named: its main metric"
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="level of the headline and of Holm's families; 1 - coverage")
    q: float = Field(0.05, gt=0, lt=1, description="false discovery rate of the gains' daggers")
    allow_partial: bool = Field(
        False, description="averages over what is complete in both models, and say of how much; else they are refused"
    )
    replicates: int = Field(2000, ge=100, description="bootstrap draws of the test examples")
    power: Power = Field(default_factory=Power, description="for `snakemake power`")


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
