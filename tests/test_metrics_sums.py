"""What every metric must hold: statistics of units add up, weights are repetitions, order and lengths are checked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics import METRICS
from stiltgrid.predictions import Prediction
from stiltgrid.score import score_language
from stiltgrid.tasks.registry import task

steady = settings(deadline=None, derandomize=True, max_examples=40)
ROWS = {
    "accuracy": "xglue/xnli",
    "ndcg": "xglue/wpr",
    "ner_f1": "xglue/ner",
    "pos_accuracy": "xglue/pos",
    "pos_xglue": "xglue/pos",
    "udpos_f1": "xglue/pos",
    "mlqa_f1": "xglue/mlqa",
    "mlqa_exact": "xglue/mlqa",
    "squad_f1": "xglue/mlqa",
    "squad_exact": "xglue/mlqa",
    "bleu": "xglue/qg",
    "chrf": "xglue/qg",
    "retrieval_accuracy": "xtreme/tatoeba",
    "mining_f1": "xtreme/bucc2018",
}
INTEGERS = set(METRICS) - {"ndcg", "mlqa_f1", "squad_f1"}
TEXT = st.lists(st.sampled_from(["the", "Brücke", "桥", "ال", "old", "?", "1.5", "мост", "is"]), max_size=7).map(
    " ".join
)


def row_of(name):
    return task(ROWS[name]).model_copy(update={"metrics": (name,)})


def units(name):
    """Strategy of one unit, a list of (gold, answer): an example, a sentence, a query's documents."""
    row = row_of(name)
    label = st.sampled_from(list(row.labels) or ["-"])
    if row.kind == "classification":
        return st.tuples(label, label).map(lambda pair: [pair])
    if row.kind == "ranking":
        return st.lists(st.tuples(label, st.sampled_from([0.0, 0.5, 1.5, 3.0])), min_size=2, max_size=5)
    if row.kind == "tagging":
        tags = st.lists(st.tuples(label, label) | label.map(lambda tag: (tag, tag)), min_size=1, max_size=6)
        return tags.map(lambda pairs: [tuple(zip(*pairs, strict=True))])
    if row.kind == "retrieval":
        names = st.sampled_from(["en-1", "en-2", "en-3"])
        golds = (
            names.map(lambda own: (own,)) if name == "retrieval_accuracy" else st.lists(names, max_size=1).map(tuple)
        )
        return st.tuples(golds, names | st.just("")).map(lambda pair: [pair])
    golds = st.lists(TEXT, min_size=1, max_size=3) if row.kind == "span" else TEXT.map(lambda text: [text])
    return st.tuples(golds.map(tuple), TEXT).map(lambda pair: [pair]) | TEXT.map(lambda text: [((text,), text)])


def built(name, blocks):
    """Examples and predictions of a list of units."""
    kind = task(ROWS[name]).kind
    examples, predictions = [], []
    for group, block in enumerate(blocks):
        for gold, answer in block:
            at = str(len(examples))
            if kind == "tagging":
                examples.append(Example(at, str(group), words=tuple("w" for _ in gold), tags=gold))
                predictions.append(Prediction(at, tags=answer))
            elif kind in ("span", "generation", "retrieval"):
                examples.append(Example(at, str(group), references=gold))
                predictions.append(Prediction(at, text=answer))
            else:
                value = answer if kind == "ranking" else None
                examples.append(Example(at, str(group), label=gold))
                predictions.append(Prediction(at, label="0" if kind == "ranking" else answer, value=value))
    return examples, predictions


def statistics(name, blocks):
    return METRICS[name].statistics(row_of(name), "en", *built(name, blocks))


def same(name, found, expected):
    """Sums of integers are exact in any order; those of fractions may differ in the last digits."""
    return found == (expected if name in INTEGERS else pytest.approx(expected, abs=1e-10))


def test_every_metric_is_tested_here():
    # metrics of questions without an answer: test_metrics_unanswerable
    assert set(ROWS) == {name for name in METRICS if not name.startswith("squad2_")}
    assert {METRICS[name].unit for name in ROWS} == {"example", "sentence", "query"}


@pytest.mark.parametrize("name", ROWS)
@steady
@given(data=st.data())
def test_statistics_of_units_are_those_of_the_whole(name, data):
    blocks = data.draw(st.lists(units(name), min_size=1, max_size=5))
    whole = statistics(name, blocks)
    single = [statistics(name, [block]) for block in blocks]
    assert set(METRICS[name].columns) <= set(whole)
    assert {key: [value for one in single for value in one[key]] for key in whole} == whole
    assert {len(values) for values in whole.values()} == {len(blocks)}


