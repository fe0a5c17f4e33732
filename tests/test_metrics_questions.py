import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.metrics import METRICS
from stiltgrid.metrics.questions import ARTICLES, mlqa_tokens, squad_tokens, token_f1
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import task

MLQA = task("xglue/mlqa")
steady = settings(deadline=None, derandomize=True)


def score(name, golds, texts, language="en"):
    """Score answers; `golds` holds a tuple of right answers each."""
    examples = [Example(id=str(i), group=str(i), references=tuple(gold)) for i, gold in enumerate(golds)]
    metric = METRICS[name]
    return metric.score(
        metric.statistics(MLQA, language, examples, [Prediction(str(i), text=t) for i, t in enumerate(texts)])
    )


@pytest.mark.parametrize(
    ("language", "text", "tokens"),
    [
        ("en", "The Cat, an owl and a dog!", ["cat", "owl", "and", "dog"]),
        # punctuation goes first: what is left of `a-n` is an article, what is left of `a.b.` is none
        ("en", "a-n ox, a.b.", ["ox", "ab"]),
        ("en", "theatre", ["theatre"]),
        ("en", "$5 and 5€", ["5", "and", "5€"]),
        ("en", "der Hund", ["der", "hund"]),
        ("de", "Der Hund (des Königs), ein Tier", ["hund", "königs", "tier"]),
        ("de", "eines einer einem einen eine dem den das die", []),
        ("de", "the Straße", ["the", "straße"]),
        ("es", "¿Los Ángeles? L.A. y unas islas", ["ángeles", "y", "islas"]),
        ("es", "un una unos unas el la los las del lo", ["del", "lo"]),
        ("vi", "Cái nhà là của những chiếc", ["nhà"]),
        ("vi", "của", []),
        # decomposed letters are not put together, so this is no article
        ("vi", unicodedata.normalize("NFD", "của"), [unicodedata.normalize("NFD", "của")]),
        # the two letters go wherever they stand, and cut the word there
        ("ar", "العال", ["ع"]),
        ("ar", "العالم", ["ع", "م"]),
        ("ar", "في القاهرة؟", ["في", "قاهرة"]),
        ("ar", "سؤال جديد", ["سؤ", "جديد"]),
        ("hi", "भारत की राजधानी।", ["भारत", "की", "राजधानी"]),
        ("hi", "the ताज", ["the", "ताज"]),
        ("zh", "19世纪", ["19", "世", "纪"]),
        ("zh", "在《北京 大学》，a the B2。", ["在", "北", "京", "大", "学", "a", "the", "b2"]),
        # tokens of their own are U+4E00 to U+9FA5 only
        ("zh", "一㐀龥龦x", ["一", "㐀", "龥", "龦x"]),
        ("zh", "ひらがな　カナ", ["ひらがな", "カナ"]),
    ],
)
def test_tokens_by_mlqa_s_rules(language, text, tokens):
    assert mlqa_tokens(text, language) == tokens


@pytest.mark.parametrize("mark", ["。", "，", "「", "»", "؟", "।", "—", "‘", "~", "^", "+", "|", "`", "¿", "·"])
def test_all_unicode_punctuation_and_ascii_symbols_are_deleted(mark):
    assert mlqa_tokens(f"x{mark}y", "hi") == ["xy"]


@pytest.mark.parametrize("mark", ["€", "°", "×", "\u200d", "्"])
def test_other_symbols_and_joiners_stay(mark):
    assert mlqa_tokens(f"x{mark}y", "hi") == [f"x{mark}y"]


def test_squad_s_rules_are_english_ones_for_every_language():
    assert squad_tokens("The Cat's a-n «hat»") == ["cats", "«hat»"]
    assert squad_tokens("¿Der Hund?") == ["¿der", "hund"]
    assert squad_tokens("19世纪。") == ["19世纪。"]
    for language in ("en", "de", "th"):
        assert score("squad_exact", [("der Hund",)], ["Hund"], language) == 0
        assert score("squad_exact", [("the Hund",)], ["Hund!"], language) == 100


def test_f1_by_hand():
    # cat sat | cat sat down: precision 1, recall 2/3
    assert score("mlqa_f1", [("a cat sat down",)], ["the cat sat"]) == pytest.approx(80)
    # 19 世 纪 | 20 世 纪
    assert score("mlqa_f1", [("20世纪",)], ["19世纪"], "zh") == pytest.approx(200 / 3)
    # bags: x x y | x y y share x and y once each
    assert token_f1(["x", "x", "y"], ["x", "y", "y"]) == pytest.approx(2 / 3)
    assert token_f1(["x", "y"], ["y", "x"]) == 1


