import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics import precision_score as seqeval_precision
from sklearn.metrics import accuracy_score, ndcg_score

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics import METRICS
from stiltgrid.metrics.chunks import chunks
from stiltgrid.metrics.ranking import ndcg
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import task

POS, NER, WPR, XNLI = task("xglue/pos"), task("xglue/ner"), task("xglue/wpr"), task("xglue/xnli")

# the same cases on every machine, and no time limit on a busy one
steady = settings(deadline=None, derandomize=True)


def tagged(sentences):
    """Examples of tagged sentences, each given as a string of tags."""
    tags = [tuple(sentence.split()) for sentence in sentences]
    return [Example(id=str(i), group=str(i), words=t, tags=t) for i, t in enumerate(tags)]


def said(sentences):
    return [Prediction(id=str(i), tags=tuple(sentence.split())) for i, sentence in enumerate(sentences)]


def score(name, row, examples, predictions):
    metric = METRICS[name]
    return metric.score(metric.statistics(row, "en", examples, predictions))


# --- chunks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        # bare tags: maximal runs
        ("NOUN", {("NOUN", 0, 0)}),
        ("DET NOUN NOUN VERB", {("DET", 0, 0), ("NOUN", 1, 2), ("VERB", 3, 3)}),
        ("PROPN PROPN PROPN", {("PROPN", 0, 2)}),
        ("X", {("X", 0, 0)}),
        # tags that begin with S are single-token chunks, whatever stands beside them
        ("SYM SYM", {("SYM", 0, 0), ("SYM", 1, 1)}),
        ("SCONJ SCONJ NOUN", {("SCONJ", 0, 0), ("SCONJ", 1, 1), ("NOUN", 2, 2)}),
        ("NOUN SYM NOUN", {("NOUN", 0, 0), ("SYM", 1, 1), ("NOUN", 2, 2)}),
        # CCONJ and SCONJ are two types
        ("CCONJ SCONJ", {("CCONJ", 0, 0), ("SCONJ", 1, 1)}),
        # INTJ is read as an inside mark: alone, after S, beside its own kind
        ("INTJ INTJ PUNCT", {("INTJ", 0, 1), ("PUNCT", 2, 2)}),
        ("SYM INTJ", {("SYM", 0, 0), ("INTJ", 1, 1)}),
        ("PUNCT INTJ", {("PUNCT", 0, 0), ("INTJ", 1, 1)}),
        # entities
        ("O", set()),
        ("B-PER I-PER O B-LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("I-PER I-PER O I-LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("B-PER B-PER", {("PER", 0, 0), ("PER", 1, 1)}),
        ("I-PER I-PER", {("PER", 0, 1)}),
        ("B-PER I-LOC", {("PER", 0, 0), ("LOC", 1, 1)}),
        ("I-PER B-PER I-PER", {("PER", 0, 0), ("PER", 1, 2)}),
        ("S-PER E-PER", {("PER", 0, 0), ("PER", 1, 1)}),
    ],
)
def test_chunks_follow_seqeval_0_0_12(tags, expected):
    assert chunks(tags.split()) == expected


entity_tags = st.lists(st.lists(st.sampled_from(list(NER.labels)), min_size=1, max_size=8), min_size=1, max_size=6)


@steady
@given(entity_tags, st.randoms(use_true_random=False))
def test_ner_f1_is_seqeval_s(gold, rng):
    answers = [[tag if rng.random() < 0.6 else rng.choice(list(NER.labels)) for tag in tags] for tags in gold]
    ours = score("ner_f1", NER, tagged(" ".join(t) for t in gold), said(" ".join(t) for t in answers))
    if any(tag != "O" for tags in gold for tag in tags) and any(t != "O" for tags in answers for t in tags):
        assert ours == pytest.approx(100 * seqeval_f1(gold, answers), abs=1e-9)


# with a prefix, later releases of seqeval find the runs that 0.0.12 finds in bare tags
@steady
@given(
    st.lists(
        st.lists(st.sampled_from(["ADJ", "NOUN", "VERB", "X"]), min_size=1, max_size=9),
        min_size=1,
        max_size=5,
    ),
    st.randoms(use_true_random=False),
)
def test_runs_of_bare_tags_agree_with_seqeval_on_prefixed_ones(gold, rng):
    answers = [[t if rng.random() < 0.7 else rng.choice(["ADJ", "NOUN", "X"]) for t in tags] for tags in gold]

    def prefixed(sentences):
        return [[f"I-{tag}" for tag in tags] for tags in sentences]

    examples, predictions = tagged(" ".join(t) for t in gold), said(" ".join(t) for t in answers)
    expected = seqeval_precision(prefixed(gold), prefixed(answers))
    assert score("pos_xglue", POS, examples, predictions) == pytest.approx(100 * expected, abs=1e-9)
    expected = seqeval_f1(prefixed(gold), prefixed(answers))
    assert score("udpos_f1", POS, examples, predictions) == pytest.approx(100 * expected, abs=1e-9)


# --- tags -------------------------------------------------------------------------------------------------


