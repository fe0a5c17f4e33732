import io
import json

import pytest
from rich.console import Console
from test_collect import SMALL, Files, first_cell, small_grid

from stiltgrid.artifacts import digest, write_json
from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, DataFile, folder
from stiltgrid.plan import plan
from stiltgrid.plan_view import bytes_text, hours_text, render_plan, write_plan
from stiltgrid.recipes import training_recipe
from stiltgrid.storage import NOTE
from stiltgrid.store import prediction_key

XNLI_ROWS = 392702
FLOP_A_HOUR = 100e12 * 0.5 * 3600


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Files(small_grid())


def line(reckoned, stage, model=""):
    return next(x for x in reckoned.lines if (x.stage, x.model) == (stage, model))


def rendered(reckoned):
    out = io.StringIO()
    render_plan(reckoned, Console(file=out, width=180))
    return out.getvalue()


def only(target, **more):
    return small_grid(targets={target: {**SMALL["targets"][target], **more}}, intermediates={"none": {}})


def test_counts_of_what_is_left(files):
    reckoned = plan(files.grid)
    # large and small: 2 arms with a task, 2 seeds; 3 arms x 2 targets x 2 seeds
    assert [(x.stage, x.model, x.total, x.done) for x in reckoned.lines] == [
        ("pretrained", "", 2, 0),
        # mnli, qqp, xnli, pos: train and dev; xnli test in 3 languages, pos in 2
        ("data", "", 13, 0),
        ("train phase ii", "small", 4, 0),
        ("train phase ii", "large", 4, 0),
        ("train phase iii", "small", 12, 0),
        ("train phase iii", "large", 12, 0),
        ("predict", "small", 30, 0),
        ("predict", "large", 30, 0),
        ("score", "", 60, 0),
        ("tables", "", 1, 0),
    ]


def test_nothing_is_left_when_everything_is_there(files):
    files.everything()
    reckoned = plan(files.grid)
    assert {(x.stage, x.left) for x in reckoned.lines if x.left} == {("data", 13), ("tables", 1)}
    assert "No training or prediction is left." in rendered(reckoned)


def test_a_checkpoint_of_another_recipe_is_left_to_do(files):
    run = first_cell(files.grid).run
    recipe = training_recipe(files.grid, *run)
    files.checkpoint(run, recipe=recipe)
    assert line(plan(files.grid), "train phase iii", "small").done == 1
    files.checkpoint(run, recipe={**recipe, "seed": 7})
    assert line(plan(files.grid), "train phase iii", "small").done == 0


def test_training_hours_by_hand(files):
    found = line(plan(only("xnli")), "train phase iii", "small")
    # 6 x 0.5e9 parameters x 100 tokens x 3 epochs, 2 seeds
    assert found.known_hours == pytest.approx(2 * 6 * 0.5e9 * 100 * 3 * XNLI_ROWS / FLOP_A_HOUR)
    assert found.basis == {"estimated": 2}


@pytest.mark.parametrize(
    ("training", "examples", "tokens"),
    [
        ({"train_examples": 1000}, 3 * 1000, 100),
        ({"max_steps": 50, "batch_size": 16}, 800, 100),
        ({"epochs": 0.5, "max_input_length": 64}, 0.5 * XNLI_ROWS, 64),
    ],
)
def test_caps_steps_and_lengths_count(files, training, examples, tokens):
    found = line(plan(only("xnli", training=training)), "train phase iii", "small")
    assert found.known_hours == pytest.approx(2 * 6 * 0.5e9 * tokens * examples / FLOP_A_HOUR)


def test_prepared_rows_replace_published_ones(files):
    grid = only("xnli")
    path = grid.paths.data(DataFile("xglue/xnli", "train", "en"))
    write_json(path.replace(".parquet", ".json"), {"schema_version": 1, "examples": 64, "fingerprint": "0"})
    found = line(plan(grid), "train phase iii", "small")
    assert found.known_hours == pytest.approx(2 * 6 * 0.5e9 * 100 * 3 * 64 / FLOP_A_HOUR)


def test_prediction_hours_by_hand(files):
    found = line(plan(only("xnli")), "predict", "small")
    # 2 seeds x 3 languages x 5010 rows
    assert found.known_hours == pytest.approx(6 * 2 * 0.5e9 * 100 * 5010 / FLOP_A_HOUR)


def test_measured_runs_replace_estimates(files):
    grid = files.grid
    for seed, seconds in ((1, 3600.0), (2, 7200.0)):
        run = first_cell(grid, seed=seed).run
        files.checkpoint(run, seconds={"train": 1.0, "total": seconds}, execution={"devices": 2})
    files.arm(Arm("small", "mnli", 1), seconds={"total": 1800.0}, execution={"devices": 1})
    reckoned = plan(grid)
    found = line(reckoned, "train phase iii", "small")
    assert found.basis == {"estimated": 6, "measured n=2": 4}
    estimated = line(plan(only("pos")), "train phase iii", "small").known_hours / 2
    # 4 xnli runs of (2 + 4) / 2 device hours, 6 estimated pos runs
    assert found.known_hours == pytest.approx(4 * 3 + 6 * estimated)
    arms = line(reckoned, "train phase ii", "small")
    assert (arms.done, arms.basis) == (1, {"estimated": 2, "measured n=1": 1})


def test_measured_predictions_replace_estimates_on_one_device(files):
    cell = first_cell(files.grid, model="large")
    files.checkpoint(cell.run)
    files.prediction(cell, seconds=36.0)
    found = line(plan(files.grid), "predict", "large")
    # 17 other xnli cells at 36 s: prediction runs on one device, whatever training takes; pos is unknown
    assert found.known_hours == pytest.approx(17 * 36 / 3600)
    assert (found.unknown, found.left) == (12, 29)


