import hashlib
import json
import re

import pytest

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import write_examples
from stiltgrid.readers import read_source, source_paths
from stiltgrid.readers.lines import numbered_lines
from stiltgrid.readers.words import iob2
from stiltgrid.tasks.registry import task


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder, name, split="dev", language="en", **options):
    """The message of a refused read, with the folder's own path cut off."""
    layout = options.pop("layout", None)
    with pytest.raises(StiltgridError) as caught:
        read_source(task(name), layout, folder, split, language, **options)
    return str(caught.value).replace(f"{folder}/", "")


# --- lines ------------------------------------------------------------------------------------------------


def test_lines_end_at_lf_only(tmp_path):
    text = "a\u2028b\u0085c\u000bd\u001ce\rf\n\n g \u00a0\n"
    assert numbered_lines(put(tmp_path, "x", text)) == [
        (1, "a\u2028b\u0085c\u000bd\u001ce\rf"),
        (2, ""),
        (3, " g \u00a0"),
    ]


def test_crlf_and_a_byte_order_mark_are_dropped_and_a_last_line_without_end_is_kept(tmp_path):
    path = put(tmp_path, "x", b"\xef\xbb\xbfone\r\ntwo\r\nthree")
    assert numbered_lines(path) == [(1, "one"), (2, "two"), (3, "three")]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path, content):
    with pytest.raises(StiltgridError, match="empty file"):
        numbered_lines(put(tmp_path, "x", content))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_that_is_not_utf8_is_named_by_line_and_offset(tmp_path, mark):
    path = put(tmp_path, "x", mark + b"first\nca\xff\xe9\n")
    with pytest.raises(StiltgridError) as caught:
        numbered_lines(path)
    assert f"{path}:2: byte 0xff at offset {len(mark) + 8} " in str(caught.value)


def test_a_truncated_character_at_the_end_is_named(tmp_path):
    path = put(tmp_path, "x", "fine\nça".encode()[:-2])
    with pytest.raises(StiltgridError, match=re.escape(f"{path}:2: byte 0xc3 at offset 5 ")):
        numbered_lines(path)


def test_utf16_is_named(tmp_path):
    with pytest.raises(StiltgridError, match="UTF-16"):
        numbered_lines(put(tmp_path, "x", "hello\n".encode("utf-16")))


# --- tables -----------------------------------------------------------------------------------------------

XNLI = (
    "The kettle boils.\tThe water is hot.\tentailment\n"
    "The kettle boils.\tThe water is ice.\tcontradiction\n"
    "The kettle boils.\tTea follows.\tneutral\n"
    "A dog barks.\tA cat barks.\tneutral\n"
    "The kettle boils.\tIt whistles.\tneutral\n"
)


def test_xglue_xnli(tmp_path):
    put(tmp_path, "XNLI/en.dev", XNLI)
    examples, about = read_source(task("xglue/xnli"), None, tmp_path, "dev", "en")
    assert [e.id for e in examples] == ["1", "2", "3", "4", "5"]
    # the premise of row 5 is that of row 1, but its run is another: translations agree on runs, not on texts
    assert [e.group for e in examples] == ["1", "1", "1", "4", "5"]
    assert examples[1].fields == {"premise": "The kettle boils.", "hypothesis": "The water is ice."}
    assert [e.label for e in examples] == ["entailment", "contradiction", "neutral", "neutral", "neutral"]
    assert about == {
        "task": "xglue/xnli",
        "split": "dev",
        "language": "en",
        "layout": "xglue",
        "source_files": [
            {
                "file": "XNLI/en.dev",
                "sha256": hashlib.sha256(XNLI.encode()).hexdigest(),
                "bytes": len(XNLI),
            }
        ],
        "examples_published": 2490,
        "dropped": {},
        "rows": None,
        "warnings": [f"{tmp_path}/XNLI/en.dev: 5 examples (0 dropped), published: 2490"],
    }


def test_about_goes_into_a_sidecar(tmp_path):
    put(tmp_path, "XNLI/en.dev", XNLI)
    examples, about = read_source(task("xglue/xnli"), None, tmp_path, "dev", "en")
    record = write_examples(tmp_path / "dev.en.parquet", examples, about)
    assert record["source_files"] == about["source_files"]


