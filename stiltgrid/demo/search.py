"""Queries of the toy world: advertisements that fit or do not (QADSM), results by how much they share (WPR).

Relevance is the number of the query's concepts that the other side names, so it is the same in every language.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.grammar import Nominal, Scene, Word, nominal, place_words, render, time_words

SOLD = ("food", "vehicle", "thing")
GRADES = (0.35, 0.25, 0.2, 0.1, 0.1)  # how often a result shares 0 to 4 concepts; low ones make order matter


def keywords(it: Nominal | None, place: str | None, time: str | None, language: str) -> list[Word]:
    """Return what a query or a title says: a noun phrase without its article, a place without its preposition."""
    words = [w for w in nominal(it, language, "subject") if w.tag != "DET"] if it else []
    if place:
        words += [w for w in place_words(place, language) if (w.key or "").startswith("place")]
    return words + (time_words(time, language) if time else [])


def _nouns(kinds: Sequence[str]) -> list[str]:
    return [n for n, row in lx.NOUNS.items() if row[0] in kinds and n not in lx.KINDS]


def _other(rng: random.Random, choices: Sequence[str], than: str | None) -> str:
    return rng.choice([c for c in choices if c != than])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query asks for, or an advertisement offers."""

    item: Nominal
    place: str

    def query(self, language: str) -> str:
        """Return the keywords."""
        return " ".join(w.text for w in keywords(self.item, self.place, None, language))


def _wanted(rng: random.Random) -> Wanted:
    noun = rng.choice(_nouns(SOLD))
    kind = lx.NOUNS[noun][0]
    adjective = rng.choice([a for a, row in lx.ADJECTIVES.items() if kind in row[1]])
    return Wanted(Nominal(noun, definite=False, adjectives=(adjective,)), rng.choice([*lx.PLACES, *lx.TOWNS]))


def _misses(it: Wanted, rng: random.Random) -> Wanted:
    """Change one thing that was wanted: mostly the item, else its property or the place."""
    what = rng.random()
    if what < 0.6:
        kind = it.item.kind
        return replace(it, item=replace(it.item, noun=_other(rng, _nouns((kind,)), it.item.noun)))
    if what < 0.8:
        return replace(it, place=_other(rng, [*lx.PLACES, *lx.TOWNS], it.place))
    return replace(it, item=replace(it.item, adjectives=tuple(lx.ADJECTIVES[a][0] for a in it.item.adjectives)))


def advertisements(rng: random.Random, count: int) -> list[tuple[Wanted, Wanted, Scene, str]]:
    """Return `count` rows of QADSM: what is wanted, what is offered (the title), the description, Good or Bad."""
    rows = []
    for _ in range(count):
        wanted = _wanted(rng)
        good = rng.random() < 0.5
        offered = wanted if good else _misses(wanted, rng)
        seller = Nominal(rng.choice([*lx.NAMES, *lx.GROUPS, "baker", "doctor", "teacher"]))
        description = Scene(subject=seller, verb="sell", object=offered.item, place=offered.place)
        rows.append((wanted, offered, description, "Good" if good else "Bad"))
    return rows


def advertisement_title(offered: Wanted, language: str) -> str:
    """Return the bare noun: the description says the rest."""
    return " ".join(w.text for w in keywords(replace(offered.item, adjectives=()), None, None, language))


@dataclass(frozen=True, slots=True)
class Facts:
    """The four concepts of a WPR query, in its order; all are words without inflection."""

    subject: str
    object: str
    place: str
    time: str

    def query(self, language: str) -> str:
        """Return the keywords."""
        first = keywords(Nominal(self.subject), None, None, language)
        rest = keywords(Nominal(self.object), self.place, self.time, language)
        return " ".join(w.text for w in [*first, *rest])


_CHOICES = {
    "subject": [n for n in _nouns(("animal", "person")) if n != "boy"],  # German Junge, Jungen
    "object": _nouns(("food", "thing", "vehicle")),
    "place": list(lx.PLACES),
    "time": list(lx.TIMES),
}


def results(rng: random.Random, count: int) -> list[tuple[Facts, Scene, Scene, int]]:
    """Return `count` rows of WPR, the four to six results of a query one after the other.

    Returns:
        Query, the scenes of title and snippet, and the grade: how many of the query's concepts they name.
    """
    rows: list[tuple[Facts, Scene, Scene, int]] = []
    parts = list(_CHOICES)
    while len(rows) < count:
        wanted = Facts(**{part: rng.choice(choices) for part, choices in _CHOICES.items()})
        if rows and wanted == rows[-1][0]:
            continue
        left = count - len(rows)
        size = min(rng.randint(4, 6), left)
        if left - size == 1:
            size = left  # a query with one result alone is not scored
        grades = rng.choices(range(5), GRADES, k=size)
        grades[rng.randrange(size)] = rng.randint(1, 4)  # one without any relevant result scores 0 whatever is said
        for grade in grades:
            shared = rng.sample(parts, grade)
            told = {
                p: getattr(wanted, p) if p in shared else _other(rng, _CHOICES[p], getattr(wanted, p)) for p in parts
            }
            subject = Nominal(told["subject"])
            verb = rng.choice(["see", "find", "paint", "lose"])
            snippet = Scene(subject, verb, Nominal(told["object"]), place=told["place"], time=told["time"])
            title = Scene(subject=subject, verb=rng.choice(["sleep", "sing", "dance", "work", "run"]))
            rows.append((wanted, title, snippet, grade))
    return rows


def headline(scene: Scene, language: str) -> str:
    """Return a sentence without its closing mark."""
    return " ".join(w.text for w in render(scene, language)[:-1])
