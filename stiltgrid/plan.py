"""What is left of a grid and what it costs: runs, device hours, disk.

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

*Trained again.* Where weights were removed and a prediction is asked for that cannot be had without them, the run
counts as left to do, all its languages with it, and so does a phase (ii) run whose weights were removed and are needed.

What cannot be reckoned (no `cost`, no measurement, no known size) is unknown and is never counted as 0.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, Cell, DataFile, Grid, Run
from stiltgrid.memory import adapters, shape_of
from stiltgrid.predictions import read_metadata
from stiltgrid.recipes import training_recipe
from stiltgrid.status import State, cell_states, recipe_difference
from stiltgrid.storage import Storage
from stiltgrid.tasks.registry import task
from stiltgrid.work import inputs_of_example, inputs_passed

if TYPE_CHECKING:
    pass

TRAINING_CHECKPOINT_BYTES = 12
"""A parameter's share of a training checkpoint: fp32 weight, first and second moment."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Device hours of one run and what they rest on: `estimated`, `measured n=3` or `unknown`."""

    hours: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class Line:
    """One stage, of one model where the stage has one.

    Attributes:
        stage: pretrained, data, train phase ii, train phase iii, predict, score or tables.
        model: the model, or "" for stages that all share.
        total: number of runs (files for data, cells for predict and score).
        done: how many are whole.
        known_hours: device hours of what is left, as far as known; None for stages that need no device.
        unknown: how many of those left have unknown cost.
        basis: numbers of runs left by basis, e.g. {"measured n=3": 4, "estimated": 2}.
        devices: devices of one run.
        longest: device hours of the longest run left; None if there is none or it is unknown.
    """

    stage: str
    model: str
    total: int
    done: int
    known_hours: float | None = None
    unknown: int = 0
    basis: dict[str, int] = field(default_factory=dict)
    devices: int = 1
    longest: float | None = None

    @property
    def left(self) -> int:
        """Number of runs left."""
        return self.total - self.done


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left of a grid."""

    title: str
    lines: tuple[Line, ...]
    disk: tuple[Disk, ...]
    warnings: tuple[str, ...] = ()

    @property
    def known_hours(self) -> float:
        """Device hours left, as far as known."""
        return sum(line.known_hours or 0.0 for line in self.lines)

    @property
    def unknown(self) -> int:
        """Runs left whose cost is unknown."""
        return sum(line.unknown for line in self.lines)


def _manifest(path: str) -> dict[str, Any] | None:
    """Return a whole manifest, else None."""
    if not os.path.exists(path):  # noqa: PTH110 (thousands of them)
        return None
    try:
        found = read_json(path)
    except StiltgridError:
        return None
    return found if isinstance(found, dict) else None


def _present(
    grid: Grid, path: str, model: str, intermediate: str, target: str | None, seed: int
) -> dict[str, Any] | None:
    """Return the manifest of a checkpoint that is whole and has the config's recipe, else None."""
    found = _manifest(path)
    if found is None or recipe_difference(found, training_recipe(grid, model, intermediate, target, seed)):
        return None
    return found


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


class _Costs:
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
            found = _manifest(str(sidecar(self.grid.paths.data(file))))
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
        pretrained = _manifest(self.grid.paths.pretrained(model)) or {}
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


def _line(stage: str, model: str, total: int, left: Iterable[Estimate], devices: int) -> Line:
    """Sum what is left of a stage that needs devices."""
    estimates = list(left)
    basis: dict[str, int] = defaultdict(int)
    for estimate in estimates:
        basis[estimate.basis] += 1
    hours = [e.hours for e in estimates if e.hours is not None]
    unknown = len(estimates) - len(hours)
    longest = max(hours) if hours and not unknown else None
    return Line(
        stage,
        model,
        total,
        total - len(estimates),
        sum(hours),
        unknown,
        dict(sorted(basis.items())),
        devices,
        longest,
    )


