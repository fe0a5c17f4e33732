"""Submissions: the forms, the export of a grid, the scores of a folder."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stiltgrid.artifacts import digest, file_sha256, read_json, write_json, write_text
from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, write_examples
from stiltgrid.grid import Arm, Cell, Grid, Run
from stiltgrid.predict_languages import keys
from stiltgrid.predictions import Prediction, write_predictions
from stiltgrid.readers import read_source
from stiltgrid.readers.archive import unpack, unpacked_folder
from stiltgrid.submission import contents, scoring
from stiltgrid.submission.export import _reads_translations, export, parameter_count
from stiltgrid.submission.forms import FORMS, one_line
from stiltgrid.submission.leaderboard import LEADERBOARDS, file_of, leaderboard, official_metrics
from stiltgrid.submission.view import plain, show
from stiltgrid.tasks.registry import task, tasks

ROOT = Path(__file__).parents[1]
NC, WPR, POS, NER = (task(f"xglue/{name}") for name in ("nc", "wpr", "pos", "ner"))
MLQA, NTG = task("xglue/mlqa"), task("xglue/ntg")
# what cuts lines, or is lost, in careless hands: zero-width, bidirectional and line-end characters, a byte order mark
EXOTIC = "\u200b\u200d\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\x00\ufeff\u00a0\u3000\u0e33\u06cc\u0915\u094d"


def labelled(*labels):
    return [Example(id=str(i), group=str(i), fields={}, label=label) for i, label in enumerate(labels, start=1)]


def tagged(*sentences):
    return [
        Example(id=str(i), group=str(i), words=tuple(f"w{j}" for j in range(len(tags))), tags=tuple(tags))
        for i, tags in enumerate(sentences, start=1)
    ]


def answered(**answers):
    return [Example(id=i, group=i, references=(text,), starts=(0,)) for i, text in answers.items()]


def generated(*texts):
    return [Example(id=str(i), group=str(i), references=(text,)) for i, text in enumerate(texts, start=1)]


def perfect(row, examples):
    """The gold rows as predictions."""
    return [
        Prediction(
            id=e.id,
            label=e.label,
            value=float(e.label) if row.kind == "ranking" else None,
            tags=e.tags,
            text=None if e.references is None else e.references[0],
        )
        for e in examples
    ]


def read(tmp_path, form, data, examples, row):
    path = tmp_path / "x.prediction"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return FORMS[form].read(path, examples, row)


# --- forms: what is written


@pytest.mark.parametrize(
    ("form", "row", "predictions", "text"),
    [
        ("labels", NC, [Prediction("1", label="news"), Prediction("2", label="autos")], "news\nautos\n"),
        ("values", WPR, [Prediction("1", label="0", value=0.1 + 0.2), Prediction("2", label="4", value=4.0)],
         "0.30000000000000004\n4.0\n"),
        ("tags", POS, [Prediction("1", tags=("DET", "NOUN")), Prediction("2", tags=("X",))], "DET\nNOUN\n\nX\n\n"),
        ("answers", MLQA, [Prediction("b", text="日本"), Prediction("a", text="")], '{\n"b": "日本",\n"a": ""\n}\n'),
        ("texts", NTG, [Prediction("1", text="a\r\nb\tc\u2028d"), Prediction("2", text="")], "a b c\u2028d\n\n"),
    ],
)  # fmt: skip
def test_what_a_form_looks_like(form, row, predictions, text):
    assert FORMS[form].write(predictions) == text


@pytest.mark.parametrize(
    ("form", "prediction"),
    [("labels", Prediction("7")), ("tags", Prediction("7")), ("answers", Prediction("7")), ("texts", Prediction("7"))]
    + [("values", Prediction("7", label="0", value=value)) for value in (None, float("nan"), float("inf"))],
)
def test_a_prediction_without_its_value_is_not_written(form, prediction):
    with pytest.raises(StiltgridError, match="prediction for '7' has"):
        FORMS[form].write([prediction])


def test_a_text_changes_in_line_ends_and_tabs_alone():
    kept = "".join(map(chr, set(range(0x20000)) - set(range(0xD800, 0xE000)) - {9, 10, 13}))
    assert one_line(kept) == kept
    assert one_line("\r\n\r\n\n\r\t") == " " * 5


# --- forms: there and back

any_text = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(EXOTIC)))


def there_and_back(tmp_path_factory, form, row, examples, predictions):
    path = tmp_path_factory.mktemp("form") / "x.prediction"
    write_text(path, FORMS[form].write(predictions))
    return FORMS[form].read(path, examples, row)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(any_text, min_size=1, max_size=6))
def test_texts_and_answers_come_back(tmp_path_factory, texts):
    examples = generated(*texts)
    said = perfect(NTG, examples)
    assert there_and_back(tmp_path_factory, "answers", MLQA, examples, said) == said
    clean = [Prediction(p.id, text=one_line(p.text)) for p in said]
    assert there_and_back(tmp_path_factory, "texts", NTG, examples, said) == clean
    assert there_and_back(tmp_path_factory, "texts", NTG, examples, clean) == clean


@settings(max_examples=30, deadline=None)
@given(ids=st.lists(any_text, min_size=1, max_size=6, unique=True))
def test_any_id_comes_back(tmp_path_factory, ids):
    examples = [Example(id=i, group=i, references=("x",)) for i in ids]
    said = [Prediction(i, text=i[::-1]) for i in ids]
    assert there_and_back(tmp_path_factory, "answers", MLQA, examples, said) == said


@settings(max_examples=30, deadline=None)
@given(sentences=st.lists(st.lists(st.sampled_from([*POS.labels]), min_size=1), min_size=1, max_size=6))
def test_tags_come_back(tmp_path_factory, sentences):
    examples = tagged(*sentences)
    said = perfect(POS, examples)
    assert there_and_back(tmp_path_factory, "tags", POS, examples, said) == said


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_values_come_back_to_the_last_bit(tmp_path_factory, values):
    examples = labelled(*"0" * len(values))
    said = [Prediction(str(i), label="0", value=value) for i, value in enumerate(values, start=1)]
    back = there_and_back(tmp_path_factory, "values", WPR, examples, said)
    assert [p.value.hex() for p in back] == [value.hex() for value in values]


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.sampled_from([*NC.labels]), min_size=1, max_size=6))
def test_labels_come_back(tmp_path_factory, labels):
    examples = labelled(*labels)
    said = perfect(NC, examples)
    assert there_and_back(tmp_path_factory, "labels", NC, examples, said) == said


# --- forms: what others write


@pytest.mark.parametrize("data", ["news\nautos\n", "news\nautos", "news\r\nautos\r\n", "\ufeffnews\n autos \n"])
def test_line_ends_of_others(tmp_path, data):
    assert [p.label for p in read(tmp_path, "labels", data, labelled("news", "autos"), NC)] == ["news", "autos"]


@pytest.mark.parametrize(
    "data", ["DET\nNOUN\n\nX\n\n", "DET\nNOUN\n\nX", "DET\r\nNOUN\r\n\r\nX\r\n", "DET\nNOUN\n \nX\n\n\n"]
)
def test_sentence_ends_of_others(tmp_path, data):
    examples = tagged(["DET", "NOUN"], ["X"])
    assert [p.tags for p in read(tmp_path, "tags", data, examples, POS)] == [("DET", "NOUN"), ("X",)]


def test_a_text_may_be_blank_even_the_last(tmp_path):
    examples = generated("a", "b", "c")
    assert [p.text for p in read(tmp_path, "texts", "x\n\n\n", examples, NTG)] == ["x", "", ""]


def test_answers_of_others_in_any_order_and_escaped(tmp_path):
    data = '{"b": "\\u65e5", "a": "x"}'
    assert [p.text for p in read(tmp_path, "answers", data, answered(a="x", b="日"), MLQA)] == ["x", "日"]


TWO_LABELS, TWO_SENTENCES, TWO_ANSWERS = labelled("0", "1"), tagged(["DET", "NOUN"], ["X"]), answered(a="x", b="y")
FAULTS = {
    "too short": ("labels", "news\n", TWO_LABELS, r":1: the file ends here, after 1 lines, expected 2.*'2'.*padded"),
    "empty": ("texts", "", TWO_LABELS, r":0: the file ends here, after 0 lines"),
    "too long": ("labels", "a\nb\nc\n", TWO_LABELS, r":3: 'c', expected the file's end: 3 lines for 2 examples"),
    "blank line too many": ("labels", "a\nb\n\n", TWO_LABELS, r":3: '', expected the file's end"),
    "CR": ("texts", "a\rb\nc\n", TWO_LABELS, r":1: a carriage return inside the line"),
    "not UTF-8": ("texts", b"a\nb\xff\n", TWO_LABELS, r":2: byte 0xff is not UTF-8"),
    "UTF-16": ("labels", "a\nb\n".encode("utf-16"), TWO_LABELS, r":1: starts with a UTF-16"),
    "no number": ("values", "1\nhigh\n", TWO_LABELS, r":2: 'high', expected a finite number.*'2'"),
    "not finite": ("values", "1\nnan\n", TWO_LABELS, r":2: 'nan', expected a finite number"),
    "blank value": ("values", "\n1\n", TWO_LABELS, r":1: '', expected a finite number"),
    "short sentence": ("tags", "DET\n\nX\n\n", TWO_SENTENCES, r":2: sentence 1 \(id '1', from line 1\) has 1 tags"),
    "long sentence": ("tags", "DET\nNOUN\n\nX\nX\n", TWO_SENTENCES, r":5: sentence 2 .* has 2 tags, expected 1"),
    "sentences fused": ("tags", "DET\nNOUN\nX\n", TWO_SENTENCES, r":3: sentence 1 .* has 3 tags, expected 2"),
    "sentence missing": ("tags", "DET\nNOUN\n\n", TWO_SENTENCES, r":2: 1 sentences, expected 2; nothing is padded"),
    "sentence too many": ("tags", "DET\nNOUN\n\nX\n\nX\n", TWO_SENTENCES, r":6: 3 sentences, expected 2"),
    "two blank lines": ("tags", "DET\nNOUN\n\n\nX\n", TWO_SENTENCES, r":4: a blank line, expected the first tag .* 2"),
    "blank line first": ("tags", "\nDET\nNOUN\n\nX\n", TWO_SENTENCES, r":1: a blank line, expected the first tag"),
    "word and tag": ("tags", "the DET\nNOUN\n\nX\n", TWO_SENTENCES, r":1: 'the DET', expected one tag and no word"),
    "no JSON": ("answers", "{'a': 1}", TWO_ANSWERS, r"not JSON .*expected one object"),
    "a list": ("answers", '["x", "y"]', TWO_ANSWERS, r"a JSON list, expected one object"),
    "missing id": ("answers", '{"a": "x"}', TWO_ANSWERS, r"1 answers, expected 2: no answer to 'b'"),
    "unknown id": ("answers", '{"a": "x",\n"b": "y",\n"c": "z"}', TWO_ANSWERS, r":3: unknown id 'c'; .*allowed: a, b"),
    "id twice": ("answers", '{"a": "x",\n"a": "y",\n"b": "z"}', TWO_ANSWERS, r":2: id 'a' occurs twice"),
    "no text": ("answers", '{"a": "x",\n"b": 3}', TWO_ANSWERS, r":2: the answer to 'b' is 3, expected a text"),
    "nested": ("answers", '{"a": "x", "b": {"a": "y"}}', TWO_ANSWERS, r"'b' is \{'a': 'y'\}, expected a text"),
}  # fmt: skip
ROW_OF = {"labels": NC, "values": WPR, "tags": POS, "answers": MLQA, "texts": NTG}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_with_their_place(tmp_path, fault):
    form, data, examples, message = FAULTS[fault]
    with pytest.raises(StiltgridError, match=r"x\.prediction.*" + message):
        read(tmp_path, form, data, examples, ROW_OF[form])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StiltgridError, match="no such file"):
        FORMS["answers"].read(tmp_path / "none", TWO_ANSWERS, MLQA)


# --- the leaderboard


def test_each_form_and_folder_of_the_registry_is_known():
    for suite, board in LEADERBOARDS.items():
        _, rows = leaderboard(suite)
        assert {name for folders in board.averages.values() for name in folders} <= set(rows)
        assert set(board.official) <= set(rows)
        assert all(set(metrics) <= set(rows[name].metrics) for name, metrics in board.official.items())
    assert {row.submission.form for row in tasks().values() if row.submission} == set(FORMS)
    assert " ".join(leaderboard("xglue")[1]) == "NER POS NC MLQA XNLI PAWSX QADSM WPR QAM QG NTG"


def test_the_leaderboard_s_metric_of_pos_is_the_precision_over_runs():
    board, rows = leaderboard("xglue")
    metrics = {name: official_metrics(board, name, row) for name, row in rows.items()}
    assert metrics["POS"] == ("pos_xglue",) != rows["POS"].metrics[:1]
    assert all(metrics[name] == row.metrics[:1] for name, row in rows.items() if name != "POS")


def test_a_suite_without_forms_is_refused():
    with pytest.raises(StiltgridError, match=r"'xglu' has no submission form; did you mean 'xglue'"):
        leaderboard("xglu")


# --- export of a grid

CONFIG = {
    "grid": "toy",
    "seeds": 1,
    "models": {"small": {"source": "demo:base"}, "encoder": {"source": "./e5", "family": "heads"}},
    "intermediates": {"none": {}},
    "targets": {
        "nc": {"task": "xglue/nc", "languages": ["en", "de"]},
        "pages": {"task": "xglue/wpr", "languages": ["en"]},
        "pos": {"task": "xglue/pos", "languages": ["th"]},
        "mlqa": {"task": "xglue/mlqa", "languages": ["hi"]},
        "ntg": {"task": "xglue/ntg", "languages": ["ru"]},
    },
    "submission": {"partial": True},
}
ROWS = {
    "nc": labelled("news", "autos", "news"),
    "pages": [Example(id=str(i), group="q", fields={}, label=x) for i, x in enumerate("201")],
    "pos": tagged(["DET", "NOUN"], ["X"]),
    "mlqa": answered(q1="हिन्दी\u200b", q2="दो"),
    "ntg": generated("Новость\u2028дня", "Вторая"),
}


def small_grid(**changes):
    return Grid(validate({**CONFIG, **changes}))


def complete(grid):
    """Write a grid's data, manifests and predictions, as its jobs would; the predictions are the gold rows."""
    for model in grid.config.models:
        write_json(
            grid.paths.pretrained(model), {"digest": digest(model), "source": "demo:base", "family": "text2text"}
        )
    for run in grid.runs:
        write_json(grid.paths.checkpoint(run), {"digest": digest(run), "recipe_hash": "0" * 64})
    for cell in grid.cells():
        predict(grid, cell)
    return grid


