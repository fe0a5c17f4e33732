"""Sentences of a language and of English: aligned line by line (Tatoeba), or two texts with some pairs (BUCC 2018)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.lines import numbered_lines
from stiltgrid.tasks.registry import TaskRow

ENGLISH = "en"
"""Of BUCC: what the ids of the English side begin with, and the group of its rows."""

TUNING = "dev:"
"""Of BUCC's test file: what stands before the ids of the dev rows on which the threshold is tuned."""


def read_aligned(paths: Sequence[Path], task: TaskRow, language: str, *, dropped: Counter[str]) -> list[Example]:
    """Read two files of which line i of one translates line i of the other.

    The rows come in the order of their English sentences, by code points, equal ones as in the file: XTREME sorts the
    English side so that positions tell nothing, and line i of a submission is for the i-th sentence of that order.

    Args:
        paths: the language's side, then the English one.
        task: the task row; its fields are `sentence` and `english`.
        language: not used; the files hold one language.
        dropped: not used; nothing is left out.

    Returns:
        Examples whose id is the line's number in the files, from 1; the one reference is the same: the sentence that an
        English query should find is that of its own line.

    Raises:
        StiltgridError: if there are not two files, or their numbers of lines differ (both named).
    """
    if len(paths) != 2:
        raise StiltgridError(f"{task.name}: {paths[0]}: expected two files, the language's and the English one")
    sides = [numbered_lines(path) for path in paths]
    if len(sides[0]) != len(sides[1]):
        raise StiltgridError(
            f"{paths[0]} has {len(sides[0])} lines, {paths[1]} has {len(sides[1])}; expected as many: line i of one "
            "translates line i of the other"
        )
    found = [
        Example(
            id=str(number),
            group=str(number),
            fields={"sentence": sentence.strip(), "english": english.strip()},
            references=(str(number),),
        )
        for (number, sentence), (_, english) in zip(*sides, strict=True)
    ]
    return sorted(found, key=lambda example: example.fields["english"])


def read_comparable(paths: Sequence[Path], task: TaskRow, language: str, *, dropped: Counter[str]) -> list[Example]:
    """Read a corpus of a language, one of English, and the pairs of sentences that translate each other.

    Args:
        paths: lines `id TAB sentence` of the language, the same of English, and lines `id TAB id` of the gold pairs;
            then, for a split that is scored with a threshold of another, the three files of that one.
        task: the task row; its field is `sentence`.
        language: of the files; ids begin with it, those of English with `en-`.
        dropped: not used; nothing is left out.

    Returns:
        A row a sentence, the language's first. `references` are the English ids that a sentence of the language belongs
        to, most often none; those of an English row are empty. A sentence is resampled by itself; English rows count
        nothing in the score, so they are one group, `en`. So are the tuning rows, whose ids begin with `dev:`.

    Raises:
        StiltgridError: if the number of files is another, a line has not two fields, an id occurs twice or is of the
            wrong side, or a gold pair names an id that no sentence has.
    """
    if len(paths) not in (3, 6):
        raise StiltgridError(
            f"{task.name}: {paths[0]}: expected three files (sentences, English sentences, gold pairs), or six, with "
            f"those that the threshold is tuned on; found {len(paths)}"
        )
    found = _corpus(paths[:3], language, "")
    return found + _corpus(paths[3:], language, TUNING) if len(paths) == 6 else found


def _corpus(paths: Sequence[Path], language: str, mark: str) -> list[Example]:
    sentences, english = (_sentences(path, side) for path, side in zip(paths, (language, ENGLISH), strict=False))
    gold: dict[str, list[str]] = {}
    for number, (one, other) in _fields(paths[2]):
        for name, side, path in ((one, sentences, paths[0]), (other, english, paths[1])):
            if name not in side:
                raise StiltgridError(f"{paths[2]}:{number}: id {name!r}, expected one of {path}")
        gold.setdefault(one, []).append(mark + other)
    found = [
        Example(id=mark + name, group=mark or name, fields={"sentence": text}, references=tuple(gold.get(name, ())))
        for name, text in sentences.items()
    ]
    return found + [
        Example(id=mark + name, group=mark or ENGLISH, fields={"sentence": text}, references=())
        for name, text in english.items()
    ]


def _sentences(path: Path, side: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, (name, text) in _fields(path):
        if not name.startswith(f"{side}-") or name in found:
            what = "occurred before" if name in found else "is of another side"
            raise StiltgridError(f"{path}:{number}: id {name!r} {what}; expected ids {side}-..., each once")
        found[name] = text
    return found


def _fields(path: Path) -> list[tuple[int, tuple[str, str]]]:
    found = []
    for number, line in numbered_lines(path):
        first, tab, second = line.partition("\t")
        if not tab or not first or not second.strip():
            raise StiltgridError(f"{path}:{number}: expected two fields with a tab between them, found {line[:60]!r}")
        found.append((number, (first, second.strip())))
    return found
