"""XTREME's forms of retrieval: BUCC's mined pairs, Tatoeba's places."""

from collections.abc import Sequence
from pathlib import Path

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction
from stiltgrid.readers.bitext import ENGLISH, TUNING
from stiltgrid.submission.lines import given, lines_of, one_an_example
from stiltgrid.tasks.registry import TaskRow


def write_pairs(predictions: Sequence[Prediction]) -> str:
    """Return the ids of a pair a line, in the order of the language's sentences; rows to tune on have none."""
    return "".join(
        f"{said.id}\t{said.text}\n" for said in predictions if given(said, "text") and not said.id.startswith(TUNING)
    )


def read_pairs(path: Path, examples: Sequence[Example], task: TaskRow) -> list[Prediction]:
    """Read the ids of a pair a line, in any order; sentences without a line are in no pair.

    The official evaluator compares sets, in which a sentence may have several partners. Mining is one to one, and so is
    a prediction here.

    Raises:
        StiltgridError: for a line that has not two ids, an id of the wrong side or of no sentence, or a second partner.
    """
    ids = {example.id for example in examples if not example.id.startswith(TUNING)}
    english = {name for name in ids if name.startswith(f"{ENGLISH}-")}
    sides = (ids - english, english)
    partner: dict[str, str] = {}
    taken: set[str] = set()
    for number, line in enumerate(lines_of(path), start=1):
        pair = line.strip().split("\t")
        if len(pair) != 2:
            raise StiltgridError(f"{path}:{number}: {line!r}, expected two ids with a tab between them")
        for name, side in zip(pair, sides, strict=True):
            if name not in side:
                hint = nearest(name, side) if len(side) <= 20 else f"allowed: the {len(side)} ids of that side"
                raise StiltgridError(f"{path}:{number}: unknown id {name!r}; {hint}")
            if name in partner or name in taken:
                raise StiltgridError(f"{path}:{number}: {name!r} is in a second pair, expected each sentence in one")
        partner[pair[0]] = pair[1]
        taken.add(pair[1])
    return [Prediction(id=example.id, text=partner.get(example.id, "")) for example in examples]


def write_places(predictions: Sequence[Prediction]) -> str:
    """Return the place, from 0, of the sentence found, a line an English sentence: examples are in that order."""
    return "".join(f"{int(str(given(said, 'text'))) - 1}\n" for said in predictions)


def read_places(path: Path, examples: Sequence[Example], task: TaskRow) -> list[Prediction]:
    """Read a place, from 0, a line, for the English sentences in alphabetical order.

    Raises:
        StiltgridError: if there is not one line an example, or one that is no place among the sentences.
    """
    lines = lines_of(path)
    one_an_example(path, lines, examples)
    found = []
    for number, (example, line) in enumerate(zip(examples, lines, strict=True), start=1):
        place = line.strip()
        if not (place.isascii() and place.isdigit()) or int(place) >= len(examples):
            raise StiltgridError(f"{path}:{number}: {line!r}, expected a place from 0 to {len(examples) - 1}")
        found.append(Prediction(id=example.id, text=str(int(place) + 1)))
    return found
