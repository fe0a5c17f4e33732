"""Retrieval targets in a grid: no phase (iii), evaluated on their parent's checkpoint, storage and status follow."""

from pathlib import Path

import pytest
from test_collect import SMALL, Files, small_grid

from stiltgrid.artifacts import digest, read_json, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.evaluated import evaluated_manifest
from stiltgrid.examples import sidecar, write_examples
from stiltgrid.grid import Arm, Cell, Run
from stiltgrid.paper.costs import costs_table
from stiltgrid.plan import plan
from stiltgrid.predict_languages import keys
from stiltgrid.predictions import Prediction, write_predictions
from stiltgrid.readers import read_source
from stiltgrid.recipes import prediction_recipe, training_recipe
from stiltgrid.runs import collect_runs
from stiltgrid.status import cell_states
from stiltgrid.storage import Storage
from stiltgrid.store import Store, prediction_key
from stiltgrid.submission.export import export
from stiltgrid.submission.scoring import score_submission
from stiltgrid.wiring.jobs import Jobs
from stiltgrid.wiring.results import Results

TATOEBA = {"task": "xtreme/tatoeba", "languages": ["de", "fr"]}
NONE, MNLI = Run("small", "none", "tatoeba", 1), Run("small", "mnli", "tatoeba", 1)


def grid_of(storage="all", **changes):
    models = {"small": {**SMALL["models"]["small"], "storage": storage, "retrieval": {"layer": 3, "pooling": "first"}}}
    targets = {"tatoeba": TATOEBA, "xnli": SMALL["targets"]["xnli"]}
    arms = {"none": {}, "mnli": {"tasks": ["mnli"]}}
    return small_grid(**{"models": models, "targets": targets, "intermediates": arms, "seeds": 1, **changes})


class Wild:
    """A rule's wildcards."""

    def __init__(self, run):
        self.model, self.intermediate, self.target, self.seed = (*run[:3], str(run.seed))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_retrieval_run_has_no_training_and_rests_on_phase_ii():
    grid = grid_of()
    jobs = Jobs(grid)
    assert {run.target for run in grid.fine_tuned} == {"xnli"}
    assert {run.target for run in grid.runs} == {"tatoeba", "xnli"}
    assert grid.training_files(None, "tatoeba") == {}
    assert grid.evaluated(NONE) == grid.paths.pretrained("small")
    assert grid.evaluated(MNLI) == grid.paths.arm(Arm("small", "mnli", 1))
    assert jobs.evaluated("tatoeba")(Wild(MNLI)) == grid.evaluated(MNLI)
    assert jobs.evaluated("xnli") == jobs.checkpoint("xnli")
    with pytest.raises(StiltgridError, match=r"targets.tatoeba: xtreme/tatoeba has no training set"):
        training_recipe(grid, *MNLI)


def test_an_arm_that_only_a_retrieval_needs_is_trained():
    assert grid_of(targets={"tatoeba": TATOEBA}).arms == (Arm("small", "mnli", 1),)


def test_settings_are_the_model_s_then_the_target_s():
    grid = grid_of(targets={"tatoeba": {**TATOEBA, "retrieval": {"layer": 5, "neighbours": 7}}})
    how = grid.retrieval("tatoeba", "small")
    assert (how.layer, how.pooling, how.neighbours, how.special_tokens) == (5, "first", 7, True)
    assert Jobs(grid).prediction_params("tatoeba")(Wild(NONE))["retrieval"]["layer"] == 5


def test_settings_are_part_of_predictions_and_of_nothing_that_is_trained():
    one, two = (
        grid_of(),
        grid_of(targets={"tatoeba": {**TATOEBA, "retrieval": {"layer": 5}}, "xnli": SMALL["targets"]["xnli"]}),
    )
    assert training_recipe(one, "small", "mnli", None, 1) == training_recipe(two, "small", "mnli", None, 1)
    assert training_recipe(one, "small", "mnli", "xnli", 1) == training_recipe(two, "small", "mnli", "xnli", 1)
    assert prediction_recipe(one, "xnli", "small") == prediction_recipe(one, "xnli") == prediction_recipe(two, "xnli")
    assert prediction_recipe(one, "tatoeba", "small") != prediction_recipe(two, "tatoeba", "small")
    assert one.decoding("xnli", "small") is None
    assert one.decoding("tatoeba", "small") != two.decoding("tatoeba", "small")


