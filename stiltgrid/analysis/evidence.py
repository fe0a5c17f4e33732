"""What contrasts are computed from: every complete cell's score a seed, and its replicates."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stiltgrid.analysis.contrast import Contrast, Place
from stiltgrid.analysis.replicates import Replicates
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Grid

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6
"""Points by which a score file may differ from the score of its statistics: sums of fractions in another order."""


class IncompleteError(StiltgridError):
    """A contrast needs cells that are not complete."""


@dataclass(frozen=True)
class Evidence:
    """Scores and replicates of a grid's complete cells.

    Attributes:
        scores: place -> score of each seed, 0 to 100, shape (seeds,). Entry r of every place of one (model,
            intermediate) belongs to one chain: one intermediate checkpoint and what starts from it.
        replicates: place -> replicates of each seed's score, shape (seeds, replicates).
        lacking: place -> why a declared cell is not complete.
        units: (target, language) -> units of the test set.
        clusters: (target, language) -> clusters of the test set.
        baseline: the arm without intermediate training.
    """

    scores: Mapping[Place, NDArray[np.float64]]
    replicates: Mapping[Place, NDArray[np.floating]]
    lacking: Mapping[Place, str] = field(default_factory=dict)
    units: Mapping[tuple[str, str], int] = field(default_factory=dict)
    clusters: Mapping[tuple[str, str], int] = field(default_factory=dict)
    baseline: str | None = "none"

    @cached_property
    def means(self) -> dict[Place, NDArray[np.float64]]:
        """Replicates of each cell's mean over seeds, shape (replicates,)."""
        return {place: np.mean(found, axis=0, dtype=np.float64) for place, found in self.replicates.items()}

    def check(self, name: str, places: Iterable[Place]) -> None:
        """Check that all cells of a contrast are complete.

        Raises:
            IncompleteError: if not, naming the first five.
        """
        lacking = sorted({place for place in places if place not in self.scores})
        if lacking:
            shown = "\n".join(f"  {place}: {self.lacking.get(place, 'no cell of the grid')}" for place in lacking[:5])
            more = f"\n  … and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            raise IncompleteError(
                f"{name} needs {len(lacking)} cell{'s' * (len(lacking) > 1)} that {'are' if len(lacking) > 1 else 'is'}"
                f" not complete; run them, or declare `allow_partial`:\n{shown}{more}"
            )

    def mean(self, place: Place) -> Fraction:
        """Return a cell's exact mean over seeds."""
        values = self.scores[place].tolist()
        return sum(map(Fraction, values), Fraction(0)) / len(values)

    def value(self, contrast: Contrast) -> float:
        """Return a contrast's point estimate: exact sums of the scores, rounded once."""
        found = (c * self.mean(place) for place, c in contrast.coefficients.items())
        return float(sum(found, contrast.constant))

    def replicated(self, contrast: Contrast) -> NDArray[np.float64]:
        """Return a contrast's replicates without its constant, shape (replicates,)."""
        if not contrast.coefficients:
            return np.zeros(2)
        # one order of summation: the last digit does not depend on how the contrast was put together
        found = sorted(contrast.coefficients.items())
        result = np.zeros_like(self.means[found[0][0]])
        for place, c in found:
            result += float(c) * self.means[place]
        return result

    def seeds(self, place: Place) -> int:
        """Return the number of seeds of a complete cell."""
        return len(self.scores[place])

    def transformed(self, function: Callable[[NDArray, int], NDArray]) -> "Evidence":
        """Return the evidence on another scale.

        Args:
            function: of scores (any shape) and the number of units of their test set; applied to each seed's score and
                to its replicates, before any mean.
        """

        def each(found: Mapping[Place, NDArray]) -> dict[Place, NDArray]:
            return {
                p: function(np.asarray(x, dtype=np.float64), self.units[p.target, p.language]) for p, x in found.items()
            }

        return replace(self, scores=each(self.scores), replicates=each(self.replicates))


def evidence(scores: Mapping[Place, ArrayLike], replicates: Mapping[Place, ArrayLike], **others: object) -> Evidence:
    """Return evidence from arrays, checked: one replicate row a seed, the same number everywhere.

    Raises:
        ValueError: if shapes do not agree, or two cells of one arm differ in the number of seeds.
    """
    found = {place: np.atleast_1d(np.asarray(x, dtype=np.float64)) for place, x in scores.items()}
    drawn = {place: np.atleast_2d(np.asarray(x)) for place, x in replicates.items()}
    widths = {x.shape[1] for x in drawn.values()}
    if found.keys() != drawn.keys() or any(len(x) != len(drawn[p]) for p, x in found.items()) or len(widths) > 1:
        raise ValueError("scores and replicates do not agree in places, seeds or replicates")
    seeds: dict[tuple[str, str], int] = {}
    for place, x in found.items():
        if seeds.setdefault(place[:2], len(x)) != len(x):
            raise ValueError(f"{place}: {len(x)} seeds, other cells of its arm have {seeds[place[:2]]}")
    return Evidence(found, drawn, **others)  # type: ignore[arg-type]