@pytest.mark.parametrize("name", ROWS)
@steady
@given(data=st.data())
def test_the_order_of_units_is_irrelevant(name, data):
    blocks = data.draw(st.lists(units(name), min_size=1, max_size=6))
    mixed = data.draw(st.permutations(blocks))
    metric = METRICS[name]
    assert same(name, metric.score(statistics(name, mixed)), metric.score(statistics(name, blocks)))


@pytest.mark.parametrize("name", ROWS)
@steady
@given(data=st.data())
def test_weights_are_repetitions(name, data):
    blocks = data.draw(st.lists(units(name), min_size=1, max_size=5))
    count = st.lists(st.integers(0, 3), min_size=len(blocks), max_size=len(blocks)).filter(any)
    weights = np.array(data.draw(st.lists(count, min_size=1, max_size=3)))
    metric, columns = METRICS[name], statistics(name, blocks)
    many = metric.score(columns, weights)
    assert many.shape == (len(weights),)
    for row, found in zip(weights, many, strict=True):
        repeated = [block for block, times in zip(blocks, row, strict=True) for _ in range(times)]
        assert same(name, metric.score(statistics(name, repeated)), found)
        assert metric.score(columns, row) == pytest.approx(found, abs=1e-12)
        assert 0 <= found <= 100 + 1e-9


@pytest.mark.parametrize("name", ROWS)
@steady
@given(data=st.data())
def test_short_predictions_are_refused(name, data):
    blocks = data.draw(st.lists(units(name), min_size=2, max_size=4))
    examples, predictions = built(name, blocks)
    with pytest.raises(StiltgridError, match="nothing is padded"):
        score_language(row_of(name), "en", examples, predictions[:-1], "p")
    if name != "ndcg":  # its units are blocks of rows; scoring checks the rows
        with pytest.raises((StiltgridError, ValueError)):
            METRICS[name].statistics(row_of(name), "en", examples, predictions[:-1])


GOLD = {
    "classification": [("neutral", "neutral"), ("entailment", "entailment")],
    "ranking": [("3", 3.0), ("0", 0.1), ("1", 1.0)],
    "tagging": [(("DET", "NOUN", "NOUN", "SYM"),) * 2, (("VERB", "INTJ"),) * 2],
    "span": [(("the old bridge", "bridge"), "bridge"), (("1960",), "1960")],
    "generation": [(("Who built the old bridge?",), "Who built the old bridge?"), (("Why",), "Why")],
    "retrieval": [(("en-1",), "en-1"), (("en-3",), "en-3")],
}
NER = [(("B-PER", "I-PER", "O", "B-LOC"),) * 2]


@pytest.mark.parametrize("name", ROWS)
def test_gold_scores_100_and_a_useless_answer_0(name):
    kind, metric = task(ROWS[name]).kind, METRICS[name]
    rows = NER if name == "ner_f1" else GOLD[kind]
    assert metric.score(statistics(name, [rows])) == pytest.approx(100, abs=1e-11)
    wrong = {
        "classification": lambda gold: "contradiction",
        "tagging": lambda gold: ("O",) * len(gold) if name == "ner_f1" else ("X",) * len(gold),
        "span": lambda gold: "",
        "generation": lambda gold: "",
        "retrieval": lambda gold: "en-2",
    }
    if kind == "ranking":
        # a ranking is never without gain unless the query has none
        assert metric.score(statistics(name, [[("0", 1.0), ("0", 2.0)]])) == 0
    else:
        assert metric.score(statistics(name, [[(gold, wrong[kind](gold)) for gold, _ in rows]])) == 0
    assert metric.score({column: [] for column in metric.columns}) == 0


def test_metrics_of_one_task_share_their_statistics():
    row = task("xglue/mlqa")
    examples, predictions = built("mlqa_f1", [[(("the bridge",), "a bridge")], [(("x y",), "x")]])
    record, table = score_language(row, "en", examples, predictions, "p")
    assert record == {
        "mlqa_f1": pytest.approx(100 * (1 + 2 / 3) / 2),
        "mlqa_exact": 50.0,
        "n": 2,
        "unit": "example",
        "examples": 2,
    }
    assert table == {"unit": ["0", "1"], "group": ["0", "1"], "f1": [1.0, pytest.approx(2 / 3)], "exact": [1, 0]}
    row = task("xglue/qg")
    record, table = score_language(row, "de", *built("bleu", [GOLD["generation"]]), "p")
    assert (record["n"], record["unit"]) == (2, "sentence")
    # sacrebleu's own figure for equal lines: the exponential of the logarithm of 100
    assert (record["bleu"], record["chrf"]) == (pytest.approx(100, abs=1e-11), 100)
    assert set(METRICS["bleu"].columns) | set(METRICS["chrf"].columns) == set(table) - {"unit", "group"}
