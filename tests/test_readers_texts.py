"""SQuAD's JSON, parallel text files and CoNLL-U treebanks; exotic text through every reader."""

import json
import re
import unicodedata

import pytest

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, read_examples, write_examples
from stiltgrid.readers import read_source, source_paths
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


# --- SQuAD ------------------------------------------------------------------------------------------------

DEV = "MLQA/MLQA_V1/dev/dev-context-en-question-en.json"


def question(name, *answers, text="Who?"):
    return {"id": name, "question": text, "answers": [{"text": t, "answer_start": s} for t, s in answers]}


def squad(*articles):
    return {
        "version": "1.1",
        "data": [
            {"title": "T", "paragraphs": [{"context": context, "qas": qas} for context, qas in article]}
            for article in articles
        ],
    }


SMALL = squad(
    [("Ada wrote to Bo.", [question("a", ("Ada", 0)), question("b", ("Bo", 13), ("to Bo", 10))])],
    [("It rained.", [question("c", ("rained", 3))]), ("Snow fell.", [question("d", ("Snow", 0))])],
)


def test_squad_has_all_answers_where_they_start_and_paragraphs_as_clusters(tmp_path):
    put(tmp_path, DEV, json.dumps(SMALL))
    examples, about = read_source(task("xglue/mlqa"), None, tmp_path, "dev", "en")
    assert [(e.id, e.group) for e in examples] == [("a", "1.1"), ("b", "1.1"), ("c", "2.1"), ("d", "2.2")]
    assert examples[1] == Example(
        id="b",
        group="1.1",
        fields={"question": "Who?", "context": "Ada wrote to Bo."},
        references=("Bo", "to Bo"),
        starts=(13, 10),
    )
    assert (about["examples_published"], about["dropped"]) == (1148, {})
    assert len(about["warnings"]) == 1


def test_mlqa_is_read_from_its_own_release_with_squad_beside_it(tmp_path):
    put(tmp_path, "MLQA_V1/test/test-context-hi-question-hi.json", json.dumps(SMALL))
    put(tmp_path, "train-v1.1.json", json.dumps(SMALL))
    mlqa = task("xglue/mlqa")
    for folder, split, language in (
        (tmp_path, "test", "hi"),
        (tmp_path / "MLQA_V1", "test", "hi"),
        (tmp_path, "train", "en"),
    ):
        assert len(read_source(mlqa, "original", folder, split, language)[0]) == 4


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (json.dumps(SMALL)[:90], ":1: not whole JSON ("),
        ("", ":1: not whole JSON ("),
        (b'{"data": "\xff"}', ": byte at offset 10 is not UTF-8"),
        ("{}", ": expected a list under 'data' (SQuAD 1.1's format), found an object with keys []"),
        ("[]", ": expected a list under 'data' (SQuAD 1.1's format), found a list"),
        (json.dumps({"data": [{"title": "T"}]}), ": article 1: expected a list under 'paragraphs'"),
        (json.dumps({"data": []}), ": no question in the file"),
        (
            json.dumps(squad([("C.", [question("a", ("C", 0))])], [("C.", [question("a", ("C", 0))])])),
            ": article 2, paragraph 1, question 'a': the id occurred before, in article 1, paragraph 1",
        ),
        (json.dumps(squad([("C.", [question("a")])])), ": article 1, paragraph 1, question 'a': no answers"),
        (
            json.dumps(squad([("C D.", [question("a", ("D", 1))])])),
            ": article 1, paragraph 1, question 'a': answer 'D' is not at answer_start 1, where the context has ' '",
        ),
        (json.dumps(squad([("C D.", [question("a", (".", -1))])])), "answer '.' is not at answer_start -1"),
        (json.dumps(squad([("C D.", [question("a", ("", 1))])])), "answer '' is not at answer_start 1"),
        (json.dumps(squad([("C D.", [question("a", ("D", "2"))])])), "answer_start '2' of answer 'D', expected an int"),
        (json.dumps(squad([("C D.", [question("a", ("D", True))])])), "answer_start True of answer 'D'"),
        (json.dumps(squad([("C.", [question(7, ("C", 0))])])), "paragraph 1: expected text under 'id', found 7"),
        (
            json.dumps(squad([("C.", [question("a", ("C", 0), text=None)])])),
            "expected text under 'question', found None",
        ),
        ('{"data": [{"paragraphs": [{"context": "\\ud83d", "qas": []}]}]}', "'context' holds a lone surrogate"),
    ],
)
def test_bad_squad_is_named(tmp_path, content, seen):
    put(tmp_path, DEV, content)
    message = refused(tmp_path, "xglue/mlqa")
    assert message.startswith(DEV)
    assert seen in message


