"""Multiple choice in both families, and heads that tasks share."""

from dataclasses import replace

import pytest
import torch
from tiny import save_mt5, save_xlmr, t5_tokenizer, words_of

from stiltgrid.encoder import EncoderWithHeads, Head
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations import described, formulation
from stiltgrid.formulations.features import IGNORED, Setup
from stiltgrid.formulations.heads.batch import collate
from stiltgrid.formulations.sharing import head_owners, shared_heads
from stiltgrid.metrics import METRICS
from stiltgrid.models import load_heads, load_saved, load_text2text, save_model
from stiltgrid.predict import answer
from stiltgrid.predictions import Prediction, check_alignment
from stiltgrid.recipes import formulation_of
from stiltgrid.tasks.registry import task
from stiltgrid.tokenization import load_tokens

CSQA, COSMOS, MNLI, SNLI, ANLI = (task(name) for name in ("csqa", "cosmosqa", "mnli", "snli", "anli"))
QUESTION = Example("1", "1", {"question": "where the dog runs"}, "1", choices=("park", "house tree", "big red cat"))


@pytest.fixture(scope="module")
def mt5(tmp_path_factory):
    words = [*words_of("cosmosqa", "csqa", "mnli"), "csqa", "A:", "B:", "C:", "D:", "E:", "question:"]
    return save_mt5(tmp_path_factory.mktemp("mt5"), tokenizer=t5_tokenizer(words))


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    return save_xlmr(tmp_path_factory.mktemp("xlmr"))


def setup(folder, *rows, length=64):
    return Setup(load_tokens(folder), {row.name: row for row in rows}, length)


def text(made, ids):
    return made.tokens.texts([ids])[0]


def test_the_choices_stand_in_the_input_under_letters(mt5):
    made = setup(mt5, CSQA)
    family = formulation("text2text")
    family.check(made)
    [feature] = family.encode(made, CSQA.name, [QUESTION], True)
    said = "csqa question: where the dog runs A: park B: house tree C: big red cat"
    assert text(made, feature.input_ids) == said
    assert text(made, feature.labels) == "B"
    assert feature.labels[-1] == made.tokens.end and not feature.truncated


def test_an_encoder_reads_prompt_and_choice_as_two_segments(xlmr):
    made = setup(xlmr, CSQA)
    [feature] = formulation("heads").encode(made, CSQA.name, [QUESTION], True)
    inputs = [feature.input_ids, *(ids for ids, _ in feature.others)]
    expected = made.tokens.backend.encode_batch([(QUESTION.fields["question"], c) for c in QUESTION.choices])
    assert inputs == [e.ids for e in expected]
    assert feature.type_ids == expected[0].type_ids
    assert (feature.choices, feature.labels) == (3, [1])


def test_two_fields_are_one_prompt(xlmr):
    example = Example("1", "1", {"context": "the cat runs", "question": "who runs"}, "0", choices=("cat", "dog"))
    made = setup(xlmr, COSMOS)
    [feature] = formulation("heads").encode(made, COSMOS.name, [example], True)
    assert feature.input_ids == made.tokens.backend.encode("the cat runs who runs", "cat").ids


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_a_long_prompt_never_costs_a_choice(family, mt5, xlmr):
    folder = mt5 if family == "text2text" else xlmr
    long = {"context": "the big dog " * 60, "question": "who runs"}
    example = Example("1", "1", long, "3", choices=("cat sees", "dog", "house tree tree", "sad"))
    made = setup(folder, COSMOS, length=48)
    [feature] = formulation(family).encode(made, COSMOS.name, [example], True)
    assert feature.truncated
    inputs = [feature.input_ids, *(ids for ids, _ in feature.others)]
    assert max(map(len, inputs)) == 48
    for k, choice in enumerate(example.choices):
        [pieces] = made.tokens.ids([choice])
        ids = inputs[0] if family == "text2text" else inputs[k]
        assert any(ids[i : i + len(pieces)] == pieces for i in range(len(ids)))
        assert made.tokens.ids(["who runs"])[0][0] in ids  # the short question stays, too
    if family == "heads":  # all choices see the same prompt
        assert len({tuple(ids[:20]) for ids in inputs}) == 1


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_a_choice_that_alone_fills_the_input_loses_its_tail(family, mt5, xlmr):
    example = Example("1", "1", {"question": "who runs"}, "0", choices=("big cat " * 80, "dog"))
    made = setup(mt5 if family == "text2text" else xlmr, CSQA, length=32)
    [feature] = formulation(family).encode(made, CSQA.name, [example], True)
    assert feature.truncated and len(feature.input_ids) == 32
    other = feature.input_ids if family == "text2text" else feature.others[0][0]
    assert made.tokens.ids(["dog"])[0][0] in other


