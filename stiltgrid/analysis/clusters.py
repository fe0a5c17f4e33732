"""From the statistics of a run's units to sums by cluster: all that a resample needs of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stiltgrid.errors import StiltgridError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Clusters:
    """The clusters of one test file.

    Attributes:
        names: sorted, each once, shape (clusters,).
        index: the cluster of each unit, shape (units,), in the file's order.
    """

    names: tuple[str, ...]
    index: NDArray[np.intp]

    @property
    def units(self) -> NDArray[np.float64]:
        """Number of units of each cluster, shape (clusters,)."""
        return np.bincount(self.index, minlength=len(self.names)).astype(np.float64)

    def sums(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sums by cluster, shape (columns, clusters), of statistics of shape (columns, units)."""
        return np.stack([np.bincount(self.index, weights=c, minlength=len(self.names)) for c in columns])


def clusters(groups: Sequence[str] | NDArray[Any]) -> Clusters:
    """Return the clusters that units belong to, by their groups' names."""
    names, index = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    return Clusters(tuple(names.tolist()), index)


def read_names(path: Path | str) -> tuple[list[str], list[str]]:
    """Return the units' ids and their groups in a file of statistics.

    Raises:
        StiltgridError: as `read_columns`.
    """
    table = _read(path, ["unit", "group"])
    return table["unit"].to_pylist(), table["group"].to_pylist()


def read_columns(path: Path | str, columns: Sequence[str]) -> tuple["pa.Array", NDArray[np.float64]]:
    """Return the groups of a file of statistics, and the statistics.

    Args:
        path: the `.stats.parquet` file beside a score.
        columns: names of statistics.

    Returns:
        An Arrow array of n strings, and an array of shape (columns, n).

    Raises:
        StiltgridError: if the file is missing, truncated, lacks a column, or holds values that are not finite.
    """
    table = _read(path, ["group", *columns])
    found = np.stack([table[name].to_numpy().astype(np.float64, copy=False) for name in columns])
    if not np.isfinite(found).all():
        raise StiltgridError(f"{path}: a statistic is not finite; score the run again")
    return table["group"].combine_chunks(), found


def _read(path: Path | str, columns: Sequence[str]) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            there = set(file.schema_arrow.names)
            if lacking := [name for name in columns if name not in there]:
                raise StiltgridError(f"{path}: lacks the column {lacking[0]!r}; remove the score and score again")
            return file.read(columns=list(columns), use_threads=False)
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file; remove the score beside it and score again") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: not a whole Parquet file ({error}); remove it and score again") from None


def same_test_set(path: Path | str, found: Clusters, expected: Clusters, other: Path | str) -> None:
    """Check that two runs were scored on the same clusters.

    Raises:
        StiltgridError: if not, naming both files and a cluster.
    """
    if found.names != expected.names or not np.array_equal(found.units, expected.units):
        here, there = (dict(zip(c.names, c.units.tolist(), strict=True)) for c in (found, expected))
        name = next(n for n in sorted({*here, *there}) if here.get(n) != there.get(n))
        raise StiltgridError(
            f"{path} and {other} rest on different test sets: cluster {name!r} has {here.get(name, 0):.0f} and "
            f"{there.get(name, 0):.0f} units; score the older one again"
        )


def linked(names: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> dict[str, dict[str, str]]:
    """Join clusters of several languages that have a unit in common, by its id.

    In a set that is parallel in part, as MLQA, a question keeps its id in every language that has it, while paragraphs
    are numbered anew in each. Clusters are joined if they share a unit, or each shares one with a third.

    Args:
        names: language -> ids of units, and the group of each.

    Returns:
        Language -> group -> name of the joint cluster, which is its smallest id.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = {language: list(zip(*own, strict=True)) for language, own in names.items()}
    ids = {unit: k for k, unit in enumerate(sorted({unit for own in pairs.values() for unit, _ in own}))}
    nodes: dict[tuple[str, str], int] = {}
    edges = [
        (ids[unit], nodes.setdefault((language, group), len(ids) + len(nodes)))
        for language, own in pairs.items()
        for unit, group in own
    ]
    size = len(ids) + len(nodes)
    graph = coo_array((np.ones(len(edges), dtype=np.int8), tuple(zip(*edges, strict=True))), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for unit, k in ids.items():  # in order
        smallest.setdefault(int(component[k]), unit)
    found: dict[str, dict[str, str]] = {language: {} for language in names}
    for (language, group), k in nodes.items():
        found[language][group] = smallest[int(component[k])]
    return found


def presence(names: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """Match the clusters of several languages by name.

    Args:
        names: language -> names of its clusters.

    Returns:
        All names, sorted, and which of them each language has, shape (languages, names).
    """
    everything = tuple(sorted(set().union(*names.values())))
    found = np.zeros((len(names), len(everything)), dtype=bool)
    for row, own in zip(found, map(set, names.values()), strict=True):
        row[:] = [name in own for name in everything]
    return everything, found
