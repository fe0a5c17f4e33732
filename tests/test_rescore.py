import importlib.util
import os
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stiltgrid import score_languages as scoring
from stiltgrid.artifacts import read_json, write_json
from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, read_examples, write_examples
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.predict_languages import keys
from stiltgrid.predictions import Prediction, read_metadata, write_predictions
from stiltgrid.rescore import Change, chosen, report, rescore, run_name, split_by_predictions
from stiltgrid.score_languages import score_languages, statistics_file

ROOT = Path(__file__).resolve().parents[1]
RAW = {
    "grid": "small",
    "seeds": 1,
    "models": {"tiny": {"source": "demo:base"}},
    "intermediates": {"none": {}, "mnli": {"tasks": ["mnli"]}},
    "targets": {
        "xnli": {"task": "xglue/xnli", "languages": ["en", "de"]},
        "pos": {"task": "xglue/pos", "languages": ["en"]},
    },
}


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(target):
    """Four examples and predictions, three of which are right."""
    if target == "pos":
        tags = [("DET", "NOUN"), ("VERB",), ("NOUN", "PUNCT"), ("X",)]
        examples = [Example(str(i), str(i), words=("w",) * len(t), tags=t) for i, t in enumerate(tags)]
        return examples, [Prediction(str(i), tags=t) for i, t in enumerate([*tags[:3], ("SYM",)])]
    labels = ["neutral", "entailment", "contradiction", "neutral"]
    fields = {"premise": "p" * 1000, "hypothesis": "h"}
    examples = [Example(str(i), str(i // 2), fields, label) for i, label in enumerate(labels)]
    return examples, [Prediction(str(i), label, (0.0, 0.0, 0.0)) for i, label in enumerate([*labels[:3], labels[1]])]


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """A grid whose four runs are trained and predicted, not scored."""
    monkeypatch.chdir(tmp_path)
    write_json("config.json", RAW)
    grid = Grid(validate(RAW))
    for run in grid.runs:
        task, (examples, said) = grid.tasks[run.target], rows(run.target)
        manifest = {"digest": run_name(run), "recipe_hash": "r", "recipe": {}, "counts": {}}
        write_json(grid.paths.checkpoint(run), manifest)
        data = {x: Path(grid.paths.data(grid.evaluation(run.target, x))) for x in grid.languages(run.target)}
        for file in data.values():
            write_examples(file, examples, {})
        for language, key in keys(manifest, task, data, grid.decoding(run.target, run.model)).items():
            path = grid.paths.prediction(Cell(*run[:3], language, run.seed))
            write_predictions(path, said, {"key": key, "model_digest": manifest["digest"]})
    return grid


def prediction(grid, arm="mnli", target="xnli", language="de"):
    return Path(grid.paths.prediction(Cell("tiny", arm, target, language, 1)))


def contents(folder="results/small/scores"):
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def again(grid, processes=1):
    runs, left_out = split_by_predictions(grid, grid.runs)
    return rescore(grid, runs, processes, lambda done, total: None), left_out


def test_scores_and_statistics_of_every_run_are_those_of_the_score_job(grid):
    outcomes, left_out = again(grid)
    assert [o.error for o in outcomes] == [""] * 4
    assert left_out == []
    assert sum(o.examples for o in outcomes) == 2 * (4 + 4 + 4)
    found = contents()
    assert len(found) == 2 * (2 * 2 + 2)
    for run in grid.runs:
        languages = grid.languages(run.target)
        data = {x: Path(grid.paths.data(grid.evaluation(run.target, x))) for x in languages}
        scores = {x: Path(grid.paths.score(Cell(*run[:3], x, run.seed))) for x in languages}
        records = score_languages(grid, run, read_json(grid.paths.checkpoint(run)), data, scores)
        assert records[languages[0]]["metrics"][grid.tasks[run.target].metrics[0]] > 70
    assert contents() == found


def test_a_second_time_changes_nothing(grid):
    first, _ = again(grid)
    assert {c.before for o in first for c in o.changes} == {None}
    found = contents()
    second, _ = again(grid)
    assert [o.changes for o in second] == [()] * 4
    assert contents() == found


def test_a_changed_score_is_told_with_both_values(grid):
    again(grid)
    path = Path(grid.paths.score(Cell("tiny", "none", "xnli", "de", 1)))
    record = read_json(path)
    write_json(path, record | {"metrics": {"accuracy": 12.5}})
    outcomes, _ = again(grid)
    changed = {o.run.intermediate: o.changes for o in outcomes if o.changes}
    assert changed == {"none": (Change("de", "accuracy", 12.5, 75.0),)}
    assert read_json(path) == record
    text = report(grid, outcomes, [], 1, 0.5)
    assert "- tiny/none/xnli/seed1 de accuracy: 12.5000, now 75.0000" in text
    assert "4 runs rescored, 0 left out (predictions missing), 0 failed; 0.5 s" in text


def test_runs_without_all_predictions_are_left_out(grid):
    prediction(grid).unlink()
    outcomes, left_out = again(grid)
    assert left_out == [Run("tiny", "mnli", "xnli", 1)]
    assert len(outcomes) == 3
    assert not Path("results/small/scores/tiny/mnli/xnli").exists()
    assert "| xnli | xglue/xnli | 1 | 1 | 0 | 8 |" in report(grid, outcomes, left_out, 1, 0.0)


def damage_truncated(grid, path):
    path.write_bytes(path.read_bytes()[:100])


def damage_stale(grid, path):
    write_predictions(path, rows("xnli")[1], {"key": "0" * 64})


def damage_misaligned(grid, path):
    write_predictions(path, rows("xnli")[1][:3], {"key": read_metadata(path)["key"]})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_truncated, "truncated or not Parquet"),
        (damage_stale, "rests on key 000000000000"),
        (damage_misaligned, "3 predictions for 4 examples"),
    ],
)
def test_unusable_predictions_are_named_after_all_others_are_done(grid, damage, reason):
    again(grid)
    before = contents()
    path = prediction(grid)
    damage(grid, path)
    other = Path(grid.paths.score(Cell("tiny", "none", "pos", "en", 1)))
    other.unlink()
    script = load(ROOT / "workflow/scripts/rescore.py", "rescore_script")
    with pytest.raises(StiltgridError, match=r"1 of 4 runs could not be scored again") as caught:
        script.main(["--config", "config.json", "--processes", "1"])
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    after = contents()
    note = "results/small/scores/tiny/mnli/xnli/seed1/failed.json"
    assert after.pop(note)
    assert after == before
    text = Path("results/small/rescore.md").read_text(encoding="utf-8")
    assert "3 runs rescored, 0 left out (predictions missing), 1 failed" in text
    assert "- tiny/mnli/xnli/seed1: 1 of 2 prediction files are not usable and were set aside" in text
    # set aside, the run lacks predictions: the next rescore leaves it out and succeeds
    script.main(["--config", "config.json", "--processes", "1"])
    assert "3 runs rescored, 1 left out" in Path("results/small/rescore.md").read_text(encoding="utf-8")


