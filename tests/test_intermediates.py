"""The nine intermediates: all in one run of each family, supertags of training, real rows by official rules."""

import json
from collections import Counter

import pytest
import tiny
from safetensors.torch import load_file

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, write_examples
from stiltgrid.formulations import described, formulation
from stiltgrid.formulations.features import Setup
from stiltgrid.formulations.text2text import tagging
from stiltgrid.intermediates import training_tasks
from stiltgrid.label_sets import with_labels, with_training_labels
from stiltgrid.predict import Predictor
from stiltgrid.readers import read_source
from stiltgrid.recipes import formulation_of
from stiltgrid.score import score_language
from stiltgrid.tasks.registry import task
from stiltgrid.tokenization import load_tokens
from stiltgrid.train import run

SINGLE = {"strategy": "single", "devices": 1, "micro_batch_size": 8}
ARMS = {
    "anli_plus": ["anli", "mnli", "snli"],
    "multi": ["anli_plus", "mnli", "qqp", "squad_v2", "squad", "hellaswag", "ccg", "cosmosqa", "csqa"],
}
NINE = training_tasks("multi", ARMS)
CCG = task("ccg")
SUPERTAGS = {"DET": "NP[nb]/N", "NOUN": "N", "VERB": "(S[dcl]\\NP)/NP", "ADJ": "N/N"}


def pairs(number, seed=0):
    return [
        Example(e.id, e.group, {"question1": e.fields["premise"], "question2": e.fields["hypothesis"]}, label)
        for e in tiny.nli(number, seed)
        for label in [("duplicate" if e.label == "entailment" else "not_duplicate")]
    ]


def supertagged(number, seed=0):
    return [
        Example(e.id, e.group, words=e.words, tags=tuple(SUPERTAGS[t] for t in e.tags))
        for e in tiny.tagged(number, seed)
    ]


def rows_of(name, number, seed):
    row = task(name)
    if row.kind == "choice":
        return tiny.choices(number, seed, row.fields, len(row.labels))
    named = {"qqp": pairs, "ccg": supertagged, "squad": tiny.questions, "squad_v2": tiny.perhaps_answered}
    return named.get(name.split("/")[1], tiny.nli)(number, seed)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nine")
    letters = ["A", "B", "C", "D", "E", "unanswerable", "different", "same"]
    tiny.pretrained(folder / "text2text", "text2text", tiny.t5_tokenizer([*tiny.WORDS, *letters]))
    tiny.pretrained(folder / "heads", "heads")
    data = {}
    for name in NINE:
        data |= tiny.write_data(folder / "data", name, rows_of(name, 16, 0), rows_of(name, 6, 5))
    return folder, data


def recipe(family, names, **training):
    made = tiny.recipe(family, list(names), **training)
    return made | {"phase": "intermediate", "formulation": formulation_of(names, family)}


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_all_of_them_in_one_run(world, tmp_path, family):
    folder, data = world
    made = recipe(family, NINE, max_steps=4, selection="best_dev", evaluations=2, max_input_length=96)
    manifest = run(made, data, folder / family, folder / family, tmp_path / "out", SINGLE)
    # each has its own dev metrics, and the best is by the mean of the main ones
    assert {name: set(scores) for name, scores in manifest["dev"].items()} == {
        name: set(task(name).metrics) for name in NINE
    }
    lines = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    means = {
        line["step"]: sum(line["dev"][name][task(name).metrics[0]] for name in NINE) / len(NINE)
        for line in lines
        if "dev" in line
    }
    assert manifest["counts"]["selected_step"] == max(means, key=lambda step: (means[step], -step))
    assert manifest["labels"] == {CCG.name: manifest["labels"][CCG.name]}
    assert set(manifest["labels"][CCG.name]) == set(SUPERTAGS.values())
    if family == "heads":
        heads = {name.split(".")[0] for name in load_file(tmp_path / "out/weights/heads.safetensors")}
        # ten tasks, of which the three of NLI share one head
        assert len(NINE) == 10 and len(heads) == 8
        assert {n for n, h in read_json(tmp_path / "out/weights/heads.json")["tasks"].items() if h.get("head")} == {
            f"intermediate/{name}" for name in ARMS["anli_plus"]
        }
    # what it says to dev afterwards gives the same scores
    predictor = Predictor.load(tmp_path / "out", folder / family)
    for name in NINE:
        examples, row = rows_of(name, 6, 5), task(name)
        said = predictor.predict(row, examples, 4)
        record, _ = score_language(with_labels(row, manifest["labels"].get(name)), "en", examples, said, name)
        for metric in row.metrics:
            assert record[metric] == pytest.approx(manifest["dev"][name][metric], abs=1e-6), (name, metric)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "family"), [("csqa", "heads"), ("squad_v2", "heads"), ("squad_v2", "text2text")])
