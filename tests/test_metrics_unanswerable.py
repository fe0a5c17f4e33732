"""SQuAD 2.0's scores: official cases by hand, an independent count of the best threshold, and the bootstrap."""

import random

import numpy as np
import pytest

from stiltgrid.analysis.clusters import clusters
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics import METRICS
from stiltgrid.metrics.unanswerable import best_threshold
from stiltgrid.predictions import Prediction, read_predictions, write_predictions
from stiltgrid.score import score_language
from stiltgrid.tasks.registry import task

ROW = task("squad_v2")


def asked(*golds):
    return [
        Example(str(i), str(i), {"question": "q", "context": "c"}, references=tuple(g), starts=(0,) * len(g))
        for i, g in enumerate(golds)
    ]


def said(*pairs):
    return [Prediction(str(i), text=text, no_answer=odds) for i, (text, odds) in enumerate(pairs)]


def scores(examples, predictions):
    record, table = score_language(ROW, "en", examples, predictions, "here")
    return {name: record[name] for name in ROW.metrics}, table


def test_hand_computed():
    examples = asked(["honey"], ["the honey bees", "bees"], [], [], ["wax"])
    predictions = said(("honey", -3.0), ("bees of honey", -2.0), ("wax", -1.0), ("wax", 2.0), ("wax", 3.0))
    found, table = scores(examples, predictions)
    # threshold 0: an answer to the first three; to the third none was right, and the fifth's is withheld
    # F1 of `bees of honey`: 2 of 3 and 2 of 2 tokens of the first gold (`the` goes): 0.8
    assert table["f1"] == pytest.approx([1, 0.8, 0, 1, 0])
    assert table["exact"] == [1, 0, 0, 1, 0]
    assert found["squad2_f1"] == pytest.approx(100 * 2.8 / 5)
    assert found["squad2_exact"] == pytest.approx(40)
    # in ascending order from 2 right: +1, +0.8, -1, -1, +1: best after two; exact match: best after one
    assert table["best_f1"] == pytest.approx([1, 0.8, 1, 1, 0])
    assert table["best_exact"] == [1, 0, 1, 1, 0]
    assert found["squad2_best_f1"] == pytest.approx(100 * 3.8 / 5)
    assert found["squad2_best_exact"] == pytest.approx(60)


@pytest.mark.parametrize(
    ("text", "odds", "f1"),
    [("", -1.0, 1.0), ("the", -1.0, 1.0), ("wax", -1.0, 0.0), ("wax", 1.0, 1.0), ("wax", 0.0, 0.0)],
)
def test_a_question_without_an_answer_wants_none(text, odds, f1):
    # an answer of articles alone is none; at the threshold itself the answer counts
    _, table = scores(asked([]), said((text, odds)))
    assert table["f1"] == [f1] and table["exact"] == [f1]


def test_gold_answers_of_punctuation_alone_are_no_gold_answers():
    _, table = scores(asked(["...", "wax"], ["--"]), said(("wax", -1.0), ("", -1.0)))
    assert table["exact"] == [1, 1]


def test_nothing_answered_is_the_baseline_and_no_threshold():
    threshold, found = best_threshold([0.0, 0.0, 0.0], ["x", "y", "z"], [0.1, 0.2, 0.3], [True, False, False])
    assert threshold is None and found == [0, 1, 1]


def test_an_answer_that_is_empty_costs_nothing_where_there_is_none():
    # the official script subtracts 1 only for an answer that is a text
    threshold, found = best_threshold([1.0, 1.0], ["", "x"], [0.0, 1.0], [False, True])
    assert (threshold, found) == (1.0, [1, 1])


def test_ties_are_taken_in_the_order_of_the_file():
    # the total is highest between two questions of equal odds, as the official script allows
    threshold, found = best_threshold([1.0, 0.0], ["x", "y"], [0.5, 0.5], [True, False])
    assert (threshold, found) == (0.5, [1, 1])
    threshold, found = best_threshold([0.0, 1.0], ["y", "x"], [0.5, 0.5], [False, True])
    assert (threshold, found) == (None, [1, 0])


def test_the_best_threshold_is_the_best_of_all_thresholds():
    rng = random.Random(3)
    for _ in range(40):
        number = rng.randint(1, 12)
        answerable = [rng.random() < 0.6 for _ in range(number)]
        score = [rng.choice([0.0, 0.5, 1.0]) if known else 0.0 for known in answerable]
        odds = rng.sample(range(100), number)

        threshold, found = best_threshold(score, ["x"] * number, odds, answerable)
        totals = {
            limit: sum(s if o <= limit else float(not k) for s, o, k in zip(score, odds, answerable, strict=True))
            for limit in (-1, *odds)
        }
        assert sum(found) == max(totals.values()) == totals[-1 if threshold is None else threshold]


def test_a_replicate_keeps_the_threshold_of_the_whole_set():
    rng = random.Random(5)
    examples = asked(*([["wax"], []][rng.random() < 0.3] for _ in range(60)))
    predictions = said(*(("wax" if rng.random() < 0.8 else "honey", rng.gauss(0, 1)) for _ in range(60)))
    found, table = scores(examples, predictions)
    metric = METRICS["squad2_best_f1"]
    whole = metric.score(table)
    assert whole == pytest.approx(found["squad2_best_f1"])
    threshold, _ = best_threshold(
        [float(p.text == "wax") if e.references else 0.0 for e, p in zip(examples, predictions, strict=True)],
        [p.text for p in predictions],
        [p.no_answer for p in predictions],
        [bool(e.references) for e in examples],
    )
    drawn = np.random.default_rng(0).multinomial(60, [1 / 60] * 60, size=5)
    for weights, value in zip(drawn, metric.score(table, drawn), strict=True):
        right = 0.0
        for w, e, p in zip(weights, examples, predictions, strict=True):
            given = p.no_answer <= threshold
            right += w * (bool(e.references) and p.text == "wax" if given else not e.references)
        assert value == pytest.approx(100 * right / 60)
    # clusters of paragraphs are sums of the same statistics
    assert clusters([e.group for e in examples]).sums(np.array([table["best_f1"]])).sum() == pytest.approx(whole * 0.6)


@pytest.mark.parametrize("odds", [None, float("nan"), float("inf")])
def test_a_prediction_without_odds_is_an_error(odds):
    with pytest.raises(StiltgridError, match="'0' has no_answer"):
        scores(asked(["wax"]), said(("wax", odds)))


def test_odds_pass_through_files_and_other_predictions_keep_their_columns(tmp_path):
    import pyarrow.parquet as pq

    rows = said(("wax", -1.5), ("", 2.25))
    write_predictions(tmp_path / "two.parquet", rows, {"key": "k"})
    assert read_predictions(tmp_path / "two.parquet") == rows
    plain = [Prediction("0", text="wax")]
    write_predictions(tmp_path / "one.parquet", plain, {"key": "k"})
    assert "no_answer" not in pq.read_schema(tmp_path / "one.parquet").names
    assert read_predictions(tmp_path / "one.parquet") == plain