def test_groups_and_ids_agree_between_languages_of_a_parallel_set(tmp_path):
    put(tmp_path, "XNLI/en.dev", XNLI)
    put(tmp_path, "XNLI/fr.dev", XNLI.replace("The kettle", "La bouilloire"))
    keys = [
        [(e.id, e.group) for e in read_source(task("xglue/xnli"), None, tmp_path, "dev", lang)[0]]
        for lang in ("en", "fr")
    ]
    assert keys[0] == keys[1]


def test_xglue_xnli_train_has_a_header_and_its_own_spelling_of_contradiction(tmp_path):
    put(
        tmp_path,
        "XNLI/multinli.train.en.tsv",
        "premise\thypo\tlabel\nIt rains .\tIt is dry .\tcontradictory\n",
    )
    [example], _ = read_source(task("xglue/xnli"), None, tmp_path, "train", "en")
    assert (example.id, example.label) == ("1", "contradiction")


def test_quotes_are_text_in_raw_tables(tmp_path):
    put(tmp_path, "NC/xglue.nc.en.dev", '"Half open\tShe said ""no"".\tnews\n\'Tis "odd"\tx"\tsports\n')
    examples, _ = read_source(task("xglue/nc"), None, tmp_path, "dev", "en")
    assert [e.fields["title"] for e in examples] == ['"Half open', '\'Tis "odd"']
    assert examples[0].fields["body"] == 'She said ""no"".'


def test_quotes_are_csv_in_xtreme_tables(tmp_path):
    put(tmp_path, "pawsx/dev-fr.tsv", '"Il dit ""oui""."\tIl dit « oui ».\t1\r\nUn "mot\tDeux mots\t0\r\n')
    examples, _ = read_source(task("xtreme/pawsx"), None, tmp_path, "dev", "fr")
    assert [e.fields["sentence1"] for e in examples] == ['Il dit "oui".', 'Un "mot']
    assert [e.label for e in examples] == ["1", "0"]


def test_an_open_quote_does_not_swallow_the_next_row(tmp_path):
    put(tmp_path, "pawsx/dev-fr.tsv", 'Bon.\tBien.\t1\n"Ouvert\tFin.\t1\nSuite"\tFin.\t0\n')
    message = refused(tmp_path, "xtreme/pawsx", language="fr")
    assert message.startswith("pawsx/dev-fr.tsv:2: not quoted as csv.writer does")


def test_pawsx_keeps_its_own_ids(tmp_path):
    put(
        tmp_path,
        "PAWSX/de/dev_2k.tsv",
        "id\tsentence1\tsentence2\tlabel\n7\tEins zwei.\tZwei eins.\t1\n3\tRot.\tBlau.\t0\n",
    )
    examples, _ = read_source(task("xglue/pawsx"), None, tmp_path, "dev", "de")
    assert [(e.id, e.group, e.label) for e in examples] == [("7", "7", "1"), ("3", "3", "0")]


def test_wpr_groups_are_consecutive_and_qadsm_groups_are_not(tmp_path):
    put(tmp_path, "WPR/xglue.wpr.en.dev", "q\tt\ts\t1\nq\tu\ts\t0\nr\tt\ts\t4\nq\tv\ts\t2\n")
    put(tmp_path, "QADSM/xglue.qadsm.en.dev", "q\tt\td\tGood\nr\tt\td\tBad\nq\tu\td\tBad\n")
    wpr, _ = read_source(task("xglue/wpr"), None, tmp_path, "dev", "en")
    assert [e.group for e in wpr] == ["1", "1", "3", "4"]
    qadsm, _ = read_source(task("xglue/qadsm"), None, tmp_path, "dev", "en")
    assert [e.group for e in qadsm] == ["1", "2", "1"]


def test_a_blank_field_is_kept_with_a_warning(tmp_path):
    put(tmp_path, "WPR/xglue.wpr.en.dev", "q\tt\t\t1\nq\tu\ts\t0\n")
    examples, about = read_source(task("xglue/wpr"), None, tmp_path, "dev", "en")
    assert examples[0].fields["snippet"] == ""
    assert f"{tmp_path}/WPR/xglue.wpr.en.dev: 1 examples have an empty snippet" in about["warnings"]


