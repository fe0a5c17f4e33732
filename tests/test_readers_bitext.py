"""Readers of retrieval data, of PAN-X and TyDiQA as released; XTREME's forms of retrieval predictions."""

import json

import pytest

from stiltgrid.errors import StiltgridError
from stiltgrid.readers import read_source
from stiltgrid.submission.forms import FORMS
from stiltgrid.submission.leaderboard import LEADERBOARDS, file_of, leaderboard, official_metrics
from stiltgrid.submission.scoring import Entry, Report
from stiltgrid.tasks.registry import task

TATOEBA, BUCC, PANX, TYDIQA = (task(f"xtreme/{name}") for name in ("tatoeba", "bucc2018", "panx", "tydiqa"))


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def tatoeba(folder, german="eins\nzwei\ndrei\nvier\n", english="two\nOne\ntwo\nZ\n"):
    put(folder, "tatoeba/v1/tatoeba.deu-eng.deu", german)
    put(folder, "tatoeba/v1/tatoeba.deu-eng.eng", english)
    return read_source(TATOEBA, None, folder, "test", "de")[0]


def bucc(folder, split="dev", **files):
    sides = {"de": "de-1\teins\nde-2\tzwei\nde-3\tdrei\n", "en": "en-1\tone\nen-2\ttwo\n", "gold": "de-2\ten-1\n"}
    for part in ("dev", "test"):
        for side, text in sides.items():
            put(folder, f"bucc2018/de-en.{part}.{side}", files.get(f"{part}_{side}", text))
    return read_source(BUCC, None, folder, split, "de")[0]


def refused(read, *arguments, **files):
    with pytest.raises(StiltgridError) as caught:
        read(*arguments, **files)
    return str(caught.value)


def test_tatoeba_s_rows_come_in_the_order_of_their_english_sentences(tmp_path):
    rows = tatoeba(tmp_path)
    # by code points, capitals first; of equal ones the first line
    assert [(e.id, e.fields["english"], e.fields["sentence"]) for e in rows] == [
        ("2", "One", "zwei"),
        ("4", "Z", "vier"),
        ("1", "two", "eins"),
        ("3", "two", "drei"),
    ]
    assert [e.references for e in rows] == [("2",), ("4",), ("1",), ("3",)]


def test_tatoeba_s_sides_must_be_as_long(tmp_path):
    assert "has 3 lines" in refused(tatoeba, tmp_path, german="a\nb\nc\n")


def test_bucc_has_both_sides_and_each_gold_pair(tmp_path):
    rows = bucc(tmp_path)
    assert [(e.id, e.group, e.references) for e in rows] == [
        ("de-1", "de-1", ()),
        ("de-2", "de-2", ("en-1",)),
        ("de-3", "de-3", ()),
        ("en-1", "en", ()),
        ("en-2", "en", ()),
    ]
    assert rows[1].fields == {"sentence": "zwei"}


def test_bucc_s_test_file_holds_the_dev_rows_that_its_threshold_is_tuned_on(tmp_path):
    rows = bucc(tmp_path, "test", test_gold="de-1\ten-2\n")
    assert [e.references for e in rows[:3]] == [("en-2",), (), ()]
    assert [e.id for e in rows[5:]] == ["dev:de-1", "dev:de-2", "dev:de-3", "dev:en-1", "dev:en-2"]
    assert rows[6].references == ("dev:en-1",) and {e.group for e in rows[5:]} == {"dev:"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"dev_gold": "de-9\ten-1\n"}, r"de-en.dev.gold:1: id 'de-9', expected one of .*de-en.dev.de"),
        ({"dev_en": "de-1\tone\n"}, r"de-en.dev.en:1: id 'de-1' is of another side; expected ids en-..."),
        ({"dev_de": "de-1\ta\nde-1\tb\n"}, r"de-en.dev.de:2: id 'de-1' occurred before"),
        ({"dev_de": "de-1 eins\n"}, r"de-en.dev.de:1: expected two fields with a tab"),
    ],
)
def test_bad_rows_of_bucc_are_named(tmp_path, files, message):
    with pytest.raises(StiltgridError, match=message):
        bucc(tmp_path, **files)


def test_panx_as_released_has_the_language_before_each_word(tmp_path):
    put(tmp_path, "de/dev", "de:Berlin\tB-LOC\nde:um\tO\nde:12:30\tO\n\nde::\tO\n")
    rows, _ = read_source(PANX, "original", tmp_path, "dev", "de")
    assert [e.words for e in rows] == [("Berlin", "um", "12:30"), (":",)]
    assert rows[0].tags == ("B-LOC", "O", "O")
    put(tmp_path, "de/dev", "Berlin\tB-LOC\n")
    with pytest.raises(StiltgridError, match=r"sentence 1 has the word 'Berlin', expected `de:` before each word"):
        read_source(PANX, "original", tmp_path, "dev", "de")


def question(name, answer="Rom"):
    return {"id": name, "question": "Wo?", "answers": [{"text": answer, "answer_start": 0}]}


