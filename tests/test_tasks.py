import re

import pytest
from pydantic import ValidationError

from stiltgrid.errors import StiltgridError
from stiltgrid.metrics import METRICS
from stiltgrid.readers import READERS, source_paths
from stiltgrid.readers.files import options_of, patterns_of
from stiltgrid.score import task_metrics
from stiltgrid.tasks.registry import TaskRow, task, tasks

RUNNING = [row for row in tasks().values() if row.pending is None]
LABELLED = [row for row in tasks().values() if row.labels]


def ids(row: TaskRow) -> str:
    return row.name


def test_xglue_has_its_eleven_tasks_in_the_official_order():
    names = [row.name for row in tasks().values() if row.suite == "xglue"]
    order = ["ner", "pos", "nc", "mlqa", "xnli", "pawsx", "qadsm", "wpr", "qam", "qg", "ntg"]
    assert names == [f"xglue/{name}" for name in order]


@pytest.mark.parametrize(
    ("name", "languages"),
    [
        ("xglue/ner", "de en es nl"),
        ("xglue/pos", "pl ar ru bg de el en es fr hi it nl pt th tr ur vi zh"),
        ("xglue/nc", "de en es fr ru"),
        ("xglue/mlqa", "ar de en es hi vi zh"),
        ("xglue/xnli", "ar bg de el en es fr hi ru sw th tr ur vi zh"),
        ("xglue/pawsx", "de en es fr"),
        ("xglue/qadsm", "de en fr"),
        ("xglue/wpr", "de en es fr it pt zh"),
        ("xglue/qam", "de en fr"),
        ("xglue/qg", "de en es fr it pt"),
        ("xglue/ntg", "de en es fr ru"),
        ("xtreme/xnli", "ar bg de el en es fr hi ru sw th tr ur vi zh"),
        ("xtreme/pawsx", "de en es fr ja ko zh"),
    ],
)
def test_languages_are_the_benchmark_s(name, languages):
    assert list(task(name).languages) == languages.split()


def test_xtreme_udpos_has_33_languages():
    assert len(task("xtreme/udpos").languages) == 33


def test_no_task_waits_for_a_later_version():
    assert not [row.name for row in tasks().values() if row.pending]


@pytest.mark.parametrize("row", RUNNING, ids=ids)
def test_a_running_task_names_readers_and_metrics_that_exist(row):
    assert {layout.reader for layout in row.layouts.values()} <= set(READERS)
    assert set(row.metrics) <= set(METRICS)
    assert task_metrics(row)
    assert "en" in row.languages or row.kind == "retrieval"  # which has no training language


@pytest.mark.parametrize("row", RUNNING, ids=ids)
def test_no_file_is_read_for_two_languages_unless_it_holds_both(row, tmp_path):
    for name, layout in row.layouts.items():
        for split in layout.files:
            of_language = {}
            for language in row.languages:
                try:
                    of_language[language] = tuple(source_paths(row, name, tmp_path, split, language))
                except StiltgridError:
                    # XQuAD is developed on English questions alone
                    assert split == "train" or (row.name, split) == ("xtreme/xquad", "dev")
                    assert language != "en"
            assert "en" in of_language or row.kind == "retrieval"
            # TyDiQA's reader tells the languages of one file by the ids of their questions (test_readers_bitext)
            told_apart = options_of(layout, split).get("where") or layout.reader == "tydiqa"
            assert len(set(of_language.values())) == len(of_language) or told_apart


@pytest.mark.parametrize("row", [row for row in RUNNING if row.kind == "tagging"], ids=ids)
def test_scored_sentences_are_never_left_out(row):
    for layout in row.layouts.values():
        for split in ("dev", "test"):
            assert options_of(layout, split).get("text_withheld", "keep") == "keep"


@pytest.mark.parametrize("row", RUNNING, ids=ids)
def test_named_files_cover_every_language(row):
    for layout in row.layouts.values():
        used = any("{name}" in pattern for split in layout.files for pattern in patterns_of(layout, split))
        assert set(layout.names) == (set(row.languages) if used else set())


@pytest.mark.parametrize("row", RUNNING, ids=ids)
def test_option_columns_cover_the_fields_and_the_label(row):
    for layout in row.layouts.values():
        for options in (layout.options, *layout.options.get("splits", {}).values()):
            if "columns" in options:
                gold = {"span": {"answers"}, "tagging": {"words", "tags"}, "choice": {"choices", "label"}}
                assert {*row.fields, *gold.get(row.kind, {"label"})} <= set(options["columns"])
        for spelling in layout.options.get("labels", {}).values():
            assert spelling in row.labels


