"""Tasks, readers and metrics of a user's own folder: what is added, what is refused, what they determine."""

from pathlib import Path

import pytest
import yaml

from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.metrics import METRICS
from stiltgrid.readers import READERS
from stiltgrid.recipes import data_recipe, prediction_recipe, scoring_recipe, training_recipe
from stiltgrid.submission.leaderboard import leaderboard
from stiltgrid.tasks.registry import package_tasks, task, tasks
from stiltgrid.wiring.results import Results

ROW = {
    "title": "Tone",
    "kind": "classification",
    "languages": ["en"],
    "labels": {"0": "sad", "1": "glad"},
    "fields": ["text"],
    "segments": [["text"]],
    "metrics": ["always", "accuracy"],
    "chance": 50.0,
    "cluster": "row",
    "layouts": {
        "own": {"reader": "lines", "files": {"train": "{lang}.train", "dev": "{lang}.dev", "test": "{lang}.test"}}
    },
    "licence": "CC0",
    "citation": "mine",
    "url": "https://example.org",
}
PLAIN = ROW | {"metrics": ["accuracy"], "layouts": {"own": {**ROW["layouts"]["own"], "reader": "table"}}}
READER = "def lines(paths, task, language, *, dropped):\n    return []\n\nREADERS = {'lines': lines}\n"
METRIC = """
from stiltgrid.metrics import Metric
ones = lambda task, language, examples, predictions: {"one": [1] * len(examples)}
METRICS = {"always": Metric("always", "always", "example", ones, ("one",), lambda sums: sums["one"])}
"""


def folder(path: Path, rows: dict | None = None, readers: str | None = READER, metrics: str | None = METRIC) -> str:
    (path / "tasks").mkdir(parents=True, exist_ok=True)
    rows = {"mine/tone": ROW, "mine/plain": PLAIN} if rows is None else rows
    (path / "tasks" / "mine.yaml").write_text(yaml.safe_dump(rows), encoding="utf-8")
    for name, text in (("readers.py", readers), ("metrics.py", metrics)):
        if text is not None:
            (path / name).write_text(text, encoding="utf-8")
    return str(path)


CONFIG = {
    "grid": "g",
    "sources": {"xglue": {"path": "xglue"}, "intermediate/mnli": {"path": "mnli"}},
    "models": {"m": {"source": "./model"}},
    "intermediates": {"none": {}, "mnli": {"tasks": ["mnli"]}},
    "targets": {"xnli": {"task": "xglue/xnli"}},
    "training": {"selection": "last_step"},
}


def extended(*folders: str) -> dict:
    return CONFIG | {
        "extensions": list(folders),
        "sources": CONFIG["sources"] | {"mine": {"path": "data"}},
        "intermediates": CONFIG["intermediates"]
        | {"plain": {"tasks": ["mine/plain"]}, "tone": {"tasks": ["mine/tone"]}},
        "targets": CONFIG["targets"] | {"tone": {"task": "mine/tone"}},
    }


def recipes(grid: Grid) -> dict:
    """All that Snakemake compares, by what it is of."""
    found = {}
    for target in grid.config.targets:
        found["predict", target] = prediction_recipe(grid, target)
        found["score", target] = scoring_recipe(grid, target)
        for arm in grid.config.intermediates:
            found["target", target, arm] = training_recipe(grid, "m", arm, target, 1)
    for arm, names in grid.arm_tasks.items():
        if names:
            found["arm", arm] = training_recipe(grid, "m", arm, None, 1)
        for name in names:
            found["data", name] = data_recipe(grid, name, "train")
    return found


