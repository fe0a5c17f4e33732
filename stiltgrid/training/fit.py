"""The part of a run that needs torch: examples to features, parent to model, training to weights."""

import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from stiltgrid import adapters
from stiltgrid.artifacts import read_json, write_json
from stiltgrid.collapse import collapse
from stiltgrid.denoiser import add_denoiser
from stiltgrid.energy import Meter, device_name
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, read_examples
from stiltgrid.formulations import check_trained, formulation
from stiltgrid.formulations.features import Setup
from stiltgrid.label_sets import with_training_labels
from stiltgrid.launch import place
from stiltgrid.models import (
    dropout_rates,
    freeze,
    load_heads,
    load_text2text,
    most_tokens,
    pretrained_folder,
)
from stiltgrid.placement import FLOAT32, Placement
from stiltgrid.storage import check_there
from stiltgrid.tasks.registry import TaskRow, task
from stiltgrid.tokenization import limit_threads, load_tokens
from stiltgrid.training import checkpoints
from stiltgrid.training.arguments import (
    GROUP_TIMEOUT,
    deepspeed_config,
    optimizer_class,
    prepare_deepspeed,
    split_batch,
    training_arguments,
)
from stiltgrid.training.cadence import Over, stop_signals
from stiltgrid.training.feed import feed_of
from stiltgrid.training.precision import resolve
from stiltgrid.training.trainer import GridTrainer, Plan

DEEPSPEED = "deepspeed.json"


def start_ranks(execution: Mapping[str, Any]) -> None:
    """Join the process group of all ranks."""
    torch.set_num_threads(execution.get("threads") or 1)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if execution["strategy"] == "zero3":
        prepare_deepspeed(cpu=not torch.cuda.is_available())
    elif not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=GROUP_TIMEOUT)


def share_from_first(value: Any) -> Any:
    """Return the first rank's value on every rank."""
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def rank_seed(seed: int, rank: int) -> int:
    """Return the seed of a rank's dropout; no rank of one run shares it with a rank of another seed's run."""
    return 1000 * seed + rank


def stop_ranks() -> None:
    """Leave the process group, all ranks at once and nothing left that still uses it, or its threads abort."""
    gc.collect()
    dist.barrier()
    dist.destroy_process_group()


def choose(examples: Sequence[Example], number: int | None, seed: int, name: str) -> list[Example]:
    """Return at most `number` examples: the first of a shuffle that depends on the seed and the name alone.

    Returns:
        The examples in the order in which they came; a larger number adds to a smaller one's.
    """
    if number is None or number >= len(examples):
        return list(examples)
    rng = np.random.default_rng([seed, *name.encode()])
    return [examples[i] for i in sorted(rng.permutation(len(examples))[:number])]


def choose_groups(examples: Sequence[Example], number: int | None, seed: int, name: str) -> list[Example]:
    """Return at least `number` examples, whole groups: the first of a shuffle of the groups.

    A metric over groups (nDCG over a query's candidates) says nothing on rows that were drawn one by one.

    Returns:
        The examples in the order in which they came, no more groups than needed to reach the number.
    """
    if number is None or number >= len(examples):
        return list(examples)
    sizes = Counter(example.group for example in examples)
    groups = list(sizes)
    rng = np.random.default_rng([seed, *name.encode()])
    kept: set[str] = set()
    held = 0
    for i in rng.permutation(len(groups)):
        if held >= number:
            break
        kept.add(groups[i])
        held += sizes[groups[i]]
    return [example for example in examples if example.group in kept]


def _read(data: Mapping[str, Any], names: Sequence[str], split: str, number: int | None, seed: int) -> dict:
    draw = choose if split == "train" else choose_groups
    chosen = {}
    for name in names:
        paths = data.get(name, {}).get(split, [])
        rows = [example for path in paths for example in read_examples(path)]
        if not rows:
            raise StiltgridError(f"{name}: no {split} examples; the run needs at least one file of them")
        chosen[name] = draw(rows, number, seed, f"{split} {name}")
    return chosen


