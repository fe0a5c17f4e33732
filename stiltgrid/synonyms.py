"""Randomized smoothing by data augmentation (RS-DA, Huang et al. 2021, section 3): rows again in other words.

Each copy of a row has every word that has neighbours replaced by a draw, uniform, from the word and its neighbours;
trained on are the copies alone, as the authors' script does. Neighbours come from a file of the user's, for instance
words that lie close together in counter-fitted embeddings.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stiltgrid.artifacts import digest, write_json, write_text
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, sidecar

WORD = re.compile(r"\w+")

Neighbours = Mapping[str, Sequence[str]]


def read_neighbours(path: Path | str) -> dict[str, list[str]]:
    """Read a file of neighbours: `word<TAB>neighbour neighbour ...` a line, or one JSON object (.json).

    Raises:
        StiltgridError: naming the line or the word that is malformed, or if the file is missing or names no neighbour.
    """
    path = Path(path)
    if not path.is_file():
        raise StiltgridError(f"{path}: no such file; `robust.neighbours` must name a file of neighbours")
    found: dict[str, list[str]] = {}
    for where, word, neighbours in _entries(path):
        if not word or not WORD.fullmatch(word):
            raise StiltgridError(f"{path}: {where}: {word!r} is no word; expected letters and digits alone")
        if word in found:
            raise StiltgridError(f"{path}: {where}: {word!r} stands here a second time; join its neighbours")
        found[word] = neighbours
    if not any(found.values()):
        raise StiltgridError(f"{path}: no neighbours; expected lines of `word<TAB>neighbour neighbour ...`")
    return found


def _entries(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StiltgridError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); convert the file") from None
    if path.suffix == ".json":
        try:
            table = json.loads(text)
        except json.JSONDecodeError as error:
            raise StiltgridError(f"{path}: not JSON: {error}") from None
        if not isinstance(table, dict):
            raise StiltgridError(
                f"{path}: expected one object {{word: [neighbour, ...]}}, found {type(table).__name__}"
            )
        for word, neighbours in table.items():
            if not isinstance(neighbours, list) or not all(
                isinstance(n, str) and len(n.split()) == 1 for n in neighbours
            ):
                raise StiltgridError(f"{path}: {word!r}: expected a list of single words, found {neighbours!r}")
            yield repr(word), word, neighbours
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        parts = line.split("\t")
        if len(parts) != 2:
            raise StiltgridError(
                f"{path}: line {number}: {len(parts) - 1} tabs; expected one, `word<TAB>neighbour neighbour ...`"
            )
        yield f"line {number}", parts[0].strip(), parts[1].split()


def write_neighbours(source: Path | str, path: Path | str) -> dict[str, Any]:
    """Write a checked copy of a file of neighbours, `.tsv`, and a sidecar with its fingerprint; return the sidecar."""
    words = read_neighbours(source)
    write_text(path, "".join(f"{word}\t{' '.join(near)}\n" for word, near in words.items()))
    record = {"schema_version": 1, "words": len(words), "fingerprint": digest(words)}
    write_json(sidecar(path), record)
    return record


def substituted(text: str, neighbours: Neighbours, rng: np.random.Generator) -> str:
    """Return a text with every word that has neighbours replaced by a uniform draw from it and them.

    A word is looked up as it stands, else in lower case; a capital first letter, or all capitals, are kept.
    """

    def other(match: re.Match[str]) -> str:
        word = match[0]
        near = neighbours.get(word) or neighbours.get(word.lower())
        if not near:
            return word
        chosen = [word, *near][int(rng.integers(len(near) + 1))]
        if word in neighbours or chosen == word:
            return chosen
        if word.isupper() and len(word) > 1:
            return chosen.upper()
        return chosen[:1].upper() + chosen[1:] if word[:1].isupper() else chosen

    return WORD.sub(other, text)


def copies(examples: Sequence[Example], neighbours: Neighbours, number: int, seed: int) -> list[Example]:
    """Return `number` copies of each row in other words, and not the rows themselves.

    Args:
        examples: rows of one task; of a tagging task each word is replaced by one word.
        neighbours: by word.
        number: copies of a row.
        seed: of the draws; a row's depend on it and the row's place alone.

    Returns:
        All first copies in the order of the rows, then all second ones, and so on.
    """
    found = []
    for turn in range(number):
        for place, example in enumerate(examples):
            rng = np.random.default_rng([seed, place, turn, 3])
            fields = {name: substituted(text, neighbours, rng) for name, text in example.fields.items()}
            words = example.words
            if words is not None:
                words = tuple(substituted(word, neighbours, rng) for word in words)
            choices = example.choices
            if choices is not None:
                choices = tuple(substituted(text, neighbours, rng) for text in choices)
            found.append(replace(example, id=f"{example.id}+{turn + 1}", fields=fields, words=words, choices=choices))
    return found
