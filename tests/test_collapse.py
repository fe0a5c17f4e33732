"""Runs that learned nothing are told by their dev scores and answers."""

import pytest
import tiny

from stiltgrid.collapse import MARGIN, answers, collapse, trivial
from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import task

NLI, POS, QA, WPR = (task(f"xglue/{name}") for name in ("xnli", "pos", "mlqa", "wpr"))


def of(row, dev, score, said):
    return collapse({row.name: row}, {row.name: dev}, {row.name: {row.metrics[0]: score}}, {row.name: said})


def skewed(share: int) -> list[Example]:
    return [Example(str(i), str(i), {}, "neutral" if i < share else "entailment") for i in range(100)]


def test_answers_are_counted_by_label_tag_or_text():
    assert answers([Prediction("0", label="a"), Prediction("1", label="b"), Prediction("2", label="a")]) == 2
    assert answers([Prediction("0", tags=("X", "Y")), Prediction("1", tags=("X",))]) == 2
    assert answers([Prediction("0", text=""), Prediction("1", text="")]) == 1


def test_the_trivial_baseline_is_chance_or_the_commonest_label():
    assert trivial(NLI, skewed(50)) == 50.0
    assert trivial(NLI, tiny.nli(300)) == pytest.approx(35, abs=5)
    assert trivial(POS, tiny.tagged(5)) == POS.chance


@pytest.mark.parametrize(
    ("score", "said", "expected"),
    [(60.0 + MARGIN, 3, True), (60.1 + MARGIN, 3, False), (20.0, 2, True), (90.0, 1, True), (90.0, 2, False)],
)
def test_classification(score, said, expected):
    found = of(NLI, skewed(60), score, said)
    assert found["value"] is expected
    assert found["tasks"]["xglue/xnli"] == {
        "metric": "accuracy",
        "score": score,
        "trivial": 60.0,
        "answers": said,
        "collapsed": expected,
    }


def test_where_no_trivial_score_is_known_one_answer_for_all_is_the_sign():
    assert of(POS, tiny.tagged(20), 12.0, 1)["value"] is True
    assert of(POS, tiny.tagged(20), 0.0, 2)["value"] is False
    assert of(QA, tiny.questions(20), 0.0, 1)["value"] is True
    ranked = [Example(str(i), "q", {}, str(i % 5)) for i in range(20)]
    assert of(WPR, ranked, 70.0, 1)["value"] is True


def test_equal_answers_say_nothing_where_there_is_little_or_nothing_to_tell_apart():
    assert of(POS, tiny.tagged(5), 12.0, 1)["value"] is False
    one = [Example(str(i), str(i), words=("a",), tags=("X",)) for i in range(20)]
    assert of(POS, one, 100.0, 1)["value"] is False


def test_a_run_on_several_tasks_collapses_only_as_a_whole():
    rows, dev = {NLI.name: NLI, POS.name: POS}, {NLI.name: skewed(60), POS.name: tiny.tagged(20)}
    scores = {NLI.name: {"accuracy": 40.0}, POS.name: {POS.metrics[0]: 80.0}}
    found = collapse(rows, dev, scores, {NLI.name: 1, POS.name: 6})
    assert [t["collapsed"] for t in found["tasks"].values()] == [True, False]
    assert found["value"] is False


def test_a_score_that_is_not_defined_is_no_collapse():
    assert of(NLI, skewed(60), None, 2)["value"] is False
