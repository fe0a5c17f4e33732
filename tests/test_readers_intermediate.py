"""The intermediate tasks' readers: rows with named columns, choices, questions without an answer, tagged lines."""

import importlib.util
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, fingerprint, read_examples, write_examples
from stiltgrid.readers import read_source, source_paths
from stiltgrid.tasks.registry import task

SCRIPT = Path(__file__).parents[1] / "workflow" / "scripts" / "data.py"


def parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read(name, layout, folder, split="dev"):
    return read_source(task(name), layout, folder, split, "en")


PAIRS = {"premise": ["A cat sleeps.", "A cat sleeps."], "hypothesis": ["It sleeps.", "It runs."]}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnli", "mnli/validation_matched-00000-of-00001.parquet"),
        ("snli", "plain_text/validation-00000-of-00001.parquet"),
    ],
)
def test_class_numbers_of_the_hub_become_labels(tmp_path, name, file):
    parquet(tmp_path / file, **PAIRS, label=[0, 2])
    examples, about = read(name, "hub", tmp_path)
    assert [e.label for e in examples] == ["entailment", "contradiction"]
    assert [e.group for e in examples] == ["1", "1"]  # one premise
    assert about["source_files"][0]["file"] == file


def test_parts_of_a_split_are_read_in_order(tmp_path):
    for part in (1, 0):
        parquet(
            tmp_path / f"qqp/train-0000{part}-of-00002.parquet",
            question1=[f"who {part}?"],
            question2=["who?"],
            label=[part],
        )
    examples, about = read("qqp", "hub", tmp_path, "train")
    assert [(e.id, e.label, e.fields["question1"]) for e in examples] == [
        ("1", "not_duplicate", "who 0?"),
        ("2", "duplicate", "who 1?"),
    ]
    assert len(about["source_files"]) == 2


def test_pairs_without_a_gold_label_are_left_out_and_counted(tmp_path):
    parquet(tmp_path / "plain_text/train-0.parquet", **PAIRS, label=[-1, 1])
    examples, about = read("snli", "hub", tmp_path, "train")
    assert [e.id for e in examples] == ["2"]
    assert about["dropped"] == {"label '-1' (no gold label)": 1}
    rows = [{"sentence1": p, "sentence2": h} for p, h in zip(*PAIRS.values(), strict=True)]
    lines(tmp_path / "snli_1.0/snli_1.0_dev.jsonl", rows[0] | {"gold_label": "-"}, rows[1] | {"gold_label": "neutral"})
    examples, about = read("snli", "original", tmp_path)
    assert [e.label for e in examples] == ["neutral"]
    assert about["dropped"] == {"label '-' (no gold label)": 1}


