"""Answers that text2text models write: prompts, targets, windows, decoding, copying back, learning."""

import json
import math
import os
import subprocess
from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from stiltgrid.artifacts import read_json, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, read_examples
from stiltgrid.formulations import text2text
from stiltgrid.formulations.features import IGNORED, Setup, overlapping
from stiltgrid.formulations.text2text.copying import copied
from stiltgrid.formulations.text2text.writing import write
from stiltgrid.launch import command
from stiltgrid.models import load_text2text
from stiltgrid.predict import Predictor, answer
from stiltgrid.tasks.registry import Decoding, task
from stiltgrid.tokenization import load_tokens
from stiltgrid.train import run

MLQA, QG = task("xglue/mlqa"), task("xglue/qg")
EXOTIC = {
    "th": "แมวกินปลาทู 3 ตัวที่กรุงเทพ",
    "zh": "猫在公园里吃了三条鱼",
    "ar": "القطة تأكل السمك فى الحديقة",
    "hi": "बिल्ली पार्क में मछली खाती है",
    "ur": "بلی باغ میں مچھلی کھاتی ہے",
}
TRAIN = """
import json, sys
from stiltgrid.train import run
call = json.load(open(sys.argv[1]))
run(call["recipe"], call["data"], call["pretrained"], call["pretrained"], call["out"], call["execution"])
"""


@pytest.fixture(scope="module")
def mt5(tmp_path_factory):
    """A random model whose vocabulary has bytes for all that has no piece."""
    return tiny.save_mt5(tmp_path_factory.mktemp("mt5"), tokenizer=tiny.byte_tokenizer())


@pytest.fixture(scope="module")
def tokens(mt5):
    return load_tokens(mt5)


def setup(tokens, *rows, length=64, **decoding):
    rows = rows or (MLQA, QG)
    how = {row.name: Decoding(**decoding) for row in rows} if decoding else {}
    return Setup(tokens, {row.name: row for row in rows}, length, decoding=how)


def shortened(row, length):
    return row.model_copy(update={"output_length": length})


def asked(context, answer_text, question="who runs", start=None):
    start = context.index(answer_text) if start is None else start
    fields = {"question": question, "context": context}
    return Example("1", "1", fields, references=(answer_text,), starts=(start,))


def pieces(tokens, ids):
    return [tokens.backend.id_to_token(i) for i in ids]


# prompts and targets


def test_a_passage_becomes_prefix_field_and_end(tokens):
    example = Example("1", "1", {"passage": "the cat runs"}, references=("who runs",))
    (feature,) = text2text.encode(setup(tokens), QG.name, [example], True)
    assert pieces(tokens, feature.input_ids) == ["▁qg", "▁passage", ":", "▁the", "▁cat", "▁runs", "</s>"]
    assert pieces(tokens, feature.labels) == ["▁who", "▁runs", "</s>"]
    assert feature.decoder_ids == [0, *feature.labels[:-1]]
    assert tokens.texts([feature.input_ids]) == ["qg passage: the cat runs"]


def test_a_question_and_its_context_become_one_input(tokens):
    (feature,) = text2text.encode(setup(tokens), MLQA.name, [asked("the cat runs", "cat")], True)
    assert tokens.texts([feature.input_ids]) == ["mlqa question: who runs context: the cat runs"]
    assert feature.input_ids[-1] == tokens.end
    assert pieces(tokens, feature.labels) == ["▁cat", "</s>"]


def test_unlabelled_inputs_are_the_same_and_hold_nothing_to_learn(tokens):
    made = setup(tokens)
    for name, rows in ((MLQA.name, tiny.questions(5)), (QG.name, tiny.passages(5))):
        blind = [Example(e.id, e.group, e.fields) for e in rows]
        said = text2text.encode(made, name, blind, False)
        assert said == text2text.encode(made, name, rows, False)
        assert [f.input_ids for f in said] == [f.input_ids for f in text2text.encode(made, name, rows, True)]
        assert all(f.labels == [IGNORED] and f.decoder_ids == [0] and not f.truncated for f in said)


