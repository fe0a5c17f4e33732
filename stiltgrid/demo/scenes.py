"""Examples of the toy world, drawn by chance: inference and paraphrase pairs, tagged sentences, news.

Inference pairs come from scenes: dropping a modifier or naming the hypernym is entailment, adding a modifier is
neutral, an antonym or a negation is contradiction. Paraphrase pairs reorder a sentence; most negatives keep all its
words and swap the roles (as PAWS does), the others name somebody else.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.grammar import Nominal, Scene, render

LABELS = ("entailment", "neutral", "contradiction")


def _nouns(kinds: Sequence[str]) -> list[str]:
    return [n for n, row in lx.NOUNS.items() if row[0] in kinds and n not in lx.KINDS]


def _adjectives(kind: str) -> list[str]:
    return [a for a, row in lx.ADJECTIVES.items() if kind in row[1]]


def draw_nominal(rng: random.Random, kinds: Sequence[str], *, modified: float, bare: float = 0.0) -> Nominal:
    """Draw a noun of one of `kinds`, with an adjective at probability `modified`, or a name at `bare`."""
    if "person" in kinds and rng.random() < bare:
        return Nominal(rng.choice(lx.NAMES))
    noun = rng.choice(_nouns(kinds))
    adjectives = (rng.choice(_adjectives(lx.NOUNS[noun][0])),) if rng.random() < modified else ()
    return Nominal(noun, definite=rng.random() < 0.7, adjectives=adjectives)


def draw_scene(
    rng: random.Random,
    *,
    transitive: float = 0.7,
    modified: float = 0.5,
    placed: float = 0.4,
    timed: float = 0.3,
    modal: float = 0.25,
    bare: float = 0.15,
) -> Scene:
    """Draw a scene; each argument is the probability of its part."""
    wanted = rng.random() < transitive
    verb = rng.choice([v for v, row in lx.VERBS.items() if bool(row[0]) == wanted])
    subject = draw_nominal(rng, ("animal", "person"), modified=modified, bare=bare)
    obj = None
    if wanted:
        obj = draw_nominal(rng, lx.VERBS[verb][0], modified=modified * 0.7, bare=bare * 0.7)
        while obj.noun == subject.noun:
            obj = draw_nominal(rng, lx.VERBS[verb][0], modified=modified * 0.7)
    return Scene(
        subject=subject,
        verb=verb,
        object=obj,
        place=rng.choice(list(lx.PLACES)) if rng.random() < placed else None,
        time=_draw_time(rng) if rng.random() < timed else None,
        modal=rng.choice(list(lx.MODALS)) if rng.random() < modal else None,
    )


def _draw_time(rng: random.Random) -> str:
    return rng.choice(list(lx.HOURS)) if rng.random() < 0.3 else rng.choice(list(lx.TIMES))


def _with(scene: Scene, role: str, **changes: object) -> Scene:
    return replace(scene, **{role: replace(getattr(scene, role), **changes)})


def _removals(scene: Scene) -> list[Scene]:
    found = [replace(scene, **{part: None}) for part in ("place", "time") if getattr(scene, part)]
    for role in ("subject", "object"):
        it = getattr(scene, role)
        if it and it.adjectives:
            found.append(_with(scene, role, adjectives=()))
        if it and it.noun in lx.NOUNS:
            found.append(_with(scene, role, noun=it.kind))
    return found


def _additions(scene: Scene, rng: random.Random) -> list[Scene]:
    found = []
    if not scene.place:
        found.append(replace(scene, place=rng.choice(list(lx.PLACES))))
    if not scene.time:
        found.append(replace(scene, time=_draw_time(rng)))
    for role in ("subject", "object"):
        it = getattr(scene, role)
        if it and it.noun in lx.NOUNS and not it.adjectives:
            found.append(_with(scene, role, adjectives=(rng.choice(_adjectives(it.kind)),)))
    return found


def _opposites(scene: Scene) -> list[Scene]:
    return [
        _with(scene, role, adjectives=tuple(lx.ADJECTIVES[a][0] for a in it.adjectives))
        for role in ("subject", "object")
        if (it := getattr(scene, role)) and it.adjectives
    ]


def hypotheses(premise: Scene, rng: random.Random) -> dict[str, Scene] | None:
    """Return one hypothesis a label, or None for a premise that cannot have all three."""
    removals, additions, opposites = _removals(premise), _additions(premise, rng), _opposites(premise)
    if not (removals and additions and opposites):
        return None
    contradiction = (
        rng.choice(opposites) if rng.random() < 0.6 else replace(rng.choice([premise, *removals]), negated=True)
    )
    return {
        "entailment": rng.choice(removals),
        "neutral": rng.choice(additions),
        "contradiction": contradiction,
    }


def inference_rows(rng: random.Random, count: int, **parts: float) -> list[tuple[Scene, Scene, str]]:
    """Return `count` rows (premise, hypothesis, label): three consecutive rows a premise, one a label, shuffled.

    Args:
        rng: the source of chance.
        count: a multiple of three.
        parts: probabilities, see `draw_scene`.
    """
    rows: list[tuple[Scene, Scene, str]] = []
    while len(rows) < count:
        premise = draw_scene(rng, **{"modified": 0.7, **parts})
        if found := hypotheses(premise, rng):
            labels = list(LABELS)
            rng.shuffle(labels)
            rows += [(premise, found[label], label) for label in labels]
    return rows[:count]


CHANGED = 0.4  # share of the negatives that change a word; the others keep them all


def _one_word_changed(scene: Scene, rng: random.Random) -> Scene:
    role = rng.choice(("subject", "object"))
    taken = {scene.subject.noun, scene.object.noun} if scene.object else set()
    if getattr(scene, role).bare:
        noun = rng.choice([n for n in lx.NAMES if n not in taken])
    else:
        noun = rng.choice([n for n in _nouns((getattr(scene, role).kind,)) if n not in taken])
    return _with(scene, role, noun=noun)


def paraphrase_rows(rng: random.Random, count: int) -> list[tuple[Scene, Scene, int]]:
    """Return `count` rows (scene, scene, 1 if they say the same); most 0s keep the words and swap who does it."""
    rows: list[tuple[Scene, Scene, int]] = []
    verbs = [v for v, row in lx.VERBS.items() if "animal" in row[0]]
    while len(rows) < count:
        living = ("animal", "person")
        first = draw_nominal(rng, living, modified=0.4, bare=0.2)
        second = draw_nominal(rng, living, modified=0.4, bare=0.2)
        if first.noun == second.noun:
            continue
        adverbials = rng.choice(("place", "time", "both"))
        scene = Scene(
            subject=first,
            verb=rng.choice(verbs),
            object=second,
            place=rng.choice(list(lx.PLACES)) if adverbials != "time" else None,
            time=_draw_time(rng) if adverbials != "place" else None,
            front=rng.choice([None, "place" if adverbials != "time" else "time"]),
        )
        fronts = [None, *(part for part in ("place", "time") if getattr(scene, part))]
        other = replace(scene, front=rng.choice([f for f in fronts if f != scene.front]))
        label = int(rng.random() < 0.5)
        if not label:
            other = rng.choice([scene, other])
            if rng.random() < CHANGED:
                other = _one_word_changed(other, rng)
            else:
                other = replace(other, subject=second, object=first)
        rows.append((scene, other, label))
    return rows


def question(scene: Scene) -> str:
    """Return the English yes-no question of a scene (QQP is English only)."""
    words = render(replace(scene, front=None, modal=scene.modal or "can"), "en", end="?")
    at = next(i for i, w in enumerate(words) if w.tag == "AUX")
    auxiliary = words[at].text if scene.modal else "does"
    rest = words[:at] + words[at + 1 : -1]
    lead = ""
    if scene.front:  # "in the park , does ..."
        size = 3 if scene.front == "place" else (1 if scene.time in lx.TIMES else 2)
        start = len(rest) - size
        if scene.front == "place" and scene.time:
            start -= 1 if scene.time in lx.TIMES else 2
        lead = " ".join(w.text for w in rest[start : start + size]) + ", "
        rest = rest[:start] + rest[start + size :]
    return f"{lead}{auxiliary} " + " ".join(w.text for w in rest) + "?"


def tagged_scene(rng: random.Random) -> Scene:
    """Draw a scene for tagging: pronouns, coordination, negation, hypernyms and fronting besides the rest."""
    scene = draw_scene(rng, bare=0.25)
    if rng.random() < 0.15:
        scene = replace(scene, subject=Nominal(rng.choice(list(lx.PRONOUNS))))
    elif scene.subject.adjectives and rng.random() < 0.4:
        first = scene.subject.adjectives[0]
        others = [a for a in _adjectives(scene.subject.kind) if a not in (first, lx.ADJECTIVES[first][0])]
        scene = _with(scene, "subject", adjectives=(first, rng.choice(others)))
    if rng.random() < 0.15:
        scene = replace(scene, negated=True)
    for role in ("subject", "object"):
        it = getattr(scene, role)
        if it and not it.bare and rng.random() < 0.15:
            scene = _with(scene, role, noun=it.kind)
    if scene.place and rng.random() < 0.2:
        scene = replace(scene, front="place")
    elif scene.time and rng.random() < 0.2:
        scene = replace(scene, front="time")
    return scene


def story(rng: random.Random) -> tuple[Scene, Scene, str]:
    """Return title, body, category; the body names a noun of the category, the title describes who is there."""
    category = rng.choice(list(lx.TOPICS))
    noun = rng.choice(lx.TOPICS[category])
    kind = lx.NOUNS[noun][0]
    verb = rng.choice([v for v, row in lx.VERBS.items() if kind in row[0]])
    topic = draw_nominal(rng, (kind,), modified=0.4)
    topic = Nominal(noun, definite=topic.definite, adjectives=topic.adjectives)
    person = draw_nominal(rng, ("person",), modified=0.3, bare=0.3)
    title = Scene(subject=person, verb=rng.choice(["work", "run", "sing", "dance"]), time=_draw_time(rng))
    return title, Scene(subject=person, verb=verb, object=topic, place=rng.choice(list(lx.PLACES))), category
