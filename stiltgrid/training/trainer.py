"""transformers' Trainer with our data order, loss, dev evaluation and checkpoints.

What is mended here: the loss is the sum over labelled units divided by their number in the global batch, so that
accumulation and ranks never change it (the library multiplies mT5's loss by both); dev examples are shared out
without padding duplicates; a checkpoint counts only when its marker is written.
"""

import json
import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, load_model, save_file, save_model
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback

from stiltgrid import adapters
from stiltgrid.batching import MicroBatches
from stiltgrid.collapse import answers as different_answers
from stiltgrid.energy import Meter, together
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations.features import IGNORED, Feature, Setup
from stiltgrid.models import save_model as save_weights
from stiltgrid.predict import answer
from stiltgrid.score import score_language
from stiltgrid.training import checkpoints
from stiltgrid.training.arguments import check_honoured
from stiltgrid.training.precision import autocast

LINE_SECONDS = 10.0
PARTS = ("load", "train", "evaluate", "checkpoint")


@dataclass
class Plan:
    """What a run does and when; set once, but for `history`.

    Attributes:
        formulation: the family's module.
        setup: its setup.
        features: training inputs.
        dev: task -> dev examples.
        language: of the dev examples.
        training: the recipe's hyperparameters.
        precision: "bf16" or "fp32".
        seed: of the data order.
        evaluate_at: steps after which dev is scored.
        out: the run's folder.
        checkpoint_seconds: wall time between checkpoints.
        checkpoint_steps: steps between checkpoints, for tests.
        eval_batch_size: dev inputs at once.
        deepspeed: DeepSpeed's configuration.
        history: dev evaluations so far: step, mean, scores, number of different answers.
        asked_to_stop: has this process got a signal to stop?
        interrupted: did the run stop early for such a signal to any rank?
        seconds: wall time by part, of this process and of those that it resumes.
        loaded: this process's clock when training began.
        meter: of this process's GPU, from when training began.
    """

    formulation: ModuleType
    setup: Setup
    features: Sequence[Feature]
    dev: Mapping[str, list[Example]]
    language: str
    training: Mapping[str, Any]
    precision: str
    seed: int
    evaluate_at: frozenset[int]
    out: Path
    checkpoint_seconds: float
    checkpoint_steps: int | None = None
    eval_batch_size: int = 32
    deepspeed: Mapping[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    asked_to_stop: bool = False
    interrupted: bool = False
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    loaded: float = 0.0
    meter: Meter | None = None

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

    def energy(self) -> float | None:
        """Return the joules of all ranks' GPUs until now, None if not measured; every rank must call it."""
        mine = self.meter.joules() if self.meter is not None else None
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return mine
        parts: list[float | None] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, mine)
        return together(parts)


class Rows(Dataset):
    """Features by index; `~i` is feature i with nothing to learn from."""

    def __init__(self, features: Sequence[Feature]):
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> Feature:
        return self.features[index] if index >= 0 else self.features[~index].unlabelled()