@pytest.mark.parametrize("suite", ["mlqa", "squad"])
def test_the_best_gold_answer_counts_and_examples_are_averaged(suite):
    golds = [("red", "dark red"), ("one two",), ("x",)]
    assert score(f"{suite}_f1", golds, ["dark red", "one", "y"]) == pytest.approx(100 * (1 + 2 / 3 + 0) / 3)
    assert score(f"{suite}_exact", golds, ["dark red", "one", "y"]) == pytest.approx(100 / 3)


@pytest.mark.parametrize("suite", ["mlqa", "squad"])
def test_without_a_common_token_f1_is_zero_also_of_two_empty_answers(suite):
    # the gold answer normalises to nothing: as SQuAD 1.1's script, F1 0 and exact match 1
    assert score(f"{suite}_f1", [("The",)], ["a ."]) == 0
    assert score(f"{suite}_exact", [("The",)], ["a ."]) == 100
    assert score(f"{suite}_f1", [("cat",)], [""]) == score(f"{suite}_exact", [("cat",)], [""]) == 0
    assert score(f"{suite}_f1", [("cat",)], ["cat"]) == score(f"{suite}_exact", [("cat",)], ["cat"]) == 100


def test_a_language_without_rules_is_refused():
    with pytest.raises(StiltgridError, match=r"no language 'th'.*squad_f1"):
        score("mlqa_f1", [("x",)], ["x"], "th")
    with pytest.raises(StiltgridError, match="no language 'th'"):
        METRICS["mlqa_exact"].statistics(MLQA, "th", [], [])


def test_absent_answers_are_refused():
    gold = [Example(id="7", group="7", references=("x",))]
    for name in ("mlqa_f1", "squad_exact"):
        with pytest.raises(StiltgridError, match="'7' has no text"):
            METRICS[name].statistics(MLQA, "en", gold, [Prediction("7")])
        with pytest.raises(StiltgridError, match="'7' has no gold answer"):
            METRICS[name].statistics(
                MLQA, "en", [Example(id="7", group="7", references=())], [Prediction("7", text="")]
            )


texts = st.text("aAthe der la ال世界19.,!？。 \u00a0\u3000\n\t€é", max_size=25)


@steady
@given(texts, st.sampled_from(list(ARTICLES)))
def test_tokens_have_no_space_and_no_punctuation_and_case_does_not_matter(text, language):
    tokens = mlqa_tokens(text, language)
    assert all(token and token.split() == [token] for token in tokens)
    assert not any(unicodedata.category(c).startswith("P") for token in tokens for c in token)
    assert mlqa_tokens(text.upper().lower(), language) == mlqa_tokens(text.lower(), language)


@steady
@given(texts)
def test_chinese_is_segmented_character_by_character(text):
    """The rule as a walk over characters, where the metric uses a pattern."""
    expected, run = [], ""
    for c in text.lower():
        if unicodedata.category(c).startswith("P") or c in "$+<=>^`|~":
            continue
        if 0x4E00 <= ord(c) <= 0x9FA5:
            expected += [*run.split(), c]
            run = ""
        else:
            run += c
    assert mlqa_tokens(text, "zh") == [*expected, *run.split()]


@steady
@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_f1_is_symmetric_and_one_only_for_equal_bags(one, other):
    f1 = token_f1(one, other)
    assert f1 == pytest.approx(token_f1(other, one), abs=1e-15)
    assert 0 <= f1 <= 1
    assert (f1 > 1 - 1e-12) == (bool(one) and sorted(one) == sorted(other))


@pytest.mark.realdata
@pytest.mark.parametrize("language", list(ARTICLES))
def test_real_gold_answers_reach_the_ceiling_and_empty_ones_0(real_data, language):
    path = real_data / f"data/mlqa/MLQA_V1/dev/dev-context-{language}-question-{language}.json"
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    golds = [tuple(a["text"] for a in qa["answers"]) for a in articles for p in a["paragraphs"] for qa in p["qas"]]
    assert len(golds) > 50
    texts = [gold[0] for gold in golds]
    # an answer of articles and punctuation alone has F1 0, by the official rules: no model can score 100 then
    lost = sum(not mlqa_tokens(text, language) for text in texts)
    assert lost == (1 if language == "es" else 0)
    assert score("mlqa_f1", golds, texts, language) == pytest.approx(100 * (1 - lost / len(golds)), abs=1e-11)
    assert score("mlqa_exact", golds, texts, language) == 100
    assert score("mlqa_f1", golds, [""] * len(golds), language) == 0