def test_a_tiny_model_learns_choices_and_when_there_is_no_answer(world, tmp_path, name, family):
    folder, _ = world
    row = task(name)
    data = tiny.write_data(tmp_path, row.name, rows_of(row.name, 240, 1), rows_of(row.name, 40, 2))
    made = recipe(family, [row.name], max_steps=150, batch_size=16, learning_rate=5e-3, dropout=0.0)
    manifest = run(made, data, folder / family, folder / family, tmp_path / "out", SINGLE)
    score = manifest["dev"][row.name][row.metrics[0]]
    bar = manifest["collapsed"]["tasks"][row.name]["trivial"]
    assert score > bar + 15, (score, bar)
    assert not manifest["collapsed"]["value"]


def test_supertags_are_those_of_the_training_file_the_most_frequent_first(tmp_path):
    rows = [
        Example("1", "1", words=("a", "b", "c"), tags=("N", "NP", "N")),
        Example("2", "2", words=("a", "b"), tags=("PP", "NP")),
    ]
    write_examples(tmp_path / "train.parquet", rows, {})
    row = with_training_labels(CCG, [tmp_path / "train.parquet"])
    assert list(row.labels) == ["N", "NP", "PP"]
    # they are no part of the recipe, which a plan must know without the file; the data's fingerprint is
    assert described(row) == described(CCG) and described(CCG)["labels_from"] == "train"
    assert with_training_labels(task("mnli"), [tmp_path / "none"]) is task("mnli")
    with pytest.raises(StiltgridError, match="hold no tag"):
        with_training_labels(CCG, [])


def test_a_tag_that_training_does_not_have_is_wrong_and_no_error():
    row = with_labels(CCG, ["N", "NP"])
    examples = [Example("1", "1", words=("a", "b"), tags=("N", "rare"))]
    from stiltgrid.predictions import Prediction

    record, _ = score_language(row, "en", examples, [Prediction("1", tags=("N", "NP"))], "here")
    assert record["pos_accuracy"] == 50.0


def test_a_thousand_supertags_have_a_token_each(tmp_path):
    tokenizer = tiny.t5_tokenizer([*tiny.WORDS, *(f"w{i}" for i in range(1500))])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    setup = Setup(load_tokens(tmp_path), {}, 64)
    tags = ["N", *(f"((S[dcl]\\NP)/NP)/{i}" for i in range(1362))]
    found = tagging.tag_tokens(setup, with_labels(CCG, tags))
    assert len(set(found)) == 1363
    assert not set(found) & (setup.tokens.unspoken | setup.tokens.lone_marks | {setup.tokens.end})
    assert found[0] == setup.tokens.backend.token_to_id("N")  # a piece of its own, where there is one
    assert found == tagging.tag_tokens(setup, with_labels(CCG, tags))
    with pytest.raises(StiltgridError, match=r"more than the vocabulary of .* has pieces"):
        tagging.tag_tokens(setup, with_labels(CCG, [*tags, *(f"X{i}" for i in range(900))]))
    # tags that a row lists must still be told apart by pieces of their own
    with pytest.raises(StiltgridError, match="cannot be told apart"):
        tagging.tag_tokens(setup, task("xglue/pos").model_copy(update={"labels": {"a": "N", "b": "N", "c": "N"}}))


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_gold_supertags_come_back_with_full_accuracy(world, family):
    folder, data = world
    row = with_training_labels(CCG, data[CCG.name]["train"])
    setup = Setup(load_tokens(folder / family / "model"), {row.name: row}, 64)
    examples = supertagged(12, 3)
    module = formulation(family)
    module.check(setup)
    features = module.encode(setup, row.name, examples, True)
    known = tagging.tag_tokens(setup, row) if family == "text2text" else list(range(len(row.labels)))
    said = [
        [[0.0 if k == own else -9.0 for k in known] for own in (f.labels[1:] if family == "text2text" else f.labels)]
        for f in features
    ]
    record, _ = score_language(row, "en", examples, module.decode(setup, row.name, examples, features, said), "here")
    assert record["pos_accuracy"] == 100.0


