"""Examples to model input and back, and batches."""

import math
from dataclasses import replace

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stiltgrid.batching import MicroBatches, by_length, epoch_batches, padded, shares
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.formulations import VERSION, check_trained, described, features, formulation, heads, text2text
from stiltgrid.formulations.features import IGNORED, Setup, cut_longest, windows
from stiltgrid.formulations.label_scores import decode
from stiltgrid.formulations.text2text import labels, tagging
from stiltgrid.models import load_heads, load_text2text
from stiltgrid.recipes import formulation_of
from stiltgrid.tasks.registry import task
from stiltgrid.tokenization import load_tokens

XNLI, POS, WPR = task("xglue/xnli"), task("xglue/pos"), task("xglue/wpr")


@pytest.fixture(scope="module")
def mt5(tmp_path_factory):
    return tiny.save_mt5(tmp_path_factory.mktemp("mt5"))


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    return tiny.save_xlmr(tmp_path_factory.mktemp("xlmr"))


def setup(folder, *rows, length=64):
    return Setup(load_tokens(folder), {row.name: row for row in rows}, length)


def test_an_nli_pair_becomes_prefix_fields_and_end(mt5):
    made = setup(mt5, XNLI)
    example = Example("1", "1", {"premise": "the cat sees", "hypothesis": "the dog"}, "neutral")
    (feature,) = text2text.encode(made, XNLI.name, [example], True)
    text = " ".join(made.tokens.backend.id_to_token(i).replace("▁", " ") for i in feature.input_ids)
    assert " ".join(text.replace(" :", ":").split()) == "xnli premise: the cat sees hypothesis: the dog </s>"
    assert feature.labels == [*made.tokens.ids(["maybe"])[0], made.tokens.end]
    assert feature.decoder_ids == [0, *feature.labels[:-1]]


def test_too_long_an_input_loses_the_tail_of_its_longest_field(mt5):
    made = setup(mt5, XNLI, length=24)
    example = Example("1", "1", {"premise": "the " * 40, "hypothesis": "cat"}, "neutral")
    (feature,) = text2text.encode(made, XNLI.name, [example], True)
    assert len(feature.input_ids) == 24 and feature.truncated
    assert feature.input_ids[-2:] == [made.tokens.ids(["cat"])[0][0], made.tokens.end]


@pytest.mark.parametrize(
    ("lengths", "budget", "kept"),
    [((90, 20, 30), 100, [50, 20, 30]), ((90, 20, 30), 60, [20, 20, 20]), ((3, 3), 5, [3, 2]), ((2, 1), 9, [2, 1])],
)
def test_cutting_by_hand(lengths, budget, kept):
    assert cut_longest(lengths, budget) == kept


@given(st.lists(st.integers(0, 300), min_size=1, max_size=5), st.integers(0, 400))
def test_cutting_keeps_as_much_as_fits(lengths, budget):
    kept = cut_longest(lengths, budget)
    assert sum(kept) == min(sum(lengths), budget)
    assert all(0 <= k <= n for k, n in zip(kept, lengths, strict=True))


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(20, 50), st.integers(1, 10))
def test_windows_cover_every_word_once_and_fit(costs, budget, most):
    cuts = windows(costs, budget, most)
    assert [w for a, b in cuts for w in range(a, b)] == list(range(len(costs)))
    assert all(sum(costs[a:b]) <= budget and 0 < b - a <= most for a, b in cuts)


def test_tagging_as_text_gives_each_word_its_sentinel(mt5):
    made = setup(mt5, POS)
    example = Example("1", "1", words=("the", "cat"), tags=("DET", "NOUN"))
    (feature,) = text2text.encode(made, POS.name, [example], True)
    s0, s1 = made.tokens.sentinels[:2]
    the, cat = (made.tokens.ids([w])[0] for w in ("the", "cat"))
    assert feature.input_ids == [*made.tokens.ids(["pos"])[0], s0, *the, s1, *cat, made.tokens.end]
    assert feature.decoder_ids == [0, s0, s1]
    first = [made.tokens.ids([POS.labels[t]])[0][0] for t in ("DET", "NOUN")]
    assert feature.labels == [IGNORED, *first]


def test_long_sentences_are_cut_into_windows_of_at_most_100_words(mt5):
    made = setup(mt5, POS, length=512)
    words = ("the",) * 250
    features = text2text.encode(made, POS.name, [Example("1", "1", words=words)], False)
    assert [f.units for f in features] == [100, 100, 50]
    assert [f.first for f in features] == [0, 100, 200]


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_one_endless_word_keeps_its_tag_and_is_counted(mt5, xlmr, family):
    made = setup(mt5 if family == "text2text" else xlmr, POS, length=16)
    example = Example("1", "1", words=("the", "q" * 50, "cat"))
    features = formulation(family).encode(made, POS.name, [example], False)
    assert sum(f.units for f in features) == 3
    assert [f.truncated for f in features].count(True) == 1
    assert all(len(f.input_ids) <= 16 for f in features)


