"""What a run costs, reckoned or measured: device hours, disk.

Arithmetic
----------
*Work of a training run.* FLOP = 6 x compute_parameters x tokens x examples, with examples = epochs x rows, or
max_steps x batch_size; rows = the sum over the run's tasks of min(train_examples, rows of the training file), and an
encoder with heads passes every choice of a multiple-choice example as an input of its own;
tokens = min(tokens_per_example, max_input_length). 6 is 2 for the forward and 4 for the backward pass, which with
`lora` is 2, for frozen weights have no gradients; dev
evaluations, padding and recomputed activations are not counted apart, they belong to `utilisation`.

*Work of prediction.* FLOP = 2 x compute_parameters x tokens x rows of the test file, a cell.

*Device hours* = FLOP / (device_tflops x 1e12 x utilisation) / 3600, unless completed runs of the same model,
phase and target (phase iii) or arm (phase ii) have been measured: then the mean of their seconds x devices /
3600. For prediction: the mean seconds x devices of a cell of the same model and target, which prediction files record;
what was not measured is reckoned on one device.

*Rows* come from the prepared data file's sidecar, else from the task row's published sizes.

*Disk.* A checkpoint's weights hold bytes x parameters: 2 for bf16 (`precision: bf16`, or `auto` under zero3),
else 4; where checkpoints exist, the mean of what their manifests record. While a run trains it also holds two
training checkpoints, each with fp32 weights and both Adam moments, 12 bytes a parameter, and, where the best of dev is
kept, the weights of two evaluations. How many weights are kept at the end, and how many there can be at once, is the
model's `storage`: with `all` every run's; with `intermediate` every phase (ii) run's, and a target's only from its
training to its predictions; with `none` a phase (ii) run's until its last target is predicted, which for a
scheduler that trains all of phase (ii) first means all of them at the peak, and none at the end. The peak is reckoned
with one run of each model in training at a time, predicted before the next begins; what each further one adds, its
training checkpoints and, where they are not kept anyway, its weights, is printed beside it.

What cannot be reckoned (no `cost`, no measurement, no known size) is unknown and is never counted as 0.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import sidecar
from stiltgrid.grid import Cell, DataFile, Grid
from stiltgrid.memory import adapters, shape_of
from stiltgrid.recipes import training_recipe
from stiltgrid.tasks.registry import task
from stiltgrid.work import inputs_of_example, inputs_passed

TRAINING_CHECKPOINT_BYTES = 12
"""A parameter's share of a training checkpoint: fp32 weight, first and second moment."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Device hours of one run and what they rest on: `estimated`, `measured n=3` or `unknown`."""

    hours: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class Disk:
    """Disk of one model's checkpoints, in bytes.

    Attributes:
        model: the model.
        storage: which weights are kept.
        kept: number of checkpoints kept when all is done.
        each: bytes of one; None if unknown.
        basis: `estimated`, `measured n=3` or `unknown`.
        left: number still to be written.
        most: number that can lie there at once, but for the one in training.
        transient: bytes of one run's training checkpoints while it trains; None if unknown.
    """

    model: str
    storage: str
    kept: int
    each: float | None
    basis: str
    left: int
    most: int
    transient: float | None

    @property
    def peak(self) -> float | None:
        """Bytes at the worst moment, one run in training."""
        if self.each is None or self.transient is None:
            return None
        return self.most * self.each + self.transient

    @property
    def further(self) -> float | None:
        """Bytes that each further run in flight at the same time adds to the peak.

        A run is in flight from its training to its predictions. Its own weights are in the peak already where all are
        kept.
        """
        if self.each is None or self.transient is None:
            return None
        return self.transient + (0.0 if self.storage == "all" else self.each)


def manifest_of(path: str) -> dict[str, Any] | None:
    """Return a whole manifest, else None."""
    if not Path(path).exists():
        return None
    try:
        found = read_json(path)
    except StiltgridError:
        return None
    return found if isinstance(found, dict) else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _device_seconds(manifest: dict[str, Any]) -> float | None:
    """Return a run's measured seconds x devices, or None if its manifest records none."""
    seconds = manifest.get("seconds")
    if isinstance(seconds, dict):
        seconds = seconds.get("total", seconds.get("train"))
    if not isinstance(seconds, int | float) or seconds <= 0:
        return None
    return float(seconds) * int((manifest.get("execution") or {}).get("devices", 1))


