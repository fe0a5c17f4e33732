"""What training runs cost and how they went: the two tables of `stiltgrid.runs`, and energy."""

import json
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_collect import Files, small_grid

from stiltgrid import collect, energy
from stiltgrid.artifacts import digest, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Arm, Cell, Grid, Run, folder
from stiltgrid.predictions import Prediction, write_predictions
from stiltgrid.runs import RUN_COLUMNS, TRAINING_COLUMNS, collect_runs, read_runs, write_runs

RESULTS = Path(__file__).parents[1] / "docs/results.md"


def trained(grid: Grid, seed: int, hours: float, tasks: dict[str, dict[str, float]], **execution) -> dict:
    """What a real manifest says beside its digest."""
    return {
        "recipe_hash": digest(hours),
        "execution": {"devices": 1, "device": "cpu", "energy_joules": None, "precision": "fp32", **execution},
        "seconds": {
            "load": 60.0, "train": 3600 * hours - 90, "evaluate": 20.0, "checkpoint": 10.0, "total": 3600 * hours,
        },
        "counts": {
            "train_examples": 900, "train_inputs": 950, "dev_examples": 50, "truncated_inputs": 4,
            "steps": 20, "selected_step": 10 * seed,
        },
        "collapsed": {"value": False},
        "weights": {"model.safetensors": {"bytes": 2_000_000_000, "sha256": "0" * 64}},
        "dev": tasks,
    }  # fmt: skip


class Logged(Files):
    """Also writes what manifests, training logs and prediction files say of time, energy and dev."""

    def everything(self, energy: float | None = None) -> None:
        self.energy = energy
        super().everything()

    def arm(self, arm: Arm, **more) -> None:
        name = f"intermediate/{arm.intermediate}"
        large = {"devices": 2} if arm.model == "large" else {}
        tasks = {name: {"accuracy": 70.0 + arm.seed}}
        super().arm(arm, **(trained(self.grid, arm.seed, 1.0, tasks, energy_joules=self.energy, **large) | more))
        self.log(self.paths.arm(arm), tasks)

    def checkpoint(self, run: Run, **more) -> None:
        row = self.grid.tasks[run.target]
        tasks = {row.name: dict.fromkeys(row.metrics, 60.0)}
        super().checkpoint(run, **(trained(self.grid, run.seed, 0.5, tasks, energy_joules=self.energy) | more))
        self.log(self.paths.checkpoint(run), tasks)

    def log(self, manifest: str, tasks: dict) -> None:
        lines = [{"step": s, "epoch": s / 10, "loss": 2.0 / s, "grad_norm": 1.0} for s in range(1, 21)]
        lines.insert(10, {"step": 10, "epoch": 1.0, "dev": tasks})
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        Path(folder(manifest), "metrics.jsonl").write_text(text)

    def prediction(self, cell: Cell, **more) -> None:
        about = {"key": self.key(cell), "model_digest": digest(cell.run), "seconds": 36.0, "energy_joules": self.energy}
        write_predictions(self.paths.prediction(cell), [Prediction(id="0", label="x")], {**about, **more})


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = Logged(small_grid())
    files.everything()
    return files


def test_a_row_a_run_with_its_device_hours_and_disk(files):
    runs, _ = collect_runs(files.grid)
    assert len(runs) == len(files.grid.arms) + len(files.grid.runs)
    assert list(runs["status"].unique()) == ["done"]
    arm = runs[(runs["model"] == "large") & (runs["intermediate"] == "mnli") & (runs["target"] == "")].iloc[0]
    # an hour on two devices
    assert (arm["device_hours"], arm["devices"], arm["cells"]) == (2.0, 2, 0)
    assert math.isnan(arm["energy_kwh"]) and math.isnan(arm["predict_hours"])
    assert (arm["weights_bytes"], arm["kept_bytes"], arm["selected_step"]) == (2e9, 2e9, 10)
    run = runs[(runs["model"] == "small") & (runs["target"] == "xnli")].iloc[0]
    assert (run["device_hours"], run["cells"], run["predicted"]) == (0.5, 3, 3)
    assert run["predict_hours"] == pytest.approx(3 * 36 / 3600)


def test_energy_is_of_training_and_of_all_predictions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = Logged(small_grid())
    files.everything(energy=1.8e6)
    runs, _ = collect_runs(files.grid)
    run = runs[runs["target"] == "xnli"].iloc[0]
    assert (run["energy_kwh"], run["predict_energy_kwh"]) == (0.5, 1.5)
    cell = Cell("small", "none", "xnli", "de", 1)
    Path(files.paths.prediction(cell)).unlink()
    files.prediction(cell, energy_joules=None)
    runs, _ = collect_runs(files.grid)
    run = runs[(runs["target"] == "xnli") & (runs["intermediate"] == "none")].iloc[0]
    assert math.isnan(run["predict_energy_kwh"]) and run["predict_hours"] > 0