@pytest.mark.parametrize("family", ["text2text", "heads"])
@pytest.mark.parametrize(("row", "rows"), [(XNLI, tiny.nli(7)), (POS, tiny.tagged(7))], ids=["pairs", "words"])
def test_encoded_a_part_at_a_time_is_encoded_at_once(mt5, xlmr, monkeypatch, family, row, rows):
    made = setup(mt5 if family == "text2text" else xlmr, row, length=16)
    whole = formulation(family).encode(made, row.name, rows, True)
    monkeypatch.setattr(features, "AT_ONCE", 3)
    assert formulation(family).encode(made, row.name, rows, True) == whole
    assert {feature.row for feature in whole} == set(range(7))
    assert formulation(family).encode(made, row.name, [], True) == []


def test_two_tags_with_one_first_piece_are_told_apart_by_the_next(mt5):
    row = POS.model_copy(update={"labels": {"NOUN": "cat park", "VERB": "cat sees"}})
    made = Setup(load_tokens(mt5), {row.name: row}, 64)
    cat, sees = made.tokens.ids(["cat sees"])[0]
    assert tagging.tag_tokens(made, row) == [cat, sees]


def test_tags_that_no_single_token_tells_apart_are_named(mt5):
    row = POS.model_copy(update={"labels": {"NOUN": "cat park", "VERB": "cat"}})
    with pytest.raises(StiltgridError, match=r"'NOUN'.*'VERB'.*cannot be told apart by one token"):
        text2text.check(Setup(load_tokens(mt5), {row.name: row}, 64))


def test_classification_labels_may_share_their_first_token(mt5):
    row = XNLI.model_copy(update={"labels": {"entailment": "cat yes", "neutral": "cat maybe", "contradiction": "no"}})
    made = Setup(load_tokens(mt5), {row.name: row}, 64)
    text2text.check(made)
    model = load_text2text(mt5).eval()
    features = text2text.encode(made, row.name, tiny.nli(5), False)
    with torch.no_grad():
        scores = text2text.outputs(made, model, row.name, features)
    assert all(math.isclose(sum(map(math.exp, unit)), 1.0, abs_tol=1e-5) for (unit,) in scores)


def test_first_token_scores_are_those_of_the_library_renormalised(mt5):
    made = setup(mt5, XNLI)
    model = load_text2text(mt5).eval()
    features = text2text.encode(made, XNLI.name, tiny.nli(6), False)
    batch = text2text.collate(made, features)
    first = [t[0] for t in labels.targets(made, XNLI)]
    with torch.no_grad():
        scores = torch.tensor(text2text.outputs(made, model, XNLI.name, features))[:, 0]
        logits = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            decoder_input_ids=batch["decoder_input_ids"],
        ).logits[:, 0]
    assert torch.allclose(scores, logits[:, first].log_softmax(-1), atol=1e-5)


def test_whole_label_scores_are_the_training_loss_of_each_label(mt5):
    """Scoring and training agree: the sum of log-probabilities is minus the loss on that target."""
    row = XNLI.model_copy(update={"labels": {"entailment": "cat yes", "neutral": "cat", "contradiction": "no"}})
    made = Setup(load_tokens(mt5), {row.name: row}, 64)
    model = load_text2text(mt5).eval()
    example = tiny.nli(1)[0]
    losses = []
    with torch.no_grad():
        for label in row.labels:
            (feature,) = text2text.encode(made, row.name, [replace(example, label=label)], True)
            losses.append(float(model(**text2text.collate(made, [feature]))["loss"]))
        (((scores),),) = text2text.outputs(made, model, row.name, [feature])
    expected = torch.tensor(losses).neg().log_softmax(-1)
    assert torch.allclose(torch.tensor(scores), expected, atol=1e-5)


def test_both_ways_of_scoring_choose_the_same_label(mt5):
    """Labels of one token: whole scores add the end's probability, which these models put after every label."""
    made = setup(mt5, XNLI)
    model = load_text2text(mt5).eval()
    wanted = labels.targets(made, XNLI)
    features = text2text.encode(made, XNLI.name, tiny.nli(8), False)
    batch = text2text.collate(made, features)
    with torch.no_grad():
        quick = torch.tensor(text2text.outputs(made, model, XNLI.name, features))[:, 0]
        encoded = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]
        whole = labels.whole_label_scores(made, model, wanted, encoded, batch["attention_mask"])
        ends = torch.stack(
            [
                model.lm_head(
                    model.decode(torch.tensor([[0, t[0]]] * len(features)), encoded, batch["attention_mask"])
                ).log_softmax(-1)[:, 1, made.tokens.end]
                for t in wanted
            ],
            1,
        )
    assert all(len(t) == 1 for t in wanted)
    assert torch.allclose((whole - ends).log_softmax(-1), quick, atol=1e-5)
    assert torch.equal((whole - ends).argmax(-1), quick.argmax(-1))


