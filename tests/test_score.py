import pytest

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.score import score_language, task_metrics
from stiltgrid.tasks.registry import task

POS, WPR, XNLI = task("xglue/pos"), task("xglue/wpr"), task("xglue/xnli")


def test_classification():
    gold = ["entailment", "neutral", "neutral"]
    examples = [
        Example(id=str(i), group="1" if i < 3 else "3", fields={}, label=label) for i, label in enumerate(gold, start=1)
    ]
    predictions = [Prediction(id=str(i), label="neutral") for i in (1, 2, 3)]
    record, table = score_language(XNLI, "en", examples, predictions, "p")
    assert record == {"accuracy": pytest.approx(200 / 3), "n": 3, "unit": "example", "examples": 3}
    assert table == {"unit": ["1", "2", "3"], "group": ["1", "1", "3"], "correct": [0, 1, 1]}


def test_tagging_has_the_official_score_and_the_honest_one():
    tags = ("DET", "PROPN", "PROPN")
    examples = [Example(id="1", group="1", words=("the", "Red", "Sea"), tags=tags)]
    record, table = score_language(POS, "en", examples, [Prediction(id="1", tags=("DET", "PROPN", "NOUN"))], "p")
    assert list(record) == ["pos_accuracy", "pos_xglue", "n", "unit", "examples"]
    assert record["pos_xglue"] == pytest.approx(100 / 3)
    assert record["pos_accuracy"] == pytest.approx(200 / 3)
    assert table == {
        "unit": ["1"],
        "group": ["1"],
        "chunks_matched": [1],
        "chunks_predicted": [3],
        "chunks_gold": [2],
        "tokens_correct": [2],
        "tokens": [3],
    }


def rank(groups, labels, values):
    examples = [
        Example(id=str(i), group=g, fields={}, label=label)
        for i, (g, label) in enumerate(zip(groups, labels, strict=True))
    ]
    predictions = [Prediction(id=str(i), label="0", value=value) for i, value in enumerate(values)]
    return score_language(WPR, "en", examples, predictions, "p")


def test_ranking_counts_queries():
    record, table = rank("aabcc", "20400", [2, 1, 1, 2, 1])
    assert record == {"ndcg": 50.0, "n": 2, "unit": "query", "examples": 5}
    assert table == {"unit": ["a", "c"], "group": ["a", "c"], "ndcg": [1.0, 0.0]}


def test_no_query_with_two_rows_has_no_score():
    with pytest.raises(StiltgridError, match="p: no query has two or more rows"):
        rank("abc", "012", [1, 2, 3])


def test_no_examples_have_no_score():
    with pytest.raises(StiltgridError, match="p: no examples"):
        score_language(XNLI, "en", [], [], "p")


def test_short_tag_sequences_are_refused_although_the_official_evaluator_rewards_them():
    tags = ("DET", "NOUN", "VERB", "PUNCT")
    examples = [Example(id="1", group="1", words=("a", "b", "c", "d"), tags=tags)]
    with pytest.raises(StiltgridError, match="p: '1' has 2 tags for 4 words"):
        score_language(POS, "en", examples, [Prediction(id="1", tags=tags[:2])], "p")


def test_misaligned_or_foreign_predictions_are_refused():
    examples = [Example(id=str(i), group=str(i), fields={}, label="neutral") for i in (1, 2)]
    good = [Prediction(id=str(i), label="neutral") for i in (1, 2)]
    with pytest.raises(StiltgridError, match="1 predictions for 2 examples"):
        score_language(XNLI, "en", examples, good[:1], "p")
    with pytest.raises(StiltgridError, match="row 1 has id '2', expected '1'"):
        score_language(XNLI, "en", examples, good[::-1], "p")
    with pytest.raises(StiltgridError, match="'2' is labelled 'contradictory'"):
        score_language(XNLI, "en", examples, [good[0], Prediction(id="2", label="contradictory")], "p")


def test_metrics_of_a_task_share_one_unit():
    mixed = WPR.model_copy(update={"metrics": ("ndcg", "accuracy")})
    with pytest.raises(StiltgridError, match="expected one"):
        task_metrics(mixed)
    unknown = WPR.model_copy(update={"metrics": ("ndgc",)})
    with pytest.raises(StiltgridError, match="unknown metric 'ndgc'; did you mean 'ndcg'"):
        task_metrics(unknown)
