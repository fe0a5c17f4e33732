"""Questions of the toy world in four languages, and the paragraphs that answer them.

A question asks for one part of a scene, which its sentence tells: who, what, where or when. It has an answer in a
paragraph (MLQA), is answered by a passage or not (QAM), or is to be written (QG).
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.grammar import Nominal, Scene, Word, join, nominal, render, sentence
from stiltgrid.demo.scenes import draw_nominal, draw_scene

PARTS = {"who": "subject", "what": "object", "where": "place", "when": "time"}
_KEYS = {"who": ("subject.",), "what": ("object.",), "where": ("place", "in.article"), "when": ("time",)}


def asking(scene: Scene, asked: str, language: str) -> list[Word]:
    """Return the words of a question, the closing mark included.

    Args:
        scene: what is asked about; its front and negation play no part.
        asked: who, what, where or when.
        language: en, de, es or fr. German and Spanish put the verb second, French does so after `que` alone.
    """
    form = lx.QUESTION_WORDS[asked][lx.LANGUAGES.index(language)]
    word = Word(form, "PRON" if asked in ("who", "what") else "ADV", f"asked.{asked}")
    told = replace(scene, front=None, negated=False)
    if asked != "who":
        told = replace(told, **{PARTS[asked]: None})
    rest = render(told, language, end="?")
    size = len(nominal(scene.subject, language, "subject"))
    subject, rest = rest[:size], rest[size:]
    if asked == "who":
        return [word, *rest]
    if language == "en":
        infinitive = Word(lx.VERBS[scene.verb][1].split()[1], "VERB", "verb")
        group = [rest[0]] if scene.modal else [Word("does", "AUX", None)]
        return [word, *group, *subject, infinitive, *rest[2 if scene.modal else 1 :]]
    if language == "de":
        return [word, rest[0], *subject, *rest[1:]]
    if language == "es" or asked == "what":
        verbs = 2 if scene.modal else 1
        return [word, *rest[:verbs], *subject, *rest[verbs:]]
    return [word, *subject, *rest]


def answer_span(words: Sequence[Word], asked: str) -> tuple[int, int]:
    """Return the first word of a sentence's answer to a question, and one past its last."""
    found = [i for i, w in enumerate(words) if w.key is not None and w.key.startswith(_KEYS[asked])]
    return found[0], found[-1] + 1


def answerable(scene: Scene) -> list[str]:
    """Return what can be asked about a scene; persons as objects are left out (`what` is for things and animals)."""
    found = [asked for asked, part in PARTS.items() if getattr(scene, part)]
    if scene.object and scene.object.kind == "person":
        found.remove("what")
    return found


def draw_told(rng: random.Random, modal: float = 0.15) -> Scene:
    """Draw a scene that tells much: named persons, towns, most with place and time."""
    scene = draw_scene(rng, transitive=0.8, modified=0.3, placed=0.0, timed=0.5, modal=modal, bare=0.5)
    if scene.object and scene.object.kind == "person":
        scene = replace(scene, object=draw_nominal(rng, ("animal",), modified=0.3))
    places = list(lx.PLACES) if rng.random() < 0.7 else list(lx.TOWNS)
    return replace(scene, place=rng.choice(places) if rng.random() < 0.7 else None)


def _paragraph(rng: random.Random, size: int) -> list[Scene]:
    """Draw scenes that share neither subject nor verb, so that a question has one answer."""
    scenes: list[Scene] = []
    while len(scenes) < size:
        scene = draw_told(rng)
        nouns = {s.subject.noun for s in scenes}
        if scene.subject.noun not in nouns and scene.verb not in {s.verb for s in scenes}:
            scenes.append(scene)
    return scenes


def shortened(scene: Scene, asked: str, rng: random.Random) -> Scene:
    """Leave out of a question some of what its sentence tells, never the verb or what is asked."""
    for part in ("place", "time"):
        if part != PARTS[asked] and rng.random() < 0.7:
            scene = replace(scene, **{part: None})
    return scene


Asked = tuple[int, str, Scene]  # the sentence, what is asked for, the question's scene


