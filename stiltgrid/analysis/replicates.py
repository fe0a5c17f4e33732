"""Every run of one target scored on every draw of its test examples: `analysis/bootstrap/<target>.npz`.

A cell's statistics are summed by cluster; a block of draws times these sums gives the sums of each resample, and the
metric makes a score of them. So 2,000 resamples of 10,000 examples are one product of matrices for all runs of a
language, and texts are never looked at again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stiltgrid.analysis.clusters import (
    Clusters,
    clusters,
    linked,
    presence,
    read_columns,
    read_names,
    same_test_set,
)
from stiltgrid.analysis.resampling import REPLICATES, draws, seed
from stiltgrid.artifacts import replacing
from stiltgrid.commit import code
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell
from stiltgrid.metrics import METRICS, Metric

SCHEMA_VERSION = 1
EXACT = 2.0**23
"""Sums of integers below it are exact in float32, also those of a draw that has twice as many units."""


@dataclass(frozen=True, slots=True)
class Replicates:
    """Scores of one target's runs on their test sets and on resamples of them.

    Attributes:
        target: its name in the config.
        metrics: names.
        cells: the runs' languages, sorted.
        scores: on the test set itself, shape (metrics, cells), 0 to 100.
        values: on resamples, shape (metrics, cells, replicates), float32.
        units: of each cell's test set, shape (cells,).
        clusters: likewise.
    """

    target: str
    metrics: tuple[str, ...]
    cells: tuple[Cell, ...]
    scores: NDArray[np.float64]
    values: NDArray[np.float32]
    units: NDArray[np.int64]
    clusters: NDArray[np.int64]


def _columns(metrics: Sequence[Metric]) -> list[str]:
    """Return the statistics that metrics rest on, each once."""
    return list(dict.fromkeys(name for metric in metrics for name in metric.columns))


def _score(metrics: Sequence[Metric], columns: Sequence[str], sums: NDArray, units: NDArray) -> NDArray[np.float64]:
    """Return scores, shape (metrics, ...), from sums of shape (columns, ...)."""
    named = dict(zip(columns, sums, strict=True)) | {"units": np.broadcast_to(units, sums.shape[1:])}
    return np.stack([np.asarray(metric.of_sums(named), dtype=np.float64) for metric in metrics])


def _stack(
    paths: Iterable[Path | str], columns: Sequence[str], joint: Mapping[str, str] | None
) -> tuple[Clusters, NDArray[np.float64]]:
    """Return the clusters of a language's test set, and the runs' sums, shape (columns, runs, clusters).

    Args:
        paths: a file a run.
        columns: statistics.
        joint: group -> name of the cluster that it is part of; None: each is one.
    """
    first, groups, mapping, stacked, origin = None, None, None, [], ""
    for path in paths:
        here, table = read_columns(path, columns)
        # comparing names is what costs here, and nearly always they are those of the file before
        if groups is None or not here.equals(groups):
            names = here.to_pylist()
            if joint is not None:
                if unknown := next((name for name in names if name not in joint), None):
                    raise StiltgridError(f"{path}: group {unknown!r} is not in the other runs' test set; score again")
                names = [joint[name] for name in names]
            groups, mapping = here, clusters(names)
            first, origin = (first, origin) if first is not None else (mapping, str(path))
            same_test_set(path, mapping, first, origin)
        stacked.append(mapping.sums(table))
    return first, np.stack(stacked, axis=1)


def resample(
    sums: NDArray[np.float64],
    units: NDArray[np.float64],
    blocks: Iterable[tuple[slice, NDArray[np.float32]]],
    replicates: int,
    score: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Score runs on draws of clusters.

    Args:
        sums: statistics by cluster, shape (columns, runs, clusters).
        units: of each cluster, shape (clusters,).
        blocks: of `resampling.draws`.
        replicates: their number.
        score: of sums, shape (columns, runs, draws), and units, shape (draws,): scores, shape (metrics, runs, draws).

    Returns:
        Shape (metrics, runs, replicates).
    """
    width, runs, number = sums.shape
    flat = sums.reshape(width * runs, number)
    # what all runs share (the gold's side of a metric) is summed once; whole numbers are exact in half the bytes
    place: dict[bytes, int] = {}
    back = [place.setdefault(hashlib.sha256(row).digest(), len(place)) for row in flat]
    unique = flat[np.unique(back, return_index=True)[1]]
    whole = np.array_equal(unique, np.rint(unique)) and np.abs(unique).sum(axis=1).max(initial=0) < EXACT
    dtype = np.float32 if whole else np.float64
    right = np.ascontiguousarray(np.vstack([unique, units]).astype(dtype).T)
    found = None
    for rows, counts in blocks:
        product = (counts.astype(dtype, copy=False) @ right).astype(np.float64).T
        table = product[:-1][back].reshape(width, runs, -1)
        block = score(table, product[-1])
        if found is None:
            found = np.empty((len(block), runs, replicates), dtype=np.float32)
        found[:, :, rows] = block
    return found