def test_pairs_are_joined_as_the_encoder_was_pretrained(xlmr):
    made = setup(xlmr, XNLI)
    example = Example("1", "1", {"premise": "the cat", "hypothesis": "dog"}, "neutral")
    (feature,) = heads.encode(made, XNLI.name, [example], True)
    pieces = [made.tokens.backend.id_to_token(i) for i in feature.input_ids]
    assert pieces == ["<s>", "▁the", "▁cat", "</s>", "</s>", "▁dog", "</s>"]
    assert feature.labels == [1]


def test_long_pairs_fit_and_are_counted(xlmr):
    made = setup(xlmr, XNLI, length=16)
    example = Example("1", "1", {"premise": "the " * 40, "hypothesis": "dog"}, "neutral")
    (feature,) = heads.encode(made, XNLI.name, [example], True)
    assert len(feature.input_ids) == 16 and feature.truncated
    assert feature.input_ids[-2] == made.tokens.ids(["dog"])[0][0]


def test_a_word_is_read_at_the_first_piece_that_carries_its_characters(xlmr):
    made = setup(xlmr, POS)
    (feature,) = heads.encode(made, POS.name, [Example("1", "1", words=("the", "中国", "cat"))], False)
    pieces = [made.tokens.backend.id_to_token(feature.input_ids[p]) for p in feature.positions]
    assert pieces == ["▁the", "中", "▁cat"]


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_a_word_without_pieces_still_gets_exactly_one_tag(mt5, xlmr, family):
    made = setup(mt5 if family == "text2text" else xlmr, POS)
    example = Example("1", "1", words=("the", "", "cat"))
    (feature,) = formulation(family).encode(made, POS.name, [example], False)
    assert feature.units == 3
    assert len(set(feature.positions)) == 3


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_a_foreign_label_names_the_example_and_the_labels(mt5, xlmr, family):
    made = setup(mt5 if family == "text2text" else xlmr, XNLI)
    bad = replace(tiny.nli(1)[0], label="perhaps")
    with pytest.raises(StiltgridError, match=r"example '0' is labelled 'perhaps'.*entailment"):
        formulation(family).encode(made, XNLI.name, [bad], True)


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_prediction_input_does_not_depend_on_the_gold_label(mt5, xlmr, family):
    made = setup(mt5 if family == "text2text" else xlmr, XNLI)
    rows = tiny.nli(5)
    blind = [replace(r, label=None) for r in rows]
    module = formulation(family)
    assert module.encode(made, XNLI.name, rows, False) == module.encode(made, XNLI.name, blind, False)


def test_a_kind_without_a_formulation_is_refused(xlmr):
    row = task("xglue/qg")
    with pytest.raises(StiltgridError, match="kind 'generation' has no formulation in the family heads"):
        heads.check(Setup(load_tokens(xlmr), {row.name: row}, 64))


def test_an_unknown_family_gets_a_hint():
    with pytest.raises(StiltgridError, match="did you mean 'heads'"):
        formulation("head")


def test_expected_relevance_is_the_mean_of_the_numeric_labels(mt5):
    example = Example("7", "q", {"query": "cat", "title": "dog", "snippet": "park"}, "3")
    features = text2text.encode(setup(mt5, WPR), WPR.name, [example], False)
    logs = [[[math.log(p) for p in (0.1, 0.2, 0.3, 0.4, 1e-12)]]]
    (prediction,) = decode(setup(mt5, WPR), WPR, [example], features, logs)
    assert prediction.value == pytest.approx(0.2 + 0.6 + 1.2)
    assert prediction.label == "3" and len(prediction.scores) == 5


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_never_a_label(mt5, wrong):
    for row, example in ((XNLI, tiny.nli(1)[0]), (POS, tiny.tagged(1)[0])):
        features = text2text.encode(setup(mt5, row), row.name, [example], False)
        scores = [[[-1.0] * len(row.labels) for _ in range(f.units)] for f in features]
        decode(setup(mt5, POS), row, [example], features, scores)
        scores[-1][-1][-1] = wrong
        with pytest.raises(StiltgridError, match=rf"{row.name}: example '0': scores are not finite.*diverged"):
            decode(setup(mt5, POS), row, [example], features, scores)


