"""Diagnostics: hand-made outputs with known faults."""

import pytest

from stiltgrid.diagnostics import DIAGNOSTICS, diagnostics, scripts, wrong_script
from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import task

MLQA, NTG, XNLI, POS = (task(f"xglue/{name}") for name in ("mlqa", "ntg", "xnli", "pos"))
NO_CUTS = {"train_inputs": 200, "truncated_inputs": 0}


def answers(context: str, *texts: str, reference: str = "x") -> tuple[list[Example], list[Prediction]]:
    examples = [
        Example(str(i), "p", {"question": "?", "context": context}, references=(reference,), starts=(0,))
        for i in range(len(texts))
    ]
    return examples, [Prediction(str(i), text=text, truncated=False) for i, text in enumerate(texts)]


def titles(*pairs: tuple[str, str]) -> tuple[list[Example], list[Prediction]]:
    examples = [Example(str(i), str(i), {"article": "a"}, references=(gold,)) for i, (_, gold) in enumerate(pairs)]
    return examples, [Prediction(str(i), text=text, truncated=i == 0) for i, (text, _) in enumerate(pairs)]


def test_an_answer_must_be_in_the_context_as_it_is_written_there():
    found = diagnostics(MLQA, "de", *answers("Der Hund schläft.", "Hund", "hund", "dog", ""), NO_CUTS)
    assert found["invalid"] == 50.0
    assert found["empty"] == 25.0
    assert found["wrong_language"] is None


@pytest.mark.parametrize(
    ("language", "text", "references", "wrong"),
    [
        ("ru", "собака", ["кот"], False),
        ("ru", "dog", ["кот"], True),
        ("ru", "да no", ["кот"], False),  # half of them are not most
        ("ru", "да dog", ["кот"], True),
        ("ru", "NATO", ["НАТО и NATO"], False),  # the reference has that script too
        ("zh", "狗在公园", ["狗"], False),
        ("zh", "１９世纪", ["狗"], False),
        ("zh", "ＡＢＣ公司", ["狗"], True),  # full-width Latin letters are Latin
        ("zh", "1990", ["狗"], False),  # no letter, no script
        ("th", "สวนสาธารณะ", ["สวน"], False),
        ("hi", "नमस्ते", ["x"], False),
        ("ar", "الكلب", ["x"], False),
        ("ur", "کتا", ["x"], False),
        ("de", "Straße", ["x"], False),
        ("de", "улица", ["x"], True),
        ("es", "1.º y 2.ª", ["x"], False),
        ("es", "1.º", ["x"], False),  # an ordinal sign is a letter by its category, and of no script
        ("ru", "5 µ", ["x"], False),
        ("zh", "々", ["x"], False),
        ("en", "", ["x"], False),
    ],
)
def test_most_letters_decide_on_the_script(language, text, references, wrong):
    assert wrong_script(language, text, references) is wrong


def test_marks_that_combine_are_no_letters():
    assert scripts("नमस्ते") == {"DEVANAGARI": 4}
    assert not scripts("१२ …\u200d")


def test_a_title_in_another_language_is_told_where_its_reference_can_be():
    german = "Die Regierung hat gestern ein neues Gesetz über die Steuern beschlossen"
    english = "The government has passed a new law about taxes yesterday, the minister said"
    found = diagnostics(NTG, "de", *titles((german, german), (english, german)), NO_CUTS)
    assert found["wrong_language"] == 50.0
    assert found["invalid"] is None
    # the same text under a reference that nobody would take for German says nothing
    assert diagnostics(NTG, "de", *titles((english, english)), NO_CUTS)["wrong_language"] is None


def test_cut_inputs_are_counted_and_unknown_is_not_zero():
    found = diagnostics(NTG, "de", *titles(("a", "b"), ("c", "d")), {"train_inputs": 200, "truncated_inputs": 3})
    assert (found["truncated"], found["training_truncated"]) == (50.0, 1.5)
    examples = [Example("0", "0", {"premise": "a", "hypothesis": "b"}, "neutral")]
    found = diagnostics(XNLI, "en", examples, [Prediction("0", label="neutral")], NO_CUTS)
    assert found == dict.fromkeys(DIAGNOSTICS) | {"invalid": 0.0, "training_truncated": 0.0}


def test_a_tag_outside_the_set_makes_its_sentence_invalid():
    examples = [Example(str(i), str(i), words=("a", "b"), tags=("DET", "NOUN")) for i in range(2)]
    said = [Prediction("0", tags=("DET", "THING")), Prediction("1", tags=("X", "X"))]
    assert diagnostics(POS, "en", examples, said, NO_CUTS)["invalid"] == 50.0