def test_one_wrong_token_costs_its_whole_run():
    examples = tagged(["DET PROPN PROPN PROPN VERB"])
    predictions = said(["DET PROPN PROPN NOUN VERB"])
    # predicted runs DET, PROPN-PROPN, NOUN, VERB: two of four match
    assert score("pos_xglue", POS, examples, predictions) == 50.0
    # gold runs DET, PROPN x 3, VERB: 2 * 2 / (4 + 3)
    assert score("udpos_f1", POS, examples, predictions) == pytest.approx(400 / 7)
    assert score("pos_accuracy", POS, examples, predictions) == 80.0


def test_tag_scores_are_micro_averages_over_sentences():
    examples, predictions = tagged(["DET NOUN", "VERB"]), said(["DET DET", "VERB"])
    # runs: sentence 1 predicts one (DET DET, no match), sentence 2 one (match)
    assert score("pos_xglue", POS, examples, predictions) == 50.0
    assert score("pos_accuracy", POS, examples, predictions) == pytest.approx(200 / 3)


def test_runs_do_not_cross_sentences():
    # were the sentences joined, NOUN NOUN would be one run and nothing would match
    assert score("pos_xglue", POS, tagged(["DET NOUN", "NOUN VERB"]), said(["DET NOUN", "VERB VERB"])) == pytest.approx(
        200 / 3
    )


@pytest.mark.parametrize("name", ["pos_xglue", "udpos_f1", "pos_accuracy"])
def test_tag_scores_of_a_perfect_and_a_useless_answer(name):
    sentences = ["DET NOUN VERB PUNCT", "SYM SYM", "INTJ"]
    assert score(name, POS, tagged(sentences), said(sentences)) == 100.0
    assert score(name, POS, tagged(sentences), said(["X ADP X ADP", "X X", "ADP"])) == 0.0


def test_no_predicted_entity_scores_zero():
    assert score("ner_f1", NER, tagged(["B-PER O"]), said(["O O"])) == 0.0
    assert score("ner_f1", NER, tagged(["O O"]), said(["O O"])) == 0.0


def test_a_short_prediction_is_refused_by_the_statistics_too():
    # the official evaluator pads with O, which raises precision: DET NOUN for DET NOUN VERB PUNCT scores 100
    for name in ("pos_xglue", "pos_accuracy", "udpos_f1"):
        short = [Prediction(id="0", tags=("DET", "NOUN"))]
        with pytest.raises((ValueError, StiltgridError)):
            METRICS[name].statistics(POS, "en", tagged(["DET NOUN VERB PUNCT"]), short)


upos = st.sampled_from(list(POS.labels))
corpus = st.lists(
    st.lists(st.tuples(upos, upos), min_size=1, max_size=6).map(lambda pairs: tuple(zip(*pairs, strict=True))),
    min_size=1,
    max_size=8,
)


@steady
@given(corpus, st.randoms(use_true_random=False))
def test_the_order_of_sentences_is_irrelevant_and_statistics_add_up(pairs, rng):
    mixed = list(pairs)
    rng.shuffle(mixed)
    for name in ("pos_xglue", "udpos_f1", "pos_accuracy"):
        metric = METRICS[name]

        def columns(of, metric=metric):
            return metric.statistics(
                POS,
                "en",
                [Example(id=str(i), group=str(i), words=gold, tags=gold) for i, (gold, _) in enumerate(of)],
                [Prediction(id=str(i), tags=answer) for i, (_, answer) in enumerate(of)],
            )

        whole = columns(pairs)
        assert metric.score(columns(mixed)) == metric.score(whole)
        single = [columns([pair]) for pair in pairs]
        assert {key: [value for one in single for value in one[key]] for key in whole} == whole


@steady
@given(corpus)
def test_chunks_of_the_corpus_are_those_of_the_sentences(pairs):
    """The official scripts chunk the concatenation, with an O after each sentence."""
    joined, total = [], 0
    for gold, _ in pairs:
        joined += [*gold, "O"]
        total += len(chunks(gold))
    assert len(chunks(joined)) == total


# --- accuracy ---------------------------------------------------------------------------------------------


def classified(labels):
    return [Example(id=str(i), group=str(i), fields={}, label=label) for i, label in enumerate(labels)]


def answered(labels):
    return [Prediction(id=str(i), label=label) for i, label in enumerate(labels)]


def test_accuracy_by_hand():
    gold = classified(["entailment", "neutral", "neutral", "contradiction"])
    predictions = answered(["entailment", "neutral", "contradiction", "neutral"])
    assert METRICS["accuracy"].statistics(XNLI, "en", gold, predictions) == {"correct": [1, 1, 0, 0]}
    assert score("accuracy", XNLI, gold, predictions) == 50.0
    assert score("accuracy", XNLI, gold, answered([e.label for e in gold])) == 100.0
    assert score("accuracy", XNLI, gold, answered(["neutral", "entailment", "entailment", "entailment"])) == 0.0


@steady
@given(st.lists(st.tuples(*[st.sampled_from(list(XNLI.labels))] * 2), min_size=1, max_size=50))
def test_accuracy_is_sklearn_s(pairs):
    gold, answers = zip(*pairs, strict=True)
    assert score("accuracy", XNLI, classified(gold), answered(answers)) == pytest.approx(
        100 * accuracy_score(gold, answers), abs=1e-12
    )