def replicate(
    target: str,
    task: str,
    split: str,
    metrics: Sequence[str],
    files: Mapping[Cell, Path | str],
    *,
    parallel: bool | Literal["ids"],
    replicates: int = REPLICATES,
    progress: Callable[[int, int], None] | None = None,
) -> Replicates:
    """Score every run of a target on every draw of its test examples.

    Args:
        target: its name in the config.
        task: suite/task.
        split: the one that is scored.
        metrics: names; their statistics are in the files.
        files: cell -> file of statistics; the cells that are complete. The order plays no part.
        parallel: whether the languages' test sets correspond: then a cluster, matched by name, is drawn for all of
            them at once; if not, each language has draws of its own. `ids`: in part; clusters that share the id of a
            unit are drawn as one (`clusters.linked`).
        replicates: number of draws.
        progress: called with (cells done, cells in all).

    Raises:
        StiltgridError: if a file is not usable, or two runs of a language rest on different test sets.
    """
    chosen = [METRICS[name] for name in metrics]
    columns = _columns(chosen)
    cells = sorted(files, key=lambda c: (c.language, *c))
    by_language = {language: list(own) for language, own in groupby(cells, key=lambda c: c.language)}
    shared: tuple[tuple[str, ...], NDArray[np.bool_]] | None = None
    joint: dict[str, dict[str, str]] = {}
    if parallel and cells:
        found = {x: read_names(files[own[0]]) for x, own in by_language.items()}
        joint = linked(found) if parallel == "ids" else {}
        shared = presence({x: set(joint[x].values() if joint else groups) for x, (_, groups) in found.items()})
    scores = np.empty((len(chosen), len(cells)))
    values = np.empty((len(chosen), len(cells), replicates), dtype=np.float32)
    units, number = np.empty(len(cells), dtype=np.int64), np.empty(len(cells), dtype=np.int64)
    done = 0
    for row, (language, own) in enumerate(by_language.items()):
        known, sums = _stack((files[cell] for cell in own), columns, joint.get(language))
        names, has = shared or (known.names, None)
        key = seed(task, split, None if shared else language, names)
        blocks = draws(key, len(names), replicates, present=has)
        if has is not None and not has[row].all():
            own_clusters = has[row]
            blocks = ((rows, counts[:, own_clusters]) for rows, counts in blocks)
        place = slice(done, done + len(own))

        def score(table: NDArray, weight: NDArray) -> NDArray[np.float64]:
            return _score(chosen, columns, table, weight)

        values[:, place] = resample(sums, known.units, blocks, replicates, score)
        scores[:, place] = _score(chosen, columns, sums.sum(axis=2), known.units.sum())
        units[place], number[place] = len(known.index), len(known.names)
        done += len(own)
        if progress is not None:
            progress(done, len(cells))
    return Replicates(target, tuple(metrics), tuple(cells), scores, values, units, number)


def write_replicates(path: Path | str, found: Replicates) -> None:
    """Write replicates as an npz file, atomically."""
    about = {"schema_version": SCHEMA_VERSION, "target": found.target, "metrics": found.metrics, "cells": found.cells}
    about["code"] = code()
    with replacing(path) as temporary, Path(temporary).open("wb") as handle:
        np.savez(
            handle,
            about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
            scores=found.scores,
            values=found.values,
            units=found.units,
            clusters=found.clusters,
        )


def read_replicates(path: Path | str) -> Replicates:
    """Read what `write_replicates` wrote.

    Raises:
        StiltgridError: if the file is missing, not whole, or of another schema version.
    """
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            if about.get("schema_version") != SCHEMA_VERSION:
                raise StiltgridError(f"{path}: schema version {about.get('schema_version')}, expected {SCHEMA_VERSION}")
            arrays = {name: file[name] for name in ("scores", "values", "units", "clusters")}
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file; resample the target first") from None
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StiltgridError(f"{path}: not whole ({error}); remove it and resample again") from None
    return Replicates(about["target"], tuple(about["metrics"]), tuple(Cell(*c) for c in about["cells"]), **arrays)
