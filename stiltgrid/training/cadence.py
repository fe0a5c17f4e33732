"""When a run evaluates, saves and stops: asked at every step, answered alike on all ranks."""

import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from stiltgrid.training import checkpoints

if TYPE_CHECKING:
    from stiltgrid.training.trainer import GridTrainer, Plan

LINE_SECONDS = 10.0


class Over(Exception):  # noqa: N818 (no error: there are no steps left)
    """What was left of the run was an evaluation, and it is made."""


@contextmanager
def stop_signals(plan: "Plan") -> Iterator[None]:
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

    def __init__(self, plan: "Plan"):
        self.plan = plan
        self.trainer: GridTrainer | None = None
        self.saved = self.printed = self.started = time.monotonic()
        self.first = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clocks; make up for an evaluation that a signal cut off.

        Raises:
            Over: if no step is to follow it.
        """
        if self.plan.owed:
            self.trainer.evaluate()
            self.trainer.control.should_save = False  # the checkpoint of this step is there
            if self.trainer.control.should_training_stop or state.global_step >= state.max_steps:
                raise Over
        self.saved = self.printed = self.started = time.monotonic()
        self.first = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decide on evaluating, saving and stopping, the same on all ranks."""
        plan, step = self.plan, state.global_step
        due = args.process_index == 0 and time.monotonic() - self.saved >= plan.checkpoint_seconds
        save, stop = self.trainer.agreed(due, plan.asked_to_stop)
        if plan.checkpoint_steps is not None:
            save = save or step % plan.checkpoint_steps == 0
        control.should_evaluate = step in plan.evaluate_at
        if stop and step < state.max_steps:
            plan.interrupted = save = True
            plan.owed, control.should_evaluate = control.should_evaluate, False
            control.should_training_stop = True
        control.should_save = save and step < state.max_steps
        if control.should_save or control.should_evaluate:
            self.trainer.check_sound()
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
            known = {"history": self.plan.history, "seconds": self.plan.spent(), "owed": self.plan.owed}
            known["energy_joules"] = energy
            checkpoints.mark(training / f"checkpoint-{state.global_step}", known)
            best = checkpoints.best_of(self.plan.history)
            needed = checkpoints.needed_best(training, best and best["step"])
            for folder in training.glob("best-*"):
                if checkpoints.step_of(folder) not in needed:
                    shutil.rmtree(folder)
        self.trainer.wait()
        self.saved = time.monotonic()
        self.plan.seconds["checkpoint"] += time.perf_counter() - started