def test_a_config_sees_its_own_extensions_and_no_others(tmp_path):
    one = folder(tmp_path / "one")
    two = folder(tmp_path / "two", {"theirs/tone": PLAIN}, None, None)
    grid = Grid(validate(extended(one)))
    assert set(tasks()) - set(package_tasks()) == {"mine/tone", "mine/plain"}
    assert grid.tasks["tone"].title == "Tone" and "lines" in READERS and METRICS["always"].title == "always"
    assert set(METRICS) == {*METRICS.own, "always"} and len(READERS) == len(READERS.own) + 1
    validate(CONFIG | {"extensions": [two]})
    assert set(tasks()) - set(package_tasks()) == {"theirs/tone"}
    assert "lines" not in READERS and "always" not in METRICS
    Grid(grid.config)  # the first config's grid again
    assert task("mine/tone").name == "mine/tone"
    with pytest.raises(StiltgridError, match=r"targets\.tone\.task: unknown task 'mine/tone'"):
        validate(extended())
    assert set(tasks()) == set(package_tasks())


def test_a_row_in_the_name_of_a_suite_takes_no_place_on_its_leaderboard(tmp_path):
    row = ROW | {"submission": {"file": "NC/{lang}.prediction", "form": "labels"}}
    validate(CONFIG | {"extensions": [folder(tmp_path, {"xglue/mine": row})]})
    assert leaderboard("xglue")[1]["NC"].name == "xglue/nc"


def test_extensions_change_no_recipe_of_what_does_not_use_them(tmp_path):
    before = recipes(Grid(validate(CONFIG)))
    after = recipes(Grid(validate(extended(folder(tmp_path)))))
    assert {key: after[key] for key in before} == before


def changed(tmp_path, selection: str = "last_step", **files) -> set:
    """Return the recipes that another content of the folder changes."""
    here = folder(tmp_path / "mine")
    config = extended(here) | {"training": {"selection": selection, "evaluations": 2}}
    before = recipes(Grid(validate(config)))
    folder(tmp_path / "mine", **files)
    after = recipes(Grid(validate(config)))
    return {key for key in before if before[key] != after[key]}


OF_TONE = {("target", "tone", arm) for arm in ("none", "mnli", "plain", "tone")} | {("arm", "tone")}


def test_another_reader_reads_again_what_it_reads_and_trains_nothing_by_itself(tmp_path):
    assert changed(tmp_path, readers=READER + "# another\n") == {("data", "mine/tone")}


def test_another_metric_scores_again_and_trains_again_what_is_selected_by_it(tmp_path):
    assert changed(tmp_path, metrics=METRIC + "# another\n") == OF_TONE | {("score", "tone")}


@pytest.mark.parametrize(("selection", "trained"), [("best_dev", OF_TONE), ("last_step", set())])
def test_another_main_metric_trains_again_what_it_selects(tmp_path, selection, trained):
    rows = {"mine/tone": ROW | {"metrics": ["accuracy", "always"]}, "mine/plain": PLAIN}
    assert changed(tmp_path, selection, rows=rows) == trained | {("score", "tone")}


def test_another_title_changes_nothing_and_another_verbaliser_its_task_alone(tmp_path):
    rows = {"mine/tone": ROW | {"title": "Tone 2", "licence": "MIT"}, "mine/plain": PLAIN}
    assert changed(tmp_path, rows=rows) == set()
    rows = {"mine/tone": ROW, "mine/plain": PLAIN | {"labels": {"0": "sad", "1": "merry"}}}
    assert changed(tmp_path, rows=rows) == {("arm", "plain")}


def test_another_file_of_a_layout_reads_again(tmp_path):
    layout = {"own": {**PLAIN["layouts"]["own"], "options": {"header": False}}}
    rows = {"mine/tone": ROW, "mine/plain": PLAIN | {"layouts": layout}}
    assert changed(tmp_path, rows=rows) == {("data", "mine/plain")}


def test_resamples_rest_on_the_code_of_their_metrics(tmp_path):
    class Wildcards:
        target = "tone"

    here = folder(tmp_path)
    first = Results(Grid(validate(extended(here)))).resampling_params(Wildcards())
    folder(tmp_path, metrics=METRIC + "# another\n")
    assert Results(Grid(validate(extended(here)))).resampling_params(Wildcards()) != first
    Wildcards.target = "xnli"
    assert "code" not in Results(Grid(validate(extended(here)))).resampling_params(Wildcards())


