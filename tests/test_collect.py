"""Collection of score files; `small_grid` and `Files` also serve the tests of status, plan and tables."""

from pathlib import Path

import pytest

from stiltgrid.artifacts import digest, read_json, write_json
from stiltgrid.collect import COLUMNS, collect, comparability, read_scores, write_scores
from stiltgrid.comparability import column_of
from stiltgrid.config import validate
from stiltgrid.diagnostics import DIAGNOSTICS
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Arm, Cell, Grid, Run, folder
from stiltgrid.predictions import Prediction, write_predictions
from stiltgrid.recipes import training_recipe
from stiltgrid.store import prediction_key

SMALL = {
    "grid": "toy",
    "title": "Toy grid & friends",
    "note": "A miniature: its numbers mean nothing.",
    "seeds": 2,
    "models": {
        "small": {
            "source": "demo:base",
            "family": "heads",
            "title": "Small_1",
            "cost": {
                "parameters": 1e9,
                "compute_parameters": 0.5e9,
                "device_tflops": 100,
                "utilisation": 0.5,
                "tokens_per_example": 100,
            },
        },
        "large": {"source": "demo:xxl", "family": "heads", "execution": {"strategy": "zero3", "devices": 2}},
    },
    "intermediates": {"none": {}, "mnli": {"tasks": ["mnli"], "title": "MNLI"}, "qqp": {"tasks": ["qqp"]}},
    "targets": {
        "xnli": {"task": "xglue/xnli", "languages": ["en", "de", "fr"]},
        "pos": {"task": "xglue/pos", "languages": ["en", "de"]},
        "ntg": {"task": "xglue/ntg", "languages": ["en", "de"]},
    },
}


def small_grid(**changes):
    return Grid(validate({**SMALL, **changes}))