def test_scores_by_layer_rest_on_all_but_the_declared_layer(monkeypatch):
    def params(**how):
        return Jobs(grid_of(targets={"tatoeba": {**TATOEBA, "retrieval": how}})).layer_params("tatoeba")(Wild(NONE))

    first = params(layer=3)
    assert first == params(layer=5)
    assert first != params(pooling="mean") and first != params(special_tokens=False)
    monkeypatch.setattr("stiltgrid.recipes.SCORE_VERSION", 99)
    assert first != params(layer=3)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({**TATOEBA, "training": {"epochs": 2}}, r"targets.x.training: xtreme/tatoeba has no training set"),
        ({**TATOEBA, "source_language": "de"}, r"targets.x.source_language: xtreme/tatoeba has no training set"),
        (
            {"task": "xglue/xnli", "retrieval": {"layer": 2}},
            r"targets.x.retrieval: xglue/xnli is of kind classification",
        ),
        ({**TATOEBA, "retrieval": {"pooling": "max"}}, r"retrieval.pooling: value 'max'"),
    ],
)
def test_keys_that_nothing_would_read_are_refused(target, message):
    with pytest.raises(StiltgridError, match=message):
        grid_of(targets={"x": target})


def data(grid):
    for run in grid.runs:
        for language in grid.languages(run.target):
            path = sidecar(grid.paths.data(grid.evaluation(run.target, language)))
            write_json(path, {"fingerprint": f"{run.target} {language}", "examples": 10})


def predicted(grid, run, model_digest):
    task, how = grid.tasks[run.target].name, grid.decoding(run.target, run.model)
    for language in grid.languages(run.target):
        key = prediction_key(model_digest, f"{run.target} {language}", task, language, how)
        Store(grid.paths.store).put(key, [Prediction("0", text="1")], {})


def test_arms_are_compared_by_their_settings_and_told_apart_by_their_digests():
    grid = grid_of()
    files = Files(grid)
    files.pretrained("small")
    files.arm(Arm("small", "mnli", 1))
    data(grid)
    none, mnli = evaluated_manifest(grid, NONE), evaluated_manifest(grid, MNLI)
    assert none["recipe"] == mnli["recipe"] and none["recipe"]["retrieval"]["layer"] == 3
    assert none["digest"] == digest("small") != mnli["digest"]
    assert none["recipe_hash"] != mnli["recipe_hash"]
    paths = {x: Path(grid.paths.data(grid.evaluation("tatoeba", x))) for x in ("de", "fr")}
    task = grid.tasks["tatoeba"]
    found = [set(keys(m, task, paths, grid.decoding("tatoeba", "small")).values()) for m in (none, mnli)]
    assert not found[0] & found[1]
    assert evaluated_manifest(grid_of(targets={"tatoeba": {**TATOEBA, "eval_split": "test"}}), NONE) == none


def test_status_and_plan_count_no_training_for_a_retrieval():
    grid = grid_of()
    files = Files(grid)
    states = cell_states(grid)
    assert {states[cell].stage for cell in states} == {""}
    files.pretrained("small")
    files.arm(Arm("small", "mnli", 1), recipe=training_recipe(grid, "small", "mnli", None, 1))
    stages = {(cell.intermediate, cell.target): state.stage for cell, state in cell_states(grid).items()}
    assert stages["none", "tatoeba"] == stages["mnli", "tatoeba"] == "trained"
    assert (stages["none", "xnli"], stages["mnli", "xnli"]) == ("pretrained", "intermediate")
    lines = {line.stage: line for line in plan(grid).lines}
    assert (lines["train phase ii"].total, lines["train phase iii"].total) == (1, 2)
    assert (lines["predict"].total, lines["predict"].unknown) == (2 * (2 + 3), 0)
    only = plan(grid_of(targets={"tatoeba": TATOEBA}))
    assert [line.total for line in only.lines if line.stage.startswith("train")] == [1]


def test_phase_ii_s_weights_stay_until_its_retrievals_are_predicted():
    grid = grid_of(storage="none", targets={"tatoeba": TATOEBA})
    files, storage, arm = Files(grid), Storage(grid), Arm("small", "mnli", 1)
    files.pretrained("small")
    weights = Path(grid.paths.arm(arm)).parent / "weights"
    files.arm(arm, recipe=training_recipe(grid, *arm[:2], None, 1), weights={"model.safetensors": {"bytes": 4}})
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_text("1234")
    data(grid)
    assert storage.needed(arm) and not storage.must_train(MNLI)
    predicted(grid, NONE, digest("small"))
    assert storage.tidy(NONE) == []  # the pretrained model is nobody's to remove
    assert storage.tidy(MNLI) == [] and weights.exists()
    predicted(grid, MNLI, digest(arm))
    assert [removed.folder for removed in storage.tidy(MNLI)] == [weights.parent] and not weights.exists()
    assert not storage.needed(arm) and storage.again(arm) is None
    # a language that is asked for later trains phase (ii) again, and status says so
    more = grid_of(storage="none", targets={"tatoeba": {**TATOEBA, "languages": ["de", "fr", "ru"]}})
    data(more)
    assert Storage(more).again(arm) == str(weights.parent / "removed.json")
    state = next(s for cell, s in cell_states(more).items() if (cell.intermediate, cell.language) == ("mnli", "ru"))
    assert "to be trained again" in state.reason
    assert read_json(grid.paths.arm(arm))["digest"] == digest(arm)