def test_a_lost_checkpoint_manifest_or_data_file_is_named(grid):
    Path(grid.paths.checkpoint(Run("tiny", "none", "pos", 1))).unlink()
    outcomes, _ = again(grid)
    [lost] = [o for o in outcomes if o.error]
    assert lost.run == Run("tiny", "none", "pos", 1)
    assert "checkpoints/tiny/none/pos/seed1/manifest.json: no such file" in lost.error


def test_what_says_the_same_keeps_its_time(grid):
    again(grid)
    paths = [Path(grid.paths.score(cell)) for cell in grid.cells()]
    files = [*paths, *map(statistics_file, paths)]
    for file in files:
        os.utime(file, (100, 100))
    statistics_file(paths[1]).write_bytes(b"")
    again(grid)
    assert {file for file in files if file.stat().st_mtime != 100} == {paths[1], statistics_file(paths[1])}


def test_a_full_disk_leaves_no_score_beside_statistics_of_another(grid, monkeypatch):
    again(grid)
    for cell in grid.cells():
        statistics_file(grid.paths.score(cell)).write_bytes(b"of another")
    monkeypatch.setattr(scoring, "write_json", lambda path, value: (_ for _ in ()).throw(OSError("no space left")))
    outcomes, _ = again(grid)
    assert {o.error for o in outcomes} == {"OSError: no space left"}
    for outcome in outcomes:
        run, language = outcome.run, grid.languages(outcome.run.target)[0]
        score = Path(grid.paths.score(Cell(*run[:3], language, run.seed)))
        assert not score.exists()
        assert pq.read_table(statistics_file(score)).num_rows == 4
    assert not list(Path("results/small").rglob("*.tmp"))