def test_too_long_a_target_loses_its_tail_and_its_end_and_is_counted(tokens):
    row = shortened(QG, 3)
    rows = [Example(str(n), "", {"passage": "cat"}, references=(" ".join(["dog"] * n),)) for n in (2, 3)]
    whole, cut = text2text.encode(setup(tokens, row), row.name, rows, True)
    assert (len(whole.labels), whole.labels[-1], whole.truncated) == (3, tokens.end, False)
    assert (len(cut.labels), cut.labels[-1] == tokens.end, cut.truncated) == (3, False, True)
    assert not any(f.truncated for f in text2text.encode(setup(tokens, row), row.name, rows, False))


def test_too_long_a_passage_loses_its_tail_and_is_counted(tokens):
    example = Example("1", "1", {"passage": "cat " * 30 + "dog"}, references=("who",))
    (feature,) = text2text.encode(setup(tokens, length=20), QG.name, [example], True)
    assert len(feature.input_ids) == 20 and feature.truncated and feature.input_ids[-1] == tokens.end
    assert tokens.texts([feature.input_ids]) == ["qg passage:" + " cat" * 16]


@pytest.mark.parametrize(
    ("row", "example", "message"),
    [
        (QG, Example("7", "7", {"passage": "cat"}), "xglue/qg: example '7' has no references"),
        (QG, Example("7", "7", {"passage": "cat"}, references=()), "example '7' has no references"),
        (MLQA, Example("7", "7", {"question": "who", "context": "cat"}), "xglue/mlqa: example '7' has no references"),
        (
            QG,
            Example("7", "7", {"text": "cat"}, references=("who",)),
            "example '7' has no field 'passage'; it has text",
        ),
        (
            MLQA,
            Example("7", "7", {"question": "who", "context": "cat " * 90}, references=("cat",)),
            r"example '7' has no starts; its context is read through \d windows",
        ),
    ],
)
def test_examples_that_cannot_be_learnt_from_are_named(tokens, row, example, message):
    with pytest.raises(StiltgridError, match=message):
        text2text.encode(setup(tokens, row), row.name, [example], True)


def test_rows_that_cannot_be_answered_are_named(tokens):
    for row in (MLQA, QG):
        bare = shortened(row, None)
        with pytest.raises(StiltgridError, match=f"{row.name}: output_length is missing"):
            text2text.check(setup(tokens, bare))
    row = MLQA.model_copy(update={"fields": ("question", "text")})
    with pytest.raises(StiltgridError, match="fields question, text; kind span needs one of the name 'context'"):
        text2text.check(setup(tokens, row))
    text2text.check(setup(tokens))


# text of ids


@pytest.mark.parametrize("language", EXOTIC)
def test_exotic_text_comes_back_from_its_ids(tokens, language):
    text = EXOTIC[language]
    (ids,) = tokens.ids([text])
    assert tokens.unknown not in ids and len(ids) > len(text)
    assert tokens.texts([ids]) == [text]


def test_spaces_before_punctuation_are_kept_and_no_special_piece_is_spoken(tokens):
    text = "the cat , runs . the dog n't !"
    (ids,) = tokens.ids([text])
    noise = [tokens.pad, *ids[:3], tokens.unknown, tokens.sentinels[0], *ids[3:], tokens.end, tokens.pad]
    assert tokens.texts([ids, noise, []]) == [text, text, ""]


def test_bytes_that_are_no_character_are_shown_as_such(tokens):
    first = tokens.backend.token_to_id("<0xE4>")
    assert tokens.texts([[first, *tokens.ids(["cat"])[0]]]) == ["� cat"]


def test_a_vocabulary_without_a_decoder_is_given_one(tmp_path):
    backend = tiny.t5_tokenizer()
    assert backend.decoder is None
    backend.save(str(tmp_path / "tokenizer.json"))
    read = load_tokens(tmp_path)
    assert read.texts(read.ids(["the cat , runs"])) == ["the cat , runs"]


def test_what_is_never_spoken(tokens):
    assert tokens.unspoken == {tokens.pad, tokens.unknown, *tokens.sentinels}
    assert tokens.end not in tokens.unspoken


# windows