def predict(grid, cell, predictions=None, **about):
    row, examples = grid.tasks[cell.target], ROWS[cell.target]
    data = Path(grid.paths.data(grid.evaluation(cell.target, cell.language)))
    if not data.exists():
        write_examples(data, examples, {})
    run = Run(cell.model, cell.intermediate, cell.target, cell.seed)
    checkpoint = read_json(grid.paths.checkpoint(run))
    key = keys(checkpoint, row, {cell.language: data}, grid.decoding(cell.target, cell.model))[cell.language]
    about = {"key": key, "model_digest": checkpoint["digest"], **about}
    write_predictions(grid.paths.prediction(cell), predictions or perfect(row, examples), about)


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return complete(small_grid())


FOLDER = Path("results/toy/submission/small/none/seed1")
NC_EN = Cell("small", "none", "nc", "en", 1)


def test_an_export_is_the_predictions_in_the_layout(grid):
    record = export(grid, "small", "none", 1)
    files = {"NC/en", "NC/de", "WPR/en", "POS/th", "MLQA/hi", "NTG/ru"}
    assert {p.relative_to(FOLDER).as_posix() for p in FOLDER.glob("*/*")} == {f"{f}.prediction" for f in files}
    assert (FOLDER / "NC/en.prediction").read_text("utf-8") == "news\nautos\nnews\n"
    assert (FOLDER / "WPR/en.prediction").read_text("utf-8") == "2.0\n0.0\n1.0\n"
    assert json.loads((FOLDER / "MLQA/hi.prediction").read_bytes()) == {"q1": "हिन्दी\u200b", "q2": "दो"}
    assert (FOLDER / "NTG/ru.prediction").read_bytes() == "Новость\u2028дня\nВторая\n".encode()
    assert record == read_json(FOLDER / "manifest.json")
    assert set(record["files"]) == {f"{f}.prediction" for f in files}
    for file, about in record["files"].items():
        assert about["sha256"] == file_sha256(FOLDER / file)
        assert about["examples"] == len(ROWS[about["target"]])
        assert about["lines"] == (FOLDER / file).read_bytes().count(b"\n")
        assert {"prediction_key", "recipe_hash", "model_digest", "data_fingerprint"} <= set(about)
    assert (record["translated_data_used"], record["split"], record["suite"]) == ("no", "test", "xglue")