def test_runs_are_chosen_by_pattern(grid):
    assert chosen(grid, None) == list(grid.runs)
    assert [run_name(run) for run in chosen(grid, "tiny/*/pos/*")] == ["tiny/none/pos/seed1", "tiny/mnli/pos/seed1"]
    with pytest.raises(StiltgridError, match="did you mean 'tiny/none/pos/seed1'"):
        chosen(grid, "tiny/none/po/seed1")


def test_runs_of_large_files_come_first(grid):
    task = grid.tasks["pos"]
    data = {"en": Path(grid.paths.data(grid.evaluation("pos", "en")))}
    run = Run("tiny", "none", "pos", 1)
    key = keys(read_json(grid.paths.checkpoint(run)), task, data, grid.decoding("pos"))["en"]
    many = [Prediction(f"{i}-{hash(i * i)}", tags=("NOUN",)) for i in range(5000)]
    write_predictions(prediction(grid, "none", "pos", "en"), many, {"key": key})
    assert split_by_predictions(grid, grid.runs)[0][0] == run


def test_scoring_reads_no_texts_where_no_answer_is_looked_up_in_them(grid):
    path = grid.paths.data(grid.evaluation("xnli", "de"))
    bare, whole = read_examples(path, texts=False), read_examples(path)
    assert {tuple(e.fields) for e in whole} == {("premise", "hypothesis")}
    assert {tuple(e.fields) for e in bare} == {()}
    assert [(e.id, e.group, e.label) for e in bare] == [(e.id, e.group, e.label) for e in whole]


@pytest.mark.slow
def test_several_processes_write_the_same(grid):
    calls = []
    runs, _ = split_by_predictions(grid, grid.runs)
    outcomes = rescore(grid, runs, 2, lambda done, total: calls.append((done, total)))
    found = contents()
    assert [o.run for o in outcomes] == runs
    assert calls == [(i, 4) for i in (1, 2, 3, 4)]
    for path in found:
        Path(path).unlink()
    again(grid)
    assert contents() == found


@pytest.mark.slow
def test_all_eleven_tasks_are_scored_in_every_language(tmp_path, monkeypatch, capsys):
    """The benchmark at a small size: random gold and predictions through the script."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = load(ROOT / "benchmarks/rescore.py", "rescore_benchmark")
    benchmark.measure(tmp_path, 0.001, 2)
    for name in {"measure"} - before:
        sys.modules.pop(name, None)
    shown = capsys.readouterr().out
    assert "11 tasks, 77 languages of tasks" in shown
    grid = Grid(validate(benchmark.RAW))
    for cell in grid.cells():
        record = read_json(tmp_path / grid.paths.score(cell))
        assert record["examples"] == benchmark.size(grid.tasks[cell.target], cell.language, 0.001)
        assert set(record["metrics"]) == set(grid.tasks[cell.target].metrics)
        assert 0 <= min(record["metrics"].values()) <= max(record["metrics"].values()) < 100


def test_the_benchmark_has_the_published_rows(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark = load(ROOT / "benchmarks/rescore.py", "rescore_benchmark")
    for name in {"measure"} - before:
        sys.modules.pop(name, None)
    grid = Grid(validate(benchmark.RAW))
    total = {
        target: sum(benchmark.size(task, x, 1.0) for x in grid.languages(target)) for target, task in grid.tasks.items()
    }
    assert len(total) == 11
    assert total["xnli"] == 15 * 5010
    assert total["wpr"] == 70042
    assert total["mlqa"] == 42245
    assert total["qg"] + total["ntg"] == 110_000