def paragraphs(rng: random.Random, questions: int, each: int = 2) -> list[tuple[list[Scene], list[Asked]]]:
    """Return paragraphs of two sentences with `each` questions about different sentences, `questions` in all."""
    found: list[tuple[list[Scene], list[Asked]]] = []
    while (left := questions - each * len(found)) > 0:
        scenes = _paragraph(rng, 2)
        asked: list[Asked] = []
        for at in rng.sample(range(len(scenes)), min(each, left)):
            what = rng.choice(answerable(scenes[at]))
            asked.append((at, what, shortened(scenes[at], what, rng)))
        found.append((scenes, asked))
    return found


def squad(rows: Sequence[tuple[list[Scene], list[Asked]]], language: str, name: str) -> dict[str, Any]:
    """Return paragraphs in the form of SQuAD 1.1, four to an article; offsets count code points.

    Args:
        rows: as `paragraphs`.
        language: of contexts and questions.
        name: begins the ids, which are those of the other languages' files.
    """
    found = []
    for number, (scenes, asked) in enumerate(rows):
        told = [render(scene, language) for scene in scenes]
        texts = [join(words) for words in told]
        qas = []
        for turn, (at, what, scene) in enumerate(asked):
            first, stop = answer_span(told[at], what)
            before = [*texts[:at], *(w.text for w in told[at][:first])]
            answer = " ".join(w.text for w in told[at][first:stop])
            qas.append(
                {
                    "answers": [{"answer_start": sum(len(t) + 1 for t in before), "text": answer}],
                    "question": join(asking(scene, what, language)),
                    "id": f"{name}-{number:05}-{turn}",
                }
            )
        found.append({"context": " ".join(texts), "qas": qas})
    articles = [{"title": f"Miniature_{i // 4 + 1}", "paragraphs": found[i : i + 4]} for i in range(0, len(found), 4)]
    return {"data": articles, "version": "1.1"}


def _elsewhere(scene: Scene, asked: str, rng: random.Random) -> Scene:
    """Return a scene that does not answer the question: nothing is told, or about somebody or something else."""
    if asked in ("where", "when") and rng.random() < 0.3:
        return replace(scene, **{PARTS[asked]: None})
    other = scene
    while other.verb == scene.verb or bool(lx.VERBS[other.verb][0]) != bool(scene.object):
        other = draw_told(rng)
    if asked != "who" and rng.random() < 0.5:
        return replace(scene, subject=other.subject) if other.subject.noun != scene.subject.noun else other
    return replace(other, subject=scene.subject)


def passages(rng: random.Random, count: int) -> list[tuple[tuple[Scene, str], tuple[Scene, Scene], int]]:
    """Return `count` rows of QAM: (scene, asked), two sentences, and 1 if one of them answers the question."""
    rows = []
    while len(rows) < count:
        scene, beside = _paragraph(rng, 2)
        asked = rng.choice(answerable(scene))
        label = int(rng.random() < 0.5)
        told = [scene if label else _elsewhere(scene, asked, rng), beside]
        rng.shuffle(told)
        rows.append(((shortened(scene, asked, rng), asked), (told[0], told[1]), label))
    return rows


def to_be_asked(rng: random.Random, count: int) -> list[tuple[tuple[Scene, Scene], str]]:
    """Return `count` rows of QG: two sentences about one subject, and what the question about the first asks.

    It asks for the place; where none is told for the time, then for the object, then for who it is: a rule that can
    be learnt, as the choices of people cannot.
    """
    rows = []
    for _ in range(count):
        scene = draw_told(rng)
        asked = next(a for a in ("where", "when", "what", "who") if a in answerable(scene))
        verb = rng.choice([v for v, row in lx.VERBS.items() if not row[0] and v != scene.verb])
        rows.append(((scene, Scene(subject=Nominal(scene.subject.noun), verb=verb)), asked))
    return rows


def question_text(scene: Scene, asked: str, language: str) -> str:
    """Return the running text of a question, see `asking`."""
    return join(asking(scene, asked, language))


def passage_text(scenes: Sequence[Scene], language: str) -> str:
    """Return sentences one after the other."""
    return " ".join(sentence(scene, language) for scene in scenes)
