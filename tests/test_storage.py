"""What weights are needed for, without training any: the policies of `storage` and their notes."""

from pathlib import Path

import pytest
from test_collect import SMALL, Files, small_grid

from stiltgrid import storage
from stiltgrid.artifacts import digest, read_json, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, Cell, Grid, Run
from stiltgrid.predict import check_weights
from stiltgrid.predictions import Prediction
from stiltgrid.recipes import training_recipe
from stiltgrid.storage import Storage, gone, remove
from stiltgrid.store import Store, prediction_key
from stiltgrid.train import finished

WEIGHTS = {"model.safetensors": {"bytes": 4, "sha256": ""}}


def grid_of(policy: str = "none", **changes) -> Grid:
    models = {"small": {**SMALL["models"]["small"], "storage": policy}}
    targets = {name: SMALL["targets"][name] for name in ("xnli", "pos")}
    return small_grid(**{"models": models, "targets": targets, "seeds": 1, **changes})


class World(Files):
    """Finished runs with weights, their predictions in the store."""

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self.store = Store(grid.paths.store)
        for run in grid.runs:
            for language in grid.languages(run.target):
                path = sidecar(self.paths.data(grid.evaluation(run.target, language)))
                write_json(path, {"fingerprint": f"{run.target} {language}", "examples": 1})
        for arm in grid.arms:
            self.arm(arm, weights=WEIGHTS)
            self.weights(arm)

    def weights(self, run: Arm | Run) -> Path:
        folder = Storage(self.grid).folder(run) / "weights"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_text("1234")
        return folder

    def trained(self, run: Run, **more) -> None:
        arm = Arm(run.model, run.intermediate, run.seed)
        identity = {"parent": digest(arm), "data": {}}
        recipe = training_recipe(self.grid, *run)
        self.checkpoint(run, **{"recipe": recipe, "identity": identity, "weights": WEIGHTS, **more})
        self.weights(run)

    def predicted(self, run: Run, languages=None) -> None:
        for language in languages or self.grid.languages(run.target):
            task = self.grid.tasks[run.target].name
            key = prediction_key(digest(run), f"{run.target} {language}", task, language)
            self.store.put(key, [Prediction("0", label="x")], {})


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return World(grid_of())


def names(folders) -> list[str]:
    return [str(folder.relative_to("results/toy/checkpoints/small")) for folder in folders]


def test_weights_go_when_all_languages_are_whole_in_the_store_and_no_sooner(world):
    kept = Storage(world.grid)
    run = Run("small", "mnli", "xnli", 1)
    world.trained(run)
    world.predicted(run, ["en", "de"])
    assert kept.tidy(run) == []
    world.predicted(run)
    entry = next(world.store.root.glob("??/*.parquet"))
    whole = entry.read_bytes()
    entry.write_bytes(whole[:20])
    assert kept.tidy(run) == []
    entry.write_bytes(whole)
    world.predicted(run)
    assert names(r.folder for r in kept.tidy(run)) == ["mnli/xnli/seed1"]
    assert gone(kept.folder(run)) and kept.tidy(run) == []
    assert (kept.folder(run) / "manifest.json").exists()
    assert read_json(kept.folder(run) / storage.NOTE)["bytes"] == 4


def test_the_parent_goes_with_its_last_child(world):
    kept = Storage(world.grid)
    first, last = Run("small", "mnli", "xnli", 1), Run("small", "mnli", "pos", 1)
    for run in (first, last):
        world.trained(run)
    world.predicted(first)
    assert names(r.folder for r in kept.tidy(first)) == ["mnli/xnli/seed1"]
    world.predicted(last)
    assert names(r.folder for r in kept.sweep(delete=False)) == ["mnli/seed1", "mnli/pos/seed1"]
    assert names(r.folder for r in kept.tidy(last)) == ["mnli/pos/seed1", "mnli/seed1"]
    assert kept.sweep(delete=True) == []


@pytest.mark.parametrize(
    ("policy", "left"), [("all", ["mnli/pos/seed1", "mnli/seed1"]), ("intermediate", ["mnli/seed1"])]
)
def test_other_policies_keep_more(tmp_path, monkeypatch, policy, left):
    monkeypatch.chdir(tmp_path)
    grid = grid_of(policy, targets={"pos": SMALL["targets"]["pos"]}, intermediates={"mnli": {"tasks": ["mnli"]}})
    world, run = World(grid), Run("small", "mnli", "pos", 1)
    world.trained(run)
    world.predicted(run)
    Storage(grid).tidy(run)
    assert sorted(names(p.parent for p in Path("results").rglob("weights"))) == left