def test_trailing_blank_lines_are_no_rows(tmp_path):
    put(tmp_path, "QAM/xglue.qam.en.dev", "q\tp\t1\n\n\n")
    assert len(read_source(task("xglue/qam"), None, tmp_path, "dev", "en")[0]) == 1


def test_xnli_original_holds_all_languages_in_one_file(tmp_path):
    header = "language\tgold_label\tsentence1\tsentence2\tpromptID\tpairID\n"
    rows = "de\tneutral\tEs regnet.\tEr weint.\t5\t9\nen\tneutral\tIt rains.\tHe cries.\t5\t9\n"
    put(tmp_path, "XNLI-1.0/xnli.test.tsv", header + rows)
    xnli = task("xtreme/xnli")
    for language, premise in (("de", "Es regnet."), ("en", "It rains.")):
        [example], _ = read_source(xnli, "original", tmp_path, "test", language)
        assert (example.id, example.group, example.fields["premise"]) == ("9", "5", premise)
    message = refused(tmp_path, "xtreme/xnli", "test", "sw", layout="original")
    assert "no rows with {'language': 'sw'}" in message
    put(tmp_path, "XNLI-MT-1.0/multinli/multinli.train.en.tsv", "premise\thypo\tlabel\nA\tB\tcontradictory\n")
    [example], _ = read_source(xnli, "original", tmp_path, "train", "en")
    assert (example.id, example.label) == ("1", "contradiction")


def test_mnli_in_its_three_layouts(tmp_path):
    head = "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n"
    put(tmp_path, "MNLI/train.tsv", head + '0\tfiction\tA "b\tC d\tneutral\tentailment\n')
    put(tmp_path, "multinli/multinli.train.en.tsv", 'premise\thypo\tlabel\nA "b\tC d\tentailment\n')
    rows = [
        {"sentence1": 'A "b', "sentence2": "C d", "gold_label": label, "pairID": "4e"} for label in ("entailment", "-")
    ]
    put(
        tmp_path,
        "multinli_1.0/multinli_1.0_train.jsonl",
        "".join(json.dumps(row) + "\n" for row in rows),
    )
    read = {
        layout: read_source(task("mnli"), layout, tmp_path, "train", "en") for layout in ("glue", "xnli", "original")
    }
    assert read["glue"][0] == read["xnli"][0] == read["original"][0]
    assert read["glue"][0][0].label == "entailment"
    assert read["original"][1]["dropped"] == {"label '-' (no gold label)": 1}


def test_qqp_in_its_two_layouts(tmp_path):
    head = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    torn = "8\t1\t2\tWhy is\nthe sky blue?\tWhat is sky?\t0\n"
    put(tmp_path, "QQP/dev.tsv", head + torn + "9\t1\t2\tWho?\tWhom?\t1\n")
    put(tmp_path, "dev.txt", "Who ?\tWhom ?\t1\nWho ?\tWhen ?\t0\n")
    examples, about = read_source(task("qqp"), "glue", tmp_path, "dev", "en")
    assert [(e.id, e.label) for e in examples] == [("3", "duplicate")]
    assert about["dropped"] == {"wrong number of columns": 2}
    examples, about = read_source(task("qqp"), "bimpm", tmp_path, "dev", "en")
    assert [e.label for e in examples] == ["duplicate", "not_duplicate"]
    assert about["examples_published"] == 10000


# --- bad tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        ("only two\tcolumns", "2 tab-separated columns, expected 3"),
        ("a\tb\tc\tneutral", "4 tab-separated columns, expected 3 (premise, hypothesis, label)"),
        ("", "blank line; 1 tab-separated columns, expected 3"),
        ("a\tb\tNeutral", "label 'Neutral', expected one of: entailment, neutral, contradiction"),
        ("a\tb\t", "label '', expected one of: entailment, neutral, contradiction; test files without"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, row, seen):
    put(tmp_path, "XNLI/en.dev", f"a\tb\tneutral\n{row}\na\tb\tneutral\n")
    assert refused(tmp_path, "xglue/xnli").startswith(f"XNLI/en.dev:2: {seen}")


