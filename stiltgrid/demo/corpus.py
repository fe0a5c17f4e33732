"""Parallel text for the tiny models' pretraining, and every word form of the world for their vocabulary.

Sentences of every part of the grammar, with names, and questions; no task's input or label.
"""

import random

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.entities import named_scene
from stiltgrid.demo.grammar import Word, render
from stiltgrid.demo.questions import answerable, asking, draw_told
from stiltgrid.demo.scenes import tagged_scene

KINDS = {"sentence": 0.7, "named": 0.15, "question": 0.15}


def parallel_sentence(rng: random.Random) -> dict[str, list[Word]]:
    """Draw one sentence; return its words by language."""
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "question":
        scene = draw_told(rng)
        asked = rng.choice(answerable(scene))
        return {language: asking(scene, asked, language) for language in lx.LANGUAGES}
    scene = named_scene(rng) if kind == "named" else tagged_scene(rng)
    return {language: render(scene, language) for language in lx.LANGUAGES}


def text_pool(rng: random.Random, count: int) -> list[dict[str, list[Word]]]:
    """Return `count` sentences, each in every language."""
    return [parallel_sentence(rng) for _ in range(count)]


def vocabulary_text() -> list[str]:
    """Return every word form of the world, once, in a fixed order (drawn from a large fixed sample)."""
    seen: dict[str, None] = {}
    for sentence in text_pool(random.Random("vocabulary"), 12000):
        for words in sentence.values():
            seen.update(dict.fromkeys(w.text for w in words))
    return list(seen)