def test_unknown_cost_is_unknown_and_never_zero(files):
    reckoned = plan(files.grid)
    found = line(reckoned, "train phase iii", "large")
    assert (found.unknown, found.longest) == (12, None)
    text = rendered(reckoned)
    row = next(x for x in text.splitlines() if "large" in x and "12" in x)
    assert "unknown" in row
    assert "runs and cells have unknown cost" in text
    disk = next(d for d in reckoned.disk if d.model == "large")
    assert (disk.each, disk.transient, disk.basis) == (None, None, "unknown")


def test_disk_by_hand_and_measured(files):
    disk = plan(files.grid).disk[0]
    # fp32: 4 bytes x 1e9; 4 arms and 12 runs are kept; training: 2 checkpoints of 12 bytes, 2 evaluations' weights
    assert (disk.model, disk.storage, disk.kept, disk.left, disk.each) == ("small", "all", 16, 16, 4e9)
    assert (disk.transient, disk.peak) == (2 * 12e9 + 2 * 4e9, 16 * 4e9 + 32e9)
    # all weights are reckoned with already: one more run at the same time is its training checkpoints
    assert disk.further == 32e9 and "+ 32.0 GB" in rendered(plan(files.grid))
    weights = {"a.safetensors": {"bytes": 3_000, "sha256": ""}, "b.json": {"bytes": 500, "sha256": ""}}
    files.checkpoint(first_cell(files.grid).run, weights=weights)
    disk = plan(files.grid).disk[0]
    assert (disk.each, disk.basis, disk.left) == (3500, "measured n=1", 15)


@pytest.mark.parametrize(("storage", "kept", "most"), [("intermediate", 4, 5), ("none", 0, 5)])
def test_disk_under_a_storage_policy(files, storage, kept, most):
    rows = {**SMALL["models"], "small": {**SMALL["models"]["small"], "storage": storage}}
    reckoned = plan(small_grid(models=rows, training={"selection": "last_step"}))
    disk = reckoned.disk[0]
    assert (disk.storage, disk.kept, disk.most, disk.peak) == (storage, kept, most, most * 4e9 + 24e9)
    assert disk.further == 24e9 + 4e9  # and its own weights, until it is predicted
    assert storage in rendered(reckoned)


def test_what_is_trained_again_counts_as_left_and_says_its_cost(files):
    """A language was added to runs whose weights are gone: they, and all their languages, are left to do."""
    rows = {**SMALL["models"], "small": {**SMALL["models"]["small"], "storage": "intermediate"}}
    grid = small_grid(models=rows)
    run = first_cell(grid).run
    files.checkpoint(run)
    for cell in grid.cells():
        if cell.run == run:
            path = sidecar(grid.paths.data(grid.evaluation(cell.target, cell.language)))
            write_json(path, {"examples": 5, "fingerprint": cell.language})
            key = prediction_key(digest(run), cell.language, "xglue/xnli", cell.language)
            files.prediction(cell, key=key)
    assert line(plan(grid), "train phase iii", "small").done == 1
    write_json(f"{folder(grid.paths.checkpoint(run))}/{NOTE}", {"digest": "", "bytes": 1, "when": ""})
    reckoned = plan(grid)
    assert line(reckoned, "train phase iii", "small").done == 1 and not reckoned.warnings
    assert line(reckoned, "predict", "small").done == 3
    targets = {**SMALL["targets"], "xnli": {"task": "xglue/xnli", "languages": ["en", "de", "fr", "es"]}}
    reckoned = plan(small_grid(models=rows, targets=targets))
    assert line(reckoned, "train phase iii", "small").done == 0
    assert line(reckoned, "predict", "small").done == 0
    hours = 6 * 0.5e9 * 100 * 3 * XNLI_ROWS / FLOP_A_HOUR
    assert f"1 checkpoint (phase iii) is to be trained again, in about {hours:.1f} device hours" in rendered(reckoned)


def test_bf16_halves_the_disk_and_the_pretrained_manifest_gives_parameters(files):
    grid = small_grid(training={"precision": "bf16"})
    files.pretrained("large", parameters=2e9)
    small, large = plan(grid).disk
    assert (small.each, large.each) == (2e9, 4e9)


def test_a_run_longer_than_its_job_is_warned_of(files):
    assert plan(only("xnli")).warnings == ()
    slow = {**SMALL["models"]["small"], "resources": {"runtime": 10}}
    grid = small_grid(models={"small": slow}, targets={"xnli": SMALL["targets"]["xnli"]})
    assert any("models.small.resources.runtime is 10 min" in w for w in plan(grid).warnings)


def test_files_are_written(files, tmp_path):
    reckoned = plan(files.grid)
    page, record = write_plan(reckoned, tmp_path / "out")
    found = json.loads(record.read_text())
    assert found["unknown"] == reckoned.unknown
    assert found["lines"][2]["left"] == 4
    assert found["disk"][0]["further"] == 32e9 and found["disk"][1]["further"] is None
    text = page.read_text()
    assert text.startswith("# Plan of Toy grid & friends\n")
    assert "| train phase iii | small |    12 |" in text


@pytest.mark.parametrize(
    ("hours", "text"), [(0, "0"), (0.001, "< 1 min"), (0.5, "30 min"), (12.34, "12.3 h"), (1234.5, "1,234 h")]
)
def test_hours_are_readable(hours, text):
    assert hours_text(hours) == text


@pytest.mark.parametrize(("size", "text"), [(None, "unknown"), (999, "999 B"), (2.3e9, "2.3 GB"), (155e9, "155 GB")])
def test_bytes_are_readable(size, text):
    assert bytes_text(size) == text