def test_line_numbers_count_the_header(tmp_path):
    put(tmp_path, "PAWSX/en/dev_2k.tsv", "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n2\ta\tb\t2\n")
    assert refused(tmp_path, "xglue/pawsx").startswith("PAWSX/en/dev_2k.tsv:3: label '2', expected one of: 0, 1")


def test_a_duplicate_id_names_both_lines(tmp_path):
    put(tmp_path, "PAWSX/en/dev_2k.tsv", "id\tsentence1\tsentence2\tlabel\n1\ta\tb\t0\n1\ta\tb\t1\n")
    assert refused(tmp_path, "xglue/pawsx").startswith(
        "PAWSX/en/dev_2k.tsv:3: id '1' occurred before on line 2; expected ids unique"
    )


def test_a_header_of_another_release_is_named(tmp_path):
    put(tmp_path, "MNLI/dev_matched.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n")
    message = refused(tmp_path, "mnli")
    assert message.startswith("MNLI/dev_matched.tsv:1: the header ['index', 'sentence1', 'sentence2'] lacks")
    assert "['gold_label']" in message


def test_a_header_without_rows_is_an_empty_split(tmp_path):
    put(tmp_path, "PAWSX/en/dev_2k.tsv", "id\tsentence1\tsentence2\tlabel\n")
    assert "no rows below 1 header line" in refused(tmp_path, "xglue/pawsx")


def test_an_unlabelled_test_file_says_so(tmp_path):
    put(tmp_path, "xnli/test-de.tsv", "Es regnet.\tEs ist nass.\n")
    message = refused(tmp_path, "xtreme/xnli", "test", "de")
    assert message.startswith("xnli/test-de.tsv:1: 2 tab-separated columns, expected 3")
    assert "label seems to be missing" in message
    put(tmp_path, "udpos/test-de.tsv", "Es\nregnet\n\n")
    message = refused(tmp_path, "xtreme/udpos", "test", "de")
    assert message.startswith("udpos/test-de.tsv:1: expected a word, a tab and a tag, found 'Es'")


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON list, expected an object"),
        ('{"sentence1": "a", "gold_label": "neutral"}', "expected text under key 'sentence2', found keys"),
        ('{"sentence1": "a", "sentence2": 4, "gold_label": "neutral"}', "under key 'sentence2', found 4"),
        ('{"sentence1": "a", "sentence2": "b", "gold_label": "n"}', "label 'n', expected one of"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path, line, seen):
    good = '{"sentence1": "a", "sentence2": "b", "gold_label": "neutral"}'
    put(tmp_path, "multinli_1.0/multinli_1.0_train.jsonl", f"{good}\n{line}\n")
    message = refused(tmp_path, "mnli", "train", layout="original")
    assert message.startswith("multinli_1.0/multinli_1.0_train.jsonl:2: ")
    assert seen in message


# --- words ------------------------------------------------------------------------------------------------


def test_the_last_sentence_needs_no_blank_line(tmp_path):
    for end in ("", "\n", "\n\n", "\n\n\n"):
        put(tmp_path, "POS/en.dev", f"Birds NOUN\nsing VERB\n\n\nYes INTJ\n! PUNCT{end}")
        examples, _ = read_source(task("xglue/pos"), None, tmp_path, "dev", "en")
        assert [(e.id, e.words, e.tags) for e in examples] == [
            ("1", ("Birds", "sing"), ("NOUN", "VERB")),
            ("2", ("Yes", "!"), ("INTJ", "PUNCT")),
        ]


def test_words_keep_zero_width_characters_and_exotic_spaces(tmp_path):
    odd = ["می\u200cخواهم", "10\u00a0000", "a\u2003b", "x y", "\u2028", "\u0085", "\ufeff"]
    put(tmp_path, "POS/en.dev", "".join(f"{word} X\n" for word in odd))
    [example], _ = read_source(task("xglue/pos"), None, tmp_path, "dev", "en")
    assert list(example.words) == odd


