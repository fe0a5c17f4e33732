"""Example predictions with gold for the explorer: a few a cell, some right and some wrong, by a seeded rule.

The rule: a test set's examples stand in the order of a hash of the seed and their ids, the same for every model and,
in parallel test sets, every language; of the first `CANDIDATES`, a cell shows the first `RIGHT` that it answers
rightly and the first `WRONG` that it does not. Nobody picks them, and neighbouring cells show the same ones.
"""

import hashlib
import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.grid import Cell, Grid
from stiltgrid.metrics import METRICS
from stiltgrid.predictions import Prediction
from stiltgrid.tasks.registry import TaskRow

if TYPE_CHECKING:
    import pandas as pd

Place = tuple[str, str, str, str]
"""Model, intermediate, target, language."""
Record = TypeVar("Record", Example, Prediction)
SEED = 0
CANDIDATES = 60
RIGHT = WRONG = 3
LONGEST = 600
"""Characters of a text that are shown; a longer one is cut, around the answer where there is one."""
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


class Shown(NamedTuple):
    """One example prediction.

    Attributes:
        example: its place in the file, from 0.
        said: label or text, or one tag a word.
        right: whether it equals the gold; None where no answer is simply right or wrong.
    """

    example: int
    said: str | list[str]
    right: bool | None


def _exact(task: TaskRow, language: str, example: Example, said: Prediction) -> bool | None:
    """Tell whether a written answer is one of the gold answers, by the task's own normalisation."""
    found = METRICS[task.metrics[0]].statistics(task, language, [example], [said])
    return bool(found["exact"][0]) if "exact" in found else None


Judge = Callable[[TaskRow, str, Example, Prediction], bool | None]
JUDGES: dict[str, Judge] = {
    "classification": lambda task, language, example, said: said.label == example.label,
    "choice": lambda task, language, example, said: said.label == example.label,
    "ranking": lambda task, language, example, said: said.label == example.label,
    "tagging": lambda task, language, example, said: said.tags == example.tags,
    "span": _exact,
    "generation": lambda task, language, example, said: None,
}
"""Kind of task -> is a prediction right? Cells of other kinds show no examples."""


def candidates(ids: Sequence[str], *, seed: int = SEED, number: int = CANDIDATES) -> list[int]:
    """Return the places of the examples that may be shown, in the order of the rule.

    Args:
        ids: of a test set, in file order.
        seed: of the rule.
        number: how many at most.
    """

    def rank(place: int) -> bytes:
        return hashlib.sha256(f"{seed}\n{ids[place]}".encode()).digest()

    return heapq.nsmallest(number, range(len(ids)), key=rank)


def choose(
    task: TaskRow,
    language: str,
    examples: Sequence[tuple[int, Example]],
    said: Sequence[Prediction],
) -> list[Shown]:
    """Return what a cell shows of the candidates, in the order of the rule.

    Args:
        task: the task row.
        language: of the examples.
        examples: candidates with their places in the file.
        said: a prediction for each.
    """
    judge = JUDGES.get(task.kind)
    if judge is None:
        return []
    left = {True: RIGHT, False: WRONG, None: RIGHT + WRONG}
    shown = []
    for (place, example), answer in zip(examples, said, strict=True):
        right = judge(task, language, example, answer)
        if left[right]:
            left[right] -= 1
            withheld = answer.no_answer is not None and answer.no_answer > 0
            single = answer.label if answer.text is None else "" if withheld else answer.text
            shown.append(Shown(place, list(answer.tags) if answer.tags is not None else single or "", right))
    return shown


def _rows(path: Path | str, columns: Sequence[str], places: Sequence[int]) -> list[dict[str, Any]]:
    """Read some rows of a Parquet file as dictionaries; columns that it does not have are None."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            there = [name for name in columns if name in file.schema_arrow.names]
            table = file.read(columns=there)
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file; run the same snakemake command again") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: not a whole Parquet file ({error}); remove it and run again") from None
    if places and max(places) >= table.num_rows:
        raise StiltgridError(f"{path}: {table.num_rows} rows, expected at least {max(places) + 1}; score it again")
    return [dict.fromkeys(columns) | row for row in table.take(list(places)).to_pylist()]


def _columns(kind: type) -> list[str]:
    """Return the columns that hold a record's attributes."""
    return [field.name for field in fields(kind)]


