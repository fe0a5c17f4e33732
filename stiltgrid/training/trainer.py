"""transformers' Trainer with our data order, loss, dev evaluation and checkpoints.

What is mended here: the loss is the sum over labelled units divided by their number in the global batch, so that
accumulation and ranks never change it (the library multiplies mT5's loss by both); dev examples are shared out
without padding duplicates; a checkpoint counts only when its marker is written.
"""

import json
import math
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, load_model, save_file, save_model
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer

from stiltgrid import adapters, sharded
from stiltgrid.collapse import answers as different_answers
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import Setup
from stiltgrid.models import save_model as save_weights
from stiltgrid.predict import Interrupted, answer
from stiltgrid.score import score_language
from stiltgrid.training import checkpoints
from stiltgrid.training.arguments import check_honoured, leave_out_frozen
from stiltgrid.training.cadence import Cadence
from stiltgrid.training.feed import Feed, learnt
from stiltgrid.training.precision import autocast
from stiltgrid.training.robust import input_embeddings, moved, movement

PARTS = ("load", "train", "evaluate", "checkpoint")


@dataclass
class Plan:
    """What a run does and when; set once, but for `history`.

    Attributes:
        formulation: the family's module.
        setup: its setup.
        feed: training inputs, in the order of the steps.
        dev: task -> dev examples.
        language: of the dev examples.
        training: the recipe's hyperparameters.
        precision: "bf16" or "fp32".
        evaluate_at: steps after which dev is scored.
        out: the run's folder.
        checkpoint_seconds: wall time between checkpoints.
        checkpoint_steps: steps between checkpoints, for tests.
        eval_batch_size: dev inputs at once.
        deepspeed: DeepSpeed's configuration.
        robust: how the input embeddings are moved in training.
        history: dev evaluations so far: step, mean, scores, number of different answers.
        asked_to_stop: has this process got a signal to stop?
        interrupted: did the run stop early for such a signal to any rank?
        owed: is the evaluation at the step that was reached still to be made, because a signal cut it off?
        seconds: wall time by part, of this process and of those that it resumes.
        loaded: this process's clock when training began.
    """

    formulation: ModuleType
    setup: Setup
    feed: Feed
    dev: Mapping[str, list[Example]]
    language: str
    training: Mapping[str, Any]
    precision: str
    evaluate_at: frozenset[int]
    out: Path
    checkpoint_seconds: float
    checkpoint_steps: int | None = None
    eval_batch_size: int = 32
    deepspeed: Mapping[str, Any] | None = None
    robust: Mapping[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    asked_to_stop: bool = False
    interrupted: bool = False
    owed: bool = False
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    loaded: float = 0.0

    def begin(self, load_seconds: float, earlier: Mapping[str, float]) -> None:
        """Start the clock of training.

        Args:
            load_seconds: what this process took so far.
            earlier: `spent()` of the processes before it, from the checkpoint.
        """
        self.seconds = {part: earlier.get(part, 0.0) for part in PARTS}
        self.seconds["load"] += load_seconds
        self.loaded = time.perf_counter() - sum(self.seconds[part] for part in PARTS if part != "load")

    def spent(self) -> dict[str, float]:
        """Return the wall time by part until now, `train` being what is not evaluation or checkpoints; and `total`."""
        since = time.perf_counter() - self.loaded
        train = since - self.seconds["evaluate"] - self.seconds["checkpoint"]
        return {**self.seconds, "train": train, "total": self.seconds["load"] + since}


class GridTrainer(Trainer):
    """The Trainer of one fine-tuning run."""

    read_at_once = "cpu"  # elsewhere a look at each loss would wait for the device

    def __init__(self, plan: Plan, **kwargs: Any):
        self.plan = plan
        self.unsound: torch.Tensor | None = None
        cadence = Cadence(plan)
        super().__init__(**kwargs, callbacks=[cadence])
        cadence.trainer = self
        self.remove_callback(PrinterCallback)
        # the loss below is already a mean over the whole accumulated batch
        self.loss_is_scaled_for_ga = True

    def get_train_dataloader(self) -> DataLoader:
        """Return this rank's micro-batches of the whole run, as one epoch: resuming is skipping."""
        args, plan = self.args, self.plan
        split = args.process_index, args.world_size, args.gradient_accumulation_steps
        return plan.feed.loader(plan.formulation, plan.setup, *split, args.dataloader_pin_memory)

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """Look at DeepSpeed's engine: the library calls this when it is made, and before a checkpoint is loaded."""
        if self.plan.deepspeed is not None:
            engine = self.accelerator.deepspeed_engine_wrapped.engine
            check_honoured(self.plan.deepspeed, engine.config)
            if adapters.has(self.model):
                leave_out_frozen(engine)
        return super().create_scheduler(*args, **kwargs)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Return the micro-batches of a step and what the global batch's summed loss is divided by."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        units = torch.stack([learnt(b) for b in batches]).sum().to(device)
        if self.args.world_size > 1:
            dist.all_reduce(units)
        return batches, units

    def compute_loss(
        self, model: Any, inputs: dict, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return this pass's share of the mean loss of the global batch.

        Raises:
            StiltgridError: if it is no number (on a CPU at once; on a GPU before anything is logged, scored or saved).
        """
        if self.plan.robust is None:
            total = self._total(model, inputs)
        else:
            # looked for in the bare model: ranks differ in nothing that they would have to share
            delta = movement(self.model, inputs, partial(self._total, self.model), self.plan.robust)
            with moved(input_embeddings(self.model), delta):
                total = self._total(model, inputs)
        # ranks are averaged by DDP and DeepSpeed, so each contributes its sum times their number
        loss = total * (self.args.world_size / num_items_in_batch)
        if loss.device.type == self.read_at_once:
            self._check(float(loss.detach()))
        else:
            bad = ~torch.isfinite(loss.detach())
            self.unsound = bad if self.unsound is None else self.unsound | bad
        return loss

    def _total(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        with autocast(self.plan.precision, self.args.device.type):
            return model(**inputs)["loss"]

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            self._unsound(f"the loss is {loss} at step {self.state.global_step + 1}")

    def _unsound(self, what: str) -> None:
        raise StiltgridError(
            f"{self.plan.out}: training failed: {what}; lower training.learning_rate or lengthen warmup_ratio, then "
            "run again"
        )

    def check_sound(self) -> None:
        """Look at what is about to be scored or saved; every rank calls this.

        Raises:
            StiltgridError: on all ranks, if on any a loss since the last look or a weight is no number: a checkpoint
                of it would fail again whenever it is resumed.
        """
        loss = self.unsound is not None and bool(self.unsound)
        self.unsound = None
        parts = (sharded.own_part(p)[0] for p in self.model.parameters() if p.requires_grad)
        loss, weights = self.agreed(loss, not all(bool(torch.isfinite(part).all()) for part in parts))
        if loss or weights:
            self._unsound(f"{'a loss' if loss else 'a weight'} is no number by step {self.state.global_step}")

    def agreed(self, *flags: bool) -> list[bool]:
        """Return for each flag whether it is raised on any rank; every rank calls this."""
        if self.args.world_size == 1:
            return list(flags)
        raised = torch.tensor([int(flag) for flag in flags], device=self.args.device)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return list(map(bool, raised.tolist()))

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: the library would count all parameters anew at each pass."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write a line of metrics.jsonl; raise on a loss that is no number."""
        if "loss" in logs:
            self._check(logs["loss"])
            names = ("loss", "grad_norm", "learning_rate")
            self.record({name: logs[name] for name in names if name in logs})
        super().log(logs, start_time)

    def record(self, values: Mapping[str, Any]) -> None:
        """Append values at the present step to metrics.jsonl."""
        if self.is_world_process_zero():
            step = self.state.global_step
            line = {"step": step, "epoch": self.plan.feed.epoch(step), **values}
            with (self.plan.out / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score dev by the same path as final predictions; keep the best weights; stop if patience is out.

        A signal to stop is heeded between two batches: the evaluation is given up, on all ranks, and owed.

        Returns:
            The mean of the tasks' main metrics; nothing if it was given up.
        """
        started = time.perf_counter()
        try:
            scores, answers = self._score_dev()
        except Interrupted:
            self.control.should_evaluate = False
            self.control.should_training_stop = self.control.should_save = True
            self.plan.interrupted = self.plan.owed = True
            if self.is_world_process_zero():
                checkpoints.prune(self.plan.out / "training")
            return {}
        finally:
            self.model.train()
            self.plan.seconds["evaluate"] += time.perf_counter() - started
        started = time.perf_counter()
        self.plan.owed = False
        step = self.state.global_step
        main = [values[self.plan.setup.rows[name].metrics[0]] for name, values in scores.items()]
        mean = sum(main) / len(main)
        self.plan.history.append({"step": step, "mean": mean, "scores": scores, "answers": answers})
        self.record({"dev": scores})
        if self.plan.training["selection"] == "best_dev":
            best = checkpoints.best_of(self.plan.history)["step"]
            if best == step:
                self.save_folder(self.plan.out / "training" / f"best-{step}")
            if checkpoints.exhausted(self.plan.history, self.plan.training):
                self.control.should_training_stop = True
        self.control.should_evaluate = False
        self.plan.seconds["evaluate"] += time.perf_counter() - started
        if self.is_world_process_zero():
            text = "; ".join(
                f"{n} {self.plan.setup.rows[n].metrics[0]} {m:.2f}" for n, m in zip(scores, main, strict=True)
            )
            print(f"step {step}: dev {text}", file=sys.stderr, flush=True)
        return {"dev": mean}

    def _score_dev(self) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
        """Return the dev scores and the numbers of different answers, by task."""
        scores, answers = {}, {}
        self.model.eval()
        for name, examples in self.plan.dev.items():
            row = self.plan.setup.rows[name]
            said = answer(
                self.plan.formulation,
                self.plan.setup,
                self.model,
                name,
                examples,
                self.plan.eval_batch_size,
                self.plan.precision,
                ranks=(self.args.process_index, self.args.world_size),
                stop=lambda: self.agreed(self.plan.asked_to_stop)[0],
            )
            record, _ = score_language(row, self.plan.language, examples, said, f"dev of {name}")
            scores[name] = {metric: record[metric] for metric in row.metrics}
            answers[name] = different_answers(said)
        return scores, answers

    def save_folder(self, folder: Path) -> None:
        """Write the model's weights into a folder, whole or not at all; every rank must call it."""
        first = self.is_world_process_zero()
        temporary = folder.with_name(f".{folder.name}.tmp")
        if first:
            shutil.rmtree(temporary, ignore_errors=True)
        # DeepSpeed keeps small parameters whole between steps, and must hear that they are taken apart
        owner = self.model_wrapped.optimizer if self.is_deepspeed_enabled else None
        if owner is not None:
            owner.checkpoint_event_prologue()
        save_weights(self.model, temporary, write=first)
        if owner is not None:
            owner.checkpoint_event_epilogue()
        if first:
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
        self.wait()

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.args.world_size > 1:
            dist.barrier()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the weights of a training checkpoint; DeepSpeed's own shards hold them already."""
        if self.is_world_process_zero():
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            file = Path(output_dir) / "model.safetensors"
            if adapters.has(self.model) and not self.is_deepspeed_enabled:
                save_file({n: p.detach().contiguous() for n, p in adapters.trained_tensors(self.model).items()}, file)
            elif not self.is_deepspeed_enabled:
                save_model(self.model, str(file))
        self.wait()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        model, file = self.model if model is None else model, Path(resume_from_checkpoint) / "model.safetensors"
        if not adapters.has(model):
            load_model(model, file)
            return
        own, stored = adapters.trained_tensors(model), load_file(file)
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(stored.pop(name))