def plan(grid: Grid, states: dict[Cell, State] | None = None) -> Plan:
    """Return what is left of a grid and what it costs.

    Args:
        grid: the expanded config.
        states: from `status.cell_states`; read if not given.
    """
    states = cell_states(grid) if states is None else states
    costs, paths, models = _Costs(grid), grid.paths, list(grid.config.models)
    arms = {a: _present(grid, paths.arm(a), a.model, a.intermediate, None, a.seed) for a in grid.arms}
    runs = {run: _present(grid, paths.checkpoint(run), *run) for run in grid.fine_tuned}
    again = _trained_again(grid, arms, runs)
    for arm, manifest in arms.items():
        if manifest:
            costs.note(manifest, arm.model, "intermediate", arm.intermediate)
    for run, manifest in runs.items():
        if manifest:
            costs.note(manifest, run.model, "target", run.target)
    cells = list(grid.cells())
    predicted = {cell for cell in cells if states[cell].stage in ("predicted", "scored")}
    for cell in sorted(predicted):
        about = read_metadata(paths.prediction(cell))
        if isinstance(seconds := about.get("seconds"), int | float):
            costs.seconds[cell.model, "predict", cell.target].append(seconds * about.get("devices", 1))
    # measured they are, and still to be done again: new weights are never mixed with old ones' predictions
    arms |= dict.fromkeys(run for run in again if isinstance(run, Arm))
    runs |= dict.fromkeys(run for run in again if isinstance(run, Run))
    predicted = {cell for cell in predicted if cell.run not in again}

    files = {grid.evaluation(cell.target, cell.language) for cell in cells}
    for arm in arms:
        files |= {
            f for s in grid.training_files(arm.intermediate, None).values() for group in s.values() for f in group
        }
    for run in runs:
        files |= {f for s in grid.training_files(None, run.target).values() for group in s.values() for f in group}
    prepared = sum(Path(paths.data(f)).exists() and _manifest(str(sidecar(paths.data(f)))) is not None for f in files)
    needed = [model for model in models if any(run.model == model for run in grid.runs)]
    lines = [
        Line("pretrained", "", len(needed), sum(_manifest(paths.pretrained(m)) is not None for m in needed)),
        Line("data", "", len(files), prepared),
    ]
    for stage in ("train phase ii", "train phase iii", "predict"):
        for model in needed:
            devices = 1 if stage == "predict" else grid.config.models[model].execution.devices
            if stage == "train phase ii":
                own = {a: m for a, m in arms.items() if a.model == model}
                left = [costs.training(*a[:2], None, a.seed) for a, m in own.items() if m is None]
            elif stage == "train phase iii":
                own = {r: m for r, m in runs.items() if r.model == model}
                left = [costs.training(r.model, r.intermediate, r.target, r.seed) for r, m in own.items() if m is None]
            else:
                own = {c: None for c in cells if c.model == model}
                left = [costs.prediction(c) for c in own if c not in predicted]
            if own:
                lines.append(_line(stage, model, len(own), left, devices))
    lines.append(Line("score", "", len(cells), sum(states[c].status == "done" for c in cells)))
    lines.append(Line("tables", "", 1, int(Path(paths.tables, "README.md").exists())))
    disk = []
    for model in needed:
        own = [[m for key, m in table.items() if key.model == model] for table in (arms, runs)]
        disk.append(costs.disk(model, len(own[0]), len(own[1]), sum(m is None for ms in own for m in ms)))
    warnings = [*_again_warnings(again, costs), *_warnings(grid, lines)]
    return Plan(grid.config.title or grid.config.grid, tuple(lines), tuple(disk), tuple(warnings))


def _trained_again(grid: Grid, arms: Mapping[Arm, Any], runs: Mapping[Run, Any]) -> list[Arm | Run]:
    """Return the finished runs whose weights were removed and are needed."""
    storage = Storage(grid)
    return [key for table in (arms, runs) for key, m in table.items() if m is not None and storage.again(key)]


def _again_warnings(again: Iterable[Arm | Run], costs: "_Costs") -> list[str]:
    """Return a line for each model of which something is trained again, with what that costs."""
    by_model: dict[str, list[Arm | Run]] = defaultdict(list)
    for run in again:
        by_model[run.model].append(run)
    found = []
    for model, keys in by_model.items():
        numbers = [sum(isinstance(key, kind) for key in keys) for kind in (Arm, Run)]
        phases = zip(numbers, ("ii", "iii"), strict=True)
        what = " and ".join(f"{n} checkpoint{'s' if n > 1 else ''} (phase {phase})" for n, phase in phases if n)
        hours = [costs.training(k.model, k.intermediate, getattr(k, "target", None), k.seed).hours for k in keys]
        cost = "at unknown cost" if None in hours else f"in about {sum(h or 0.0 for h in hours):.1f} device hours"
        found.append(
            f"{model}: {what} {'is' if len(keys) == 1 else 'are'} to be trained again, {cost}: a prediction is asked "
            f"for whose weights models.{model}.storage had removed"
        )
    return found


def longest_run(grid: Grid, model: str) -> tuple[str, float] | None:
    """Return a model's longest training run, as (what, input tokens); None if no run's rows are known."""
    costs, found = _Costs(grid), {}
    for arm in grid.arms:
        if arm.model == model and arm.seed == 1:
            found[f"phase ii, {arm.intermediate}"] = costs.tokens(model, arm.intermediate, None, 1)
    for run in grid.fine_tuned:
        if run.model == model and run.seed == 1:
            found[f"phase iii, {run.target}"] = costs.tokens(model, run.intermediate, run.target, 1)
    known = {what: tokens for what, tokens in found.items() if tokens}
    return max(known.items(), key=lambda item: item[1]) if known else None


def devices_text(number: int) -> str:
    """Return a number of devices in words."""
    return f"{number} device{'s' if number > 1 else ''}"


def _warnings(grid: Grid, lines: Iterable[Line]) -> list[str]:
    """Return a line for each model whose longest training run does not fit its `resources.runtime`."""
    found = []
    for line in lines:
        if line.longest is None or not line.stage.startswith("train"):
            continue
        minutes, limit = 60 * line.longest / line.devices, grid.config.models[line.model].resources.runtime
        if minutes > limit:
            found.append(
                f"models.{line.model}.resources.runtime is {limit} min; the longest run of {line.stage} "
                f"takes about {minutes:.0f} min on {devices_text(line.devices)} (a retry resumes it)"
            )
    return found
