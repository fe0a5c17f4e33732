"""Trivial answers, by hand."""

import pytest

from stiltgrid.baselines import baselines, units
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example


def tagged(*sentences):
    return [Example(str(i), str(i), words=tuple(w), tags=tuple(t)) for i, (w, t) in enumerate(sentences)]


def asked(context, question="who runs", *answers):
    return Example("q", "q", {"question": question, "context": context}, references=answers, starts=(0,) * len(answers))


def test_the_majority_is_the_most_frequent_label_or_tag():
    train = [Example(str(i), str(i), label=x) for i, x in enumerate(["a", "b", "b"])]
    [said] = baselines("classification", train)["majority"]([Example("x", "x", label="a")])
    assert said.label == "b"
    rows = tagged((["the", "cat"], ["DET", "NOUN"]), (["dog"], ["NOUN"]))
    [said] = baselines("tagging", rows)["majority"](tagged((["le", "chat", "!"], ["DET", "NOUN", "PUNCT"])))
    assert said.tags == ("NOUN",) * 3


def test_the_lexicon_knows_words_of_the_training_rows_alone():
    rows = tagged((["the", "cat"], ["DET", "NOUN"]), (["dog"], ["NOUN"]))
    [said] = baselines("tagging", rows)["lexicon"](tagged((["the", "chat"], ["DET", "NOUN"])))
    assert said.tags == ("DET", "NOUN")


def test_a_random_span_is_a_run_of_words_as_long_as_answers_are():
    train = [asked("one two three", "who", "one two"), asked("one two three", "who", "two three")]
    answer = baselines("span", train)["random"]
    context = "a b c d e f"
    [said] = answer([asked(context)])
    assert said.text in context and len(said.text.split()) == 2
    assert answer([asked(context)]) == [said]  # the same every time
    assert answer([asked("")])[0].text == ""


def test_the_sentence_that_shares_most_with_the_question_is_the_other_answer():
    answer = baselines("span", [asked("x", "x", "x")])["overlap"]
    assert (
        answer([asked("The sun shines. The dog runs fast! Nobody knows.", "who runs fast")])[0].text
        == "The dog runs fast!"
    )
    assert answer([asked("太阳很大。狗跑得快。", "谁跑得快")])[0].text == "狗跑得快。"


def test_a_text_without_spaces_has_letters_for_words():
    assert units("two words") == [(0, 3), (4, 9)]
    assert units("太" * 30) == [(i, i + 1) for i in range(30)]


def test_kinds_without_a_baseline_have_none_and_no_rows_are_refused():
    assert baselines("retrieval", []) == {}
    with pytest.raises(StiltgridError, match="no training rows"):
        baselines("span", [])