def test_removed_weights_take_no_disk_and_runs_of_another_recipe_are_missing(files):
    path = Path(folder(files.paths.checkpoint(Run("small", "none", "xnli", 1))))
    write_json(path / "removed.json", {})
    other = Run("small", "none", "xnli", 2)
    files.checkpoint(other, recipe={"version": 0})
    Path(files.paths.checkpoint(Run("small", "none", "pos", 1))).unlink()
    runs, training = collect_runs(files.grid)
    own = runs[(runs["model"] == "small") & (runs["intermediate"] == "none")].set_index(["target", "seed"])
    assert own.loc[("xnli", 1), "kept_bytes"] == 0 and own.loc[("xnli", 1), "weights_bytes"] == 2e9
    assert own.loc[("xnli", 2), "status"] == own.loc[("pos", 1), "status"] == "missing"
    assert math.isnan(own.loc[("pos", 1), "device_hours"])
    gone = training[
        (training["model"] == "small") & (training["intermediate"] == "none") & (training["target"] == "pos")
    ]
    assert set(gone["seed"]) == {2}


def test_a_row_a_logged_value(files):
    _, training = collect_runs(files.grid)
    own = training[
        (training["model"] == "small") & (training["target"] == "pos") & (training["intermediate"] == "none")
    ]
    own = own[own["seed"] == 1]
    loss = own[own["kind"] == "loss"]
    assert loss["value"].tolist() == [2.0 / s for s in range(1, 21)] and loss["step"].tolist() == [*range(1, 21)]
    dev, chosen = own[own["kind"] == "dev"], own[own["kind"] == "chosen"]
    assert dev["metric"].tolist() == chosen["metric"].tolist() == ["pos_accuracy", "pos_xglue"]
    assert dev["main"].tolist() == [True, False]
    assert dev["step"].tolist() == [10, 10] and chosen["step"].tolist() == [10, 10]


def test_half_a_last_line_is_left_out_and_any_other_is_named(files):
    path = Path(folder(files.paths.checkpoint(Run("small", "none", "xnli", 1))), "metrics.jsonl")
    whole, before = path.read_text(), collect_runs(files.grid)[1]
    path.write_text(whole + '{"step": 21, "lo')
    assert collect_runs(files.grid)[1].equals(before)
    path.write_text(whole.replace('{"step": 3,', '{"step" 3,', 1))
    with pytest.raises(StiltgridError, match=r"metrics\.jsonl: line 3 is not JSON"):
        collect_runs(files.grid)


def test_written_tables_come_back_and_others_are_refused(files, tmp_path):
    runs, training = collect_runs(files.grid)
    write_runs(tmp_path / "runs.parquet", runs, "runs")
    write_runs(tmp_path / "training.parquet", training, "training")
    assert read_runs(tmp_path / "runs.parquet", "runs").equals(runs)
    assert read_runs(tmp_path / "training.parquet", "training").equals(training)
    with pytest.raises(StiltgridError, match="not a table of training"):
        read_runs(tmp_path / "runs.parquet", "training")
    with pytest.raises(StiltgridError, match="no such file"):
        read_runs(tmp_path / "x.parquet", "runs")


@pytest.mark.parametrize(
    ("heading", "columns", "version"),
    [
        ("scores.parquet", collect.COLUMNS, collect.SCHEMA_VERSION),
        ("runs.parquet", RUN_COLUMNS, 1),
        ("training.parquet", TRAINING_COLUMNS, 1),
    ],
)
def test_the_documented_columns_are_those_that_are_written(heading, columns, version):
    section = RESULTS.read_text(encoding="utf-8").split(f"## `analysis/{heading}`")[1].split("\n## ")[0]
    assert f"schema version {version}" in section
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, flags=re.MULTILINE)
    types = {"double": "float64", "boolean": "bool"}
    assert {name: types.get(kind, kind) for name, kind in rows} == dict(columns)


class Counter:
    """NVML of one board that has used 1,000 J more at each look, from 5,000 J on."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.looks = 4

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:  # noqa: N802
        return name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        assert handle == "GPU-1234"
        self.looks += 1
        return 1_000_000 * self.looks


@pytest.fixture
def board(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda k: SimpleNamespace(uuid="1234"))
    nvml = Counter()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return nvml


def test_a_meter_counts_from_its_start_and_goes_on_from_earlier_processes(board):
    assert energy.Meter().joules() == 1000.0
    assert energy.Meter(500.0).joules() == 1500.0
    assert energy.Meter(None).joules() is None
    # two boards, each a look
    assert energy.Meter(every=True).joules() == 4000.0


def test_a_board_without_the_counter_measures_nothing(board, monkeypatch):
    def refuse(self, handle):
        raise Counter.NVMLError("not supported")

    monkeypatch.setattr(Counter, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    assert energy.Meter().joules() is None


def test_without_a_gpu_there_is_no_energy():
    assert energy.Meter().joules() is None
    assert energy.device_name() == "cpu"
