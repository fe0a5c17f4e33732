"""Exact search, ratio-margin mining, thresholds, and the predictions of both kinds of retrieval; no model."""

import numpy as np
import pytest

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.retrieve import search
from stiltgrid.retrieve.mining import mine, tuned
from stiltgrid.retrieve.neighbours import both_ways, neighbours
from stiltgrid.retrieve.pairs import half
from stiltgrid.schema import Retrieval
from stiltgrid.score import score_language
from stiltgrid.tasks.registry import task

TATOEBA, BUCC = task("xtreme/tatoeba"), task("xtreme/bucc2018")
HOW = Retrieval(neighbours=2)


def unit(rows):
    matrix = np.asarray(rows, dtype=np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def random_vectors(number, seed, size=16):
    return unit(np.random.default_rng(seed).normal(size=(number, size)))


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_find_what_a_full_sort_finds(block):
    x, y = random_vectors(37, 0), random_vectors(53, 1)
    values, places = neighbours(x, y, 4, block)
    full = x @ y.T
    order = np.argsort(-full, axis=1)[:, :4]
    assert (places == order).all()
    assert np.allclose(values, np.take_along_axis(full, order, axis=1), atol=1e-6)
    (forward, to_y), (backward, to_x) = both_ways(x, y, 4, block)
    assert (to_y == order).all() and np.allclose(forward, values, atol=1e-6)
    assert (to_x == np.argsort(-full.T, axis=1)[:, :4]).all()
    assert np.allclose(backward, np.sort(full.T, axis=1)[:, ::-1][:, :4], atol=1e-6)


def test_there_are_no_more_neighbours_than_vectors():
    values, places = neighbours(random_vectors(5, 0), random_vectors(2, 1), 4)
    assert values.shape == places.shape == (5, 2)
    assert (np.sort(places, axis=1) == [0, 1]).all()


def test_of_equal_neighbours_the_first_is_taken():
    same = unit([[1, 0], [1, 0], [0, 1]])
    assert neighbours(unit([[1, 0]]), same, 2)[1].tolist() == [[0, 1]]


def by_loops(x, y, k):
    """Ratio-margin mining as the papers tell it, pair by pair."""
    cosine = x.astype(np.float64) @ y.astype(np.float64).T
    mean_x = [np.mean(sorted(row)[-k:]) for row in cosine]
    mean_y = [np.mean(sorted(column)[-k:]) for column in cosine.T]

    def margin(i, j):
        return cosine[i, j] / ((mean_x[i] + mean_y[j]) / 2)

    near_x = [np.argsort(-row)[:k] for row in cosine]
    near_y = [np.argsort(-column)[:k] for column in cosine.T]
    found = [max((margin(i, j), i, j) for j in near_x[i]) for i in range(len(x))]
    found += [max((margin(i, j), i, j) for i in near_y[j]) for j in range(len(y))]
    pairs, used_x, used_y = [], set(), set()
    for score, i, j in sorted(found, reverse=True):
        if i not in used_x and j not in used_y:
            used_x.add(i)
            used_y.add(j)
            pairs.append((i, j, score))
    return pairs


@pytest.mark.parametrize("k", [2, 4])
def test_mining_is_what_the_definition_says(k):
    x, y = unit(np.abs(random_vectors(30, 2))), unit(np.abs(random_vectors(45, 3)))
    found, expected = mine(x, y, k, block=8), by_loops(x, y, k)
    assert [(i, j) for i, j, _ in found] == [(i, j) for i, j, _ in expected]
    assert [m for *_, m in found] == pytest.approx([m for *_, m in expected], abs=1e-5)
    assert len({i for i, *_ in found}) == len({j for _, j, _ in found}) == len(found)


def test_a_hub_that_is_near_to_everything_loses_by_margin():
    # y1 has the higher cosine with x0, but is near to x1 and x2 as well
    x = unit([[1, 0.2, 0], [0, 1, 0], [0, 1, 0.2]])
    y = unit([[1, -0.2, 0], [1, 1, 0]])
    assert (x @ y.T)[0, 0] > 0.9
    assert (0, 0) in {(i, j) for i, j, _ in mine(x, y, 2)}


def test_the_threshold_is_the_middle_at_the_best_f1():
    # 2 of 3 gold at 0.8: F1 2*2/(2+3) = 0.8; after the wrong one at 0.5, the third at 0.4: 2*3/(4+3) = 0.857
    assert tuned([0.9, 0.8, 0.5, 0.4], [True, True, False, True], 3) == pytest.approx(0.4)
    assert tuned([0.9, 0.8, 0.5, 0.4], [True, True, False, False], 3) == pytest.approx(0.65)
    assert tuned([0.4, 0.9, 0.5, 0.8], [False, True, False, True], 3) == pytest.approx(0.65)
    assert tuned([0.7, 0.7], [True, False], 1) == pytest.approx(0.7)  # nothing lies between equal scores
    assert tuned([0.9, 0.8], [False, False], 2) == 0.0
    with pytest.raises(StiltgridError, match="no gold pair to tune"):
        tuned([0.9], [False], 0)


def pairs_of_lines(*english):
    rows = [Example(str(i), str(i), {"sentence": "", "english": text}, references=(str(i),)) for i, text in english]
    return sorted(rows, key=lambda e: e.fields["english"])


def test_tatoeba_counts_the_queries_that_find_their_own_line():
    examples = pairs_of_lines((1, "c"), (2, "a"), (3, "b"))  # in the order a b c: lines 2 3 1
    sentences, english = unit([[1, 0], [0, 1], [1, 1]]), unit([[1, 0.1], [0.1, 1], [0.2, 1]])
    said = search(TATOEBA, examples, [sentences, english], HOW)
    assert [p.text for p in said] == ["2", "3", "3"]
    assert said[0].scores == pytest.approx((float(sentences[0] @ english[0]),))
    record, statistics = score_language(TATOEBA, "de", examples, said, "x")
    assert record["retrieval_accuracy"] == pytest.approx(200 / 3)
    assert statistics["correct"] == [1, 1, 0]


def corpus(number, gold, mark="", texts=None):
    """`number` sentences of German and as many English ones; `gold`: German number -> English number."""
    german = [
        Example(
            f"{mark}de-{i}",
            mark or f"de-{i}",
            {"sentence": (texts or {}).get(i, f"satz {i}")},
            references=(f"{mark}en-{gold[i]}",) if i in gold else (),
        )
        for i in range(number)
    ]
    english = [Example(f"{mark}en-{i}", mark or "en", {"sentence": f"line {i}"}, references=()) for i in range(number)]
    return german + english


def aligned_vectors(number, seed=0, noise=0.1):
    """Vectors of which row i of one side is near row i of the other; the second half of the pairs less so."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, 24))
    strength = np.where(np.arange(number) < number // 2, noise, 20 * noise)[:, None]
    return unit(np.concatenate([x, x + strength * rng.normal(size=x.shape)]))


def test_on_dev_each_half_is_held_against_the_threshold_of_the_other():
    number = 40
    gold = {i: i for i in range(number // 2)}
    examples, vectors = corpus(number, gold), aligned_vectors(number)
    said = search(BUCC, examples, [vectors], HOW)
    thresholds = {0: set(), 1: set()}
    for example, p in zip(examples, said, strict=True):
        if p.scores:
            thresholds[half(example.id, HOW.seed)].add(p.scores[1])
    assert [len(t) for t in thresholds.values()] == [1, 1]
    score = score_language(BUCC, "de", examples, said, "x")[0]["mining_f1"]
    assert score > 80
    # what the labels of a half say moves the threshold of the other half alone
    fewer = {i: j for i, j in gold.items() if half(f"de-{i}", HOW.seed) == 1 or i < 4}
    again = search(BUCC, corpus(number, fewer), [vectors], HOW)
    one = [p for e, p in zip(examples, said, strict=True) if half(e.id, HOW.seed) == 0]
    two = [p for e, p in zip(examples, again, strict=True) if half(e.id, HOW.seed) == 0]
    assert one == two
    assert search(BUCC, examples, [vectors], HOW.model_copy(update={"seed": 2})) != said


def test_a_test_file_is_held_against_the_threshold_of_its_dev_rows_alone():
    gold = {i: i for i in range(20)}
    dev, dev_vectors = corpus(40, gold, "dev:"), aligned_vectors(40, 1)
    vectors = [np.concatenate([aligned_vectors(30), dev_vectors])]
    labelled = corpus(30, {i: i for i in range(15)}) + dev
    blind = corpus(30, {0: 0}) + dev
    said = search(BUCC, labelled, vectors, HOW)
    assert search(BUCC, blind, vectors, HOW) == said
    record, statistics = score_language(BUCC, "de", labelled, said, "x")
    assert record["mining_f1"] > 80
    # tuning rows count nothing, and are one cluster; so are the English ones
    assert sum(statistics["pairs_gold"]) == 15 and not any(statistics["pairs_mined"][60:])
    assert set(statistics["group"][30:]) == {"en", "dev:"}


def test_a_text_that_occurs_twice_is_in_no_pair():
    gold = {i: i for i in range(20)}
    examples = corpus(40, gold, texts={0: "the same", 1: "the same"})
    said = search(BUCC, examples, [aligned_vectors(40)], HOW)
    assert said[0].text == said[1].text == "" and said[2].text == "en-2"


def test_f1_of_pairs_counts_what_is_missed_and_what_is_wrong():
    from stiltgrid.predictions import Prediction

    examples = corpus(4, {0: 0, 1: 1, 2: 2})
    texts = ["en-0", "en-3", "", "en-2", "", "", "", ""]  # one right of three mined, of three gold
    said = [Prediction(e.id, text=t) for e, t in zip(examples, texts, strict=True)]
    assert score_language(BUCC, "de", examples, said, "x")[0]["mining_f1"] == pytest.approx(100 / 3)
    perfect = [Prediction(e.id, text=(e.references or ("",))[0]) for e in examples]
    assert score_language(BUCC, "de", examples, perfect, "x")[0]["mining_f1"] == 100
    nothing = [Prediction(e.id, text="") for e in examples]
    assert score_language(BUCC, "de", examples, nothing, "x")[0]["mining_f1"] == 0


def test_a_dev_set_without_gold_in_a_half_is_refused():
    with pytest.raises(StiltgridError, match="no gold pair to tune"):
        search(BUCC, corpus(6, {}), [aligned_vectors(6)], HOW)