def test_translated_training_files_are_declared(grid):
    files = {"train": "PAWSX/{lang}/translated_train.tsv"}
    export(grid, "small", "none", 1)
    translated = small_grid(sources={"xglue/nc": {"path": "x", "files": files}})
    assert export(translated, "small", "none", 1)["translated_data_used"] == "yes"


@pytest.mark.parametrize(("task_", "said"), [("xglue/xnli", "yes"), ("xglue/nc", "no")])
def test_training_in_another_language_of_a_parallel_task_is_training_on_translations(grid, task_, said):
    targets = {"nc": {"task": task_, "languages": ["en"], "source_language": "de"}}
    german = small_grid(targets=targets)
    assert _reads_translations(german, Arm("small", "none", 1)) is (said == "yes")


@pytest.mark.parametrize(("languages", "layout", "said"), [(["en", "de"], "xnli", True), (["en"], "xnli", False)])
def test_an_arm_of_translated_rows_is_training_on_translations(grid, languages, layout, said):
    arms = {"none": {}, "mnli": {"tasks": ["mnli"], "languages": languages}}
    source = {"intermediate/mnli": {"path": "x", "layout": {"train": layout, "dev": "glue"}}}
    both = small_grid(intermediates=arms, sources=source)
    assert _reads_translations(both, Arm("small", "mnli", 1)) is said
    assert not _reads_translations(both, Arm("small", "none", 1))