class Files:
    """Writes a grid's artifacts below the working folder, as the real stages would."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.paths = grid, grid.paths

    @staticmethod
    def fingerprint(cell: Cell) -> str:
        return digest([cell.target, cell.language])

    def key(self, cell: Cell) -> str:
        decoding = self.grid.decoding(cell.target, cell.model)
        name = self.grid.tasks[cell.target].name
        return prediction_key(digest(cell.run), self.fingerprint(cell), name, cell.language, decoding)

    def pretrained(self, model: str, **more) -> None:
        write_json(self.paths.pretrained(model), {"schema_version": 1, "digest": digest(model), **more})

    def arm(self, arm: Arm, **more) -> None:
        write_json(self.paths.arm(arm), {"schema_version": 1, "digest": digest(arm), **more})

    def checkpoint(self, run: Run, **more) -> None:
        write_json(self.paths.checkpoint(run), {"schema_version": 1, "digest": digest(run), **more})

    def prediction(self, cell: Cell, **more) -> None:
        about = {"key": self.key(cell), "model_digest": digest(cell.run), **more}
        write_predictions(self.paths.prediction(cell), [Prediction(id="0", label="x")], about)

    def score(self, cell: Cell, /, *values: float, **more) -> None:
        task = self.grid.tasks[cell.target]
        recipe = training_recipe(self.grid, cell.model, cell.intermediate, cell.target, cell.seed)
        record = {
            "schema_version": 2,
            "cell": cell._asdict(),
            "task": task.name,
            "split": "test",
            "main": task.metrics[0],
            "metrics": dict(zip(task.metrics, values, strict=False)),
            "n": 100,
            "examples": 10,
            "unit": "example",
            "prediction_key": self.key(cell),
            "recipe_hash": digest(recipe),
            "model_digest": digest(cell.run),
            "data_fingerprint": self.fingerprint(cell),
            "comparability": comparability(recipe),
            "diagnostics": dict.fromkeys(DIAGNOSTICS, None) | {"truncated": 2.5 * (cell.language == "de")},
        }
        write_json(self.paths.score(cell), {**record, **more})

    def done(self, cell: Cell, *values: float) -> None:
        if not Path(self.paths.checkpoint(cell.run)).exists():
            self.checkpoint(cell.run)
        self.prediction(cell)
        self.score(cell, *values)

    def everything(self) -> None:
        """All cells done: seed 2 is 1 point above seed 1; German 10, French 20 below English."""
        for model in self.grid.config.models:
            self.pretrained(model)
        for arm in self.grid.arms:
            self.arm(arm)
        for cell in self.grid.cells():
            self.done(cell, *values_of(cell))


def values_of(cell: Cell) -> tuple[float, float]:
    """Scores by the first and the second metric."""
    model = {"small": 50.0, "large": 70.0}[cell.model]
    arm = {"none": 0, "mnli": 2.25, "qqp": -1.25}[cell.intermediate]
    language = {"en": 0, "de": -10}.get(cell.language, -20)
    value = model + arm + language + cell.seed - 1
    return value, value + 5


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return small_grid()


def first_cell(grid, **changes):
    return next(iter(grid.cells()))._replace(**{"language": "en", **changes})


def test_one_row_a_cell_and_metric_in_grid_order(grid):
    Files(grid).everything()
    frame = collect(grid, partial=False)
    assert list(frame.columns) == list(COLUMNS)
    done = frame[frame.status == "done"]
    # 2 models x 3 arms x 2 seeds x (3 languages x 1 metric + 2 languages x 2 metrics)
    assert len(done) == 2 * 3 * 2 * (3 + 2 * 2)
    assert len(frame) - len(done) == 2 * 3 * 2 * 2
    cells = list(dict.fromkeys(done[list(Cell._fields)].itertuples(index=False, name=None)))
    assert cells == [tuple(c) for c in grid.cells()]
    row = frame[(frame.model == "large") & (frame.intermediate == "mnli") & (frame.language == "fr")].iloc[1]
    assert (row.value, row.metric, row.main, row.n, row.examples) == (53.25, "accuracy", True, 100, 10)
    assert set(frame[frame.target == "ntg"].status) == {"excluded"}


def test_missing_and_failed_cells_are_rows_only_if_partial(grid):
    files, cell = Files(grid), first_cell(grid)
    files.done(cell, 50.0)
    failed = first_cell(grid, seed=2)
    note = folder(grid.paths.checkpoint(failed.run)) + "/failed.json"
    write_json(note, {"reason": "out of memory", "when": "", "log": "x.log"})
    with pytest.raises(StiltgridError, match="59 of 84 cells are not done"):
        collect(grid, partial=False)
    frame = collect(grid, partial=True)
    assert frame.status.value_counts().to_dict() == {"missing": 56, "excluded": 24, "failed": 3, "done": 1}
    reasons = frame[frame.status == "failed"].reason
    assert set(reasons) == {"phase (iii): out of memory"}
    assert frame[frame.status != "done"].value.isna().all()


def test_the_table_survives_the_file(grid, tmp_path):
    Files(grid).done(first_cell(grid), 50.0)
    frame = collect(grid, partial=True)
    write_scores(tmp_path / "a" / "scores.parquet", frame)
    again = read_scores(tmp_path / "a" / "scores.parquet")
    assert again.equals(frame)
    with pytest.raises(StiltgridError, match="columns"):
        write_scores(tmp_path / "b.parquet", frame.drop(columns="n"))


def test_a_damaged_table_is_named(tmp_path):
    path = tmp_path / "scores.parquet"
    with pytest.raises(StiltgridError, match="no such file"):
        read_scores(path)
    path.write_bytes(b"PAR1 half")
    with pytest.raises(StiltgridError, match=r"scores\.parquet: not a whole Parquet file"):
        read_scores(path)


@pytest.mark.parametrize("partial", [True, False])
def test_a_truncated_score_file_is_an_error_that_names_it(grid, partial):
    cell = first_cell(grid)
    Files(grid).everything()
    path = Path(grid.paths.score(cell))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StiltgridError, match=r"scores/small/none/xnli/seed1/en\.json: not whole JSON"):
        collect(grid, partial=partial)


@pytest.mark.parametrize(
    ("key", "what", "other"),
    [("data_fingerprint", "test data", "en"), ("comparability", "target recipe", "de")],
)
def test_cells_that_must_agree_and_do_not_are_both_named(grid, key, what, other):
    files = Files(grid)
    files.everything()
    cell = first_cell(grid, intermediate="qqp", seed=2)
    files.score(cell, 50.0, **{key: "f" * 64})
    with pytest.raises(StiltgridError, match=what) as error:
        collect(grid, partial=True)
    # the first cell of the group: of the language for test data, of the model and target for the recipe
    assert f"small/none/xnli/seed1/{other}" in str(error.value)
    assert "small/qqp/xnli/seed2/en" in str(error.value)


def trained(grid, run: Run, **changes) -> dict:
    """A checkpoint's manifest with recipe and identity, some of them changed."""
    recipe = training_recipe(grid, *run)
    rows = {grid.tasks[run.target].name: {"train": ["a" * 64], "dev": ["b" * 64]}}
    parent = digest(Arm(run.model, run.intermediate, run.seed) if run.intermediate != "none" else run.model)
    return {"recipe": recipe, "identity": {"data": rows, "pretrained": digest(run.model), "parent": parent}, **changes}


@pytest.fixture
def recorded(grid):
    """A finished grid whose manifests name recipes, rows and what they start from."""
    files = Files(grid)
    files.everything()
    for run in grid.runs:
        files.checkpoint(run, **trained(grid, run))
    for arm in grid.arms:
        recipe = training_recipe(grid, arm.model, arm.intermediate, None, arm.seed)
        files.arm(arm, recipe=recipe, identity={"data": {"t": {"train": ["c" * 64]}}, "pretrained": digest(arm.model)})
    return files


def test_columns_arms_and_intermediates_that_agree_are_collected(grid, recorded):
    assert set(collect(grid, partial=False).status) == {"done", "excluded"}


