import subprocess
import sys
from copy import deepcopy

import pytest
from test_config import SMALL

from stiltgrid.config import load, validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Arm, Cell, Grid, Run
from stiltgrid.intermediates import training_tasks
from stiltgrid.recipes import merged, training_recipe
from stiltgrid.wiring.jobs import Jobs


def small(**changes) -> Grid:
    return Grid(validate(deepcopy(SMALL) | changes))


def test_expansion_counts_models_arms_targets_languages_and_seeds():
    grid = small(seeds=2, baseline_seeds=3)
    assert len(grid.runs) == 3 + 2  # none with 3 seeds, mnli with 2
    assert grid.arms == (Arm("tiny", "mnli", 1), Arm("tiny", "mnli", 2))
    assert len(list(grid.cells())) == 5 * 2
    assert len(set(grid.cells())) == 10


def test_model_overrides_the_grids_seeds():
    grid = small(models={"tiny": {"source": "demo:base", "seeds": 1, "baseline_seeds": 4}}, seeds=5)
    assert list(grid.seeds("tiny", "mnli")) == [1]
    assert list(grid.seeds("tiny", "none")) == [1, 2, 3, 4]


def test_paths_are_those_of_the_design():
    paths = small().paths
    assert paths.arm(Arm("m", "mnli", 2)) == "results/small/checkpoints/m/mnli/seed2/manifest.json"
    assert paths.checkpoint(Run("m", "mnli", "xnli", 2)) == "results/small/checkpoints/m/mnli/xnli/seed2/manifest.json"
    cell = Cell("m", "mnli", "xnli", "de", 2)
    assert paths.prediction(cell) == "results/small/predictions/m/mnli/xnli/seed2/de.parquet"
    assert paths.score(cell) == "results/small/scores/m/mnli/xnli/seed2/de.json"


def test_languages_keep_the_official_order():
    grid = small(targets={"xnli": {"task": "xglue/xnli", "languages": ["zh", "de", "ar"]}})
    assert grid.languages("xnli") == ("ar", "de", "zh")


def test_paper_grid_has_both_models_all_arms_and_all_targets():
    grid = Grid(load("config.yaml"))
    assert set(grid.config.models) == {"mt5-base", "mt5-xxl"}
    assert len(grid.config.intermediates) == 11 and len(grid.config.targets) == 11
    # 77 task-languages in XGLUE, 9 baseline seeds and 10 arms with 3 seeds, two models
    languages = sum(len(grid.languages(target)) for target in grid.config.targets)
    assert len(list(grid.cells(with_excluded=True))) == 2 * languages * (9 + 10 * 3)


def test_excluded_cells_have_a_reason_and_no_job():
    grid = small(targets={"ccg": {"task": "intermediate/ccg"}, "xnli": {"task": "xglue/xnli"}})
    assert "intermediate/ccg" in grid.excluded["tiny", "none", "ccg"]
    assert all(run.target == "xnli" for run in grid.runs)


def test_an_arm_whose_files_a_person_must_bring_is_excluded_until_they_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arms = {"none": {}, "ccg": {"tasks": ["ccg"]}, "both": {"tasks": ["mnli", "ccg"]}}

    def reasons(**changes):
        return small(intermediates=arms, **changes).excluded

    assert set(reasons()) == {("tiny", "ccg", "xnli"), ("tiny", "both", "xnli")}
    reason = reasons()["tiny", "both", "xnli"]
    assert "CCGbank is licensed by the LDC" in reason and "`sources` names no folder for it" in reason
    sources = {"intermediate/ccg": {"path": "data/ccg"}}
    assert "there is no data/ccg/ccg.train.tsv" in reasons(sources=sources)["tiny", "ccg", "xnli"]
    (tmp_path / "data/ccg").mkdir(parents=True)
    for split in ("train", "dev"):
        (tmp_path / f"data/ccg/ccg.{split}.tsv").write_text("a\tN\n")
    assert reasons(sources=sources) == {}
    # an archive counts where it, or what was unpacked of it, is there
    packed = {"intermediate/ccg": {"path": "ccg.zip"}}
    assert "there is no ccg.zip" in reasons(sources=packed)["tiny", "ccg", "xnli"]
    (tmp_path / "ccg.zip").write_text("")
    assert reasons(sources=packed) == {}
    # once read, the files may go
    (tmp_path / "ccg.zip").unlink()
    made = tmp_path / "results/small/data/intermediate/ccg"
    made.mkdir(parents=True)
    for split in ("train", "dev"):
        (made / f"{split}.en.parquet").write_text("")
    assert reasons(sources=packed) == {}