def _as(kind: type[Record], row: Mapping[str, Any]) -> Record:
    """Return a row as a record: lists as tuples, the map of texts as a dictionary."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return kind(**values | ({"fields": dict(values["fields"] or ())} if "fields" in values else {}))


def read_candidates(path: Path | str) -> list[tuple[int, Example]]:
    """Read the candidates of a test set with their places in the file.

    Raises:
        StiltgridError: if the file is missing or not whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file; `snakemake` makes it from the source data") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: not a whole Parquet file ({error}); remove it and run again") from None
    places = candidates(ids)
    found = [_as(Example, row) for row in _rows(path, _columns(Example), places)]
    return list(zip(places, found, strict=True))


def read_said(path: Path | str, examples: Sequence[tuple[int, Example]]) -> list[Prediction]:
    """Read a prediction file's rows of the candidates.

    Raises:
        StiltgridError: if the file is missing, not whole, or answers other examples.
    """
    found = []
    rows = _rows(path, _columns(Prediction), [place for place, _ in examples])
    for (place, example), row in zip(examples, rows, strict=True):
        if row["id"] != example.id:
            raise StiltgridError(f"{path}: row {place + 1} has id {row['id']!r}, expected {example.id!r}")
        found.append(_as(Prediction, row))
    return found


def _cut(text: str, around: int = 0) -> str:
    """Return at most `LONGEST` characters of a text, those around a place, with marks where it was cut."""
    if len(text) <= LONGEST:
        return text
    start = min(max(0, around - LONGEST // 2), len(text) - LONGEST)
    end = start + LONGEST
    return (ELLIPSIS if start else "") + text[start:end] + (ELLIPSIS if end < len(text) else "")


def described(example: Example) -> dict[str, Any]:
    """Return an example as the page holds it: id, texts by name, and gold or, for tagging, words and tags."""
    about: dict[str, Any] = {"id": example.id}
    if example.words is not None:
        return about | {"words": list(example.words), "tags": list(example.tags or ())}
    answer = example.starts[0] if example.starts else 0
    about["fields"] = [[name, _cut(text, answer if name == "context" else 0)] for name, text in example.fields.items()]
    about["fields"] += [[f"choice {k}", _cut(text)] for k, text in enumerate(example.choices or ())]
    gold = example.references if example.references is not None else (example.label or "",)
    return about | {"gold": [_cut(text) for text in dict.fromkeys(gold)]}


class Examples(NamedTuple):
    """Example predictions of a grid.

    Attributes:
        texts: (target, language) -> place in the file -> `described`.
        shown: what each place's cells show.
        seed: place -> the seed whose predictions these are: its first that is done.
    """

    texts: Mapping[tuple[str, str], Mapping[int, dict[str, Any]]]
    shown: Mapping[Place, Sequence[Shown]]
    seed: Mapping[Place, int]


def gather(grid: Grid, frame: "pd.DataFrame", progress: Callable[[int, int], None] | None = None) -> Examples:
    """Read the examples that the page shows; of a prediction file only the candidates' rows become objects.

    Args:
        grid: the expanded config.
        frame: the tidy score table; says which cells are done.
        progress: called with (cells done, cells in all).

    Raises:
        StiltgridError: if a file of examples or predictions is missing, not whole, or does not fit the other.
    """
    done = frame[frame["status"] == "done"]
    names = ("model", "intermediate", "target", "language", "seed")
    first: dict[Place, int] = {}
    for *place, seed in zip(*(done[name].tolist() for name in names), strict=True):
        key: Place = tuple(place)
        first[key] = min(seed, first.get(key, seed))
    gold: dict[tuple[str, str], list[tuple[int, Example]]] = {}
    texts: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    shown: dict[Place, list[Shown]] = {}
    for number, ((model, arm, target, language), seed) in enumerate(first.items(), start=1):
        task, where = grid.tasks[target], (target, language)
        if task.kind in JUDGES:
            if where not in gold:
                gold[where] = read_candidates(grid.paths.data(grid.evaluation(target, language)))
            said = read_said(grid.paths.prediction(Cell(model, arm, target, language, seed)), gold[where])
            chosen = choose(task, language, gold[where], said)
            shown[model, arm, target, language] = chosen
            by_place = dict(gold[where])
            for example in chosen:
                texts.setdefault(where, {}).setdefault(example.example, described(by_place[example.example]))
        if progress is not None:
            progress(number, len(first))
    return Examples(texts, shown, first)
