"""What may be wrong with a run's outputs, beside their score: shares in percent, by language.

A zero-shot model that answers in the wrong language, or in none, is the known accident of text2text transfer (Xue et
al. 2021, section 4.1, "illegal predictions" and "accidental translation"); a score alone does not show it.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

DIAGNOSTICS: dict[str, str] = {
    "invalid": "outputs that the task does not allow: a label or tag outside its set, an answer that "
    "is not in the context",
    "empty": "written answers without any character but spaces",
    "wrong_script": "written answers most of whose letters are of a script that neither the language nor "
    "the reference has",
    "wrong_language": "of the texts whose reference is identified as the language, those identified as another one",
    "truncated": "examples some of whose input was cut off",
    "training_truncated": "training inputs some of whose text was cut off",
}
"""Name -> meaning; each is a share in percent, None where it does not apply or is not known."""

# scripts by the first word of their letters' Unicode names
SCRIPTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("ar", "fa", "ur"), frozenset({"ARABIC"})),
    **dict.fromkeys(("bg", "kk", "ru", "uk"), frozenset({"CYRILLIC"})),
    **dict.fromkeys(("hi", "mr"), frozenset({"DEVANAGARI"})),
    "bn": frozenset({"BENGALI"}),
    "el": frozenset({"GREEK"}),
    "he": frozenset({"HEBREW"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
    "ka": frozenset({"GEORGIAN"}),
    "ko": frozenset({"HANGUL", "CJK"}),
    "ml": frozenset({"MALAYALAM"}),
    "my": frozenset({"MYANMAR"}),
    "ta": frozenset({"TAMIL"}),
    "te": frozenset({"TELUGU"}),
    "th": frozenset({"THAI"}),
    "zh": frozenset({"CJK", "BOPOMOFO"}),
}
LATIN = frozenset({"LATIN"})  # every other language of XGLUE and XTREME
# letters by their category that every script may use, as in 1.º, µm, 佐々木
COMMON = frozenset({"FEMININE", "IDEOGRAPHIC", "MASCULINE", "MICRO", "MODIFIER"})


@cache
def _script(letter: str) -> str | None:
    """Return a letter's script, None for what is not a letter or belongs to every script."""
    if not unicodedata.category(letter).startswith("L"):
        return None
    # full-width forms are the letters of another script in another width
    name = unicodedata.name(letter, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
    script = name.split(" ")[0]
    return None if script in COMMON else script or None


def scripts(text: str) -> Counter[str]:
    """Return how many letters of a text belong to each script."""
    return Counter(script for script in map(_script, text) if script is not None)


def wrong_script(language: str, text: str, references: Sequence[str]) -> bool:
    """Tell whether most letters of a text are of a script that neither its language nor a reference has."""
    found = scripts(text)
    if not found:
        return False
    allowed = set(SCRIPTS.get(language, LATIN)).union(*(scripts(reference) for reference in references))
    return sum(n for script, n in found.items() if script in allowed) * 2 < found.total()


@cache
def _identifier(languages: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    made = LanguageIdentifier.from_model_file(MODEL_FILE)
    made.set_languages([language for language in languages if language in made.labels])
    return made


def wrong_language(language: str, languages: Sequence[str], pairs: Sequence[tuple[str, str]]) -> float | None:
    """Return the share of texts in another language, in percent, of those of which it can be told.

    Short texts full of names are often taken for another language, so only texts count whose reference the
    identifier (py3langid, Lui and Baldwin 2012) takes for the language itself.

    Args:
        language: what the texts should be in.
        languages: the task's, among which the identifier chooses.
        pairs: text and reference of each example.

    Returns:
        None if the identifier does not know the language, there is no other to choose, or no reference counts.
    """
    identify = _identifier(tuple(sorted({*languages, "en"})))
    if language not in identify.labels or len(identify.labels) < 2:
        return None
    told = [text for text, reference in pairs if text.strip() and identify.classify(reference)[0] == language]
    return _percent(sum(identify.classify(text)[0] != language for text in told), len(told))


def _percent(count: int, total: int) -> float | None:
    return 100.0 * count / total if total else None


def _invalid(task: TaskRow, example: Example, said: Prediction) -> bool:
    if said.tags is not None:
        return bool(task.labels) and any(tag not in task.labels for tag in said.tags)
    if task.kind == "span":
        return (said.text or "") not in example.fields["context"]
    return said.label not in task.labels


def diagnostics(
    task: TaskRow,
    language: str,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    counts: Mapping[str, int],
) -> dict[str, float | None]:
    """Return the diagnostics of one language of one run.

    Args:
        task: the task row.
        language: of the examples.
        examples: the gold rows.
        predictions: one for each, same order.
        counts: of the run's manifest: `train_inputs` and `truncated_inputs`.

    Returns:
        `DIAGNOSTICS`' names, each with a share in percent or None.
    """
    number = len(examples)
    pairs = [
        (said.text or "", (example.references or ("",))[0]) for example, said in zip(examples, predictions, strict=True)
    ]
    writes = task.kind in ("span", "generation")
    cut = [said.truncated for said in predictions]
    found: dict[str, float | None] = dict.fromkeys(DIAGNOSTICS)
    if task.kind not in ("generation", "retrieval"):
        found["invalid"] = _percent(sum(map(_invalid, [task] * number, examples, predictions)), number)
    if writes:
        found["empty"] = _percent(sum(not text.strip() for text, _ in pairs), number)
        wrong = [
            wrong_script(language, text, example.references or ())
            for (text, _), example in zip(pairs, examples, strict=True)
        ]
        found["wrong_script"] = _percent(sum(wrong), number)
    if task.kind == "generation":
        found["wrong_language"] = wrong_language(language, task.languages, pairs)
    if None not in cut:
        found["truncated"] = _percent(sum(map(bool, cut)), number)
    found["training_truncated"] = _percent(counts.get("truncated_inputs", 0), counts.get("train_inputs", 0))
    return found