# by the official rules, written out once more


def right(examples, said):
    return 100 * sum(e.label == p.label for e, p in zip(examples, said, strict=True)) / len(examples)


def official_squad2(examples, said):
    """evaluate-v2.0.py: raw scores, then the best threshold by sorting, and the fixed threshold 0."""
    import re
    import string

    def normalised(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    def f1(gold, answer):
        gold, answer = normalised(gold).split(), normalised(answer).split()
        if not gold or not answer:
            return float(gold == answer)
        same = sum((Counter(gold) & Counter(answer)).values())
        return 2 * same / (len(gold) + len(answer))

    raw = {"exact": {}, "f1": {}}
    for e, p in zip(examples, said, strict=True):
        golds = [g for g in e.references if normalised(g)] or [""]
        raw["exact"][e.id] = max(float(normalised(g) == normalised(p.text)) for g in golds)
        raw["f1"][e.id] = max(f1(g, p.text) for g in golds)
    has = {e.id: bool(e.references) for e in examples}
    odds, text = {p.id: p.no_answer for p in said}, {p.id: p.text for p in said}
    found = {}
    for name, scores in raw.items():
        now = best = sum(not known for known in has.values())
        for i in sorted(odds, key=odds.get):
            now += scores[i] if has[i] else (-1 if text[i] else 0)
            best = max(best, now)
        found[f"squad2_best_{name}"] = 100 * best / len(scores)
        kept = [float(not has[i]) if odds[i] > 0 else scores[i] for i in scores]
        found[f"squad2_{name}"] = 100 * sum(kept) / len(kept)
    return found


REAL = {
    "hellaswag": ("original", {"hellaswag_train.jsonl": "hellaswag/hellaswag_val_1000.jsonl"}),
    "cosmosqa": ("json", {"train.jsonl": "cosmosqa/valid.jsonl"}),
    "csqa": ("original", {"train_rand_split.jsonl": "commonsenseqa/train_rand_split.first2000.jsonl"}),
    "squad_v2": ("original", {"train-v2.0.json": "squad/dev-v2.0.normans_rhine.json"}),
}


@pytest.mark.realdata
@pytest.mark.parametrize("family", ["text2text", "heads"])
@pytest.mark.parametrize("name", REAL)
def test_dev_scores_of_real_rows_are_those_of_the_official_rules(world, real_data, tmp_path, family, name):
    folder, _ = world
    row, (layout, files) = task(name), REAL[name]
    for place, real in files.items():
        (tmp_path / place).symlink_to(real_data / "data" / real)
    examples, _ = read_source(row, layout, tmp_path, "train", "en")
    # writing answers of 64 pieces is slow
    train, dev = examples[:8], examples[-4 if row.no_answer else -10 :]
    data = tiny.write_data(tmp_path, row.name, train, dev)
    made = recipe(family, [row.name], max_steps=2, max_input_length=120, batch_size=4)
    manifest = run(made, data, folder / family, folder / family, tmp_path / "out", SINGLE)
    said = Predictor.load(tmp_path / "out", folder / family).predict(row, dev, 8)
    official = official_squad2(dev, said) if row.no_answer else {"accuracy": right(dev, said)}
    assert set(official) == set(row.metrics)
    for metric, value in official.items():
        assert manifest["dev"][row.name][metric] == pytest.approx(value, abs=1e-9), metric
