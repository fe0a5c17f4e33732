"""Retrieval by layer: what every layer of an encoder scores, in one pass over the sentences where memory allows."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from stiltgrid.artifacts import write_text
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.retrieve import search, texts
from stiltgrid.retrieve.embedding import Embedder, Progress, Vectors
from stiltgrid.schema import Retrieval
from stiltgrid.score import score_language
from stiltgrid.tasks.registry import TaskRow

VECTOR_BYTES = 2_000_000_000
"""Of vectors in memory at once; more layers than fit are embedded in several passes."""


class LayerScore(NamedTuple):
    """The score of one layer in one language."""

    model: str
    intermediate: str
    target: str
    seed: int
    language: str
    layer: int
    metric: str
    value: float


def by_layer(
    embedder: Embedder,
    task: TaskRow,
    language: str,
    examples: Sequence[Example],
    how: Retrieval,
    batch_size: int,
    progress: Progress | None = None,
) -> list[float]:
    """Return a language's main score at each layer, from 0, the embeddings, to the last.

    Args:
        embedder: the encoder.
        task: a retrieval task.
        language: of the examples.
        examples: the rows.
        how: the settings, but for the layer.
        batch_size: sentences at once.
        progress: called with (sentences done, sentences) of a side after each batch.
    """
    sides = texts(task, examples)
    size = 4 * embedder.encoder.config.hidden_size * sum(map(len, sides))
    at_once = max(1, VECTOR_BYTES // max(size, 1))
    found = []
    for start in range(0, embedder.depth + 1, at_once):
        layers = list(range(start, min(start + at_once, embedder.depth + 1)))
        embedded: list[list[Vectors]] = [embedder.embed(side, layers, how, batch_size, progress)[0] for side in sides]
        for k in range(len(layers)):
            said = search(task, examples, [side[k] for side in embedded], how)
            record, _ = score_language(task, language, examples, said, f"layer {layers[k]}")
            found.append(float(record[task.metrics[0]]))
    return found


def write_rows(path: Path | str, rows: Iterable[LayerScore]) -> None:
    """Write scores as CSV, a row a language and layer, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(LayerScore._fields)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_rows(path: Path | str) -> list[LayerScore]:
    """Read what `write_rows` wrote.

    Raises:
        StiltgridError: if the file is missing or has other columns.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as handle:
            header, *rows = csv.reader(handle)
    except (FileNotFoundError, ValueError):
        raise StiltgridError(f"{path}: no such file, or an empty one; `snakemake layers` makes it") from None
    if tuple(header) != LayerScore._fields:
        raise StiltgridError(f"{path}: columns {header}, expected {list(LayerScore._fields)}; remove it and run again")
    return [LayerScore(a, b, c, int(d), e, int(f), g, float(h)) for a, b, c, d, e, f, g, h in rows]


def markdown(rows: Sequence[LayerScore], title: Callable[[LayerScore], str]) -> str:
    """Return a table a run: languages by layers, the best layer of each language bold, and the mean of each layer.

    Args:
        rows: scores of whole runs.
        title: the heading of a run, from one of its rows.
    """
    runs: dict[tuple[str, str, str, int], list[LayerScore]] = {}
    for row in rows:
        runs.setdefault(row[:4], []).append(row)
    lines = []
    for own in runs.values():
        layers = sorted({row.layer for row in own})
        scores: dict[str, dict[int, float]] = {}
        for row in own:
            scores.setdefault(row.language, {})[row.layer] = row.value
        means = {k: math.fsum(s[k] for s in scores.values()) / len(scores) for k in layers}
        lines += [f"## {title(own[0])}", "", "| language | " + " | ".join(map(str, layers)) + " |"]
        lines += ["|---|" + "---:|" * len(layers)]
        for name, values in ({"mean": means} | scores).items():
            best = max(values.values())
            cells = [f"**{values[k]:.1f}**" if values[k] == best else f"{values[k]:.1f}" for k in layers]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)
