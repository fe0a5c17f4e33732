"""Questions that may have no answer, in both families: targets, scores, and what becomes of them."""

from dataclasses import replace

import pytest
import tiny
import torch

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations import described, formulation
from stiltgrid.formulations.features import Setup
from stiltgrid.formulations.heads import span_or_none as of_heads
from stiltgrid.formulations.heads.span import NOWHERE, best_spans
from stiltgrid.formulations.text2text import span_or_none as of_text
from stiltgrid.models import load_heads, load_text2text
from stiltgrid.predict import answer
from stiltgrid.score import score_language
from stiltgrid.tasks.registry import Decoding, task
from stiltgrid.tokenization import load_tokens

V2, V1 = task("squad_v2"), task("squad")
FIELDS = {"question": "who runs", "context": "the big dog runs in the park"}
ANSWERED = Example("1", "1", FIELDS, references=("dog",), starts=(8,))
NOT = Example("2", "1", FIELDS, references=(), starts=())


@pytest.fixture(scope="module")
def mt5(tmp_path_factory):
    words = [*tiny.WORDS, "squad", "unanswerable"]
    return tiny.save_mt5(tmp_path_factory.mktemp("mt5"), tokenizer=tiny.t5_tokenizer(words))


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    return tiny.save_xlmr(tmp_path_factory.mktemp("xlmr"))


def setup(folder, row=V2, length=64, **settings):
    return Setup(load_tokens(folder), {row.name: row}, length, **settings)


def texts(made, features):
    return made.tokens.texts([f.labels for f in features])


def test_a_text2text_model_writes_that_there_is_no_answer(mt5):
    made = setup(mt5)
    formulation("text2text").check(made)
    features = formulation("text2text").encode(made, V2.name, [ANSWERED, NOT], True)
    assert texts(made, features) == ["dog", "unanswerable"]
    assert not any(f.truncated for f in features)


def test_windows_without_the_answer_are_trained_to_say_so(mt5):
    words = ["the"] * 60
    words[50] = "dog"
    context = " ".join(words)
    example = Example("1", "1", FIELDS | {"context": context}, references=("dog",), starts=(200,))
    made = setup(mt5, length=48)
    features = formulation("text2text").encode(made, V2.name, [example, replace(NOT, fields=example.fields)], True)
    found = texts(made, [f for f in features if f.row == 0])
    assert len(found) > 2 and set(found) == {"dog", "unanswerable"}
    blind = formulation("text2text").encode(made, V2.name, [example], False)
    inputs = made.tokens.texts([f.input_ids for f in blind])
    assert [said == "dog" for said in found] == ["dog" in text for text in inputs]
    assert set(texts(made, [f for f in features if f.row == 1])) == {"unanswerable"}
    # SQuAD 1.1 goes on training on the windows with the answer alone
    plain = formulation("text2text").encode(setup(mt5, V1, 48), V1.name, [example], True)
    assert set(texts(made, plain)) == {"dog"}


def test_without_no_answer_in_the_row_an_answer_is_required(mt5, xlmr):
    for family, folder, message in (("text2text", mt5, "has no references"), ("heads", xlmr, "has no answer")):
        with pytest.raises(StiltgridError, match=message):
            formulation(family).encode(setup(folder, V1), V1.name, [NOT], True)


def test_an_encoder_puts_no_answer_at_the_first_token_and_counts_nothing_as_cut(xlmr):
    features = formulation("heads").encode(setup(xlmr), V2.name, [NOT, ANSWERED], True)
    assert features[0].labels == [NOWHERE, NOWHERE] and features[1].labels != [NOWHERE, NOWHERE]
    assert not any(f.truncated for f in features)


def test_the_odds_are_those_of_the_first_step_and_the_barred_piece_begins_no_answer(mt5):
    made = setup(mt5)
    model = load_text2text(mt5).eval()
    family = formulation("text2text")
    features = family.encode(made, V2.name, [ANSWERED, NOT], False)
    first = of_text.first_piece(made, V2)
    with torch.no_grad():
        model.lm_head.weight[first] *= 3  # a model that says so here and there
        said = family.outputs(made, model, V2.name, features)
        batch = family.collate(made, features)
        encoded = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]
        step = model.lm_head(model.decode(batch["decoder_input_ids"][:, :1], encoded, batch["attention_mask"]))[:, 0]
    p = step.double().softmax(-1)[:, first]
    for (text, _, odds), probability in zip(said, p.tolist(), strict=True):
        assert odds == pytest.approx(torch.logit(torch.tensor(probability, dtype=torch.float64)).item(), abs=1e-3)
        assert not text.startswith("unanswerable")
    beams = replace(made, decoding={V2.name: Decoding(beams=3)})
    with torch.no_grad():
        again = family.outputs(beams, model, V2.name, features)
    assert [odds for *_, odds in again] == pytest.approx([odds for *_, odds in said], abs=1e-3)
    assert not any(text.startswith("unanswerable") for text, *_ in again)