def test_crlf_between_sentences(tmp_path):
    put(tmp_path, "udpos/dev-en.tsv", "Birds\tNOUN\r\n\r\nsing\tVERB\r\n")
    examples, _ = read_source(task("xtreme/udpos"), None, tmp_path, "dev", "en")
    assert [e.words for e in examples] == [("Birds",), ("sing",)]


def test_withheld_sentences_are_dropped_and_counted_and_ids_stay(tmp_path):
    put(tmp_path, "POS/en.train", "_ NOUN\n_ VERB\n\nsnake_case NOUN\n_ PUNCT\n\n_ X\n")
    examples, about = read_source(task("xglue/pos"), None, tmp_path, "train", "en")
    assert [e.id for e in examples] == ["2"]
    assert list(about["dropped"].values()) == [2]
    put(tmp_path, "POS/en.train", "_ NOUN\n")
    assert "no sentence is left" in refused(tmp_path, "xglue/pos", "train")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_withheld_sentences_of_a_scored_file_are_kept_with_a_warning(tmp_path, split):
    put(tmp_path, f"POS/en.{split}", "_ NOUN\n_ VERB\n\nsnake NOUN\n")
    examples, about = read_source(task("xglue/pos"), None, tmp_path, split, "en")
    assert [e.words for e in examples] == [("_", "_"), ("snake",)]
    assert about["dropped"] == {}
    assert any("1 examples have no word but '_' (kept" in warning for warning in about["warnings"])


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("word", "expected a word, a space and a tag, found 'word'"),
        (" NOUN", "expected a word, a space and a tag, found ' NOUN'"),
        ("word\tNOUN", "expected a word, a space and a tag, found 'word\\tNOUN'"),
        ("word NN", "label 'NN', expected one of: ADJ, ADP"),
        ("word ", "label '', expected one of: ADJ, ADP"),
    ],
)
def test_a_bad_word_line_is_named(tmp_path, line, seen):
    put(tmp_path, "POS/en.dev", f"Birds NOUN\n\n{line}\n")
    assert refused(tmp_path, "xglue/pos").startswith(f"POS/en.dev:3: {seen}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),
        ("I-PER I-LOC I-LOC", "B-PER B-LOC I-LOC"),
        ("B-PER I-PER O O B-LOC", "B-PER I-PER O O B-LOC"),
        ("B-PER I-LOC", "B-PER B-LOC"),
        ("O", "O"),
    ],
)
def test_iob1_becomes_iob2_and_iob2_stays(before, after):
    assert iob2(before.split()) == after.split()
    assert iob2(after.split()) == after.split()


def test_ner_is_read_as_iob2_and_docstart_lines_are_counted(tmp_path):
    put(tmp_path, "NER/en.dev", "-DOCSTART- O\n\nRhine I-LOC\nflows O\n\n-DOCSTART- O\n\nBonn I-LOC\n")
    examples, about = read_source(task("xglue/ner"), None, tmp_path, "dev", "en")
    assert [e.tags for e in examples] == [("B-LOC", "O"), ("B-LOC",)]
    assert about["dropped"] == {"-DOCSTART- line": 2}


# --- source -----------------------------------------------------------------------------------------------


def test_files_replace_a_pattern_and_take_the_columns_of_the_split_that_they_name(tmp_path):
    put(tmp_path, "XNLI/en.dev", XNLI)
    examples, about = read_source(
        task("xglue/xnli"), None, tmp_path, "train", "en", files={"train": "XNLI/{lang}.dev"}, rows=(1, 4)
    )
    assert [e.id for e in examples] == ["2", "3", "4"]
    assert [e.group for e in examples] == ["1", "1", "4"]
    assert about["rows"] == [1, 4]
    assert about["split"] == "train"
    assert about["examples_published"] == 2490


def test_a_file_of_the_user_s_own_has_no_published_count(tmp_path):
    put(tmp_path, "mine-en.tsv", XNLI)
    _, about = read_source(task("xtreme/xnli"), None, tmp_path, "test", "en", files={"test": "mine-{lang}.tsv"})
    assert about["examples_published"] is None
    assert about["warnings"] == []