def test_answers_are_counted_in_code_points(tmp_path):
    context = "𝒜 👩‍👧 हिन्दी e\u0301t\u00a0é."
    start = context.index("हिन्दी")
    put(tmp_path, DEV, json.dumps(squad([(context, [question("a", ("हिन्दी e\u0301t", start))])]), ensure_ascii=True))
    [example], _ = read_source(task("xglue/mlqa"), None, tmp_path, "dev", "en")
    assert example.fields["context"] == context
    normalised = unicodedata.normalize("NFC", "हिन्दी e\u0301t")
    put(tmp_path, DEV, json.dumps(squad([(context, [question("a", (normalised, start))])])))
    assert "was the file edited, or its text normalised?" in refused(tmp_path, "xglue/mlqa")


# --- parallel files ---------------------------------------------------------------------------------------


def test_parallel_files_are_two_sides_of_one_split(tmp_path):
    put(tmp_path, "QG/xglue.qg.de.src.dev", "Ein Satz.\nEin Satz.\nEin \t anderer. \n")
    put(tmp_path, "QG/xglue.qg.de.tgt.dev", "was\nwarum\nalt\t wie \n")
    qg = task("xglue/qg")
    assert [path.name for path in source_paths(qg, None, tmp_path, "dev", "de")] == [
        "xglue.qg.de.src.dev",
        "xglue.qg.de.tgt.dev",
    ]
    examples, about = read_source(qg, None, tmp_path, "dev", "de")
    assert [(e.id, e.group, e.references) for e in examples] == [
        ("1", "1", ("was",)),
        ("2", "1", ("warum",)),
        ("3", "3", ("wie",)),
    ]
    assert examples[2].fields == {"passage": "Ein \t anderer. "}
    assert [entry["file"] for entry in about["source_files"]] == ["QG/xglue.qg.de.src.dev", "QG/xglue.qg.de.tgt.dev"]
    assert len({entry["sha256"] for entry in about["source_files"]}) == 2


def test_each_row_of_ntg_is_its_own_cluster(tmp_path):
    put(tmp_path, "NTG/xglue.ntg.en.src.train", "Same.\nSame.")
    put(tmp_path, "NTG/xglue.ntg.en.tgt.train", "One\nTwo\n")
    examples, _ = read_source(task("xglue/ntg"), None, tmp_path, "train", "en")
    assert [e.group for e in examples] == ["1", "2"]


@pytest.mark.parametrize(("src", "tgt", "counts"), [("a\nb\nc\n", "x\ny\n", (3, 2)), ("a\n", "x\n\n", (1, 2))])
def test_sides_of_different_lengths_are_refused_with_both_counts(tmp_path, src, tgt, counts):
    put(tmp_path, "QG/xglue.qg.en.src.dev", src)
    put(tmp_path, "QG/xglue.qg.en.tgt.dev", tgt)
    message = refused(tmp_path, "xglue/qg")
    assert message.startswith(f"QG/xglue.qg.en.src.dev has {counts[0]} lines, QG/xglue.qg.en.tgt.dev has {counts[1]};")


def test_empty_lines_are_rows_and_counted_at_the_end_of_the_file_too(tmp_path):
    put(tmp_path, "QG/xglue.qg.en.src.dev", "a\n\nc\nd\n")
    put(tmp_path, "QG/xglue.qg.en.tgt.dev", "x\ny\n \n\n")
    examples, about = read_source(task("xglue/qg"), None, tmp_path, "dev", "en")
    assert [e.references for e in examples] == [("x",), ("y",), ("",), ("",)]
    warnings = " ".join(about["warnings"])
    assert "1 examples have an empty passage" in warnings and "2 examples have an empty reference" in warnings
    assert about["dropped"] == {}