@pytest.mark.parametrize("family", ["text2text", "heads"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choices": None}, "has 0 choices; expected 2 to 5"),
        ({"choices": ("a",)}, "has 1 choices"),
        ({"label": "3"}, "is labelled '3', of 3 choices"),
        ({"fields": {}}, "no field 'question'"),
    ],
)
def test_what_is_no_choice_is_refused(family, mt5, xlmr, change, message):
    made = setup(mt5 if family == "text2text" else xlmr, CSQA)
    with pytest.raises(StiltgridError, match=message):
        formulation(family).encode(made, CSQA.name, [replace(QUESTION, **change)], True)


def model_of(family, folder, rows):
    if family == "text2text":
        return load_text2text(folder).eval()
    return load_heads(folder, {row.name: row for row in rows}, "first", 1).eval()


MIXED = [
    QUESTION,
    Example("2", "2", {"question": "what is red"}, "0", choices=("tree", "cat")),
    Example("3", "3", {"question": "who is not sad"}, "4", choices=("dog", "cat", "tree", "house", "park in it")),
]


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_examples_of_a_batch_may_have_different_numbers_of_choices(family, mt5, xlmr):
    folder = mt5 if family == "text2text" else xlmr
    made, model = setup(folder, CSQA), model_of(family, folder, [CSQA])
    together, apart = (answer(formulation(family), made, model, CSQA.name, MIXED, size, "fp32") for size in (3, 1))
    for one, other, example in zip(together, apart, MIXED, strict=True):
        assert len(one.scores) == len(example.choices)
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
        assert sum(map(torch.exp, map(torch.tensor, one.scores))) == pytest.approx(1, abs=1e-5)
        assert int(one.label) == max(range(len(one.scores)), key=one.scores.__getitem__)
    check_alignment(MIXED, together, list(CSQA.labels), "here")


def test_the_order_of_the_choices_is_the_order_of_an_encoders_scores(xlmr):
    made, model = setup(xlmr, CSQA), model_of("heads", xlmr, [CSQA])
    turned = replace(QUESTION, choices=QUESTION.choices[::-1])
    one, other = answer(formulation("heads"), made, model, CSQA.name, [QUESTION, turned], 2, "fp32")
    assert one.scores == pytest.approx(other.scores[::-1], abs=1e-5)


def test_a_choice_that_the_example_does_not_have_is_no_prediction():
    with pytest.raises(StiltgridError, match="labelled '3'; allowed: 0, 1, 2"):
        check_alignment([QUESTION], [Prediction("1", label="3")], list(CSQA.labels), "here")


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_gold_choices_come_back_with_full_accuracy(family, mt5, xlmr):
    folder = mt5 if family == "text2text" else xlmr
    made, module = setup(folder, CSQA), formulation(family)
    features = module.encode(made, CSQA.name, MIXED, True)
    if family == "text2text":
        letters = [ids[0] for ids in made.tokens.ids(list(CSQA.labels.values()))]
        gold = [letters.index(f.labels[0]) for f in features]
    else:
        gold = [f.labels[0] for f in features]
    said = [[[0.0 if k == g else -9.0 for k in range(f.choices)]] for f, g in zip(features, gold, strict=True)]
    predictions = module.decode(made, CSQA.name, MIXED, features, said)
    statistics = METRICS["accuracy"].statistics(CSQA, "en", MIXED, predictions)
    assert METRICS["accuracy"].score(statistics) == 100.0


def test_the_loss_of_a_choice_is_the_cross_entropy_over_its_own_choices(xlmr):
    made, model = setup(xlmr, CSQA, MNLI), model_of("heads", xlmr, [CSQA, MNLI])
    module = formulation("heads")
    pair = Example("1", "1", {"premise": "the dog runs", "hypothesis": "no"}, "contradiction")
    features = [*module.encode(made, CSQA.name, MIXED, True), *module.encode(made, MNLI.name, [pair], True)]
    # in any order, and beside rows of another task
    batch = collate(made, [features[3], features[0], features[2], features[1]])
    with torch.no_grad():
        loss = float(model(**batch)["loss"])
    scores = answer(module, made, model, CSQA.name, MIXED, 3, "fp32")
    of_pair = answer(module, made, model, MNLI.name, [pair], 1, "fp32")[0].scores[2]
    wanted = -sum(said.scores[int(e.label)] for said, e in zip(scores, MIXED, strict=True)) - of_pair
    assert loss == pytest.approx(wanted, abs=1e-4)
    assert int((batch["labels"] != IGNORED).sum()) == 4  # the number that the mean is over


