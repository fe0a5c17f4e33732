"""Scenes of the toy world, and the grammar that renders one scene as the same sentence in four languages.

In: a `Scene` (who does what to whom, where, when), told or asked about. Out: words with UPOS tags and an alignment key
that is equal for the words of two languages that translate each other.
"""

from dataclasses import dataclass
from typing import NamedTuple

from stiltgrid.demo import lexicon as lx


class Word(NamedTuple):
    """One rendered word; `key` is None for a word with no counterpart (French `ne`, English `does`)."""

    text: str
    tag: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Nominal:
    """A noun with its modifiers; `noun` may be a proper name or a pronoun, which take none."""

    noun: str
    definite: bool = True
    adjectives: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What it is: animal, person, food, vehicle, thing, group."""
        return lx.NOUNS[self.noun][0] if self.noun in lx.NOUNS else "group" if self.noun in lx.GROUPS else "person"

    @property
    def bare(self) -> bool:
        """Whether it is a name or a pronoun."""
        return self.noun not in lx.NOUNS


@dataclass(frozen=True, slots=True)
class Scene:
    """What a sentence says."""

    subject: Nominal
    verb: str
    object: Nominal | None = None
    place: str | None = None
    time: str | None = None
    modal: str | None = None
    negated: bool = False
    front: str | None = None  # "place" or "time" put first; the meaning stays


def _column(language: str) -> int:
    return lx.LANGUAGES.index(language)


def _gendered(cell: str) -> tuple[str, str]:
    word, _, gender = cell.partition("/")
    return word, gender or "n"


_DEFINITE = {"de": {"nom": ("der", "die", "das"), "acc": ("den", "die", "das"), "dat": ("dem", "der", "dem")}}
_INDEFINITE = {"de": {"nom": ("ein", "eine", "ein"), "acc": ("einen", "eine", "ein")}}
_ROMANCE = {("es", True): "el la", ("es", False): "un una", ("fr", True): "le la", ("fr", False): "un une"}
# German adjective endings by (definite, case) for masculine, feminine, neuter
_ENDINGS = {
    (True, "nom"): ("e", "e", "e"),
    (True, "acc"): ("en", "e", "e"),
    (False, "nom"): ("er", "e", "es"),
    (False, "acc"): ("en", "e", "es"),
}


def _article(language: str, gender: str, definite: bool, case: str) -> str:
    if language == "de":
        return (_DEFINITE if definite else _INDEFINITE)["de"][case]["mfn".index(gender)]
    return _ROMANCE[language, definite].split()[gender == "f"]


def _adjective(concept: str, language: str, gender: str, definite: bool, case: str) -> str:
    form = (lx.ADJECTIVES.get(concept) or lx.NATIONALITIES[concept])[2 + _column(language)]
    if language == "de":
        return form + _ENDINGS[definite, case]["mfn".index(gender)]
    return form.split()[gender == "f"] if language in ("es", "fr") else form


def _named(name: str, key: str) -> list[Word]:
    """Return a name's words; the first keeps the bare key, so that one-word names align with any noun's."""
    return [Word(part, "PROPN", f"{key}{i or ''}") for i, part in enumerate(name.split())]


def nominal(it: Nominal, language: str, role: str) -> list[Word]:
    """Return the words of a noun phrase; role `object` makes it an accusative, any other a nominative."""
    if it.noun in lx.PRONOUNS:
        return [Word(lx.PRONOUNS[it.noun][_column(language)], "PRON", f"{role}.noun")]
    personal = language == "es" and role == "object" and it.kind == "person"
    if it.bare:
        name = lx.GROUPS[it.noun][_column(language)] if it.noun in lx.GROUPS else it.noun
        words = _named(name, f"{role}.noun")
        return [Word("a", "ADP", None), *words] if personal else words
    case = "acc" if role == "object" else "nom"
    noun, gender = _gendered(lx.NOUNS[it.noun][1 + _column(language)])
    if language == "de" and case == "acc":
        noun = lx.GERMAN_ACCUSATIVE.get(noun, noun)
    head = Word(noun, "NOUN", f"{role}.noun")
    adjectives = [
        Word(_adjective(a, language, gender, it.definite, case), "ADJ", f"{role}.adjective{i}")
        for i, a in enumerate(it.adjectives)
    ]
    if len(adjectives) == 2:
        adjectives.insert(1, Word({"en": "and", "de": "und", "es": "y", "fr": "et"}[language], "CCONJ", f"{role}.and"))
    before = language in ("en", "de") or (
        language == "fr" and len(it.adjectives) == 1 and it.adjectives[0] in lx.FRENCH_BEFORE_NOUN
    )
    group = [*adjectives, head] if before else [head, *adjectives]
    if language == "en":
        article = "the" if it.definite else "an" if group[0].text[0] in "aeiou" else "a"
    else:
        article = _article(language, gender, it.definite, case)
    if personal and article == "el":
        return [Word("al", "ADP", f"{role}.article"), *group]
    words = [Word(article, "DET", f"{role}.article"), *group]
    return [Word("a", "ADP", None), *words] if personal else words


def place_words(concept: str, language: str) -> list[Word]:
    """Return a place with its preposition: a noun with article, or a town."""
    if concept in lx.TOWNS:
        before = Word({"en": "in", "de": "in", "es": "en", "fr": "à"}[language], "ADP", "in")
        return [before, *_named(lx.TOWNS[concept][_column(language)], "place")]
    noun, gender = _gendered(lx.PLACES[concept][_column(language)])
    article = "the" if language == "en" else _article(language, gender, True, "dat" if language == "de" else "nom")
    preposition = {"en": "in", "de": "in", "es": "en", "fr": "dans"}[language]
    return [Word(preposition, "ADP", "in"), Word(article, "DET", "in.article"), Word(noun, "NOUN", "place")]


def time_words(concept: str, language: str) -> list[Word]:
    """Return a time: an adverb, or an hour with what stands before and after it."""
    if concept in lx.TIMES:
        return [Word(lx.TIMES[concept][_column(language)], "ADV", "time")]
    hour = Word(lx.HOURS[concept][_column(language)], "NUM", "time")
    if language == "es":
        return [Word("a", "ADP", "at"), Word("las", "DET", None), hour]
    if language == "fr":
        return [Word("à", "ADP", "at"), hour, Word("heures", "NOUN", None)]
    return [Word({"en": "at", "de": "um"}[language], "ADP", "at"), hour]


def render(scene: Scene, language: str, *, end: str = ".") -> list[Word]:
    """Return the sentence of a scene.

    Args:
        scene: what is said.
        language: en, de, es or fr.
        end: the closing mark.

    Returns:
        Words in their order, the closing mark included. German puts the finite verb second and the infinitive last.
    """
    present, infinitive = lx.VERBS[scene.verb][1 + _column(language)].split()
    subject = nominal(scene.subject, language, "subject")
    obj = nominal(scene.object, language, "object") if scene.object else []
    place = place_words(scene.place, language) if scene.place else []
    time = time_words(scene.time, language) if scene.time else []
    first: list[Word] = []
    if scene.front == "time":
        first, time = time, []
    elif scene.front == "place":
        first, place = place, []
    verb = Word(infinitive if scene.modal else present, "VERB", "verb")
    modal = [Word(lx.MODALS[scene.modal][_column(language)], "AUX", "modal")] if scene.modal else []
    no = scene.negated
    if language == "de":
        finite, last = (modal, [verb]) if modal else ([verb], [])
        negation = [Word("nicht", "PART", "not")] if no else []
        core = [*first, *finite, *subject] if first else [*subject, *finite]
        words = [*core, *time, *obj, *negation, *place, *last]
    else:
        if language == "en":
            negation = [Word("not", "PART", "not")] if no else []
            if no and not modal:
                modal, verb = [Word("does", "AUX", None)], Word(infinitive, "VERB", "verb")
            group = [*modal, *negation, verb]
        elif language == "es":
            group = [*([Word("no", "ADV", "not")] if no else []), *modal, verb]
        else:
            finite = modal or [verb]
            group = [Word("ne", "ADV", None), *finite, Word("pas", "ADV", "not")] if no else [*finite]
            group += [verb] if modal else []
        words = [*first, *subject, *group, *obj, *place, *time]
    return [*words, Word(end, "PUNCT", "end")]


def join(words: list[Word]) -> str:
    """Return running text: spaces between words, none before the closing mark."""
    return " ".join(w.text for w in words[:-1]) + words[-1].text


def sentence(scene: Scene, language: str, *, end: str = ".") -> str:
    """Return the running text of a scene, see `render`."""
    return join(render(scene, language, end=end))