def test_a_missing_side_is_named_and_one_file_is_not_two(tmp_path):
    put(tmp_path, "QG/xglue.qg.en.src.dev", "a\n")
    assert refused(tmp_path, "xglue/qg").startswith("QG/xglue.qg.en.tgt.dev: no such file")
    put(tmp_path, "mine", "a\n")
    message = refused(tmp_path, "xglue/qg", files={"dev": "mine"})
    assert "mine: expected two parallel files; write `{side}` in the pattern" in message
    put(tmp_path, "QG/xglue.qg.en.tgt.dev", "")
    assert refused(tmp_path, "xglue/qg").startswith("QG/xglue.qg.en.tgt.dev: empty file")


# --- CoNLL-U ----------------------------------------------------------------------------------------------


def conllu(*sentences):
    """CoNLL-U of sentences of (id, form, tag)."""
    lines = []
    for sentence in sentences:
        lines += ["# text = x", *("\t".join([i, form, "_", tag, *"______"]) for i, form, tag in sentence), ""]
    return "\n".join(lines) + "\n"


TREES = conllu(
    [("1-2", "Gehts", "_"), ("1", "Geht", "VERB"), ("2", "es", "PRON"), ("2.1", "gut", "ADJ"), ("3", "#", "SYM")],
    [("1", "_", "NOUN"), ("2", "_", "VERB")],
    [("1", "hải quân", "NOUN"), ("1.1", "_", "_"), ("2", "می\u200cخواهم", "VERB")],
)


def test_treebanks_are_read_as_xglue_did(tmp_path):
    put(tmp_path, "UD_German-GSD/de_gsd-ud-dev.conllu", TREES)
    examples, about = read_source(task("xglue/pos"), "ud", tmp_path, "dev", "de")
    assert [(e.id, e.words) for e in examples] == [
        ("1", ("Geht", "es", "gut", "#")),  # no range, but the empty node
        ("2", ("_", "_")),
        ("3", ("hảiquân", "می\u200cخواهم")),
    ]
    assert examples[0].tags == ("VERB", "PRON", "ADJ", "SYM")
    assert about["dropped"] == {"empty node without a tag": 1}
    assert about["examples_published"] == 799


def test_a_comment_of_a_treebank_may_hold_a_tab(tmp_path):
    put(tmp_path, "UD_German-GSD/de_gsd-ud-dev.conllu", "# text = a\tb\n" + TREES)
    examples, _ = read_source(task("xglue/pos"), "ud", tmp_path, "dev", "de")
    put(tmp_path, "UD_German-GSD/de_gsd-ud-dev.conllu", TREES)
    assert examples == read_source(task("xglue/pos"), "ud", tmp_path, "dev", "de")[0]


def test_a_training_split_of_several_treebanks_is_one_numbered_file(tmp_path):
    parts = ["EWT/en_ewt", "GUM/en_gum", "LinES/en_lines", "ParTUT/en_partut"]
    for part in parts:
        put(tmp_path, f"UD_English-{part}-ud-train.conllu", TREES)
    examples, about = read_source(task("xglue/pos"), "ud", tmp_path, "train", "en")
    assert [e.id for e in examples] == ["1", "3", "4", "6", "7", "9", "10", "12"]
    assert about["dropped"]["sentence whose words are all '_' (text withheld by UD)"] == 4
    assert len(about["source_files"]) == 4 and about["examples_published"] == 21253
    (tmp_path / "UD_English-GUM/en_gum-ud-train.conllu").unlink()
    assert "UD_English-GUM/en_gum-ud-train.conllu: no such file" in refused(tmp_path, "xglue/pos", "train", layout="ud")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_thai_is_the_first_498_sentences_of_one_test_file(tmp_path, split):
    put(tmp_path, "UD_Thai-PUD/th_pud-ud-test.conllu", conllu(*[[("1", f"คำ{i}", "NOUN")] for i in range(1000)]))
    examples, about = read_source(task("xglue/pos"), "ud", tmp_path, split, "th")
    assert len(examples) == 498 and examples[-1].words == ("คำ497",)
    assert about["dropped"] == {"sentence after the first 498": 502}
    assert about["warnings"] == []


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("1\tword", "expected a CoNLL-U line"),
        ("x\tword\t_\tNOUN\t_\t_\t_\t_\t_\t_", "expected a CoNLL-U line"),
        ("1\t\t_\tNOUN\t_\t_\t_\t_\t_\t_", "expected a CoNLL-U line"),
        ("1\tword\t_\tNN\t_\t_\t_\t_\t_\t_", "label 'NN', expected one of: ADJ"),
        ("1\tword\t_\t_\t_\t_\t_\t_\t_\t_", "label '_', expected one of: ADJ"),
        ("1-2\tword\t_\t_\t_\t_\t_\t_\t_\t_", "a sentence without words"),
    ],
)
def test_a_bad_treebank_line_is_named(tmp_path, line, seen):
    put(tmp_path, "UD_German-GSD/de_gsd-ud-dev.conllu", f"# c\n{line}\n\n")
    message = refused(tmp_path, "xglue/pos", "dev", "de", layout="ud")
    assert message.startswith(f"UD_German-GSD/de_gsd-ud-dev.conllu:2: {seen}")