def test_one_window_with_the_answer_is_enough(mt5):
    made = setup(mt5, length=48)
    example = replace(NOT, fields=FIELDS | {"context": "the " * 70})
    features = formulation("text2text").encode(made, V2.name, [example], False)
    said = [("dog", -1.0 - k, odds) for k, odds in zip(range(len(features)), (5.0, -4.0, 3.0, 3.0, 3.0), strict=False)]
    [found] = of_text.decode(made, V2, [example], features, said)
    assert (found.text, found.no_answer) == ("dog", -4.0)


def test_an_encoders_score_of_no_answer_is_the_lowest_windows_less_the_best_spans(xlmr):
    made = setup(xlmr, length=32)
    example = replace(NOT, fields=FIELDS | {"context": "the dog runs in the park " * 6})
    features = formulation("heads").encode(made, V2.name, [example], False)
    scores = torch.full((len(features), 32, 2), -5.0)
    scores[:, NOWHERE] = torch.arange(len(features)).unsqueeze(1) + 1.0  # 2, 4, 6 ...
    at = next(i for i, (a, b) in enumerate(features[1].offsets) if a < b)
    scores[1, at] = 0.75
    nothing = scores[:, NOWHERE].sum(-1).tolist()
    said = list(zip(nothing, best_spans(scores, [f.offsets for f in features]), strict=True))
    [found] = of_heads.decode(made, V2, [example], features, said)
    begin, end = features[1].offsets[at]
    assert found.text == example.fields["context"][begin:end]
    assert found.no_answer == pytest.approx(2.0 - 1.5)
    [again] = of_heads.decode(made, V2, [example], features[::-1], said[::-1])
    assert again == found
    with pytest.raises(StiltgridError, match="not finite"):
        of_heads.decode(made, V2, [example], features, [(float("nan"), spans) for _, spans in said])


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_every_question_has_an_answer_and_odds_that_do_not_depend_on_the_batch(family, mt5, xlmr):
    folder = mt5 if family == "text2text" else xlmr
    made = setup(folder)
    model = load_text2text(folder) if family == "text2text" else load_heads(folder, made.rows, "first", 1)
    rows = tiny.perhaps_answered(7)
    found = [answer(formulation(family), made, model.eval(), V2.name, rows, size, "fp32") for size in (7, 2)]
    assert [p.text for p in found[0]] == [p.text for p in found[1]]
    assert [p.no_answer for p in found[0]] == pytest.approx([p.no_answer for p in found[1]], abs=1e-4)
    record, _ = score_language(V2, "en", rows, found[0], "here")
    assert set(V2.metrics) <= set(record)


def test_an_empty_context_has_an_empty_answer(xlmr):
    made = setup(xlmr)
    model = load_heads(xlmr, made.rows, "first", 1).eval()
    empty = replace(NOT, fields=FIELDS | {"context": ""})
    [found] = answer(formulation("heads"), made, model, V2.name, [empty], 1, "fp32")
    assert found.text == "" and abs(found.no_answer) < 1e6


def test_gold_comes_back_with_the_full_score(mt5):
    made = setup(mt5)
    rows = tiny.perhaps_answered(20)
    said = formulation("text2text").round_trip(made, V2.name, rows)
    record, _ = score_language(V2, "en", rows, said, "here")
    assert {record[name] for name in V2.metrics} == {100.0}


def test_a_text_for_no_answer_that_begins_like_any_text_is_refused(mt5):
    row = V2.model_copy(update={"no_answer": "zebra"})  # the vocabulary has its letters only
    with pytest.raises(StiltgridError, match="no_answer 'zebra' begins with a piece that many texts begin with"):
        formulation("text2text").check(setup(mt5, row))


def test_another_text_for_no_answer_is_another_task_to_a_model():
    assert described(V2)["no_answer"] == "unanswerable"
    assert "no_answer" not in described(V1)