class GridTrainer(Trainer):
    """The Trainer of one fine-tuning run."""

    def __init__(self, plan: Plan, **kwargs: Any):
        self.plan = plan
        cadence = Cadence(plan)
        super().__init__(**kwargs, callbacks=[cadence])
        cadence.trainer = self
        self.remove_callback(PrinterCallback)
        # the loss below is already a mean over the whole accumulated batch
        self.loss_is_scaled_for_ga = True

    def get_train_dataloader(self) -> DataLoader:
        """Return this rank's micro-batches of the whole run, as one epoch: resuming is skipping."""
        sampler = MicroBatches(
            [len(f.input_ids) for f in self.plan.features],
            self.plan.training["batch_size"],
            self.plan.seed,
            self.args.max_steps,
            self.args.process_index,
            self.args.world_size,
            self.args.gradient_accumulation_steps,
        )
        return DataLoader(
            Rows(self.plan.features),
            batch_sampler=sampler,
            collate_fn=partial(self.plan.formulation.collate, self.plan.setup),
            pin_memory=self.args.dataloader_pin_memory,
        )

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """Look at DeepSpeed's engine: the library calls this when it is made, and before a checkpoint is loaded."""
        if self.plan.deepspeed is not None:
            engine = self.accelerator.deepspeed_engine_wrapped.engine
            check_honoured(self.plan.deepspeed, engine.config)
            if adapters.has(self.model):
                _leave_out_frozen(engine)
        return super().create_scheduler(*args, **kwargs)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """Return the micro-batches of a step and the number of labelled units in the global batch."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        units = torch.stack([(b["labels"] != IGNORED).sum() for b in batches]).sum().to(device)
        if self.args.world_size > 1:
            dist.all_reduce(units)
        return batches, units

    def compute_loss(
        self, model: Any, inputs: dict, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return this pass's share of the mean loss of the global batch.

        Raises:
            StiltgridError: if it is not a number (on a CPU at once; on a GPU at the next log line).
        """
        with autocast(self.plan.precision, self.args.device.type):
            total = model(**inputs)["loss"]
        # ranks are averaged by DDP and DeepSpeed, so each contributes its sum times their number
        loss = total * (self.args.world_size / num_items_in_batch)
        if loss.device.type == "cpu":
            self._check(float(loss.detach()))
        return loss

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise StiltgridError(
                f"{self.plan.out}: training failed: the loss is {loss} at step {self.state.global_step + 1}; lower "
                "training.learning_rate or lengthen warmup_ratio, then run again"
            )

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
            per_epoch = -(-len(self.plan.features) // self.plan.training["batch_size"])
            step = self.state.global_step
            line = {"step": step, "epoch": round(step / per_epoch, 4), **values}
            with (self.plan.out / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score dev by the same path as final predictions; keep the best weights; stop if patience is out.

        Returns:
            The mean of the tasks' main metrics.
        """
        started = time.perf_counter()
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
            )
            record, _ = score_language(row, self.plan.language, examples, said, f"dev of {name}")
            scores[name] = {metric: record[metric] for metric in row.metrics}
            answers[name] = different_answers(said)
        self.model.train()
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


def _leave_out_frozen(engine: Any) -> None:
    """Make DeepSpeed's checkpoints of what is trained alone; the library does so for PEFT's wrapper only."""
    save, load = engine.save_checkpoint, engine.load_checkpoint
    engine.save_checkpoint = partial(save, exclude_frozen_parameters=True)
    engine.load_checkpoint = lambda *args, **kwargs: load(*args, **{**kwargs, "load_module_strict": False})


@contextmanager
def stop_signals(plan: Plan) -> Iterator[None]:
    """Listen to the signals by which clusters announce the end of a job: a checkpoint is saved, then the run stops."""

    def note(*_: Any) -> None:
        plan.asked_to_stop = True

    mine = threading.current_thread() is threading.main_thread()  # only there may a process set them
    before = {name: signal.signal(name, note) for name in (signal.SIGTERM, signal.SIGUSR1)} if mine else {}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


class Cadence(TrainerCallback):
    """Tells the Trainer when to evaluate, save and stop; marks checkpoints; prints progress where no bar is shown."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.trainer: GridTrainer | None = None
        self.saved = self.printed = self.started = time.monotonic()
        self.first = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clocks."""
        self.saved = self.printed = self.started = time.monotonic()
        self.first = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decide on evaluating, saving and stopping, the same on all ranks."""
        plan, step = self.plan, state.global_step
        save = time.monotonic() - self.saved >= plan.checkpoint_seconds
        stop = plan.asked_to_stop
        if args.world_size > 1:
            asked = torch.tensor([int(save and args.process_index == 0), int(stop)], device=args.device)
            dist.all_reduce(asked, op=dist.ReduceOp.MAX)
            save, stop = map(bool, asked.tolist())
        if plan.checkpoint_steps is not None:
            save = save or step % plan.checkpoint_steps == 0
        control.should_evaluate = step in plan.evaluate_at
        if stop and step < state.max_steps:
            plan.interrupted = save = True
            control.should_training_stop = True
        control.should_save = save and step < state.max_steps
        if control.should_save and args.process_index == 0:
            checkpoints.prune(plan.out / "training")
        self._print(args, state)

    def _print(self, args: Any, state: Any) -> None:
        now = time.monotonic()
        if not args.disable_tqdm or args.process_index or now - self.printed < LINE_SECONDS:
            return
        self.printed = now
        rate = (state.global_step - self.first) / (now - self.started)
        left = (state.max_steps - state.global_step) / rate
        losses = [h["loss"] for h in state.log_history if "loss" in h]
        loss = f", loss {losses[-1]:.4f}" if losses else ""
        print(
            f"step {state.global_step} of {state.max_steps}{loss}, {rate:.2f} steps/s, {left / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint complete once every rank has written its part; drop best weights nobody needs."""
        started = time.perf_counter()
        self.trainer.wait()
        training = self.plan.out / "training"
        energy = self.plan.energy()
        if args.process_index == 0:
            known = {"history": self.plan.history, "seconds": self.plan.spent(), "energy_joules": energy}
            checkpoints.mark(training / f"checkpoint-{state.global_step}", known)
            best = checkpoints.best_of(self.plan.history)
            needed = checkpoints.needed_best(training, best and best["step"])
            for folder in training.glob("best-*"):
                if checkpoints.step_of(folder) not in needed:
                    shutil.rmtree(folder)
        self.trainer.wait()
        self.saved = time.monotonic()
        self.plan.seconds["checkpoint"] += time.perf_counter() - started