def test_what_was_removed_is_asked_for_only_where_it_is_needed(world):
    run, arm = Run("small", "mnli", "xnli", 1), Arm("small", "mnli", 1)
    other = Run("small", "mnli", "pos", 1)
    for one in (run, other):
        world.trained(one)
        world.predicted(one)
    kept = Storage(world.grid)
    kept.tidy(run)
    kept.tidy(other)
    assert (kept.again(run), kept.again(arm)) == (None, None)
    world.store.discard(next(iter(world.store.entries())))
    lacking = [one for one in (run, other) if kept.lacking(one)]
    assert len(lacking) == 1
    assert kept.again(lacking[0]) == str(kept.folder(lacking[0]) / storage.NOTE)
    assert kept.again(arm) == str(kept.folder(arm) / storage.NOTE)
    # a longer language list, a new target, another recipe
    more = Storage(grid_of(targets={**SMALL["targets"], "xnli": {"task": "xglue/xnli", "languages": ["en", "es"]}}))
    assert more.lacking(run) == ["es"]
    recipe = {"xnli": {**SMALL["targets"]["xnli"], "training": {"learning_rate": 0.5}}}
    assert Storage(grid_of(targets=recipe)).again(arm)
    world.weights(run)
    assert Storage(world.grid).again(run) is None


def test_predictions_outside_of_the_store_count_as_had(world):
    """The store was cleared by hand: what lies in its place need not be trained for."""
    run = Run("small", "none", "pos", 1)
    world.trained(run)
    kept = Storage(world.grid)
    for cell in world.grid.cells():
        if cell.run == run:
            task = world.grid.tasks[run.target].name
            key = prediction_key(digest(run), f"pos {cell.language}", task, cell.language)
            world.prediction(cell, key=key)
    assert kept.lacking(run) == []
    assert set(kept.lacking(run, whole=True)) == {"en", "de"}
    assert kept.tidy(run) == []


def test_a_parent_trained_again_keeps_its_children(world):
    run, arm = Run("small", "mnli", "xnli", 1), Arm("small", "mnli", 1)
    world.trained(run)
    kept = Storage(world.grid)
    assert not kept.must_train(run)
    world.arm(arm, weights=WEIGHTS, digest="new")
    assert kept.must_train(run)
    world.arm(arm, weights=WEIGHTS, digest="new", replaces=[digest(arm)])
    assert not kept.must_train(run)


def test_changed_rows_need_the_parent(world):
    run = Run("small", "mnli", "xnli", 1)
    data = {"xglue/xnli": {"train": ["old"], "dev": ["old"]}}
    world.trained(run, identity={"parent": digest(Arm("small", "mnli", 1)), "data": data})
    kept = Storage(world.grid)
    assert not kept.must_train(run)  # not read yet
    for files in world.grid.training_files(None, "xnli").values():
        for file in (file for group in files.values() for file in group):
            write_json(sidecar(world.paths.data(file)), {"fingerprint": "old"})
    assert not kept.must_train(run)
    write_json(sidecar(world.paths.data(file)), {"fingerprint": "new"})
    assert kept.must_train(run)


def test_a_kill_at_any_step_of_removal_is_harmless(world, monkeypatch):
    run = Run("small", "none", "xnli", 1)
    world.trained(run)
    folder = Storage(world.grid).folder(run)

    class Kill(BaseException):
        pass

    def killed(*_, **__):
        raise Kill

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(Kill):
            remove(folder)
    assert not gone(folder)
    check_weights(folder)
    with monkeypatch.context() as patch:
        calls = iter([lambda *_, **__: None, killed])
        patch.setattr(storage.shutil, "rmtree", lambda *a, **k: next(calls)(*a, **k))
        with pytest.raises(Kill):
            remove(folder)
    assert gone(folder)
    assert remove(folder) is None
    assert not (folder / storage.GOING).exists()
    with pytest.raises(StiltgridError, match="run the same snakemake command again"):
        check_weights(folder)


def test_a_finished_run_without_weights_is_finished_unless_they_are_needed(world):
    run = Run("small", "none", "xnli", 1)
    world.trained(run, recipe_hash="h")
    folder = Storage(world.grid).folder(run)
    (folder / "manifest.json").rename(folder / "complete.json")
    remove(folder)
    assert finished(folder, ["g", "h"], lambda: False)["recipe_hash"] == "h"
    assert finished(folder, ["h"], lambda: True) is None
    assert finished(folder, ["g"], lambda: False) is None


def test_rows_that_are_being_read_again_train_nothing(world):
    """A forced data job takes its old file away while training jobs already ask what their weights are needed for."""
    kept = Storage(world.grid)
    run = Run("small", "mnli", "xnli", 1)
    world.trained(run)
    world.predicted(run)
    for language in world.grid.languages("xnli"):
        world.prediction(Cell("small", "mnli", "xnli", language, 1))
    assert kept.tidy(run)
    sidecar(world.paths.data(world.grid.evaluation("xnli", "de"))).unlink()
    assert not kept.needed(run) and kept.again(run) is None
    assert kept.lacking(run, whole=True) == ["de"]
    Path(world.paths.prediction(Cell("small", "mnli", "xnli", "de", 1))).unlink()
    assert kept.needed(run)
