"""From a recipe and an execution to the Trainer's arguments and DeepSpeed's configuration."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError


@dataclass(frozen=True)
class Split:
    """How a global batch is shared out.

    Attributes:
        ranks: processes.
        micro_batch: examples a rank takes at once.
        accumulation: passes a step.
    """

    ranks: int
    micro_batch: int
    accumulation: int


GROUP_TIMEOUT = timedelta(hours=1)
"""How long ranks wait for one of them: the first hashes, copies and moves weights, and writes checkpoints, alone. The
libraries' own ten minutes would end a run that is whole. A rank that is no more is noticed by the watchdog."""
LEAST_BUCKET = 2_000_000
"""Elements of a message between ranks: the width's square, the usual size, is hundreds of messages a step in a small
model (the miniature's steps take half the time so)."""


def split_batch(batch_size: int, execution: Mapping[str, Any], ranks: int) -> Split:
    """Share out a global batch; the product is the global batch exactly.

    Raises:
        StiltgridError: if it cannot be cut evenly.
    """
    share = max(1, batch_size // ranks)
    micro = min(execution.get("micro_batch_size") or share, share)
    accumulation = batch_size // (ranks * micro)
    if ranks * micro * accumulation != batch_size:
        raise StiltgridError(
            f"batch_size {batch_size} is not a multiple of {ranks} devices x micro_batch_size {micro}; "
            "choose a micro_batch_size that divides it"
        )
    return Split(ranks, micro, accumulation)


def check_strategy(training: Mapping[str, Any], execution: Mapping[str, Any]) -> None:
    """Refuse combinations that would run and be wrong.

    Raises:
        StiltgridError: for Adafactor under ZeRO-3: it is handed flat shards, so nothing is factored, clipping and
            scaling act on pieces of tensors, and the result depends on the number of devices.
    """
    if training["optimizer"] not in ("adamw", "adafactor"):
        raise StiltgridError(f"training.optimizer {training['optimizer']!r}; allowed: adamw, adafactor")
    if training["optimizer"] == "adafactor" and execution.get("strategy") == "zero3":
        raise StiltgridError(
            "training.optimizer adafactor with execution.strategy zero3: ZeRO-3 hands it flat shards, so it is not "
            "Adafactor any more; use optimizer: adamw, or strategy: ddp"
        )


def deepspeed_config(
    training: Mapping[str, Any], execution: Mapping[str, Any], split: Split, hidden: int, bf16: bool, cpu: bool
) -> dict[str, Any]:
    """Return DeepSpeed's ZeRO-3 configuration (training.md section 3).

    Args:
        training: the recipe's hyperparameters.
        execution: `offload` moves the optimizer's state to the host, `offload_parameters` the parameters.
        split: how a batch is shared out.
        hidden: the model's width, from which bucket sizes follow.
        bf16: compute and communicate in bf16, with float32 master weights.
        cpu: there is no GPU.

    Returns:
        A configuration without an optimizer: the Trainer makes the same AdamW, with the same groups for weight
        decay, as in one process (DeepSpeed's own would decay norms too, and on a CPU be compiled for a minute).
    """
    zero: dict[str, Any] = {
        "stage": 3,
        "overlap_comm": not cpu,
        "contiguous_gradients": True,
        "reduce_bucket_size": max(hidden * hidden, LEAST_BUCKET),
        "stage3_prefetch_bucket_size": max(int(0.9 * hidden * hidden), LEAST_BUCKET),
        "stage3_param_persistence_threshold": 10 * hidden,
        "stage3_max_live_parameters": 1e9,
        "stage3_max_reuse_distance": 1e9,
        "sub_group_size": 1e9,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
    if execution.get("offload"):
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": not cpu}
    if execution.get("offload_parameters"):
        zero["offload_param"] = {"device": "cpu", "pin_memory": not cpu}
    return {
        "bf16": {"enabled": bf16},
        "gradient_clipping": training["max_grad_norm"] or 0.0,
        "train_micro_batch_size_per_gpu": split.micro_batch,
        "gradient_accumulation_steps": split.accumulation,
        "train_batch_size": split.micro_batch * split.accumulation * split.ranks,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "wall_clock_breakdown": False,
    }


def check_honoured(asked: Mapping[str, Any], found: Mapping[str, Any], where: str = "deepspeed.json") -> None:
    """Check that DeepSpeed's engine has the configuration that was asked for.

    Args:
        asked: `deepspeed_config`'s.
        found: the engine's, which may have more keys.
        where: the key, for the message.

    Raises:
        StiltgridError: naming the first key that another hand has changed.
    """
    for key, value in asked.items():
        if isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
            check_honoured(value, found[key], f"{where}: {key}")
        elif found.get(key) != value:
            raise StiltgridError(
                f"{where}: {key} is {value}, DeepSpeed runs with {found.get(key)}; a fault of the library or its "
                "integration: install the versions of envs/lock.txt"
            )


def leave_out_frozen(engine: Any) -> None:
    """Make DeepSpeed's checkpoints of what is trained alone; the library does so for PEFT's wrapper only."""
    save, load = engine.save_checkpoint, engine.load_checkpoint
    engine.save_checkpoint = partial(save, exclude_frozen_parameters=True)
    engine.load_checkpoint = lambda *args, **kwargs: load(*args, **{**kwargs, "load_module_strict": False})


def prepare_deepspeed(cpu: bool) -> None:
    """Start DeepSpeed's process group before anything of the library asks for one.

    On a CPU without this the Trainer counts one process, and a shared-memory operator is compiled for over a minute.
    """
    import warnings

    if cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # one line a collective call otherwise
    warnings.filterwarnings("ignore", message=r".*torch\.distributed.* is deprecated", category=FutureWarning)
    import deepspeed

    if cpu:
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="gloo" if cpu else "nccl", timeout=GROUP_TIMEOUT)


def optimizer_class(
    training: Mapping[str, Any], execution: Mapping[str, Any], cpu: bool
) -> tuple[type, dict[str, Any]] | None:
    """Return DeepSpeed's Adam where the state is offloaded from a GPU to the host; else None, the Trainer's own."""
    if execution.get("strategy") != "zero3" or not execution.get("offload") or cpu:
        return None
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    return DeepSpeedCPUAdam, {"lr": training["learning_rate"], "betas": (0.9, 0.999), "eps": 1e-8, "adamw_mode": True}


def training_arguments(
    training: Mapping[str, Any],
    execution: Mapping[str, Any],
    folder: Path,
    steps: int,
    split: Split,
    seed: int,
    bf16: bool,
    deepspeed: dict[str, Any] | None = None,
) -> Any:
    """Return transformers' `TrainingArguments`.

    The Trainer neither saves, evaluates nor stops by its own schedule: `stiltgrid.training.trainer` tells it when.
    Its autocast is left off but for DeepSpeed: precision is entered where the loss is computed.
    """
    import torch
    from transformers import TrainingArguments

    cpu = not torch.cuda.is_available()
    if cpu:
        # DeepSpeed, which accelerate imports wherever it is installed, otherwise probes and warns
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=split.micro_batch,
        gradient_accumulation_steps=split.accumulation,
        learning_rate=training["learning_rate"],
        lr_scheduler_type={"linear": "linear", "constant": "constant_with_warmup"}[training["schedule"]],
        warmup_steps=round(training["warmup_ratio"] * steps),
        weight_decay=training["weight_decay"],
        max_grad_norm=training["max_grad_norm"] or 0.0,
        optim={"adamw": "adamw_torch" if deepspeed else "adamw_torch_fused", "adafactor": "adafactor"}[
            training["optimizer"]
        ],
        bf16=bf16 and deepspeed is not None,
        seed=seed,
        use_cpu=cpu,
        ddp_backend="gloo" if cpu and split.ranks > 1 else None,
        ddp_find_unused_parameters=False,
        save_strategy="no",
        eval_strategy="no",
        save_total_limit=2,
        logging_steps=max(1, steps // 500),
        logging_nan_inf_filter=False,  # a NaN is a failure here, not something to average away
        disable_tqdm=not sys.stderr.isatty(),
        log_level="error",
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=not cpu,
        deepspeed=deepspeed,
    )
    # one process that sees several GPUs would be given nn.DataParallel, which sums losses over replicas
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