def gather(
    grid: Grid,
    frame: "pd.DataFrame",
    replicates: Mapping[str, Replicates],
    metrics: Mapping[str, Sequence[str]] | None = None,
) -> Evidence:
    """Join the tidy scores of a grid with their replicates.

    Args:
        grid: the expanded config; says which cells and seeds are declared.
        frame: the tidy scores (`stiltgrid.collect`), rows in any order.
        replicates: by target; needed for every target that has a score.
        metrics: target -> metrics whose mean is its score (XTREME's question answering: F1 and exact match); a target
            that is not named has its main metric.

    Raises:
        StiltgridError: if a score has no replicates, or is not the score of its statistics; if the scores are not the
            grid's; if targets differ in the number of replicates.
    """
    chosen = {t: tuple((metrics or {}).get(t, row.metrics[:1])) for t, row in grid.tasks.items()}
    columns = ("model", "intermediate", "target", "language", "seed", "metric", "value", "status", "reason")
    values: dict[tuple[Cell, str], float] = {}
    states: dict[Cell, str] = {}
    declared = set(grid.cells(with_excluded=True))
    for *key, metric, value, status, reason in zip(*(frame[c].tolist() for c in columns), strict=True):
        cell = Cell(*key)
        if cell not in declared or (cell, metric) in values:
            fault = "twice" if cell in declared else f"and grid {grid.config.grid} has no such cell"
            raise StiltgridError(f"the scores have {metric} of {'/'.join(map(str, cell))} {fault}; collect again")
        states[cell] = f"{status} {reason}".strip() if status != "done" else ""
        values[cell, metric] = value
    widths = {t: found.values.shape[2] for t, found in replicates.items()}
    if len(set(widths.values())) > 1:
        raise StiltgridError(f"targets were resampled differently often: {widths}; resample them with one number")
    index = {t: {cell: k for k, cell in enumerate(found.cells)} for t, found in replicates.items()}
    scores, drawn, lacking, units, clusters = {}, {}, {}, {}, {}
    for model in grid.config.models:
        for arm in grid.config.intermediates:
            for target in grid.config.targets:
                for language in grid.languages(target):
                    place = Place(model, arm, target, language)
                    cells = [Cell(*place, seed) for seed in grid.seeds(model, arm)]
                    if reason := grid.excluded.get((model, arm, target)):
                        lacking[place] = f"excluded: {reason}"
                        continue
                    if absent := [c for c in cells if states.get(c, "missing")]:
                        which = ", ".join(f"seed {c.seed} {states.get(c, 'missing')}" for c in absent)
                        lacking[place] = f"{len(absent)} of {len(cells)} seeds are not done ({which})"
                        continue
                    points = [[values.get((c, m), np.nan) for m in chosen[target]] for c in cells]
                    if not np.isfinite(points).all():
                        lacking[place] = f"{' or '.join(chosen[target])} is not defined here"
                        continue
                    scores[place] = _own(points)
                    drawn[place] = _replicates(replicates, index, cells, chosen[target], np.asarray(points))
                    at = index[target][cells[0]]
                    units[target, language] = int(replicates[target].units[at])
                    clusters[target, language] = int(replicates[target].clusters[at])
    baseline = next((arm for arm, names in grid.arm_tasks.items() if not names), None)
    return Evidence(scores, drawn, lacking, units, clusters, baseline)


def _own(points: list[list[float]]) -> NDArray[np.float64]:
    """Return each seed's score: one metric's as it is, the mean of several rounded once."""
    return np.array([float(sum(map(Fraction, row), Fraction(0)) / len(row)) for row in points])


def _replicates(
    replicates: Mapping[str, Replicates],
    index: Mapping[str, Mapping[Cell, int]],
    cells: Sequence[Cell],
    metrics: Sequence[str],
    points: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the replicates of a place, shape (seeds, replicates), checked against its scores."""
    found = replicates.get(target := cells[0].target)
    if found is None or any(c not in index[target] for c in cells) or not set(metrics) <= set(found.metrics):
        raise StiltgridError(
            f"{target}: {'/'.join(map(str, cells[0]))} ({', '.join(metrics)}) has a score and no replicates; "
            "resample again"
        )
    rows, of = [index[target][c] for c in cells], [found.metrics.index(m) for m in metrics]
    off = np.abs(found.scores[np.ix_(of, rows)].T - points)
    if off.max() > TOLERANCE:
        cell = cells[int(off.max(axis=1).argmax())]
        raise StiltgridError(
            f"{'/'.join(map(str, cell))}: the score differs by {off.max():.3g} points from that of the statistics that "
            "were resampled; one of them is stale: resample again"
        )
    return found.values[of[0], rows] if len(of) == 1 else found.values[np.ix_(of, rows)].mean(axis=0)