@given(st.integers(0, 200), st.integers(1, 40), st.data())
def test_windows_hold_every_short_span_whole(length, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    cuts = overlapping(length, size, overlap)
    assert cuts[0][0] == 0 and cuts[-1][1] == length
    assert all(b - a <= size for a, b in cuts)
    for start in range(length - overlap):
        assert any(a <= start and start + overlap < b for a, b in cuts)
    assert sum(b == length for _, b in cuts) == 1  # none is inside another


def test_a_long_context_is_read_whole_and_the_question_stands_before_each_window(tokens):
    context = " ".join(f"{word} ." for word in tiny.WORDS[:21])
    made = setup(tokens, length=24)
    features = text2text.encode(made, MLQA.name, [asked(context, "house")], False)
    texts = tokens.texts([f.input_ids for f in features])
    start = "mlqa question: who runs context:"
    assert len(features) > 2 and all(t.startswith(start) for t in texts)
    assert all(len(f.input_ids) <= 24 and not f.truncated for f in features)
    (ids,) = tokens.ids([context])
    lead = len(tokens.ids([start])[0])
    seen = {f.first + i: piece for f in features for i, piece in enumerate(f.input_ids[lead:-1])}
    assert [seen[i] for i in range(len(ids))] == ids


@pytest.mark.parametrize("language", EXOTIC)
@pytest.mark.parametrize("length", [48, 90])
def test_training_windows_hold_the_whole_answer(tokens, language, length):
    """Every word of the context in turn; a word of bytes is long, but not longer than the overlap."""
    made = setup(tokens, length=length)
    context = " ".join([EXOTIC[language]] * 4)
    words = EXOTIC[language].split(" ")
    for number, word in enumerate(w for w in words if len(w.encode()) <= (length - 20) // 4):
        start = context.index(word, len(context) // 2)
        features = text2text.encode(made, MLQA.name, [asked(context, word, start=start)], True)
        everything = text2text.encode(made, MLQA.name, [asked(context, word, start=start)], False)
        assert 0 < len(features) < len(everything), number
        for feature in features:
            assert not feature.truncated
            assert word in tokens.texts([feature.input_ids])[0].split("context:")[1]


def test_an_answer_as_long_as_the_overlap_is_whole_in_a_window_wherever_it_stands(tokens):
    """Of every start and length: windows of 14 tokens for the context, of which neighbours share 7."""
    words = tiny.WORDS[:21] * 2
    made = setup(tokens, length=24)
    context = " ".join(words)
    for first in range(len(words) - 7):
        for number in (1, 5, 8):
            said, start = " ".join(words[first : first + number]), len(" ".join(["", *words[:first]]))
            features = text2text.encode(made, MLQA.name, [asked(context, said, start=start)], True)
            assert features and not any(f.truncated for f in features)
            for feature in features:
                shown = tokens.texts([feature.input_ids])[0].split("context: ")[1]
                assert said in shown, (first, number)


def test_an_answer_that_no_window_holds_is_trained_on_once_and_counted(tokens):
    context = "the cat " * 30
    made = setup(tokens, length=24)
    (feature,) = text2text.encode(made, MLQA.name, [asked(context, ("cat the " * 20).strip())], True)
    assert feature.truncated and len(feature.labels) == 41
    assert tokens.texts([feature.input_ids])[0].split("context:")[1].startswith(" the cat")


def test_only_a_question_of_more_than_half_the_room_is_cut(tokens):
    made = setup(tokens, length=48)
    context = "the dog " * 30 + "runs"
    for words, cut in ((20, False), (40, True)):
        features = text2text.encode(made, MLQA.name, [asked(context, "runs", question="cat " * words)], False)
        asks = [t.count("cat") for t in tokens.texts([f.input_ids for f in features])]
        assert {f.truncated for f in features} == {cut}
        assert set(asks) == ({20} if not cut else {min(asks)}) and min(asks) >= 20
    (feature,) = text2text.encode(made, MLQA.name, [asked("dog", "dog", question="cat " * 38)], False)
    assert not feature.truncated  # a short context leaves its room


def test_an_empty_context_and_an_empty_answer_are_inputs_too(tokens):
    made = setup(tokens, length=24)
    features = text2text.encode(made, MLQA.name, [asked("", "", question="cat " * 40)], True)
    assert len(features) == 1 and features[0].labels == [tokens.end]


def test_the_surest_window_answers_whatever_the_order(tokens):
    made = setup(tokens, length=24)
    examples = [asked("the cat runs . " * 8, "cat"), Example("2", "2", {"question": "who", "context": "dog"})]
    features = text2text.encode(made, MLQA.name, examples, False)
    number = len(features) - 1
    said = [(f"answer {i}", -2.0 if i % 2 else -3.0) for i in range(number)] + [("dog", -9.0)]
    for order in (list(range(number + 1)), list(reversed(range(number + 1)))):
        predictions = text2text.decode(
            made, MLQA.name, examples, [features[i] for i in order], [said[i] for i in order]
        )
        assert [(p.id, p.text) for p in predictions] == [("1", "answer 1"), ("2", "dog")]


def test_an_example_without_an_answer_is_a_fault(tokens):
    with pytest.raises(StiltgridError, match="xglue/qg: '0' has no answer"):
        text2text.decode(setup(tokens), QG.name, tiny.passages(1), [], [])


# copying back


@pytest.mark.parametrize(
    ("context", "written", "span"),
    [
        ("in １９９８年　夏", "1998年", "１９９８年"),
        ("in １９９８年　夏", "1998年 夏", "１９９８年　夏"),
        ("the ﬁsh runs", "fish", "ﬁsh"),
        ("the ﬁsh runs", "ish", "ish"),  # half of a ligature is no span
        ("the cafe\u0301 runs", "café", "cafe\u0301"),
        ("the cat\u00a0 runs", "cat runs", "cat\u00a0 runs"),
        ("note [1]\u200b runs", "[1]", "[1]"),
        ("note [1]\u200b runs", "[1] ", "[1]\u200b"),
        ("１２ and 12", "12", "12"),
        ("１２ and １２", "12", "１２"),
        ("the cat runs", "a dog", "a dog"),
        ("the cat runs", "", ""),
        ("the cat runs", " ", " "),
        ("क\u093c and \u0958", "क\u093c", "क\u093c"),
        ("and \u0958 runs", "क\u093c", "\u0958"),
        ("a.b", "a b", "a b"),
        ("in 2…3", "2...3", "2…3"),
    ],
)
def test_an_answer_is_the_span_as_it_stands_in_the_context(tokens, context, written, span):
    assert copied(tokens, context, written) == span


@pytest.mark.parametrize(
    ("before", "gold"),
    [
        *((f"{text} ", text) for text in EXOTIC.values()),
        ("于 ", "１９９８年\u3000夏（ＡＢＣ）"),
        ("the ", "ﬁsh \u00bd\u2026"),
        ("la ", "cafe\u0301"),
        ("nota ", "[35]\u200b"),
        ("in ", "\u0e19\u0e49\u0e33"),
        ("the ", "cat\u00a0\u2009dog"),
        ("the ", "می\u200cخواهم"),
    ],
)
def test_a_gold_answer_comes_back_byte_for_byte(tokens, before, gold):
    example = asked(f"{before}{gold} and more", gold)
    (prediction,) = text2text.round_trip(setup(tokens, length=400), MLQA.name, [example])
    if len(tokens.ids([gold])[0]) < MLQA.output_length:
        assert prediction.text == gold
    else:
        row = shortened(MLQA, 200)
        (prediction,) = text2text.round_trip(setup(tokens, row, length=400), row.name, [example])
        assert prediction.text == gold


def test_a_written_text_has_the_vocabulary_as_its_ceiling(tokens):
    rows = [
        Example(str(i), "", {"passage": "cat"}, references=(t,))
        for i, t in enumerate(["who , runs", "１２ ﬁsh", "who runs in"])
    ]
    assert [p.text for p in text2text.round_trip(setup(tokens), QG.name, rows)] == [
        "who , runs",
        "12 fish",
        "who runs in",
    ]
    row = shortened(QG, 2)
    assert text2text.round_trip(setup(tokens, row), row.name, rows[2:])[0].text == "who runs"


# decoding


@pytest.mark.parametrize(
    "decoding", [{}, {"beams": 4}, {"beams": 4, "length_penalty": 2.0}, {"beams": 3, "length_penalty": 0.0}]
)
@pytest.mark.parametrize("row", [QG, MLQA], ids=lambda row: row.kind)
def test_batches_answer_like_one_at_a_time(mt5, tokens, row, decoding):
    row = shortened(row, 8)
    examples = tiny.passages(9, longest=40) if row.kind == "generation" else tiny.questions(7, longest=50)
    made = setup(tokens, row, length=48, **decoding)
    for seed in range(2):
        torch.manual_seed(seed)
        model = load_text2text(mt5).eval()
        with torch.no_grad():  # models of several temperaments: short answers and long ones
            model.lm_head.weight[tokens.end] += seed * 0.5 * torch.randn(32)
        together = answer(text2text, made, model, row.name, examples, 8, "fp32")
        alone = [answer(text2text, made, model, row.name, [e], 1, "fp32")[0] for e in examples]
        assert [(p.id, p.text, p.truncated) for p in together] == [(p.id, p.text, p.truncated) for p in alone]
        assert len({p.text for p in together}) > 3


@pytest.mark.parametrize("beams", [1, 4])
def test_answers_are_those_of_the_library_with_nothing_changed(mt5, tokens, beams):
    """The class of ours adds nothing to `generate`: cache, beams, and an output matrix of its own."""
    from transformers import GenerationConfig, MT5ForConditionalGeneration

    model = load_text2text(mt5).eval()
    theirs = MT5ForConditionalGeneration(model.config)
    theirs.lm_head = torch.nn.Linear(32, model.config.vocab_size, bias=False)
    theirs.load_state_dict(model.state_dict())
    assert theirs.lm_head.weight is not theirs.shared.weight
    row = shortened(QG, 9)
    made = setup(tokens, row, beams=beams)
    features = text2text.encode(made, row.name, tiny.passages(7, longest=30), False)
    batch = text2text.collate(made, features)
    for cache in (True, False):
        ids = theirs.eval().generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            generation_config=GenerationConfig(
                max_new_tokens=9, num_beams=beams, eos_token_id=1, pad_token_id=0, decoder_start_token_id=0,
                suppress_tokens=[*sorted(tokens.unspoken), *range(tokens.size, model.config.vocab_size)],
                use_cache=cache,
            ),
        )  # fmt: skip
        assert [text for text, _ in write(made, model, row, features)] == tokens.texts(ids.tolist())


@pytest.mark.parametrize("decoding", [{}, {"beams": 4}, {"beams": 4, "length_penalty": 0.3}])
def test_a_score_is_the_mean_log_likelihood_of_what_was_written(mt5, tokens, monkeypatch, decoding):
    row = shortened(QG, 8)
    made = setup(tokens, row, **decoding)
    model = load_text2text(mt5).eval()
    features = text2text.encode(made, row.name, tiny.passages(6, longest=30), False)
    rows = []
    monkeypatch.setattr(type(tokens), "texts", lambda self, ids: rows.extend(ids) or [""] * len(ids))
    said = write(made, model, row, features)
    assert len(rows) == 6
    for feature, ids, (_, score) in zip(features, rows, said, strict=True):
        with torch.no_grad():
            loss = model(
                input_ids=torch.tensor([feature.input_ids]),
                decoder_input_ids=torch.tensor([[0, *ids[:-1]]]),
                labels=torch.tensor([ids]),
            )["loss"]
        assert score == pytest.approx(-float(loss) / len(ids), abs=1e-5)


@pytest.mark.parametrize("beams", [1, 4])
def test_each_input_is_encoded_once_whatever_the_beams(mt5, tokens, beams):
    made = setup(tokens, shortened(QG, 6), beams=beams)
    model = load_text2text(mt5).eval()
    shapes = []
    model.encoder.register_forward_hook(lambda *call: shapes.append(tuple(call[-1][0].shape)))
    text2text.outputs(made, model, QG.name, text2text.encode(made, QG.name, tiny.passages(5), False))
    assert shapes == [(5, 16, 32)]
    assert model.lm_head.weight is not model.shared.weight


def test_beam_search_keeps_no_scores_of_the_whole_vocabulary(mt5, tokens, monkeypatch):
    """64 steps of 32 inputs with 4 beams at mT5's vocabulary would be 8 GB."""
    row = shortened(QG, 6)
    made = setup(tokens, row, beams=4)
    model = load_text2text(mt5).eval()
    kept = []
    generate = model.generate

    def seen(**call):
        said = generate(**call)
        kept.extend(said.scores)
        return said

    monkeypatch.setattr(model, "generate", seen)
    said = write(made, model, row, text2text.encode(made, row.name, tiny.passages(4), False))
    assert len(kept) == 6 and sum(step.untyped_storage().nbytes() for step in kept) == 0
    assert all(math.isfinite(score) for _, score in said)


@pytest.mark.parametrize("beams", [1, 3])
def test_sentinels_and_other_silent_pieces_are_never_written(mt5, tokens, monkeypatch, beams):
    """Even by a model that would write nothing else."""
    row = shortened(QG, 6)
    made = setup(tokens, row, beams=beams)
    model = load_text2text(mt5).eval()
    features = text2text.encode(made, row.name, tiny.passages(4), False)
    silent = [*tokens.unspoken, *range(tokens.size, model.config.vocab_size)]
    assert len(silent) == 102 + 4
    expected = write(made, model, row, features)
    wish = torch.zeros(model.config.vocab_size)
    wish[silent] = 100.0
    model.lm_head.register_forward_hook(lambda module, inputs, logits: logits + wish)
    raw = model.generate(input_ids=text2text.collate(made, features)["input_ids"], max_new_tokens=6)
    assert set(raw[:, 1:].flatten().tolist()) <= set(silent)
    said = write(made, model, row, features)
    assert all(score < -90 for _, score in said)
    if beams == 1:
        assert [text for text, _ in said] == [text for text, _ in expected]  # its second thoughts
    rows = []
    monkeypatch.setattr(type(tokens), "texts", lambda self, ids: rows.extend(ids) or [""] * len(ids))
    write(made, model, row, features)
    assert [len(ids) for ids in rows] == [6] * 4 and not {i for ids in rows for i in ids} & set(silent)


def test_settings_that_came_with_a_checkpoint_change_nothing(mt5, tokens, tmp_path):
    for file in mt5.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = {"max_length": 3, "num_beams": 2, "no_repeat_ngram_size": 1, "min_length": 2, "forced_bos_token_id": 9}
    write_json(tmp_path / "generation_config.json", {**settings, "suppress_tokens": list(range(300, 320))})
    made = setup(tokens, shortened(QG, 7))
    features = text2text.encode(made, QG.name, tiny.passages(4), False)
    plain, other = load_text2text(mt5).eval(), load_text2text(tmp_path).eval()
    assert other.generation_config.no_repeat_ngram_size == 1
    assert text2text.outputs(made, other, QG.name, features) == text2text.outputs(made, plain, QG.name, features)


@pytest.mark.parametrize("beams", [1, 4])
def test_a_model_that_diverged_writes_nothing(mt5, tokens, beams):
    made = setup(tokens, shortened(QG, 4), beams=beams)
    model = load_text2text(mt5).eval()
    with torch.no_grad():
        model.lm_head.weight.fill_(math.nan)
    with pytest.raises(StiltgridError, match=r"xglue/qg: example '\d': scores are not finite.*diverged"):
        answer(text2text, made, model, QG.name, tiny.passages(3), 2, "fp32")


@pytest.mark.parametrize("beams", [1, 4])
def test_answers_are_written_in_bf16_too(mt5, tokens, beams):
    made = setup(tokens, shortened(MLQA, 5), length=40, beams=beams)
    said = answer(text2text, made, load_text2text(mt5).eval(), MLQA.name, tiny.questions(5, longest=60), 4, "bf16")
    assert [p.id for p in said] == list("01234") and all(isinstance(p.text, str) for p in said)


# training and prediction


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One model that has learnt to answer and to ask."""
    folder = tmp_path_factory.mktemp("trained")
    pretrained = tiny.pretrained(folder / "pretrained", "text2text")
    data = tiny.write_data(folder / "data", MLQA.name, tiny.questions(400), tiny.questions(12, seed=5))
    data |= tiny.write_data(folder / "data", QG.name, tiny.passages(400), tiny.passages(12, seed=5))
    recipe = tiny.recipe("text2text", list(data), max_steps=70, batch_size=16, learning_rate=4e-3, dropout=0.0)
    return folder, pretrained, run(recipe, data, pretrained, pretrained, folder / "run", {"devices": 1})


def test_a_tiny_model_learns_to_answer_and_to_ask(trained):
    _, _, manifest = trained
    assert manifest["dev"][MLQA.name]["mlqa_exact"] >= 90
    assert manifest["dev"][QG.name]["bleu"] >= 90
    assert manifest["counts"]["truncated_inputs"] == 0
    assert manifest["counts"]["train_inputs"] == 800


def test_the_rows_decoding_is_the_default_and_can_be_replaced(trained, monkeypatch):
    folder, pretrained, _ = trained
    predictor = Predictor.load(folder / "run", pretrained)
    asked_for = []

    def seen(setup, *rest):
        asked_for.append(dict(setup.decoding))
        return write(setup, *rest)

    monkeypatch.setattr("stiltgrid.formulations.text2text.generation.write", seen)
    examples = tiny.passages(6, seed=9)
    plain = predictor.predict(QG, examples)
    greedy = predictor.predict(QG, examples, decoding=Decoding())
    assert asked_for == [{QG.name: Decoding(beams=4)}, {QG.name: Decoding()}]
    assert [p.text for p in plain] == [p.text for p in greedy] == [e.references[0] for e in examples]


def test_an_answer_is_found_in_any_window(trained):
    folder, pretrained, _ = trained
    predictor = Predictor.load(folder / "run", pretrained)
    filler = "the big red blue good bad . " * 12
    example = asked(f"{filler} runs dog sees {filler}", "dog")
    features = text2text.encode(setup(predictor.tokens), MLQA.name, [example], False)
    (said,) = predictor.predict(MLQA, [example])
    assert len(features) > 3 and said.truncated is False
    assert said.text in {"cat", "dog", "house", "tree"}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "zero3"])
def test_two_ranks_write_what_one_writes(tmp_path, strategy):
    """Dev answers of unequal length on two ranks, with the model whole on each or sharded between them."""
    pretrained = tiny.pretrained(tmp_path / "pretrained", "text2text")
    data = tiny.write_data(tmp_path / "data", MLQA.name, tiny.questions(60), tiny.questions(7, seed=5, longest=70))
    data |= tiny.write_data(tmp_path / "data", QG.name, tiny.passages(60), tiny.passages(7, seed=5))
    recipe = tiny.recipe("text2text", list(data), max_steps=12, evaluations=2, dropout=0.0)
    one = run(recipe, data, pretrained, pretrained, tmp_path / "one", {"strategy": "single", "devices": 1})
    call = {"recipe": recipe, "data": data, "pretrained": str(pretrained), "out": str(tmp_path / "two")}
    call["execution"] = {"strategy": strategy, "devices": 2, "micro_batch_size": 2}
    write_json(tmp_path / "call.json", call)
    (tmp_path / "script.py").write_text(TRAIN)
    words = command([str(tmp_path / "script.py"), str(tmp_path / "call.json")], call["execution"])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    two = read_json(tmp_path / "two" / "manifest.json")
    for name in data:
        assert two["dev"][name] == pytest.approx(one["dev"][name], abs=1e-6)
    lines = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert sum("dev" in line for line in lines) == 2
    assert len(read_examples(data[QG.name]["dev"][0])) == 7


# real rows


@pytest.mark.realdata
def test_real_answers_come_back_byte_for_byte(real_data, tmp_path):
    """A real vocabulary, given mT5's sentinels and byte pieces, over the question files of XGLUE's sample."""
    from tokenizers import Tokenizer

    state = json.loads((real_data / "models" / "multilingual-e5-small" / "tokenizer.json").read_text(encoding="utf-8"))
    state["model"]["vocab"] += [[f"<0x{byte:02X}>", -25.0] for byte in range(256)]
    state["model"]["byte_fallback"] = True
    backend = Tokenizer.from_str(json.dumps(state))
    backend.add_special_tokens([f"<extra_id_{i}>" for i in reversed(range(100))])
    backend.save(str(tmp_path / "tokenizer.json"))
    row = shortened(MLQA, 128)
    made = setup(load_tokens(tmp_path), row, length=160)
    files = sorted((real_data / "data" / "mlqa" / "MLQA_V1" / "dev").glob("*.json"))
    languages = set()
    for file in files:
        _, _, context, _, question = file.stem.split("-")
        if context != question:
            continue
        languages.add(context)
        examples = [
            Example(
                id=asks["id"],
                group="",
                fields={"question": asks["question"], "context": paragraph["context"]},
                references=tuple(a["text"] for a in asks["answers"]),
                starts=tuple(a["answer_start"] for a in asks["answers"]),
            )
            for article in read_json(file)["data"]
            for paragraph in article["paragraphs"]
            for asks in paragraph["qas"]
        ]
        said = text2text.round_trip(made, row.name, examples)
        assert [p.text for p in said] == [e.references[0] for e in examples]
    assert languages == set(MLQA.languages)
