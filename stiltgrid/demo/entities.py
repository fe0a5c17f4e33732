"""Sentences with named persons, places, groups and nationalities, tagged as CoNLL does (NER).

English and German files are tagged IOB1 (`B-` only where an entity follows another of its type), Spanish ones IOB2,
as in XGLUE's archive. German word order lets two persons meet: `heute sieht Anna Tom`.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.grammar import Nominal, Scene, Word, render
from stiltgrid.demo.scenes import draw_scene

LANGUAGES = ("en", "de", "es")  # the official four without Dutch
SCHEMES = {"en": "IOB1", "de": "IOB1", "es": "IOB2"}


def _full_name(it: Nominal, rng: random.Random) -> Nominal:
    if it.noun in lx.NAMES and rng.random() < 0.4:
        return replace(it, noun=f"{it.noun} {rng.choice(lx.SURNAMES)}")
    if not it.bare and it.kind in ("person", "thing") and rng.random() < 0.4:
        return replace(it, adjectives=(rng.choice(list(lx.NATIONALITIES)),))
    return it


def named_scene(rng: random.Random) -> Scene:
    """Draw a scene with names: full names, groups that act, towns, nationalities; some sentences have none."""
    scene = draw_scene(rng, transitive=0.75, modified=0.3, placed=0.6, timed=0.4, bare=0.55)
    if rng.random() < 0.25:
        scene = replace(scene, subject=Nominal(rng.choice(list(lx.GROUPS))))
    scene = replace(scene, subject=_full_name(scene.subject, rng))
    if scene.object:
        scene = replace(scene, object=_full_name(scene.object, rng))
    if scene.place and rng.random() < 0.6:
        scene = replace(scene, place=rng.choice(list(lx.TOWNS)))
    if scene.time and rng.random() < 0.4:
        scene = replace(scene, front="time")
    elif scene.place and rng.random() < 0.25:
        scene = replace(scene, front="place")
    return scene


def _entity(word: Word, scene: Scene) -> tuple[str, str] | None:
    """Return what a word is part of, (type, part of the scene), or None outside of entities."""
    role, _, part = (word.key or "").partition(".")
    if role.startswith("place") and scene.place in lx.TOWNS:
        return "LOC", "place"
    it = getattr(scene, role) if role in ("subject", "object") else None
    if it is None:
        return None
    if part.startswith("noun") and it.bare and it.noun not in lx.PRONOUNS:
        return ("ORG" if it.kind == "group" else "PER"), role
    if part.startswith("adjective") and it.adjectives[int(part[-1])] in lx.NATIONALITIES:
        return "MISC", part + role
    return None


def entity_tags(words: Sequence[Word], scene: Scene, scheme: str) -> list[str]:
    """Return a tag a word.

    Args:
        words: the scene rendered.
        scene: what they say.
        scheme: IOB1 or IOB2.
    """
    tags = []
    before: tuple[str, str] | None = None
    for word in words:
        now = _entity(word, scene)
        if now is None:
            tags.append("O")
        else:
            first = now != before
            meets = before is not None and before[0] == now[0]
            tags.append(("B-" if first and (scheme == "IOB2" or meets) else "I-") + now[0])
        before = now
    return tags


def tagged_text(scenes: Sequence[Scene], language: str) -> str:
    """Return the file of one split: `word tag` lines, a blank line after each sentence, the last included."""
    lines = []
    for scene in scenes:
        words = render(scene, language)
        tags = entity_tags(words, scene, SCHEMES[language])
        lines += [f"{w.text} {tag}" for w, tag in zip(words, tags, strict=True)] + [""]
    return "".join(f"{line}\n" for line in lines)