def test_of_the_papers_arms_only_ccg_waits_for_files(tmp_path, monkeypatch):
    grid = Grid(load("config.yaml"))
    monkeypatch.chdir(tmp_path)
    assert {arm for _, arm, _ in grid.excluded} == {"ccg", "multi"}


def test_shared_tasks_of_an_arm_are_used_once():
    arms = {arm: row.tasks for arm, row in load("config.yaml").intermediates.items()}
    names = training_tasks("multi", arms)
    assert names.count("intermediate/mnli") == 1
    assert names[:3] == ("intermediate/anli", "intermediate/mnli", "intermediate/snli")


def test_later_layers_replace_earlier_hyperparameters_key_by_key():
    from stiltgrid.schema import TrainingOverride

    top = TrainingOverride(batch_size=8, epochs=2)
    task = TrainingOverride(max_steps=50, learning_rate=1e-3)
    values = merged(top, task)
    assert (values.batch_size, values.max_steps, values.epochs, values.learning_rate) == (8, 50, None, 1e-3)


def test_recipe_of_one_arm_does_not_depend_on_another_arm():
    changed = deepcopy(SMALL["intermediates"]) | {"qqp": {"tasks": ["qqp"], "training": {"learning_rate": 1e-3}}}
    one, two = small(), small(intermediates=changed)
    for target in (None, "xnli"):
        assert training_recipe(one, "tiny", "mnli", target, 1) == training_recipe(two, "tiny", "mnli", target, 1)


def test_recipe_names_no_speed_setting():
    slow = small(models={"tiny": {"source": "demo:base", "execution": {"threads": 7, "micro_batch_size": 3}}})
    assert training_recipe(small(), "tiny", "mnli", None, 1) == training_recipe(slow, "tiny", "mnli", None, 1)


def test_adafactor_on_flat_shards_is_refused():
    model = {"source": "demo:base", "execution": {"strategy": "zero3", "devices": 2}}
    grid = small(models={"tiny": model | {"training": {"optimizer": "adafactor"}}})
    with pytest.raises(StiltgridError, match="flat shards"):
        training_recipe(grid, "tiny", "mnli", None, 1)


def test_baseline_starts_from_the_pretrained_model_and_arms_from_their_checkpoint():
    class W:
        model, target, seed = "tiny", "xnli", "1"
        intermediate = "none"

    jobs = Jobs(small())
    assert jobs.target_inputs(W)[0] == "results/small/models/tiny/manifest.json"
    W.intermediate = "mnli"
    assert jobs.target_inputs(W)[0] == "results/small/checkpoints/tiny/mnli/seed1/manifest.json"


def test_what_every_job_reads_imports_no_numbers():
    """Two processes of each cluster job read the rules."""
    heavy = ("pandas", "numpy", "scipy", "pyarrow", "matplotlib", "sklearn", "sacrebleu")
    rooms = "stiltgrid.wiring.originals, stiltgrid.wiring.results, stiltgrid.patience, stiltgrid.submission.contents"
    code = f"import sys, {rooms}; sys.exit(str([name for name in {heavy} if name in sys.modules] or ''))"
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.stderr.strip() == ""


@pytest.mark.parametrize(
    "module", ["grid", "wiring.results", "status", "plan", "collect", "score", "readers", "paper.tables"]
)
def test_light_rooms_do_not_import_torch(module):
    code = f"import sys, stiltgrid.{module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