def test_an_edited_file_is_loaded_anew_and_an_unchanged_one_is_not(tmp_path):
    here = folder(tmp_path)
    validate(extended(here))
    first = READERS["lines"]
    validate(extended(here))
    assert READERS["lines"] is first
    folder(tmp_path, readers=READER.replace("return []", "return [1]"))
    validate(extended(here))
    assert READERS["lines"]([], None, "en", dropped={}) == [1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"rows": {"xglue/xnli": PLAIN}}, r"mine\.yaml: 'xglue/xnli' is a name that the package has already"),
        ({"rows": {"mine/tone": ROW | {"metric": "x"}}}, r"mine\.yaml: mine/tone\.metric: .*did you mean 'metrics'"),
        ({"rows": {"mine/tone": ROW | {"kind": "poem"}}}, r"mine\.yaml: mine/tone\.kind: "),
        ({"rows": {"mine/tone": ROW | {"layouts": {}}}}, r"mine\.yaml: mine/tone: .*needs a layout"),
        ({"rows": {"tone": ROW}}, r"mine\.yaml: tone: .*expected suite/task"),
        ({"rows": {"mine/tone": "x"}}, r"mine/tone: expected a row of keys and values, found str"),
        ({"rows": ["x"]}, r"mine\.yaml: expected task rows by name"),
        ({"readers": None}, r"mine/tone\.layouts\.own\.reader: unknown reader 'lines'; .*in READERS of readers\.py"),
        ({"metrics": None}, r"mine/tone\.metrics: unknown metric 'always'; .*in METRICS of metrics\.py"),
        ({"readers": "READERS = {'table': print}"}, r"readers\.py: READERS: 'table' is a name that the package has"),
        ({"readers": "READERS = {'lines': 3}"}, r"readers\.py: READERS\.lines: expected a function, found int"),
        ({"metrics": "METRICS = {'always': print}"}, r"metrics\.py: METRICS\.always: expected a Metric of that name"),
        ({"metrics": "METRIX = {}"}, r"metrics\.py: METRICS: expected a dictionary by name, found NoneType"),
        ({"readers": "import nothing_of_this_name"}, r"readers\.py, line 1: does not load: ModuleNotFoundError"),
        ({"readers": "READERS = {"}, r"readers\.py.*: does not load: SyntaxError"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(tmp_path, files, message):
    with pytest.raises(StiltgridError, match=message):
        validate(extended(folder(tmp_path, **files)))


def test_two_extensions_must_not_share_names(tmp_path):
    one, two = folder(tmp_path / "one"), folder(tmp_path / "two", {"other/tone": PLAIN}, READER + "#", None)
    with pytest.raises(StiltgridError, match=r"two/readers\.py: READERS: 'lines' is a name that another extension"):
        validate(extended(one, two))


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        (["nowhere"], r"extensions: 'nowhere' is no folder"),
        (["."], r"extensions: '\.' holds no tasks/\*\.yaml"),
        ("mine", r"extensions: expected a list of folders, found 'mine'"),
        (["${UNSET_FOR_SURE}/x"], r"environment variable UNSET_FOR_SURE is not set"),
    ],
)
def test_a_folder_that_is_none_is_refused(tmp_path, monkeypatch, extensions, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StiltgridError, match=message):
        validate(CONFIG | {"extensions": extensions})


def test_workers_that_a_grid_is_sent_to_know_its_extensions(tmp_path):
    from stiltgrid import rescore

    grid = Grid(validate(extended(folder(tmp_path))))
    validate(CONFIG)
    assert "always" not in METRICS
    rescore._start(grid)
    assert "always" in METRICS