def _load(
    recipe: Mapping[str, Any],
    rows: Mapping[str, TaskRow],
    parent: Path,
    pretrained: Path,
    precision: str,
    zero3: bool,
) -> Any:
    """Load the parent's weights: a checkpoint's, or the pretrained model's; heads and adapters are always new.

    With adapters the pretrained model's weights are loaded, frozen, and the parent's adapters come before the new.
    """
    check_there(parent)
    family, lora = recipe["model"]["family"], recipe["model"].get("lora")
    dropout = dropout_rates(pretrained_folder(pretrained), recipe["training"]["dropout"])
    continued = read_json(parent / "manifest.json")["kind"] == "checkpoint"
    placement, chain = FLOAT32, None
    if lora is not None:
        dtype = adapters.frozen_dtype(lora["weights"], precision, zero3, torch.cuda.is_available())
        digest = read_json(pretrained / "manifest.json")["digest"]
        chain = adapters.begun(lora, digest, dtype, parent / "weights" if continued else None)
        placement, continued = Placement(dtype), False
    if family == "text2text":
        model = load_text2text(parent / "weights" if continued else pretrained_folder(pretrained), dropout, placement)
    else:
        folder = parent / "weights" / "encoder" if continued else pretrained_folder(pretrained)
        model = load_heads(folder, rows, recipe["model"]["pooling"], recipe["seed"], dropout, placement)
    freeze(model, recipe["model"]["freeze"])
    if chain is not None:
        adapters.attach(model, chain, recipe["seed"])
    return model


def _evaluations(steps: int, number: int) -> frozenset[int]:
    number = min(max(number, 1), steps)
    return frozenset(round(steps * (i + 1) / number) for i in range(number))


def _trim_metrics(path: Path, step: int, owed: bool) -> None:
    """Drop the lines of steps, and of the last step's evaluation where it is owed, that a resumed run makes again."""
    if path.is_file():
        whole = [(line, json.loads(line)) for line in path.read_text().splitlines() if line.endswith("}")]
        kept = [
            line
            for line, what in whole
            if what["step"] < step or (what["step"] == step and not (owed and "dev" in what))
        ]
        path.write_text("".join(f"{line}\n" for line in kept))


