import json
import math
import random

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics import METRICS
from stiltgrid.metrics.generation import (
    BLEU_COLUMNS,
    CHRF_COLUMNS,
    bleu_of_sums,
    bleu_statistics,
    chrf_statistics,
    one_line,
)
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import task

QG = task("xglue/qg")
steady = settings(deadline=None, derandomize=True)


def columns(name, texts, references):
    examples = [Example(id=str(i), group=str(i), references=(r,)) for i, r in enumerate(references)]
    predictions = [Prediction(id=str(i), text=t) for i, t in enumerate(texts)]
    return METRICS[name].statistics(QG, "en", examples, predictions)


def score(name, texts, references):
    return METRICS[name].score(columns(name, texts, references))


def official(name, texts, references):
    """What XGLUE's evaluator calls, on stripped lines; chrF as sacrebleu's own default."""
    texts, references = [t.strip() for t in texts], [r.strip() for r in references]
    if name == "bleu":
        return sacrebleu.corpus_bleu(texts, [references], lowercase=True).score
    return sacrebleu.corpus_chrf(texts, [references]).score


# --- by hand ----------------------------------------------------------------------------------------------


def test_bleu_by_hand():
    # words 5 of 6 (one "the" too many), pairs 3 of 5, triples 2 of 4, fours 1 of 3
    found = columns("bleu", ["the cat sat on the mat"], ["The cat sat on a mat"])
    assert found == {name: [n] for name, n in zip(BLEU_COLUMNS, (5, 3, 2, 1, 6, 5, 4, 3, 6, 6), strict=True)}
    expected = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert METRICS["bleu"].score(found) == pytest.approx(expected, abs=1e-11)


def test_short_answers_pay_the_brevity_penalty_and_long_ones_do_not():
    assert score("bleu", ["a b c d e"], ["a b c d e f g"]) == pytest.approx(100 * math.exp(1 - 7 / 5), abs=1e-11)
    # all of the reference, then more: 7, 6, 5, 4 n-grams, of which 5, 4, 3, 2 match
    assert score("bleu", ["a b c d e f g"], ["a b c d e"]) == pytest.approx(
        100 * (5 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25, abs=1e-11
    )


def test_orders_without_a_match_count_half_a_match_then_a_quarter():
    # words 4 of 5, pairs 2 of 4, no triple of 3, no four of 2
    expected = 100 * (4 / 5 * 2 / 4 * 1 / (2 * 3) * 1 / (4 * 2)) ** 0.25
    assert score("bleu", ["a b c d e"], ["a b x d e"]) == pytest.approx(expected, abs=1e-11)


def test_tokens_are_13a_s_in_lower_case():
    found = columns("bleu", ["What's THIS, 1.5 €?"], ["x"])
    # what's | this | , | 1.5 | € | ?
    assert found["bleu_length"] == [6]
    assert score("bleu", ["Is It THE cat?"], ["is it the CAT ?"]) == pytest.approx(100)
    # no segmentation of Chinese: 13a is for every language
    assert columns("bleu", ["什么是猫"], ["什么是狗"])["bleu_length"] == [1]


def test_bleu_is_of_the_corpus_not_a_mean():
    texts, references = ["a b c d", "x"], ["a b c d", "y"]
    # words 4 of 5; the other orders match whole
    assert score("bleu", texts, references) == pytest.approx(100 * (4 / 5) ** 0.25, abs=1e-11)


def test_chrf_by_hand():
    # characters 2 of 2 and of 3, pairs 1 of 1 and of 2; the answer has no triple, so that order is left out
    found = columns("chrf", ["ab"], ["a bc"])
    assert [found[name] for name in CHRF_COLUMNS[:9]] == [[2], [3], [2], [1], [2], [1], [0], [1], [0]]
    recall = (2 / 3 + 1 / 2) / 2
    assert METRICS["chrf"].score(found) == pytest.approx(100 * 5 * recall / (4 + recall), abs=1e-11)
    assert score("chrf", ["AB"], ["ab"]) == 0


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_identity_is_100_and_nothing_is_0(name):
    lines = ["Wer baute die alte Brücke?", "这座桥是谁建的 ， 什么时候 ？", "Кто построил этот мост ?"]
    assert score(name, lines, lines) == pytest.approx(100, abs=1e-11)
    assert score(name, lines, lines) == official(name, lines, lines)
    assert score(name, [""] * 3, lines) == 0
    assert score(name, ["@"] * 3, lines) == 0
    assert METRICS[name].score({column: [] for column in METRICS[name].columns}) == 0


def test_bleu_of_a_corpus_without_four_tokens_is_0_as_in_sacrebleu():
    assert score("bleu", ["a b c"], ["a b c"]) == official("bleu", ["a b c"], ["a b c"]) == 0


# --- lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  a b \n", "a b"),
        ("a\nb", "a b"),
        ("a\r\nb\rc\td", "a b c d"),
        ("a-\nb", "a- b"),
        # not line breaks of a file that is read in text mode
        ("a\u2028b\x0bc\u200bd", "a\u2028b\x0bc\u200bd"),
        ("\n", ""),
    ],
)
def test_an_answer_is_one_line(text, line):
    assert one_line(text).strip() == line


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_line_breaks_change_no_alignment(name):
    texts, references = (
        ["who built\nthe old bridge ?", "what is\tthis ?"],
        ["who built the old bridge ?", "what is it ?"],
    )
    found = columns(name, texts, references)
    assert {len(values) for values in found.values()} == {2}
    assert found == columns(name, [" ".join(t.split()) for t in texts], references)