def test_rows_without_an_end_are_all_the_others(tmp_path):
    put(tmp_path, "XNLI/en.dev", XNLI)
    examples, about = read_source(task("xglue/xnli"), None, tmp_path, "dev", "en", rows=(3, None))
    assert [e.id for e in examples] == ["4", "5"]
    assert about["rows"] == [3, None]


@pytest.mark.parametrize("rows", [(0, 6), (3, 3), (4, 2), (-1, 2), (5, None)])
def test_rows_beyond_the_file_are_refused(tmp_path, rows):
    put(tmp_path, "XNLI/en.dev", XNLI)
    message = refused(tmp_path, "xglue/xnli", rows=rows)
    assert f"rows [{rows[0]}, {5 if rows[1] is None else rows[1]}) asked of 5 examples" in message


def test_the_folder_may_be_the_suite_s_or_the_task_s_own(tmp_path):
    path = put(tmp_path, "XNLI/en.dev", XNLI)
    xnli = task("xglue/xnli")
    for folder in (tmp_path, tmp_path / "XNLI"):
        assert source_paths(xnli, None, folder, "dev", "en") == [path]
        assert len(read_source(xnli, None, folder, "dev", "en")[0]) == 5


def test_source_paths_do_not_need_the_files(tmp_path):
    found = source_paths(task("xglue/pawsx"), None, tmp_path, "test", "fr")
    assert found == [tmp_path / "PAWSX/fr/test_2k.tsv"]
    found = source_paths(task("xglue/pawsx"), None, tmp_path, "test", "fr", files={"test": "t-{lang}"})
    assert found == [tmp_path / "t-fr"]


def test_the_wrong_archive_folder_is_explained(tmp_path):
    put(tmp_path, "down/xglue_full_dataset/POS/en.dev", "Birds NOUN\n")
    put(tmp_path, "down/readme.txt", "x")
    (tmp_path / "down/other").mkdir()
    (tmp_path / "empty").mkdir()
    message = refused(tmp_path / "down", "xglue/pos")
    assert message.startswith("POS/en.dev: no such file; layout 'xglue' of xglue/pos expects POS/en.dev")
    assert "which holds: other/, readme.txt, xglue_full_dataset/" in message
    assert message.endswith("xglue_full_dataset: set the source's `path` to that")
    assert "which holds: nothing; is it the wrong" in refused(tmp_path / "empty", "xglue/pos")
    assert f"there is no folder {tmp_path}/gone" in refused(tmp_path / "gone", "xglue/pos")
    assert "readme.txt is a file; unpack it" in refused(tmp_path / "down" / "readme.txt", "xglue/pos")


def test_what_a_task_does_not_have_is_refused_by_name(tmp_path):
    assert "unknown layout 'hub'; allowed: original, xglue" in refused(tmp_path, "xglue/xnli", layout="hub")
    assert "unknown language 'frr'; did you mean 'fr'?" in refused(tmp_path, "xglue/xnli", language="frr")
    assert "layout 'xnli' has no dev split (it has: train)" in refused(tmp_path, "mnli", layout="xnli")


@pytest.mark.parametrize(("name", "layout"), [("xglue/mlqa", "xglue"), ("xglue/mlqa", "original"), ("xglue/pos", "ud")])
def test_english_training_files_are_not_read_for_another_language(tmp_path, name, layout):
    message = refused(tmp_path, name, "train", "de", layout=layout)
    assert f"the train split of layout {layout!r} is English; asked for 'de'; set `source_language: en`" in message
    own = source_paths(task(name), layout, tmp_path, "train", "de", files={"train": "mine"})
    assert own == [tmp_path / "mine"]


def test_a_layout_of_one_file_refuses_two(tmp_path):
    for side in ("src", "tgt"):
        put(tmp_path, f"{side}.tsv", XNLI)
    message = refused(tmp_path, "xglue/xnli", files={"dev": "{side}.tsv"})
    assert "src.tsv and tgt.tsv: this layout reads one file a split; `files` names 2" in message


def test_reading_is_deterministic(tmp_path):
    put(tmp_path, "XNLI/en.dev", XNLI)
    first, second = (read_source(task("xglue/xnli"), None, tmp_path, "dev", "en") for _ in range(2))
    assert first == second