def test_the_data_job_prints_and_records_what_it_leaves_out(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    parquet(tmp_path / "snli/plain_text/train-0.parquet", **PAIRS, label=[-1, 1])
    config = {
        "grid": "g",
        "sources": {"intermediate/snli": {"path": "snli", "layout": "hub"}},
        "models": {"tiny": {"source": "demo:base"}},
        "intermediates": {"none": {}, "snli": {"tasks": ["snli"]}},
        "targets": {"xnli": {"task": "xglue/xnli"}},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    spec = importlib.util.spec_from_file_location("data_job", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with caplog.at_level("INFO"):
        module.main(["--config", "config.yaml", "--task", "intermediate/snli", "--split", "train", "--language", "en"])
    assert "1 rows left out: label '-1' (no gold label)" in caplog.text
    record = json.loads((tmp_path / "results/g/data/intermediate/snli/train.en.json").read_text())
    assert record["dropped"] == {"label '-1' (no gold label)": 1} and record["examples"] == 1


def test_three_rounds_are_one_split(tmp_path):
    for r in (1, 2, 3):
        row = {"uid": f"u{r}", "context": "c", "hypothesis": f"h{r}", "label": "enc"[r - 1]}
        lines(tmp_path / f"anli_v1.0/R{r}/train.jsonl", row)
    examples, about = read("anli", "original", tmp_path, "train")
    assert [(e.id, e.label) for e in examples] == [("u1", "entailment"), ("u2", "neutral"), ("u3", "contradiction")]
    assert {e.group for e in examples} == {"1"}  # one premise in all rounds
    assert [entry["file"] for entry in about["source_files"]] == [f"anli_v1.0/R{r}/train.jsonl" for r in (1, 2, 3)]
    lines(tmp_path / "anli_v1.0/R3/train.jsonl", {"uid": "u1", "context": "c", "hypothesis": "h", "label": "e"})
    with pytest.raises(StiltgridError, match=r"R3/train\.jsonl:1: id 'u1' occurred before"):
        read("anli", "original", tmp_path, "train")


def test_a_round_without_its_ids_is_an_error_that_names_the_line(tmp_path):
    for r in (1, 2, 3):
        lines(tmp_path / f"anli_v1.0/R{r}/dev.jsonl", {"context": "c", "hypothesis": "h", "label": "e"})
    with pytest.raises(StiltgridError, match=r"R1/dev\.jsonl:1: expected text under key 'uid', found keys"):
        read("anli", "original", tmp_path)


def test_a_missing_round_is_an_error_that_names_it(tmp_path):
    lines(tmp_path / "anli_v1.0/R1/dev.jsonl", {"uid": "u", "context": "c", "hypothesis": "h", "label": "e"})
    with pytest.raises(StiltgridError, match=r"R2/dev\.jsonl: no such file"):
        read("anli", "original", tmp_path)


def test_without_a_matching_file_the_pattern_is_named(tmp_path):
    assert [p.name for p in source_paths(task("squad"), "hub", tmp_path, "dev", "en")] == ["validation-*.parquet"]
    with pytest.raises(StiltgridError, match=r"expects plain_text/validation-\*\.parquet"):
        read("squad", "hub", tmp_path)


def test_another_data_set_is_an_error_that_names_its_columns(tmp_path):
    parquet(tmp_path / "plain_text/validation-0.parquet", sentence=["x"], label=[0])
    with pytest.raises(StiltgridError, match="no column 'hypothesis'; the file has: sentence, label"):
        read("snli", "hub", tmp_path)
    (tmp_path / "plain_text/validation-0.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(StiltgridError, match="not a whole Parquet file"):
        read("snli", "hub", tmp_path)


SWAG = {"ind": 4, "ctx_a": "She opens the door.", "ctx_b": "she", "endings": ["sings.", "eats it.", "leaves.", "is."]}


def test_hellaswags_endings_go_on_from_the_half_sentence(tmp_path):
    lines(tmp_path / "hellaswag_val.jsonl", SWAG | {"label": 2})
    parquet(tmp_path / "data/validation-0.parquet", **{key: [value] for key, value in SWAG.items()}, label=["2"])
    for layout in ("original", "hub"):
        [example], _ = read("hellaswag", layout, tmp_path)
        assert example.fields == {"context": "She opens the door."}
        assert example.choices == ("she sings.", "she eats it.", "she leaves.", "she is.")
        assert (example.id, example.label) == ("4", "2")


def test_commonsenseqas_letters_become_places(tmp_path):
    names, texts = ["A", "B", "C", "D", "E"], ["bank", "mall", "zoo", "pond", "shop"]
    pairs = [{"label": n, "text": t} for n, t in zip(names, texts, strict=True)]
    lines(
        tmp_path / "dev_rand_split.jsonl",
        {"id": "q", "answerKey": "D", "question": {"stem": "Where do ducks swim?", "choices": pairs}},
    )
    parquet(
        tmp_path / "data/validation-0.parquet",
        id=["q"],
        question=["Where do ducks swim?"],
        choices=[{"label": names, "text": texts}],
        answerKey=["D"],
    )
    found = [read("csqa", layout, tmp_path)[0] for layout in ("original", "hub")]
    assert found[0] == found[1]
    [example] = found[0]
    assert example == Example("q", "q", {"question": "Where do ducks swim?"}, "3", choices=tuple(texts))


COSMOS = {"id": "b##1", "context": 'He said, "no".', "question": "Why?", "label": "1"}
COSMOS |= {f"answer{i}": f"because {i}" for i in range(4)}


def test_cosmosqa_in_its_three_forms(tmp_path):
    header = ["id", "context", "question", *(f"answer{i}" for i in range(4)), "label"]
    cells = ['"' + COSMOS[key].replace('"', '""') + '"' for key in header]
    (tmp_path / "valid.csv").write_text(",".join(header) + "\n" + ",".join(cells) + "\n", encoding="utf-8")
    lines(tmp_path / "valid.jsonl", COSMOS | {"label": 1})
    parquet(tmp_path / "default/validation/0000.parquet", **{k: [v] for k, v in (COSMOS | {"label": 1}).items()})
    found = [read("cosmosqa", layout, tmp_path)[0] for layout in ("original", "json", "hub")]
    assert found[0] == found[1] == found[2]
    [example] = found[0]
    assert example.fields == {"context": 'He said, "no".', "question": "Why?"}
    assert (example.choices, example.label) == (tuple(f"because {i}" for i in range(4)), "1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 4}, r"hellaswag_val\.jsonl:1: label '4', expected one of: 0, 1, 2, 3"),
        ({"label": ""}, "test files without labels cannot be scored"),
        ({"label": True}, "expected a label"),
        ({"endings": ["one"]}, "1 choices; intermediate/hellaswag takes 2 to 4"),
        ({"endings": ["a", "b", "c", "d", "e"]}, "5 choices"),
        ({"endings": 3}, "column 'endings' holds 3"),
        ({"ctx_a": None}, "expected text in column 'ctx_a', found None"),
    ],
)
def test_bad_choices_are_errors_that_name_the_line(tmp_path, change, message):
    lines(tmp_path / "hellaswag_val.jsonl", SWAG | {"label": 0} | change)
    with pytest.raises(StiltgridError, match=message):
        read("hellaswag", "original", tmp_path)


def test_a_torn_csv_row_is_an_error(tmp_path):
    (tmp_path / "valid.csv").write_text("id,context\na,b,c\n", encoding="utf-8")
    with pytest.raises(StiltgridError, match=r"valid\.csv:2: 3 comma-separated columns, expected 2"):
        read("cosmosqa", "original", tmp_path)


def squad_file(path, *questions):
    paragraphs = [{"context": "Bees make honey.", "qas": list(questions)}]
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}), encoding="utf-8")