def test_absent_texts_are_refused():
    gold = [Example(id="7", group="7", references=("x",))]
    for statistics in (bleu_statistics, chrf_statistics):
        with pytest.raises(StiltgridError, match="'7' has no text"):
            statistics(QG, "en", gold, [Prediction("7")])
        with pytest.raises(StiltgridError, match="'7' has 2 references, expected one"):
            statistics(QG, "en", [Example("7", "7", references=("x", "y"))], [Prediction("7", text="")])


# --- sacrebleu's own scores -------------------------------------------------------------------------------

words = st.sampled_from(
    [
        "the",
        "The",
        "cat",
        "cat.",
        "naïve",
        "été",
        "мост",
        "Мост",
        "桥",
        "谁建的",
        "السؤال",
        "प्रश्न",
        "ทำไม",
        "1,000",
        "2.5",
        "-",
        "&amp;",
        "?",
        "«x»",
        "\u200b",
    ]
)
lines = st.lists(words, max_size=12).map(" ".join)
corpora = st.lists(st.tuples(lines, lines) | lines.map(lambda line: (line, line)), min_size=1, max_size=6)


@steady
@given(corpora)
@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_the_corpus_score_is_sacrebleu_s_to_the_last_bit(name, pairs):
    texts, references = zip(*pairs, strict=True)
    assert score(name, texts, references) == official(name, texts, references)


@settings(steady, max_examples=30)
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), min_size=1, max_size=4))
@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_any_characters_score_as_sacrebleu_scores_their_lines(name, pairs):
    texts, references = ([one_line(text) for text in side] for side in zip(*pairs, strict=True))
    assert score(name, *zip(*pairs, strict=True)) == official(name, texts, references)


@steady
@given(corpora, st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_resamples_are_sacrebleu_s_scores_of_the_repeated_lines(name, pairs, seed):
    weights = np.random.default_rng(seed).integers(0, 3, size=(4, len(pairs)))
    weights[:, 0] += 1
    many = METRICS[name].score(columns(name, *zip(*pairs, strict=True)), weights)
    for row, found in zip(weights, many, strict=True):
        drawn = [pair for pair, times in zip(pairs, row, strict=True) for _ in range(times)]
        assert found == official(name, *zip(*drawn, strict=True))


@steady
@given(
    st.lists(st.tuples(*[st.tuples(st.integers(0, 40), st.integers(0, 9))] * 4), min_size=1, max_size=5),
    st.integers(0, 60),
)
def test_the_bleu_formula_is_sacrebleu_s_public_one(orders, reference):
    matches = np.array([[m for m, _ in row] for row in orders], dtype=float).T
    totals = matches + np.array([[more for _, more in row] for row in orders], dtype=float).T
    sums = dict(zip(BLEU_COLUMNS, [*matches, *totals, totals[0], np.full(len(orders), reference)], strict=True))
    for i, found in enumerate(bleu_of_sums(sums)):
        match, total = matches[:, i].tolist(), totals[:, i].tolist()
        if 0 in total[: max((n for n in range(4) if total[n]), default=0)]:
            continue  # answers without pairs have no triples
        expected = sacrebleu.BLEU.compute_bleu(match, total, int(total[0]), reference, smooth_method="exp")
        assert found == expected.score


def test_chrf_s_counts_are_where_they_are_expected():
    """chrF's counts come from a method that sacrebleu does not promise: this is its layout."""
    assert sacrebleu.CHRF()._extract_corpus_statistics(["abc", ""], [["abd", "x"]]) == [
        [3, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]


def spoiled(line, rng):
    """A line with some words dropped, doubled or replaced."""
    found = []
    for word in line.split(" "):
        found += [[], [word], [word], [word, word], ["x"]][rng.randrange(5)]
    return " ".join(found)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["bleu", "chrf"])
@pytest.mark.parametrize("language", ["ar", "de", "en", "hi", "ru", "th", "zh"])
def test_real_questions_score_as_sacrebleu_scores_them(real_data, name, language):
    text = (real_data / f"data/xquad/xquad.{language}.json").read_text(encoding="utf-8")
    references = [qa["question"] for a in json.loads(text)["data"] for p in a["paragraphs"] for qa in p["qas"]][:300]
    rng = random.Random(language)
    texts = [spoiled(line, rng) for line in references]
    found = score(name, texts, references)
    assert found == official(name, texts, references)
    assert 0 < found < 100
    assert score(name, references, references) == official(name, references, references) == pytest.approx(100, abs=1e-9)


@pytest.mark.realdata
@pytest.mark.parametrize("folder", ["qg", "ntg"])
def test_rows_of_the_sample_archive_score_as_sacrebleu_scores_them(real_data, folder):
    root = real_data / "data/hf_dummy/xglue/xglue_full_dataset.tar.gz/xglue_full_dataset" / folder.upper()
    files = sorted(root.glob(f"xglue.{folder}.*.tgt.*"))
    references = [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]
    assert len(references) > 15
    rng = random.Random(folder)
    texts = [spoiled(line, rng) for line in references]
    for name in ("bleu", "chrf"):
        assert score(name, texts, references) == official(name, texts, references)