@pytest.mark.parametrize("row", [row for row in LABELLED if row.kind != "choice"], ids=ids)
def test_verbalisers_are_short_lower_case_words_with_distinct_first_letters(row):
    words = list(row.labels.values())
    assert all(re.fullmatch("[a-z]+", word) for word in words), words
    assert len({word[0] for word in words}) == len(words), words


@pytest.mark.parametrize("row", [row for row in LABELLED if row.kind == "choice"], ids=ids)
def test_choices_are_places_with_letters(row):
    assert list(row.labels.items()) == list(zip("01234", "ABCDE", strict=True))[: len(row.labels)]
    assert row.chance == 100 / len(row.labels)


@pytest.mark.parametrize("row", [row for row in tasks().values() if row.kind != "choice"], ids=ids)
def test_segments_use_every_field_once_and_at_most_two_segments(row):
    used = [name for segment in row.segments for name in segment]
    assert sorted(used) == sorted(row.fields)
    assert len(row.segments) <= 2


@pytest.mark.parametrize("row", tasks().values(), ids=ids)
def test_sizes_name_splits_and_languages(row):
    for sizes in (row.sizes, *(layout.sizes for layout in row.layouts.values())):
        for key, count in sizes.items():
            split, _, language = key.partition(".")
            assert split in ("train", "dev", "test")
            assert not language or language in row.languages
            assert count > 0
    for split in ("dev", "test"):
        of_split = {key.partition(".")[2] for key in row.sizes if key.startswith(f"{split}.")}
        # a number without a language stands for those that have none of their own
        assert not of_split or of_split == set(row.languages) or split in row.sizes


@pytest.mark.parametrize("row", tasks().values(), ids=ids)
def test_rows_are_documented(row):
    assert 0 <= row.chance < 100
    assert row.licence and row.citation
    assert row.url.startswith("https://")
    assert row.revision is None or re.fullmatch("[0-9a-f]{40}", row.revision)


def test_nli_tasks_share_one_label_order():
    rows = [row for row in tasks().values() if "entailment" in row.labels]
    assert len(rows) == 5
    assert {tuple(row.labels.items()) for row in rows} == {
        (("entailment", "yes"), ("neutral", "maybe"), ("contradiction", "no"))
    }


def test_pos_tags_are_the_seventeen_of_ud():
    upos = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
    assert " ".join(task("xglue/pos").labels) == upos
    assert task("xtreme/udpos").labels == task("xglue/pos").labels


def test_a_bare_name_is_an_intermediate_task():
    assert task("mnli") is tasks()["intermediate/mnli"]


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(StiltgridError, match="unknown task 'xglue/xnl'; did you mean 'xglue/xnli'"):
        task("xglue/xnl")


GOOD = {
    "name": "mine/tone",
    "title": "Tone",
    "kind": "classification",
    "languages": ["en"],
    "labels": {"0": "sad", "1": "glad"},
    "fields": ["text"],
    "segments": [["text"]],
    "metrics": ["accuracy"],
    "chance": 50.0,
    "cluster": "row",
    "layouts": {"own": {"reader": "table", "files": {"train": "{lang}.tsv"}}},
    "licence": "CC0",
    "citation": "mine",
    "url": "https://example.org",
}


def test_a_row_written_by_hand_is_accepted():
    assert TaskRow(**GOOD).suite == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "tone"}, "expected suite/task"),
        ({"layouts": {}}, "needs a layout"),
        ({"labels": {}}, "needs labels"),
        ({"labels": {"0": "sad", "1": "sad"}}, "share a verbaliser"),
        ({"segments": [["txt"]]}, "unknown fields"),
        ({"colour": "red"}, "colour"),
        ({"kind": "choice", "labels": {"1": "A", "2": "B"}}, "labels of kind choice are places, '0', '1'"),
        ({"no_answer": "none"}, "no_answer is for kind span"),
        ({"labels_from": "train"}, "labels_from is for kind tagging without labels"),
    ],
)
def test_a_malformed_row_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        TaskRow(**GOOD | change)


def test_rows_are_frozen():
    with pytest.raises(ValidationError):
        task("mnli").chance = 0.0