def fit(
    recipe: Mapping[str, Any],
    data: Mapping[str, Any],
    pretrained: Path | str,
    parent: Path | str,
    out: Path,
    execution: Mapping[str, Any],
) -> dict[str, Any]:
    """Train and return what the manifest records.

    Args:
        recipe: as `stiltgrid.train.run`.
        data: task -> split -> files.
        pretrained: folder of the pretrained manifest.
        parent: folder of the parent's manifest.
        out: the run's folder; holds `training/`.
        execution: as `stiltgrid.train.run`.

    Returns:
        `weights` (a folder below `out/training`), `labels` (of tasks whose training data have them), `dev`,
        `collapsed`, `counts`, `seconds`, `versions`, and for the manifest's `execution` `precision`, `energy_joules`
        (None: not measured), `device`.

    Raises:
        StiltgridError: as `stiltgrid.train.run`.
    """
    began = time.perf_counter()
    rank, ranks = place()
    torch.set_num_threads(execution.get("threads") or 1)
    limit_threads(execution.get("threads") or 1)
    training, seed = recipe["training"], recipe["seed"]
    rows = {name: with_training_labels(task(name), data.get(name, {}).get("train", [])) for name in recipe["tasks"]}
    for row in rows.values():
        check_trained(recipe["formulation"], row)
    family = formulation(recipe["model"]["family"])
    precision = resolve(training["precision"])
    split = split_batch(training["batch_size"], execution, ranks)

    folder = pretrained_folder(pretrained)
    config = read_json(folder / "config.json")
    setup = Setup(load_tokens(folder), rows, training["max_input_length"], config.get("decoder_start_token_id") or 0)
    family.check(setup)
    train = _read(data, recipe["tasks"], "train", training["train_examples"], seed)
    dev = _read(data, recipe["tasks"], "dev", training["dev_examples"], 0)  # all seeds: same rows
    feed = feed_of(recipe, data, setup, family, train)
    features, steps = feed.features, feed.steps

    zero3, cpu = execution.get("strategy") == "zero3", not torch.cuda.is_available()
    plan_ds = None
    if zero3:
        hidden = config.get("d_model") or config["hidden_size"]
        plan_ds = deepspeed_config(training, execution, split, hidden, precision == "bf16", cpu)
        if not dist.is_initialized():
            prepare_deepspeed(cpu)  # one device: no other rank has asked for it
    if rank == 0:
        # beside the run, for a person: what the engine got, as the Trainer checks
        (out / DEEPSPEED).unlink(missing_ok=True)
        if plan_ds is not None:
            write_json(out / DEEPSPEED, plan_ds)
    # made before the model: under ZeRO-3 it is what makes loading shard
    arguments = training_arguments(
        training, execution, out / "training", steps, split, seed, precision == "bf16", plan_ds
    )
    torch.manual_seed(seed)
    model = _load(recipe, rows, Path(parent), Path(pretrained), precision, zero3)
    head = None
    if feed.noise is not None and recipe["model"]["family"] == "heads":
        head = add_denoiser(model, folder)
    _check_sizes(model, setup, training["max_input_length"], folder)
    if execution.get("gradient_checkpointing"):
        encoder = getattr(model, "encoder", model) if family.__name__.endswith("heads") else model
        encoder.activation_checkpointing_enable({"use_reentrant": False})

    plan = Plan(
        formulation=family,
        setup=setup,
        feed=feed,
        dev=dev,
        language=recipe.get("source_language", "en"),
        training=training,
        precision="fp32" if zero3 else precision,  # DeepSpeed converts the model itself
        evaluate_at=_evaluations(steps, training["evaluations"]),
        out=out,
        checkpoint_seconds=60.0 * (execution.get("checkpoint_minutes") or 10),
        checkpoint_steps=execution.get("checkpoint_steps"),
        eval_batch_size=split.micro_batch,
        deepspeed=plan_ds,
        robust=recipe["robust"] if "epsilon" in recipe.get("robust", {}) else None,
    )
    resume = checkpoints.newest(out / "training") if rank == 0 else None
    if ranks > 1:
        resume = share_from_first(resume)
    if resume is not None:
        plan.history, plan.owed = resume[1]["history"], resume[1].get("owed", False)
    if rank == 0:
        _trim_metrics(out / "metrics.jsonl", checkpoints.step_of(resume[0]) if resume else 0, plan.owed)
        how = f"resumed from step {checkpoints.step_of(resume[0])}" if resume else "started"
        print(
            f"{out}: {how}; {steps} steps of {training['batch_size']}, {len(features)} inputs "
            f"({sum(f.truncated for f in features)} truncated), {precision}",
            file=sys.stderr,
            flush=True,
        )
        if mixture := feed.planned():
            print(f"{out}: {mixture}{f'; its head: {head}' if head else ''}", file=sys.stderr, flush=True)
    optimizer = optimizer_class(training, execution, cpu)
    trainer = GridTrainer(plan, model=model, args=arguments, optimizer_cls_and_kwargs=optimizer)
    torch.manual_seed(rank_seed(seed, rank))
    plan.begin(time.perf_counter() - began, resume[1]["seconds"] if resume else {})
    # a checkpoint without the key is of a version that did not measure
    plan.meter = Meter((resume[1].get("energy_joules") if resume else 0.0) if rank == 0 else 0.0)
    reached = checkpoints.step_of(resume[0]) if resume else 0
    # a run that patience ended may have been killed before it was finished
    if not checkpoints.exhausted(plan.history, training):
        with stop_signals(plan), suppress(Over):
            trainer.train(resume_from_checkpoint=str(resume[0]) if resume else None)
        reached = trainer.state.global_step
    if plan.interrupted:
        raise StiltgridError(
            f"{out}: stopped by a signal at step {reached} of {steps}; a checkpoint is saved, run "
            "the same command again to go on from there"
        )
    chosen = plan.history[-1]
    final = out / "training" / "final"
    if training["selection"] == "best_dev":
        chosen = checkpoints.best_of(plan.history)
        final = out / "training" / f"best-{chosen['step']}"
    else:
        started = time.perf_counter()
        trainer.save_folder(final)
        plan.seconds["checkpoint"] += time.perf_counter() - started
    mixture = feed.realised(reached)
    if mixture is not None and head is not None:
        mixture["denoising"]["head"] = head
    found = {name: list(row.labels) for name, row in rows.items() if row.labels_from is not None}
    return ({"labels": found} if found else {}) | {
        "weights": str(final),
        "precision": precision,
        "energy_joules": plan.energy(),
        "device": device_name(),
        "dev": chosen["scores"],
        "collapsed": collapse(rows, dev, chosen["scores"], chosen["answers"]),
        "counts": {
            "train_examples": sum(map(len, train.values())),
            "train_inputs": len(features),
            "dev_examples": sum(map(len, dev.values())),
            "truncated_inputs": sum(f.truncated for f in features),
            "steps": reached,
            "selected_step": chosen["step"],
        },
        "seconds": {part: round(value, 2) for part, value in plan.spent().items()},
        "versions": {name: version(name) for name in ("stiltgrid", "torch", "transformers", "tokenizers")},
        **({} if mixture is None else {"mixture": mixture}),
    }


def _check_sizes(model: Any, setup: Setup, length: int, folder: Path) -> None:
    most = most_tokens(model.config)
    if most is not None and length > most:
        raise StiltgridError(f"training.max_input_length {length}: {folder} takes at most {most} tokens")
    if setup.tokens.size > model.config.vocab_size:
        raise StiltgridError(
            f"{folder}: the tokenizer has ids up to {setup.tokens.size - 1}, the embedding {model.config.vocab_size} "
            "rows; tokenizer and weights are not of one model"
        )