def test_a_retrieval_is_exported_and_scores_as_its_cells(tmp_path):
    grid = grid_of(
        targets={"tatoeba": {**TATOEBA, "languages": ["de"]}, "xnli": {"task": "xtreme/xnli", "eval_split": "dev"}},
        intermediates={"none": {}},
        submission={"partial": True},
    )
    source = tmp_path / "gold" / "tatoeba" / "v1"
    source.mkdir(parents=True)
    (source / "tatoeba.deu-eng.deu").write_text("eins\nzwei\ndrei\n")
    (source / "tatoeba.deu-eng.eng").write_text("one\ntwo\nthree\n")
    examples, about = read_source(grid.tasks["tatoeba"], None, tmp_path / "gold", "test", "de")
    path = Path(grid.paths.data(grid.evaluation("tatoeba", "de")))
    write_examples(path, examples, about)
    files = {"config.json": {"bytes": 1, "sha256": "x"}}
    Files(grid).pretrained("small", files=files, path="model", source="s", revision=None, family="heads")
    task, how = grid.tasks["tatoeba"], grid.decoding("tatoeba", "small")
    [key] = keys(evaluated_manifest(grid, NONE), task, {"de": path}, how).values()
    found = {"1": "1", "2": "3", "3": "3"}
    said = [Prediction(e.id, text=found[e.id]) for e in examples]
    cell = Cell("small", "none", "tatoeba", "de", 1)
    write_predictions(grid.paths.prediction(cell), said, {"key": key, "model_digest": digest("small")})
    record = export(grid, "small", "none", 1)
    folder = Path(grid.paths.root) / "submission" / "small" / "none" / "seed1"
    # the English sentences in alphabetical order: one, three, two
    assert (folder / "tatoeba" / "test-de.tsv").read_text() == "0\n2\n2\n"
    assert list(record["files"]) == ["tatoeba/test-de.tsv"] and record["status"] == "PARTIAL"
    assert "xnli: target 'xnli' is evaluated on dev" in record["lacking"]
    report = score_submission(folder, tmp_path / "gold", tasks=["tatoeba"], suite="xtreme")
    [entry] = report.having("done")
    assert entry.metrics == {"retrieval_accuracy": pytest.approx(200 / 3)}
    with pytest.raises(StiltgridError, match=r"--layout 'lazer': no task of xtreme has it; did you mean 'laser'"):
        score_submission(folder, tmp_path / "gold", suite="xtreme", layout="lazer")


def test_a_grid_with_a_retrieval_target_asks_for_no_training_of_it():
    """Its costs are its predictions alone; those of a pretrained model, the same for every seed, count once."""
    grid = grid_of(seeds=2)
    results, files = Results(grid), Files(grid)
    assert not any("tatoeba" in path for path in results.all_manifests())
    assert f"{grid.paths.figures}/training_curves.svg" in results.figure_files()
    alone = grid_of(targets={"tatoeba": TATOEBA}, intermediates={"none": {}})
    assert Results(alone).all_manifests() == Results(alone).figure_files() == []
    files.pretrained("small")
    for run in grid.runs:
        if run.target == "xnli":
            files.checkpoint(run)
        shared = run.intermediate == "none" and run.target == "tatoeba"
        for language in grid.languages(run.target):
            key = digest([NONE if shared else run, language])
            files.prediction(Cell(*run[:3], language, run.seed), key=key, seconds=1800.0)
    runs, _ = collect_runs(grid)
    own = runs[runs["target"] == "tatoeba"].set_index(["intermediate", "seed"])
    assert set(own["status"]) == {"untrained"}
    assert own["predict_hours"].to_dict() == {("none", 1): 1.0, ("none", 2): 0.0, ("mnli", 1): 1.0, ("mnli", 2): 1.0}
    found = {row.title: [c.text for c in row.cells] for row in costs_table(grid, runs).panels[0].rows}
    assert found["train targets"][0] == "4" and found["predict"][0] == "8"
