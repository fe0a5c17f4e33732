"""The blocks of a config that say how a run is trained: hyperparameters, and adapters instead of all weights."""

from typing import Literal

from pydantic import Field, model_validator

from stiltgrid.schema.block import Block, overriding


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


TrainingOverride = overriding(Training, "TrainingOverride")


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