def squad(*paragraphs):
    articles = [{"paragraphs": [{"context": "Rom ist gross.", "qas": list(qas)}]} for qas in paragraphs]
    return json.dumps({"version": "x", "data": articles})


def test_tydiqa_s_train_file_of_all_languages_is_read_by_language(tmp_path):
    put(tmp_path, "tydiqa-goldp-v1.1-train.json", squad([question("english-7-0")], [question("finnish-7-0")]))
    rows, about = read_source(TYDIQA, "original", tmp_path, "train", "en")
    assert [e.id for e in rows] == ["english-7-0"] and about["dropped"] == {}
    put(tmp_path, "tydiqa-goldp-v1.1-train.json", squad([question("0")]))
    with pytest.raises(StiltgridError, match="none whose id begins with 'english'"):
        read_source(TYDIQA, "original", tmp_path, "train", "en")


def test_xtreme_s_tydiqa_train_ids_count_within_an_article(tmp_path):
    name = "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json"
    put(tmp_path, name, squad([question("0"), question("1")], [question("0")]))
    rows, _ = read_source(TYDIQA, None, tmp_path, "train", "en")
    assert [e.id for e in rows] == ["1.1-0", "1.1-1", "2.1-0"]


def test_blanked_answers_are_refused(tmp_path):
    put(tmp_path, "xquad/xquad.en.json", squad([question("a", answer="")]))
    with pytest.raises(StiltgridError, match="answer '' is not at answer_start 0"):
        read_source(task("xtreme/xquad"), None, tmp_path, "test", "en")


# --- forms


def test_places_are_a_line_an_english_sentence_in_alphabetical_order(tmp_path):
    from stiltgrid.predictions import Prediction

    rows = tatoeba(tmp_path)
    said = [Prediction(e.id, text=e.references[0]) for e in rows]
    text = FORMS["places"].write(said)
    assert text == "1\n3\n0\n2\n"
    put(tmp_path, "x", text)
    assert [p.text for p in FORMS["places"].read(tmp_path / "x", rows, TATOEBA)] == ["2", "4", "1", "3"]
    for bad, message in (("1\n3\n0\n", "ends here"), ("1\n3\n0\n4\n", r"x:4: '4', expected a place from 0 to 3")):
        put(tmp_path, "x", bad)
        with pytest.raises(StiltgridError, match=message):
            FORMS["places"].read(tmp_path / "x", rows, TATOEBA)


def test_pairs_are_ids_and_leave_out_what_is_tuned_on(tmp_path):
    from stiltgrid.predictions import Prediction

    rows = bucc(tmp_path, "test")
    said = [Prediction(e.id, text=(e.references or ("",))[0]) for e in rows]
    text = FORMS["pairs"].write(said)
    assert text == "de-2\ten-1\n"
    put(tmp_path, "x", text)
    back = FORMS["pairs"].read(tmp_path / "x", rows, BUCC)
    assert [p.text for p in back] == ["", "en-1", *[""] * 8]
    put(tmp_path, "x", "")
    assert not any(p.text for p in FORMS["pairs"].read(tmp_path / "x", rows, BUCC))
    bad = {
        "de-1\n": "x:1: 'de-1', expected two ids",
        "en-1\tde-1\n": "x:1: unknown id 'en-1'",
        "de-1\ten-1\nde-2\ten-1\n": "x:2: 'en-1' is in a second pair",
    }
    for content, message in bad.items():
        put(tmp_path, "x", content)
        with pytest.raises(StiltgridError, match=message):
            FORMS["pairs"].read(tmp_path / "x", rows, BUCC)


def test_xtreme_s_folders_and_averages():
    board, rows = leaderboard("xtreme")
    assert set(rows) == set(board.averages["All"])
    assert file_of(rows["mlqa"], "de") == "mlqa/test-de.json"
    assert file_of(rows["tatoeba"], "de", "test") == "tatoeba/test-de.tsv"
    assert file_of(rows["udpos"], "de", "dev") == "udpos/dev-de.tsv"
    assert official_metrics(board, "xquad", rows["xquad"]) == ("squad_f1", "squad_exact")
    assert official_metrics(board, "xnli", rows["xnli"]) == ("accuracy",)


def test_a_question_answering_task_counts_as_the_mean_of_f1_and_exact_match():
    board, rows = LEADERBOARDS["xtreme"], leaderboard("xtreme")[1]
    scores = {"xquad": (80.0, 60.0), "mlqa": (70.0, 50.0), "tydiqa": (60.0, 50.0)}
    entries = [
        Entry(name, x, "", "done", metrics=dict(zip(rows[name].metrics, values, strict=True)))
        for name, values in scores.items()
        for x in rows[name].languages
    ]
    report = Report("xtreme", "test", {n: rows[n] for n in scores}, tuple(entries), board, ())
    assert report.averages()["Question answering"].value == pytest.approx((70 + 60 + 55) / 3)
    assert report.averages()["All"].status != "done"
    entries[0] = Entry("xquad", "en", "", "missing")
    report = Report("xtreme", "test", {n: rows[n] for n in scores}, tuple(entries), board, ())
    assert report.averages()["Question answering"].value is None
