"""What is left of a grid and what it costs: runs, device hours, disk.

Where weights were removed and a prediction is asked for that cannot be had without them, the run
counts as left to do, all its languages with it, and so does a phase (ii) run whose weights were removed and are needed.

What a run costs is reckoned in `reckoning`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, Cell, Grid, Run
from stiltgrid.predictions import read_metadata
from stiltgrid.recipes import training_recipe
from stiltgrid.reckoning import Costs, Disk, Estimate, manifest_of
from stiltgrid.status import State, cell_states, recipe_difference
from stiltgrid.storage import Storage


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


def _present(
    grid: Grid, path: str, model: str, intermediate: str, target: str | None, seed: int
) -> dict[str, Any] | None:
    """Return the manifest of a checkpoint that is whole and has the config's recipe, else None."""
    found = manifest_of(path)
    if found is None or recipe_difference(found, training_recipe(grid, model, intermediate, target, seed)):
        return None
    return found


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
    costs, paths, models = Costs(grid), grid.paths, list(grid.config.models)
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
    prepared = sum(Path(paths.data(f)).exists() and manifest_of(str(sidecar(paths.data(f)))) is not None for f in files)
    needed = [model for model in models if any(run.model == model for run in grid.runs)]
    lines = [
        Line("pretrained", "", len(needed), sum(manifest_of(paths.pretrained(m)) is not None for m in needed)),
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


def _again_warnings(again: Iterable[Arm | Run], costs: Costs) -> list[str]:
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
    costs, found = Costs(grid), {}
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