def test_a_recipe_says_what_the_formulations_compare():
    names = [XNLI.name, POS.name, WPR.name]
    recorded = formulation_of(names)
    assert recorded == {"version": VERSION, "tasks": {name: described(task(name)) for name in names}}
    for name in names:
        check_trained(recorded, task(name))


def test_windows_of_a_sentence_come_back_as_one(mt5):
    made = setup(mt5, POS, length=24)
    examples = tiny.tagged(3, longest=30)
    features = text2text.encode(made, POS.name, examples, False)
    assert len(features) > 3
    tags = list(POS.labels)
    gold = [[tags.index(t) for t in e.tags] for e in examples]
    scores = [
        [[float(k == gold[f.row][f.first + u]) for k in range(len(tags))] for u in range(f.units)] for f in features
    ]
    order = sorted(range(len(features)), key=lambda i: -len(features[i].input_ids))
    said = decode(setup(mt5, POS), POS, examples, [features[i] for i in order], [scores[i] for i in order])
    assert [p.tags for p in said] == [e.tags for e in examples]


@pytest.mark.parametrize("family", ["text2text", "heads"])
def test_padding_is_a_multiple_of_eight_and_masked(mt5, xlmr, family):
    made = setup(mt5 if family == "text2text" else xlmr, XNLI)
    module = formulation(family)
    features = module.encode(made, XNLI.name, tiny.nli(6), True)
    batch = module.collate(made, features)
    assert batch["input_ids"].shape[1] % 8 == 0
    assert batch["attention_mask"].sum(1).tolist() == [len(f.input_ids) for f in features]


@settings(max_examples=40)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=300), st.integers(1, 17), st.integers(0, 3))
def test_an_epoch_holds_every_example_once(lengths, batch_size, epoch):
    batches = epoch_batches(lengths, batch_size, 1, epoch)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    assert batches == epoch_batches(lengths, batch_size, 1, epoch)


def test_batches_hold_examples_of_like_length_in_a_new_order_each_epoch():
    lengths = [1 + i % 90 for i in range(3000)]
    first, second = (epoch_batches(lengths, 32, 1, e) for e in (0, 1))
    assert first != second
    padding = sum(max(lengths[i] for i in b) * len(b) for b in first) / sum(lengths)
    assert padding < 1.1


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.data())
def test_shares_cut_a_batch_without_loss(ranks, micro, accumulation, data):
    size = data.draw(st.integers(1, ranks * micro * accumulation))
    batch = list(range(100, 100 + size))
    cuts = [shares(batch, r, ranks, micro, accumulation) for r in range(ranks)]
    assert all(len(c) == accumulation for c in cuts)
    assert sorted(i for c in cuts for m in c for i in m if i >= 0) == batch
    assert all(~i in batch for c in cuts for m in c for i in m if i < 0)


def test_micro_batches_of_all_ranks_make_up_the_global_batches():
    lengths = [1 + i % 13 for i in range(37)]
    whole = list(MicroBatches(lengths, 8, 1, steps=12))
    parts = [list(MicroBatches(lengths, 8, 1, 12, rank, 2, 2)) for rank in range(2)]
    assert len(whole) == 12 and len(parts[0]) == len(MicroBatches(lengths, 8, 1, 12, 0, 2, 2)) == 24
    for step, batch in enumerate(whole):
        shared = [i for p in parts for m in p[2 * step : 2 * step + 2] for i in m if i >= 0]
        assert sorted(shared) == sorted(batch)


def test_prediction_batches_start_with_the_longest():
    assert by_length([3, 9, 5], 2) == [[1, 2], [0]]
    assert [padded(n) for n in (0, 1, 8, 9)] == [8, 8, 8, 16]


@pytest.mark.realdata
def test_real_chinese_words_are_read_at_their_characters(real_data):
    tokens = load_tokens(real_data / "models" / "multilingual-e5-small")
    made = Setup(tokens, {POS.name: POS}, 256)
    words = ("中国", "人民", "大学", "的", "hello")
    (feature,) = heads.encode(made, POS.name, [Example("1", "1", words=words)], False)
    assert not {feature.input_ids[p] for p in feature.positions} & tokens.lone_marks


def test_heads_read_the_mean_or_the_first_token(xlmr):
    made = setup(xlmr, XNLI)
    features = heads.encode(made, XNLI.name, tiny.nli(4), False)
    with torch.no_grad():
        scores = [
            heads.outputs(made, load_heads(xlmr, made.rows, p, 1).eval(), XNLI.name, features)
            for p in ("first", "mean")
        ]
    assert scores[0] != scores[1]