def test_a_layout_of_translations_says_so(grid):
    source = {"xtreme/pawsx": {"path": "x", "layout": {"train": "translate_train"}}}
    targets = {"pawsx": {"task": "xtreme/pawsx", "languages": ["de"]}}
    assert _reads_translations(small_grid(targets=targets, sources=source), Arm("small", "none", 1))


@pytest.mark.parametrize(
    ("arm", "layout", "said"),
    [({}, "glue", False), ({"languages": ["de"]}, "glue", True), ({}, "translate_train", True)],
)
def test_a_translated_intermediate_is_translated_data(arm, layout, said):
    arms = {"none": {}, "mnli": {"tasks": ["mnli"], **arm}}
    sources = {"xglue": {"path": "x"}, "intermediate/mnli": {"path": "y", "layout": {"train": layout, "dev": "glue"}}}
    found = small_grid(intermediates=arms, sources=sources)
    assert _reads_translations(found, Arm("small", "mnli", 1)) is said
    assert not _reads_translations(found, Arm("small", "none", 1))


def test_a_submission_that_the_grid_does_not_have_is_named(grid):
    for arm in (("tiny", "none", 1), ("small", "mnli", 1), ("small", "none", 9)):
        with pytest.raises(StiltgridError, match=r"has no submission .*small/none/1"):
            export(grid, *arm)