class Costs:
    """Reckons runs; caches sizes, and holds what was measured."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.seconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        self.weights: dict[str, list[float]] = defaultdict(list)
        self.cached: dict[DataFile, int | None] = {}

    def note(self, manifest: dict[str, Any], model: str, phase: str, name: str) -> None:
        """Remember what a completed run took."""
        if (seconds := _device_seconds(manifest)) is not None:
            self.seconds[model, phase, name].append(seconds)
        if files := manifest.get("weights"):
            self.weights[model].append(float(sum(entry["bytes"] for entry in files.values())))

    def rows(self, file: DataFile) -> int | None:
        """Return the number of rows of a data file: prepared, else published, else None."""
        if file not in self.cached:
            found = manifest_of(str(sidecar(self.grid.paths.data(file))))
            sizes = task(file.task).sizes
            published = sizes.get(f"{file.split}.{file.language}", sizes.get(file.split))
            self.cached[file] = found["examples"] if found and "examples" in found else published
        return self.cached[file]

    def _estimate(self, model: str, work: float | None) -> Estimate:
        """Turn (FLOP a compute parameter and token) into hours."""
        cost = self.grid.config.models[model].cost
        if cost is None or work is None:
            return Estimate(None, "unknown")
        flop = work * cost.compute_parameters
        return Estimate(flop / (cost.device_tflops * 1e12 * cost.utilisation) / 3600, "estimated")

    def _tokens(self, model: str, limit: int) -> float:
        cost = self.grid.config.models[model].cost
        return min(cost.tokens_per_example, limit) if cost else 0.0

    def training(self, model: str, arm: str, target: str | None, seed: int) -> Estimate:
        """Return the device hours of a training run."""
        name, phase = (arm, "intermediate") if target is None else (target, "target")
        if measured := self.seconds.get((model, phase, name)):
            return Estimate(_mean(measured) / 3600, f"measured n={len(measured)}")
        tokens = self.tokens(model, arm, target, seed)
        flop = 6 if self.grid.config.models[model].lora is None else 4
        return self._estimate(model, None if tokens is None else flop * tokens)

    def tokens(self, model: str, arm: str, target: str | None, seed: int) -> float | None:
        """Return the input tokens that a training run reads; None if its rows are not known."""
        recipe = training_recipe(self.grid, model, arm, target, seed)
        files = self.grid.training_files(arm, target)
        rows = {name: [self.rows(file) for file in splits["train"]] for name, splits in files.items()}
        examples = inputs_passed(recipe, rows)
        return None if examples is None else self._tokens(model, recipe["training"]["max_input_length"]) * examples

    def prediction(self, cell: Cell) -> Estimate:
        """Return the device hours of one cell's prediction."""
        if measured := self.seconds.get((cell.model, "predict", cell.target)):
            return Estimate(_mean(measured) / 3600, f"measured n={len(measured)}")
        rows = self.rows(self.grid.evaluation(cell.target, cell.language))
        if rows is None:
            return Estimate(None, "unknown")
        if self.grid.retrieves(cell.target):
            limit = self.grid.retrieval(cell.target, cell.model).max_input_length
            # as far as the layer; each row is counted as if it had both sides, as Tatoeba's have
            return self._estimate(cell.model, 4 * self._tokens(cell.model, limit) * rows)
        training = training_recipe(self.grid, cell.model, cell.intermediate, cell.target, cell.seed)["training"]
        inputs = rows * inputs_of_example(self.grid.config.models[cell.model].family, self.grid.tasks[cell.target].name)
        return self._estimate(cell.model, 2 * self._tokens(cell.model, training["max_input_length"]) * inputs)

    def disk(self, model: str, arms: int, runs: int, left: int) -> Disk:
        """Return a model's disk line.

        Args:
            model: the model.
            arms: its phase (ii) runs.
            runs: its target runs.
            left: how many of both are still to be trained.
        """
        row = self.grid.config.models[model]
        pretrained = manifest_of(self.grid.paths.pretrained(model)) or {}
        parameters = row.cost.parameters if row.cost else pretrained.get("parameters")
        arm = next(iter(self.grid.config.intermediates))
        target = next((name for name in self.grid.config.targets if not self.grid.retrieves(name)), None)
        training = training_recipe(self.grid, model, arm, target, 1)["training"]
        trained = parameters
        if row.lora is not None:
            # a target's checkpoint holds phase (ii)'s adapters, too
            shape = shape_of(self.grid, model)
            trained = None if shape is None else 2 * adapters(shape, row.lora.rank)
        each, basis = None, "unknown"
        if measured := self.weights.get(model):
            each, basis = _mean(measured), f"measured n={len(measured)}"
        elif trained:
            half = training["precision"] == "bf16"
            half = half or (training["precision"] == "auto" and row.execution.strategy == "zero3")
            each, basis = (2 if half else 4) * trained, "estimated"
        transient = None
        if trained and each is not None:
            best = 2 if training["selection"] == "best_dev" else 0
            transient = 2 * TRAINING_CHECKPOINT_BYTES * trained + best * each
        kept = {"all": arms + runs, "intermediate": arms, "none": 0}[row.storage]
        # what is in training, or waits for its predictions, is one more
        most = {"all": arms + runs, "intermediate": arms + 1, "none": arms + 1}[row.storage]
        return Disk(model, row.storage, kept, each, basis, left, min(most, arms + runs), transient)