def test_a_batch_without_choices_is_as_before(xlmr):
    made = setup(xlmr, MNLI)
    pair = Example("1", "1", {"premise": "the dog runs", "hypothesis": "no"}, "contradiction")
    assert "choices" not in collate(made, formulation("heads").encode(made, MNLI.name, [pair], True))


def test_gradients_are_finite_where_a_batch_mixes_choices_with_other_rows(xlmr):
    made, model = setup(xlmr, CSQA, MNLI), model_of("heads", xlmr, [CSQA, MNLI])
    module = formulation("heads")
    pair = Example("1", "1", {"premise": "the dog runs", "hypothesis": "no"}, "contradiction")
    features = [*module.encode(made, MNLI.name, [pair], True), *module.encode(made, CSQA.name, MIXED, True)]
    model(**collate(made, features))["loss"].backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    assert all(p.grad is not None for p in model.heads.parameters())


NLI = {row.name: row for row in (ANLI, MNLI, SNLI)}


def test_nli_tasks_of_one_run_share_one_head_and_alone_have_their_own(xlmr, tmp_path):
    together = load_heads(xlmr, NLI, "first", 1)
    assert list(together.heads) == ["intermediate__anli"]
    alone = load_heads(xlmr, {MNLI.name: MNLI}, "first", 1)
    assert list(alone.heads) == ["intermediate__mnli"]
    save_model(together, tmp_path / "together")
    again = load_saved(tmp_path / "together", "heads")
    assert again.owners == dict.fromkeys(NLI, ANLI.name)
    save_model(alone, tmp_path / "alone")
    assert '"head"' not in (tmp_path / "alone" / "heads.json").read_text()
    pair = Example("1", "1", {"premise": "the dog runs", "hypothesis": "no"}, "contradiction")
    said = {
        name: answer(formulation("heads"), setup(xlmr, *NLI.values()), again, name, [pair], 1, "fp32") for name in NLI
    }
    assert len({tuple(one.scores) for [one] in said.values()}) == 1


def test_the_loss_over_a_shared_head_is_that_of_one_task(xlmr):
    pairs = [
        Example(str(i), str(i), {"premise": "the dog runs", "hypothesis": h}, label)
        for i, (h, label) in enumerate([("no", "contradiction"), ("yes", "entailment"), ("maybe", "neutral")])
    ]
    module = formulation("heads")
    one = setup(xlmr, MNLI)
    three = setup(xlmr, *NLI.values())
    batch = collate(three, [f for n, p in zip(NLI, pairs, strict=True) for f in module.encode(three, n, [p], True)])
    same = collate(one, module.encode(one, MNLI.name, pairs, True))
    with torch.no_grad():
        shared = load_heads(xlmr, NLI, "first", 1).eval()(**batch)["loss"]
        single = load_heads(xlmr, {MNLI.name: MNLI}, "first", 1).eval()(**same)["loss"]
    assert float(shared) == pytest.approx(float(single), rel=1e-6)


def test_a_head_is_shared_by_tasks_with_its_labels_alone():
    rows = {"a/x": Head("classification", ("1", "2"), "h"), "a/y": Head("classification", ("2", "1"), "h")}
    with pytest.raises(StiltgridError, match="a/x and a/y share the head 'h'"):
        head_owners(rows)
    assert shared_heads({"a/x": rows["a/x"]}) == {}


def test_recipes_say_which_tasks_share_a_head_and_stay_as_they_are_where_none_does():
    assert "heads" not in formulation_of([MNLI.name], "heads")
    assert "heads" not in formulation_of(list(NLI), "text2text")
    assert formulation_of(list(NLI), "heads")["heads"] == dict.fromkeys(NLI, "nli")
    assert set(described(MNLI)) == {"kind", "labels", "fields", "segments"}


def test_hellaswag_and_cosmosqa_keep_heads_of_their_own(xlmr):
    rows = {row.name: row for row in (task("hellaswag"), COSMOS)}
    assert len(load_heads(xlmr, rows, "first", 1).heads) == 2
    assert isinstance(load_heads(xlmr, rows, "first", 1), EncoderWithHeads)