def test_a_part_of_the_released_rows_is_no_complete_submission(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    everything = {n: {**row, "languages": "all"} for n, row in CONFIG["targets"].items() if n == "nc"}
    whole = complete(small_grid(targets=everything))
    record = export(whole, "small", "none", 1)
    found = [line for line in record["lacking"] if line.startswith("NC/")]
    assert len(found) == 5 and "NC/ru.prediction: predictions for 3 rows, the released test file has 10000" in found[4]
    monkeypatch.setattr("stiltgrid.submission.contents.lacking", lambda *_: [])
    with pytest.raises(StiltgridError, match=r"5 faults(?s:.)*NC/de.prediction: predictions for 3 rows"):
        export(small_grid(targets=everything, submission={}), "small", "none", 1)
    assert not (FOLDER / "manifest.json").exists()


def test_as_many_rows_as_released_lack_nothing(grid, monkeypatch):
    monkeypatch.setitem(ROWS, "nc", labelled(*["news"] * 10000))
    Path(grid.paths.data(grid.evaluation("nc", "en"))).unlink()
    predict(grid, NC_EN)
    lacking = export(grid, "small", "none", 1)["lacking"]
    assert not any(line.startswith("NC/en") for line in lacking)
    assert any(line.startswith("NC/de") for line in lacking)


def test_a_partial_export_says_so_and_what_is_lacking(grid, caplog):
    record = export(grid, "small", "none", 1)
    assert record["status"] == "PARTIAL"
    assert "PARTIAL submission of small/none/1" in caplog.text
    assert "NER: no target of the grid is xglue/ner" in record["lacking"]
    assert "MLQA: target 'mlqa' lacks ar, de, en, es, vi, zh" in record["lacking"]
    tasks_ = [line for line in record["lacking"] if ".prediction" not in line]
    assert len(tasks_) == len(leaderboard("xglue")[1])  # no task has all its languages


def test_what_a_family_cannot_run_is_lacking_with_the_reason(grid):
    record = export(grid, "encoder", "none", 1)
    assert "NTG/ru.prediction" not in record["files"]
    assert any(line.startswith("NTG: excluded") and "cannot write text" in line for line in record["lacking"])


def test_line_ends_in_texts_are_counted(grid, caplog):
    cell = Cell("small", "none", "ntg", "ru", 1)
    predict(grid, cell, [Prediction("1", text="a\nb"), Prediction("2", text="c")])
    record = export(grid, "small", "none", 1)
    assert record["files"]["NTG/ru.prediction"]["texts_with_line_ends_replaced"] == 1
    assert "became spaces in 1 texts" in caplog.text
    assert (FOLDER / "NTG/ru.prediction").read_text("utf-8") == "a b\nc\n"


def spoil_missing(grid):
    Path(grid.paths.prediction(NC_EN)).unlink()


def spoil_truncated(grid):
    path = Path(grid.paths.prediction(NC_EN))
    path.write_bytes(path.read_bytes()[:-30])


def spoil_stale(grid):
    predict(grid, NC_EN, key="a" * 64)


def spoil_checkpoint(grid):
    predict(grid, NC_EN, model_digest="b" * 64)


def spoil_rows(grid):
    predict(grid, NC_EN, perfect(NC, ROWS["nc"])[:2])


def spoil_order(grid):
    predict(grid, NC_EN, perfect(NC, ROWS["nc"])[::-1])


def spoil_failed(grid):
    spoil_missing(grid)
    write_json(Path(grid.paths.prediction(NC_EN)).parent / "failed.json", {"reason": "out of memory"})


def spoil_scoring(grid):
    note = Path(grid.paths.score(NC_EN)).parent / "failed.json"
    write_json(note, {"reason": "labels out of the set"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing, r"en\.parquet: no such file; the cell is not predicted yet"),
        (spoil_truncated, r"en\.parquet: truncated or not Parquet"),
        (spoil_stale, r"rests on key aaaaaaaaaaaa…, the present checkpoint and data give"),
        (spoil_checkpoint, r"made with an earlier checkpoint"),
        (spoil_rows, r"2 predictions for 3 examples; nothing is padded"),
        (spoil_order, r"row 1 has id '3', expected '1'"),
        (spoil_failed, r"the cell is failed: prediction: out of memory"),
        (spoil_scoring, r"the cell is failed: scoring: labels out of the set"),
    ],
)
def test_a_spoilt_cell_is_refused_and_nothing_is_left(grid, spoil, message):
    export(grid, "small", "none", 1)
    before = (FOLDER / "POS/th.prediction").read_bytes()
    spoil(grid)
    with pytest.raises(StiltgridError, match=message):
        export(grid, "small", "none", 1)
    assert not (FOLDER / "manifest.json").exists()
    assert (FOLDER / "POS/th.prediction").read_bytes() == before


def test_changed_data_make_predictions_stale(grid):
    data = Path(grid.paths.data(grid.evaluation("nc", "en")))
    write_examples(data, ROWS["nc"][::-1], {})
    with pytest.raises(StiltgridError, match="rests on key"):
        export(grid, "small", "none", 1)


def test_files_of_a_target_that_is_gone_are_removed(grid):
    export(grid, "small", "none", 1)
    targets = {name: row for name, row in CONFIG["targets"].items() if name != "pos"}
    export(small_grid(targets=targets), "small", "none", 1)
    assert not (FOLDER / "POS/th.prediction").exists()
    assert (FOLDER / "NC/en.prediction").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"submission": {}},
            r"lacks what the leaderboard of xglue wants:(?s:.)*NER: no target.*models: small, encoder",
        ),
        ({"targets": {"a": {"task": "xglue/nc"}, "b": {"task": "xglue/nc"}}}, r"'a' and 'b' are both xglue/nc"),
        (
            {"targets": {"a": {"task": "intermediate/mnli"}}},
            r"no target with a submission form; expected targets of .* xglue",
        ),
        (
            {"targets": {"a": {"task": "xglue/nc", "eval_split": "dev"}}},
            r"split is test, but targets.a: eval_split dev",
        ),
        ({"submission": {"split": "dev", "partial": True}}, r"split is dev, but targets.nc: eval_split test"),
    ],
)
def test_a_grid_that_is_no_submission_is_refused(changes, message):
    with pytest.raises(StiltgridError, match=message):
        contents.manifests(small_grid(**changes))