# --- nDCG -------------------------------------------------------------------------------------------------


def test_ndcg_by_hand():
    # gains in predicted order 1, 3, 0: (1/1 + 3/log2 3) / (3/1 + 1/log2 3)
    expected = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    assert ndcg([3, 1, 0], [0.5, 0.9, 0.1]) == pytest.approx(expected, abs=1e-15)


def test_ties_share_the_mean_gain_of_their_block():
    # all tied: every rank gets the mean gain 2
    discounts = [1, 1 / math.log2(3)]
    assert ndcg([4, 0], [1, 1]) == pytest.approx(2 * sum(discounts) / 4, abs=1e-15)
    # the tie is between ranks 2 and 3
    expected = (1 + 2 * (1 / math.log2(3) + 0.5)) / (4 + 1 / math.log2(3))
    assert ndcg([1, 4, 0], [9, 3, 3]) == pytest.approx(expected, abs=1e-15)


def test_gains_are_linear_and_all_zero_is_zero():
    assert ndcg([0, 0, 0], [3, 2, 1]) == 0.0
    assert ndcg([2, 1], [1, 2]) == pytest.approx((1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3)), abs=1e-15)


@steady
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.floats(-3, 3) | st.sampled_from([0.0, 1.0, 2.0])),
        min_size=2,
        max_size=25,
    )
)
def test_ndcg_is_sklearn_s(documents):
    gains, values = zip(*documents, strict=True)
    assert ndcg(gains, values) == pytest.approx(ndcg_score([gains], [values]), abs=1e-12)


def ranked(rows):
    """Examples and predictions from (group, label, value)."""
    return (
        [Example(id=str(i), group=group, fields={}, label=label) for i, (group, label, _) in enumerate(rows)],
        [Prediction(id=str(i), label="0", value=value) for i, (_, _, value) in enumerate(rows)],
    )


def test_single_rows_are_dropped_and_queries_without_a_relevant_row_count_as_zero():
    rows = [("a", "2", 5.0), ("a", "0", 1.0), ("b", "4", 1.0), ("c", "0", 2.0), ("c", "0", 1.0)]
    columns = METRICS["ndcg"].statistics(WPR, "en", *ranked(rows))
    assert columns == {"ndcg": [1.0, 0.0]}
    assert METRICS["ndcg"].score(columns) == 50.0


def test_a_group_that_comes_again_is_another_query():
    rows = [("a", "1", 2.0), ("a", "0", 1.0), ("b", "1", 1.0), ("a", "0", 2.0), ("a", "1", 1.0)]
    [first, second] = METRICS["ndcg"].statistics(WPR, "en", *ranked(rows))["ndcg"]
    assert (first, second) == (1.0, pytest.approx(1 / math.log2(3)))


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_prediction_without_a_finite_value_is_refused(value):
    with pytest.raises(StiltgridError, match="prediction for '1' has value"):
        METRICS["ndcg"].statistics(WPR, "en", *ranked([("a", "1", 2.0), ("a", "0", value)]))


# --- resampling -------------------------------------------------------------------------------------------


def test_weights_are_the_same_as_repeating_units():
    rng = random.Random(7)
    tags = list(POS.labels)
    gold = [[rng.choice(tags) for _ in range(rng.randint(1, 9))] for _ in range(12)]
    answers = [[tag if rng.random() < 0.6 else rng.choice(tags) for tag in sentence] for sentence in gold]
    weights = np.random.default_rng(3).multinomial(12, [1 / 12] * 12, size=4)
    for name in ("pos_xglue", "udpos_f1", "pos_accuracy"):
        metric = METRICS[name]
        columns = metric.statistics(POS, "en", tagged(map(" ".join, gold)), said(map(" ".join, answers)))
        many = metric.score(columns, weights)
        assert many.shape == (4,)
        for row, value in zip(weights, many, strict=True):
            repeated = [i for i, times in enumerate(row) for _ in range(times)]
            again = metric.statistics(
                POS,
                "en",
                tagged(" ".join(gold[i]) for i in repeated),
                said(" ".join(answers[i]) for i in repeated),
            )
            assert metric.score(again) == pytest.approx(value, abs=1e-10)
            assert metric.score(columns, row) == value
        assert metric.score(columns, np.ones(12)) == metric.score(columns)


def test_a_resample_without_any_weight_scores_zero():
    assert METRICS["accuracy"].score({"correct": [1, 1]}, [0, 0]) == 0.0
    assert METRICS["pos_xglue"].score({"chunks_matched": [0], "chunks_predicted": [0]}) == 0.0


def test_scores_are_plain_floats():
    assert type(METRICS["accuracy"].score({"correct": [1, 0]})) is float
    assert type(METRICS["accuracy"].score({"correct": [1, 0]}, [2, 1])) is float


def test_the_official_fraction_is_kept_to_the_last_digit():
    columns = {"chunks_matched": [20123, 4000], "chunks_predicted": [21000, 4047]}
    assert METRICS["pos_xglue"].score(columns) == 100 * (24123 / 25047)