def test_models_of_a_column_share_formulation_and_training_rows(grid, recorded, monkeypatch):
    run = Run("large", "none", "xnli", 1)
    other = {"xglue/xnli": {"train": ["d" * 64], "dev": ["b" * 64]}}
    identity = trained(grid, run)["identity"] | {"data": other}
    recorded.checkpoint(run, **trained(grid, run, identity=identity))
    with pytest.raises(StiltgridError, match="same training data") as error:
        collect(grid, partial=True)
    assert "small/none/xnli/seed1/de and large/none/xnli/seed1/de differ" in str(error.value)
    # the config's own recipe is compared elsewhere; here the recorded ones are, with each other
    monkeypatch.setattr("stiltgrid.status.training_recipe", lambda grid, *run: read_recipe(grid, *run))
    recipe = training_recipe(grid, *run)
    recipe = {**recipe, "formulation": {**recipe["formulation"], "version": 0}}
    recorded.checkpoint(run, **trained(grid, run, recipe=recipe))
    with pytest.raises(StiltgridError, match="task and formulation") as error:
        collect(grid, partial=True)
    assert "small/none/xnli/seed1/de and large/none/xnli/seed1/de differ" in str(error.value)
    assert "formulation.version was 1, the other has 0; retrain" in str(error.value)


def read_recipe(grid, model, arm, target, seed):
    path = (
        grid.paths.arm(Arm(model, arm, seed))
        if target is None
        else grid.paths.checkpoint(Run(model, arm, target, seed))
    )
    return read_json(path)["recipe"]


def test_all_targets_of_an_arm_rest_on_one_intermediate_and_one_model(grid, recorded):
    run = Run("small", "mnli", "pos", 2)
    identity = trained(grid, run)["identity"]
    recorded.checkpoint(run, **trained(grid, run, identity={**identity, "pretrained": "e" * 64}))
    with pytest.raises(StiltgridError, match=r"pretrained weights.*small/none/xnli/seed1/de.*small/mnli/pos/seed2/de"):
        collect(grid, partial=True)
    recorded.checkpoint(run, **trained(grid, run))
    arm = Arm("large", "qqp", 1)
    recipe = training_recipe(grid, *arm[:2], None, 1)
    recorded.arm(arm, recipe=recipe, identity={"data": {"t": {"train": ["9" * 64]}}})
    with pytest.raises(StiltgridError, match="intermediate training data") as error:
        collect(grid, partial=True)
    assert "small/qqp/xnli/seed1/de and large/qqp/xnli/seed1/de differ" in str(error.value)


def test_a_score_of_predictions_of_another_version_or_decoding_is_refused(grid):
    files, cell = Files(grid), first_cell(grid)
    files.done(cell, 50.0)
    files.prediction(cell, key="f" * 64)
    files.score(cell, 50.0, prediction_key="f" * 64)
    with pytest.raises(StiltgridError, match=r"none/xnli/seed1/en\.json: rests on predictions with key ffff"):
        collect(grid, partial=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "dev"}, "scores split 'dev', the config asks for 'test'"),
        ({"task": "xglue/pawsx"}, "the config's xnli is xglue/xnli"),
        ({"schema_version": 9}, "schema version 9, expected 2"),
        ({"cell": {"model": "other"}}, "was it copied here"),
        ({"main": "f1"}, "main metric 'f1' is not among"),
    ],
)
def test_a_score_file_that_does_not_fit_is_refused(grid, change, message):
    files, cell = Files(grid), first_cell(grid)
    files.done(cell, 50.0)
    files.score(cell, 50.0, **change)
    with pytest.raises(StiltgridError, match=message):
        collect(grid, partial=True)


def test_a_score_file_that_lacks_a_key_is_refused(grid):
    files, cell = Files(grid), first_cell(grid)
    files.done(cell, 50.0)
    record = read_json(grid.paths.score(cell))
    del record["comparability"]
    write_json(grid.paths.score(cell), record)
    with pytest.raises(StiltgridError, match="lacks comparability"):
        collect(grid, partial=True)


def test_comparability_ignores_the_seed_and_nothing_else(grid):
    one, two = (training_recipe(grid, "small", "none", "xnli", seed) for seed in (1, 2))
    assert comparability(one) == comparability(two)
    other = {**one, "training": {**one["training"], "learning_rate": 1.0}}
    assert comparability(one) != comparability(other)


def test_models_of_two_families_are_one_column(grid):
    arms = {"none": {}, "both": {"tasks": ["mnli", "anli"]}}
    models = {"encoder": {"source": "demo:base", "family": "heads"}, "mt5": {"source": "demo:base"}}
    mixed = small_grid(models=models, intermediates=arms)
    encoder, mt5 = (training_recipe(mixed, model, "both", None, 1) for model in models)
    assert encoder["formulation"] != mt5["formulation"]  # a shared head is a matter of encoders alone
    assert column_of(encoder) == column_of(mt5)
    other = {**mt5, "formulation": {**mt5["formulation"], "version": 0}}
    assert column_of(other) != column_of(mt5)


def test_a_metric_without_a_value_is_nan(grid):
    cell = first_cell(grid)
    files = Files(grid)
    files.done(cell, 50.0)
    files.score(cell, 50.0, metrics={"accuracy": None})
    frame = collect(grid, partial=True)
    assert frame[frame.status == "done"].value.isna().tolist() == [True]