def test_dev_is_exported_if_asked_for(grid):
    targets = {"nc": {"task": "xglue/nc", "languages": ["en"], "eval_split": "dev"}}
    targets["nc"]["training"] = {"selection": "last_step"}
    dev = complete(small_grid(targets=targets, submission={"split": "dev", "partial": True}))
    assert export(dev, "small", "none", 1)["split"] == "dev"


def test_a_grid_with_all_of_the_leaderboard_is_complete():
    everything = {row.name.split("/")[1]: {"task": row.name} for row in leaderboard("xglue")[1].values()}
    grid = small_grid(targets=everything, models={"small": CONFIG["models"]["small"]}, submission={})
    assert contents.lacking(grid, "small") == []
    assert contents.manifests(grid) == [str(FOLDER / "manifest.json")]
    assert len(contents.outputs(grid, "small")) == 1 + sum(
        len(row.languages) for row in leaderboard("xglue")[1].values()
    )


def test_outputs_and_inputs_name_each_file_once(grid):
    for model, files in (("small", 6), ("encoder", 5)):
        named, made_from = contents.outputs(grid, model), contents.inputs(grid, model)
        assert len(set(named)) == len(named) == files + 1
        filled = [name.format(intermediate="none", seed=1) for name in made_from]
        assert all(Path(name).exists() for name in filled)
        assert sum(name.endswith(".parquet") for name in filled) == files


def test_the_config_key_leaves_the_recipes_alone():
    from stiltgrid.recipes import prediction_recipe, scoring_recipe, training_recipe
    from stiltgrid.wiring.results import Results

    def recipes(grid):
        training = [training_recipe(grid, *run) for run in grid.runs]
        others = [of(grid, target) for target in grid.config.targets for of in (prediction_recipe, scoring_recipe)]
        return training, others, Results(grid).grid_digest()

    assert recipes(small_grid()) == recipes(small_grid(submission={"split": "dev"}))