WHAT = {"id": "1", "question": "What do bees make?", "answers": [{"text": "honey", "answer_start": 10}]}
WHO = {"id": "2", "question": "Who makes wax?", "answers": [], "is_impossible": True}


def test_questions_without_an_answer_are_squad_2s_alone(tmp_path):
    squad_file(tmp_path / "dev-v2.0.json", WHAT | {"is_impossible": False}, WHO)
    examples, _ = read("squad_v2", "original", tmp_path)
    assert [(e.references, e.starts) for e in examples] == [(("honey",), (10,)), ((), ())]
    squad_file(tmp_path / "dev-v1.1.json", WHAT, WHO)
    with pytest.raises(StiltgridError, match="question '2': no answers; expected one at least"):
        read("squad", "original", tmp_path)
    squad_file(tmp_path / "dev-v2.0.json", WHAT | {"is_impossible": True})
    with pytest.raises(StiltgridError, match="is_impossible is True and there are 1 answers"):
        read("squad_v2", "original", tmp_path)


def test_the_hubs_squad_is_the_originals(tmp_path):
    squad_file(tmp_path / "dev-v2.0.json", WHAT, WHO)
    context = ["Bees make honey."] * 2
    answers = [{"text": ["honey"], "answer_start": [10]}, {"text": [], "answer_start": []}]
    kind = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])
    columns = {"id": ["1", "2"], "question": [WHAT["question"], WHO["question"]], "context": context}
    parquet(tmp_path / "squad_v2/validation-0.parquet", **columns, answers=pa.array(answers, kind))
    original, hub = (read("squad_v2", layout, tmp_path)[0] for layout in ("original", "hub"))
    assert [(e.id, e.fields, e.references, e.starts) for e in hub] == [
        (e.id, e.fields, e.references, e.starts) for e in original
    ]
    assert {e.group for e in hub} == {"1"}  # the paragraph
    parquet(tmp_path / "plain_text/validation-0.parquet", **columns, answers=pa.array(answers, kind))
    with pytest.raises(StiltgridError, match=r"validation-0\.parquet:2: no answers"):
        read("squad", "hub", tmp_path)


def test_supertags_are_read_a_line_a_sentence(tmp_path):
    (tmp_path / "ccg.train.tsv").write_text("Bees make honey\tN (S[dcl]\\NP)/NP N\nYes\tN\n", encoding="utf-8")
    examples, _ = read("ccg", "lines", tmp_path, "train")
    assert examples[0] == Example("1", "1", words=("Bees", "make", "honey"), tags=("N", "(S[dcl]\\NP)/NP", "N"))
    (tmp_path / "ccg.train.tsv").write_text("Bees make honey\tN N\n", encoding="utf-8")
    with pytest.raises(StiltgridError, match=r"ccg\.train\.tsv:1: 3 words and 2 tags"):
        read("ccg", "lines", tmp_path, "train")
    (tmp_path / "ccg.train.tsv").write_text("Bees make honey\n", encoding="utf-8")
    with pytest.raises(StiltgridError, match="no tab in 'Bees make honey'"):
        read("ccg", "lines", tmp_path, "train")


