"""News of the toy world whose titles are to be written (NTG): the title tells the first sentence in short."""

import random
from dataclasses import replace

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.grammar import Nominal, Scene
from stiltgrid.demo.questions import draw_told


def article(rng: random.Random) -> tuple[Scene, tuple[Scene, Scene]]:
    """Return title and body: the first sentence in full, then what else its subject does.

    The title keeps who does what and drops properties, place, time and modality, as headlines do.
    """
    first = draw_told(rng, modal=0.0)
    title = replace(first, place=None, time=None, subject=replace(first.subject, adjectives=()))
    if title.object:
        title = replace(title, object=replace(title.object, adjectives=()))
    verbs = [v for v, row in lx.VERBS.items() if not row[0] and v != first.verb]
    second = Scene(Nominal(first.subject.noun), rng.choice(verbs), place=rng.choice([*lx.PLACES, *lx.TOWNS]))
    return title, (first, second)