def test_parameters_are_counted_in_safetensors_headers(tmp_path, monkeypatch):
    import numpy as np
    from safetensors.numpy import save_file

    monkeypatch.chdir(tmp_path)
    grid = small_grid()
    weights = Path(grid.paths.pretrained("small")).parent / "weights"
    weights.mkdir(parents=True)
    tensors = {"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float16), "positions": np.arange(9)}
    save_file(tensors, weights / "model.safetensors")
    manifest = {"path": "weights", "files": {"model.safetensors": {}, "config.json": {}}}
    assert parameter_count(grid, "small", manifest)[0] == 17
    assert parameter_count(grid, "small", {**manifest, "parameters": 3}) == (3, "pretrained manifest")
    assert parameter_count(grid, "small", {"files": {"pytorch_model.bin": {}}})[0] is None


# --- scores of a folder

GOLD = {
    "NER/en.test": "Ann I-PER\nsaw O\n\nRome I-LOC\nParis B-LOC\n\n",
    "NER/de.test": "Ann I-PER\n\n",
    "NER/es.test": "Ana B-PER\nSosa I-PER\n\n",
    "NER/nl.test": "An B-PER\n\n",
    "QAM/xglue.qam.en.test": "q\tp\t1\nq\tr\t0\nx\ty\t1\nz\tz\t1\n",
    "QAM/xglue.qam.de.test": "q\tp\t1\n",
    "QAM/xglue.qam.fr.test": "q\tp\t0\n",
    "WPR/xglue.wpr.en.test": "a\tt\ts\t2\na\tt\ts\t0\nb\tt\ts\t0\nb\tt\ts\t0\nc\tt\ts\t4\n",
}
SAID = {
    "NER/en": "B-PER\nO\n\nI-LOC\nB-LOC\n\n",
    "NER/de": "I-PER\n\n",
    "NER/es": "I-PER\nI-PER\n\n",
    "NER/nl": "B-PER\n\n",
    "QAM/en": "1\n1\n1\n0\n",
    "QAM/de": "1\n",
    "QAM/fr": "0\n",
    "WPR/en": "0.9\n-3\n1e-3\n7\n0\n",
}


@pytest.fixture
def folders(tmp_path):
    for file, text in GOLD.items():
        write_text(tmp_path / "gold" / "xglue_full_dataset" / file, text)
    for file, text in SAID.items():
        write_text(tmp_path / "said" / f"{file}.prediction", text)
    return tmp_path / "said", tmp_path / "gold" / "xglue_full_dataset"


def test_scores_by_hand(folders):
    report = scoring.score_submission(*folders)
    # IOB1 and IOB2 say the same entities
    assert {x: e.metrics for x, e in report.of("NER").items()} == {
        x: {"ner_f1": 100.0} for x in ("en", "de", "es", "nl")
    }
    assert report.of("QAM")["en"].metrics == {"accuracy": 50.0}
    assert report.task_mean("QAM", "accuracy").value == pytest.approx(250 / 3)
    # query a is ranked right, b has no relevant page and counts as 0, c has one page and does not count
    assert (report.of("WPR")["en"].metrics, report.of("WPR")["en"].n) == ({"ndcg": 50.0}, 2)
    assert {e.file for e in report.having("done")} == {f"{file}.prediction" for file in SAID}


def test_averages_are_withheld_unless_all_is_there(folders):
    report = scoring.score_submission(*folders)
    parts = report.averages()
    assert {name: (part.value, part.have, part.of) for name, part in parts.items()} == {
        "Understanding": (None, 2, 9),
        "Generation": (None, 0, 2),
        "Unique": (None, 1, 4),
    }
    part = report.task_mean("WPR", "ndcg")
    assert (part.value, part.have, part.of) == (None, 1, 7)
    assert len(report.having("missing")) == sum(len(row.languages) for row in report.rows.values()) - len(SAID)
    text = plain(report)
    assert "Understanding: 2/9" in text and "missing files (69)" in text and "POS/pl.prediction" in text


def test_some_tasks_in_any_spelling(folders):
    report = scoring.score_submission(*folders, tasks=["ner", "xglue/qam"])
    assert [*report.rows] == ["NER", "QAM"]
    assert report.averages()["Understanding"].have == 2
    with pytest.raises(StiltgridError, match="unknown task 'NERR'; did you mean 'NER'"):
        scoring.score_submission(*folders, tasks=["NERR"])


def test_foreign_labels_are_wrong_and_counted(folders):
    said, gold = folders
    write_text(said / "QAM/en.prediction", "1\nmaybe\n1\n\n")
    write_text(said / "NER/en.prediction", "I-PER\nPERSON\n\nI-LOC\nO\n\n")
    report = scoring.score_submission(said, gold, tasks=["QAM", "NER"])
    qam, ner = report.of("QAM")["en"], report.of("NER")["en"]
    assert (qam.metrics["accuracy"], qam.outside) == (50.0, 2)
    assert qam.first_outside.endswith("QAM/en.prediction:2: 'maybe'")
    # chunks said: PER, PERSON, LOC; true: PER, LOC, LOC
    assert (ner.metrics["ner_f1"], ner.outside) == (pytest.approx(200 / 3), 1)
    assert ner.first_outside.endswith("NER/en.prediction:2: 'PERSON'")
    assert "1 in NER/en.prediction, first" in plain(report)


def test_the_line_of_a_foreign_tag_is_the_files(folders):
    said, gold = folders
    write_text(said / "NER/en.prediction", "I-PER\nO\n\nI-LOC\nX\n\n")
    report = scoring.score_submission(said, gold, tasks=["NER"])
    assert report.of("NER")["en"].first_outside.endswith(":5: 'X'")


def test_short_sentences_are_refused_where_the_official_script_pads(folders):
    said, gold = folders
    write_text(said / "NER/en.prediction", "B-PER\n\nI-LOC\nB-LOC\n\n")
    entry = scoring.score_submission(said, gold, tasks=["NER"]).of("NER")["en"]
    assert entry.status == "refused"
    assert ":2: sentence 1 (id '1', from line 1) has 1 tags, expected 2" in entry.reason


def test_gold_rows_that_a_reader_drops_are_a_refusal(folders, monkeypatch):
    def dropping(*args, **kwargs):
        examples, about = read_source(*args, **kwargs)
        return examples, {**about, "dropped": {"-DOCSTART- line": 1, "sentence without text": 2}}

    monkeypatch.setattr(scoring, "read_source", dropping)
    entry = scoring.score_submission(*folders, tasks=["NER"]).of("NER")["en"]
    assert entry.status == "refused"
    assert "the reader leaves out 2 x sentence without text; a prediction file has lines for these" in entry.reason


def test_document_marks_in_gold_have_no_prediction(folders):
    said, gold = folders
    write_text(gold / "NER/en.test", "-DOCSTART- O\n\n" + GOLD["NER/en.test"])
    assert scoring.score_submission(said, gold, tasks=["NER"]).of("NER")["en"].metrics == {"ner_f1": 100.0}


def test_withheld_sentences_have_predictions(folders):
    said, gold = folders
    write_text(gold / "NER/de.test", GOLD["NER/de.test"] + "_ O\n_ O\n\n")
    write_text(said / "NER/de.prediction", SAID["NER/de"] + "O\nO\n\n")
    assert scoring.score_submission(said, gold, tasks=["NER"]).of("NER")["de"].metrics == {"ner_f1": 100.0}


def test_files_of_no_task_are_named(folders):
    said, gold = folders
    write_text(said / "PAWSX/zh.prediction", "0\n")
    report = scoring.score_submission(said, gold, tasks=["NER"])
    assert report.unread == ("PAWSX/zh.prediction",)
    assert "PAWSX/zh.prediction" in plain(report)


def test_a_folder_without_the_layout_is_refused(folders, tmp_path):
    with pytest.raises(StiltgridError, match=r"no file of the layout of xglue, expected e\.g\. NER/de\.prediction"):
        scoring.score_submission(folders[1], folders[1])
    with pytest.raises(StiltgridError, match="no such folder"):
        scoring.score_submission(tmp_path / "none", folders[1])
    with pytest.raises(StiltgridError, match=r"--gold .*none: no such folder"):
        scoring.score_submission(folders[0], tmp_path / "none")
    with pytest.raises(StiltgridError, match="--tasks: names no task"):
        scoring.score_submission(*folders, tasks=[])


def test_gold_may_be_the_archive_once_it_is_unpacked(folders, tmp_path, monkeypatch):
    import tarfile

    monkeypatch.chdir(tmp_path)
    with tarfile.open("xglue.tar.gz", "w:gz") as tar:
        tar.add(folders[1], "xglue_full_dataset")
    with pytest.raises(StiltgridError, match=r"unpack\.py --archive xglue\.tar\.gz"):
        scoring.score_submission(folders[0], "xglue.tar.gz")
    unpack(Path("xglue.tar.gz"), Path(unpacked_folder("xglue.tar.gz")))
    entries = [scoring.score_submission(folders[0], gold).entries for gold in ("xglue.tar.gz", folders[1])]
    scores = [[(e.file, e.status, e.metrics) for e in found if e.status == "done"] for found in entries]
    assert scores[0] == scores[1] != []


def test_missing_gold_is_a_refusal(folders):
    said, gold = folders
    (gold / "NER/en.test").unlink()
    entry = scoring.score_submission(said, gold, tasks=["NER"]).of("NER")["en"]
    assert entry.status == "refused" and "expects NER/en.test" in entry.reason


def command(*arguments):
    line = [sys.executable, "-c", "from stiltgrid.cli import entry; entry()", "score-submission", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_command_prints_plain_text_and_writes_json(folders, tmp_path):
    done = command(folders[0], "--gold", folders[1].parent, "--tasks", "NER,QAM", "--json", tmp_path / "s.json")
    assert done.returncode == 0, done.stderr
    assert "| NER " in done.stdout and "\x1b" not in done.stdout
    record = json.loads((tmp_path / "s.json").read_bytes())
    assert record["scores"]["QAM"]["en"]["accuracy"] == 50.0
    assert record["means"]["NER"]["ner_f1"] == {"value": 100.0, "have": 4, "of": 4}
    assert record["averages"]["Unique"] == {"value": None, "have": 1, "of": 4}
    assert record["refused"] == [] and record["missing"] == []


def test_the_command_fails_if_a_file_is_refused(folders):
    write_text(folders[0] / "QAM/de.prediction", "")
    done = command(folders[0], "--gold", folders[1], "--tasks", "QAM")
    assert done.returncode == 1
    assert "refused (1):" in done.stdout and "Traceback" not in done.stderr


def test_a_terminal_gets_tables_that_fit(folders):
    import io

    from rich.console import Console

    out = io.StringIO()
    show(scoring.score_submission(*folders), Console(file=out, force_terminal=True, width=80, color_system=None))
    lines = out.getvalue().splitlines()
    assert sum(line.split()[:2] == ["task", "metric"] for line in lines) > 1
    assert all(len(line) <= 80 for line in lines[: lines.index("")] if line)
    assert "Unique: 1/4" in out.getvalue()


# --- the whole way

XGLUE = "data/hf_dummy/xglue/xglue_full_dataset.tar.gz/xglue_full_dataset"
CEILING = {"de": 100.0, "en": 0.0, "es": 100.0, "fr": 100.0, "it": 0.0, "zh": 0.0}
"""nDCG of the gold order in the sample's WPR test files: one query each, whose pages are all irrelevant in three."""


@pytest.mark.realdata
def test_gold_there_and_back_has_the_full_score(real_data, tmp_path):
    gold = real_data / XGLUE
    for row in leaderboard("xglue")[1].values():
        for language in row.languages:
            examples, _ = read_source(row, None, gold, "test", language)
            write_text(tmp_path / file_of(row, language), FORMS[row.submission.form].write(perfect(row, examples)))
    report = scoring.score_submission(tmp_path, gold)
    for entry in report.entries:
        if entry.folder == "WPR":
            continue
        assert entry.status == "done", entry.reason
        # BLEU is a power of e of a sum of logarithms, in sacrebleu too: 100.00000000000004 is its 100
        exact = {name: value for name, value in entry.metrics.items() if name != "bleu"}
        assert set(exact.values()) <= {100.0}, entry
        assert entry.metrics.get("bleu", 100.0) == pytest.approx(100.0, abs=1e-12), entry
    assert {x: e.metrics["ndcg"] for x, e in report.of("WPR").items() if e.status == "done"} == CEILING
    # the sample's two rows in Portuguese are two queries of one page: the official score is a mean over nothing
    assert "no query has two or more rows" in report.of("WPR")["pt"].reason
    assert report.averages()["Generation"].value == pytest.approx(100.0, abs=1e-12)


@pytest.mark.slow
def test_the_rule_is_asked_for_by_name_alone(tmp_path):
    config = {
        **{key: value for key, value in CONFIG.items() if key != "models"},
        "models": {"small": CONFIG["models"]["small"]},
        "sources": {"xglue": {"path": "demo:xglue_full_dataset"}},
    }

    def planned(*targets, **changes):
        write_text(tmp_path / "grid.yaml", yaml.safe_dump({**config, **changes}))
        line = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "-n", "--cores", "1", *targets]
        done = subprocess.run(
            [*line, "--configfile", "grid.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    status, text = planned("submission")
    assert status == 0, text
    assert "submission: small after none, seed 1" in text and "score: " not in text
    status, text = planned()
    assert status == 0, text
    assert "submission" not in text
    status, text = planned("submission", submission={})
    assert status != 0
    assert "lacks what the leaderboard of xglue wants" in text
