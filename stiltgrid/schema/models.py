"""The blocks of a config that describe a model: what it is, how its runs are carried out, what they ask for."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from stiltgrid.schema.block import Block
from stiltgrid.schema.retrieval import RetrievalOverride
from stiltgrid.schema.training import Lora, TrainingOverride


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
    predict_mem_mb: int | None = Field(None, ge=100, description="host memory of a prediction job; null: `mem_mb`")
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

    @field_validator("gpu_model", "gres")
    @classmethod
    def _submitted(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_]+(:[A-Za-z0-9_.]+)?|[A-Za-z0-9_.]+", name):
            raise ValueError(
                f"{name!r}: expected a name, or name:type, of letters, digits, `_` and `.` (Snakemake's SLURM executor "
                "refuses others; the number is added); where the type has other characters, write `gres: gpu` and "
                "choose it by `constraint` (`sinfo -o %f` lists the nodes' features)"
            )
        return name


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