def test_choices_and_absent_answers_pass_through_files(tmp_path):
    rows = [
        Example("1", "1", {"question": "q"}, "1", choices=("a", "b")),
        Example("2", "2", {"question": "q"}, "0", choices=("a", "b", "c")),
    ]
    write_examples(tmp_path / "choices.parquet", rows, {})
    assert read_examples(tmp_path / "choices.parquet") == rows
    swapped = [rows[0], Example("2", "2", {"question": "q"}, "0", choices=("a", "c", "b"))]
    assert fingerprint(rows) != fingerprint(swapped)
    asked = [Example("1", "1", {"question": "q", "context": "c"}, references=(), starts=())]
    write_examples(tmp_path / "asked.parquet", asked, {})
    assert read_examples(tmp_path / "asked.parquet") == asked
    assert "choices" not in pq.read_schema(tmp_path / "asked.parquet").names


def test_examples_of_other_kinds_keep_their_fingerprints():
    # computed before choices existed
    rows = [Example("1", "g", {"premise": "p", "hypothesis": "h"}, "neutral"), Example("2", "2", {"context": "c"})]
    assert fingerprint(rows) == "28298cc166e78864adfb84175e302536c3007d8fccaf2bf06bbade7aa041bc8f"


ROUNDS = {f"anli_v1.0/R{r}/dev.jsonl": f"anli/R{r}_dev.from_analysis_csv.jsonl" for r in (1, 2, 3)}
REAL = [
    # task, layout, split, files of the layout by real files, examples
    ("anli", "original", "dev", ROUNDS, 3198),
    ("snli", "text", "dev", {"snli_1.0/snli_1.0_dev.txt": "hf_dummy/snli/plain_text/snli_1.0/snli_1.0_dev.txt"}, None),
    ("squad", "original", "train", {"train-v1.1.json": "squad/train-v1.1.prefix.json"}, 4370),
    ("squad_v2", "original", "train", {"train-v2.0.json": "squad/train-v2.0.first10articles.json"}, 4719),
    ("squad_v2", "original", "dev", {"dev-v2.0.json": "squad/dev-v2.0.cs224n-half.json"}, 6078),
    ("squad_v2", "original", "dev", {"dev-v2.0.json": "squad/dev-v2.0.normans_rhine.json"}, 706),
    ("hellaswag", "original", "dev", {"hellaswag_val.jsonl": "hellaswag/hellaswag_val_1000.jsonl"}, 1000),
    ("hellaswag", "original", "train", {"hellaswag_train.jsonl": "hf_dummy/hellaswag/0.1.0/hellaswag_train.jsonl"}, 2),
    ("cosmosqa", "json", "dev", {"valid.jsonl": "cosmosqa/valid.jsonl"}, 2985),
    ("cosmosqa", "original", "train", {"train.csv": "hf_dummy/cosmos_qa/0.1.0/train.csv"}, 2),
    ("csqa", "original", "dev", {"dev_rand_split.jsonl": "commonsenseqa/dev_rand_split.jsonl"}, 1221),
    ("csqa", "original", "train", {"train_rand_split.jsonl": "commonsenseqa/train_rand_split.first2000.jsonl"}, 2000),
    ("mnli", "glue", "train", {"MNLI/train.tsv": "hf_dummy/glue/mnli/MNLI/train.tsv"}, None),
    ("qqp", "glue", "train", {"QQP/train.tsv": "hf_dummy/glue/qqp/QQP/train.tsv"}, None),
]


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "layout", "split", "files", "number"), REAL)
def test_real_rows(real_data, tmp_path, name, layout, split, files, number):
    for place, real in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to(real_data / "data" / real)
    row = task(name)
    examples, _ = read(name, layout, tmp_path, split)
    assert number is None or len(examples) == number
    assert len({e.id for e in examples}) == len(examples)
    assert all(e.fields[field].strip() for e in examples for field in row.fields)
    if row.kind == "choice":
        assert {len(e.choices) for e in examples} == {len(row.labels)}
        assert {e.label for e in examples} <= set(row.labels)
        # gold choices are spread over the places, so that the label is not read from a wrong column
        assert len(examples) < 100 or len({e.label for e in examples}) == len(row.labels)
    if name == "squad_v2":
        assert 0 < sum(not e.references for e in examples) < len(examples)
    if row.suite == "intermediate" and row.kind == "classification":
        assert {e.label for e in examples} <= set(row.labels)


@pytest.mark.realdata
def test_real_cosmosqa_csv_and_json_agree(real_data, tmp_path):
    text = (real_data / "data/cosmosqa/valid.csv").read_text(encoding="utf-8")
    (tmp_path / "valid.csv").write_text(text, encoding="utf-8")
    (tmp_path / "valid.jsonl").symlink_to(real_data / "data/cosmosqa/valid.jsonl")
    table, objects = (read("cosmosqa", layout, tmp_path)[0] for layout in ("original", "json"))
    known = {e.id: e for e in objects}
    assert len(table) > 100
    for e in table:
        assert (e.choices, e.label) == (known[e.id].choices, known[e.id].label)