def test_a_language_without_a_named_file_is_refused(tmp_path):
    pos = task("xglue/pos")
    ud = pos.layouts["ud"]
    names = {key: value for key, value in ud.names.items() if key != "pl"}
    row = pos.model_copy(update={"layouts": {"ud": ud.model_copy(update={"names": names})}})
    with pytest.raises(StiltgridError, match="no file is named for language 'pl' in this layout"):
        source_paths(row, None, tmp_path, "dev", "pl")


# --- exotic text ------------------------------------------------------------------------------------------

EXOTIC = {
    "th": "น้ำ\u200bแข็ง เก่า ๆ",
    "zh": "“雪”\u3000下了，𠮷野家。",
    "ar": "اللُّغَةُ\u0640\u200f ١٢٣ ﷺ",
    "hi": "क\u094d\u200dष और श\u094d\u200cर",
    "ur": "کی\u200cا ہے؟ ۔\u00a0",
    "nfd": unicodedata.normalize("NFD", "Ålesund Việt é"),
    "breaks": "a\u2028b\u2029c\u0085d\u000be\u001cf\u00a0g\u2003h\ufeffi\u00adj",
}


def both(folder, name, split, language):
    """The examples as read from the release, and as read back from the project's own file."""
    examples, about = read_source(task(name), None, folder, split, language)
    write_examples(folder / "out.parquet", examples, about)
    return examples, read_examples(folder / "out.parquet")


@pytest.mark.parametrize("text", EXOTIC.values(), ids=EXOTIC)
def test_exotic_text_survives_tables_and_parquet(tmp_path, text):
    put(tmp_path, "XNLI/ur.dev", f"{text}\t{text[::-1]}\tneutral\n")
    read, kept = both(tmp_path, "xglue/xnli", "dev", "ur")
    assert kept == read
    assert kept[0].fields == {"premise": text, "hypothesis": text[::-1]}


@pytest.mark.parametrize("text", EXOTIC.values(), ids=EXOTIC)
def test_exotic_text_survives_questions_and_parquet(tmp_path, text):
    context = f"{text} {text}."
    start = len(text) + 1
    put(tmp_path, DEV, json.dumps(squad([(context, [question("a", (text, start), text=text)])]), ensure_ascii=False))
    read, kept = both(tmp_path, "xglue/mlqa", "dev", "en")
    assert kept == read
    assert kept[0].fields == {"question": text, "context": context}
    assert (kept[0].references, kept[0].starts) == ((text,), (start,))


@pytest.mark.parametrize("text", EXOTIC.values(), ids=EXOTIC)
def test_exotic_text_survives_parallel_files_and_parquet(tmp_path, text):
    put(tmp_path, "QG/xglue.qg.pt.src.dev", f"{text}\n")
    put(tmp_path, "QG/xglue.qg.pt.tgt.dev", f"{text}\n")
    read, kept = both(tmp_path, "xglue/qg", "dev", "pt")
    assert kept == read
    assert kept[0].fields == {"passage": text}
    assert kept[0].references == (text.strip(),)  # as the official evaluator strips it


@pytest.mark.parametrize("text", EXOTIC.values(), ids=EXOTIC)
def test_exotic_text_survives_words_and_parquet(tmp_path, text):
    words = tuple(re.split(" ", text))
    put(tmp_path, "POS/hi.dev", "".join(f"{word} X\n" for word in words))
    read, kept = both(tmp_path, "xglue/pos", "dev", "hi")
    assert kept == read
    assert kept[0].words == words
