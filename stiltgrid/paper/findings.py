"""The analysis as tables read it: the estimated comparisons by name, and the headline."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stiltgrid.analysis.configured import configured
from stiltgrid.analysis.families import FAMILIES
from stiltgrid.analysis.jobs import read_contrasts
from stiltgrid.analysis.results import COLUMNS
from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.paper.averages import Mean

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6
"""Points by which a printed mean may differ from the contrast of the same cells: rounding of sums."""
KEY = ("kind", "model", "intermediate", "target", "language")
ZERO_SHOT = "zero-shot"
DAGGER = "†"


class Finding(NamedTuple):
    """A row of the table of contrasts; `stiltgrid.analysis.results` says what each field is."""

    kind: str
    family: str
    model: str
    intermediate: str
    target: str
    language: str
    status: str
    reason: str
    value: float
    se: float
    low: float
    high: float
    freedom: float
    p: float
    examples: float
    seeds: float
    seed_status: str
    borrowed: str
    tipping: float
    wilson: bool
    adjusted: float
    marked: bool
    logit: float
    logit_low: float
    logit_high: float
    coverage: str

    @property
    def shown_p(self) -> float:
        """P within the family; the comparison's own where it has none, or where its seed noise is not measured.

        The latter counts in its family with p = 1, so that it is never marked; to print that would contradict the
        interval.
        """
        return self.adjusted if self.family and self.seed_status == "measured" else self.p

    @property
    def estimated(self) -> bool:
        """Whether there is a value."""
        return self.status == "estimated"


class Findings:
    """Look-ups in a grid's estimated comparisons.

    Args:
        grid: the expanded config.
        contrasts: the table of `analysis/contrasts.parquet`.
        headline: the record of `analysis/headline.json`.
    """

    def __init__(self, grid: Grid, contrasts: "pd.DataFrame", headline: Mapping[str, Any]) -> None:
        self.grid, self.headline = grid, headline
        self.declaration = configured(grid)
        rows = zip(*(contrasts[name].tolist() for name in COLUMNS), strict=True)
        self.rows = [Finding(*row) for row in rows]
        self._by_key = {tuple(getattr(row, name) for name in KEY): row for row in self.rows if row.family != "headline"}
        self._headline = next((row for row in self.rows if row.family == "headline"), None)

    def find(self, kind: str, model: str, intermediate: str, target: str, language: str = ZERO_SHOT) -> Finding | None:
        """Return a comparison; an empty name means averaged over. None: it is not asked."""
        key = (kind, model, intermediate, target, language)
        if self._headline is not None and key == tuple(getattr(self._headline, name) for name in KEY):
            return self._headline
        return self._by_key.get(key)

    def family(self, name: str) -> list[Finding]:
        """Return the tests of a family."""
        return [row for row in self.rows if row.family == name]

    def gain(self, plain: Mean, model: str, arm: str, target: str, language: str) -> Mean:
        """Return a gain that tables print with the value that was estimated.

        Args:
            plain: the difference of plain means; complete.
            model: whose gain.
            arm: the intermediate.
            target: empty: the average over targets.
            language: `all` or `zero-shot`.

        Returns:
            `plain` itself where the analysis has no such average, or one over fewer cells.

        Raises:
            StiltgridError: if the two differ: the contrasts rest on other scores.
        """
        found = self.find("gain", model, arm, target, language)
        if plain.value is None or found is None or not found.estimated or found.coverage:
            return plain
        if not abs(found.value - plain.value) <= TOLERANCE:
            raise StiltgridError(
                f"gain of {model}/{arm}/{target or 'all targets'} ({language}): {found.value} among the contrasts, "
                f"{plain.value} by the scores; one of the two is stale: estimate the contrasts again"
            )
        return replace(plain, value=found.value)

    def marker(self, model: str, arm: str, target: str) -> str:
        """Return a dagger where the family of gains rejects that the zero-shot gain is 0."""
        found = self.find("gain", model, arm, target)
        return DAGGER if found is not None and found.family == "gains" and found.marked else ""


def read_findings(grid: Grid, folder: Path | str) -> Findings:
    """Read the findings of a grid from the folder of `contrasts.parquet` and `headline.json`.

    Raises:
        StiltgridError: if a file is missing or not whole.
    """
    folder = Path(folder)
    return Findings(grid, read_contrasts(folder / "contrasts.parquet"), read_json(folder / "headline.json"))


def tested(name: str, findings: Findings) -> str:
    """Return how a family is tested, e.g. `Holm, level 0.05, 11 tests`."""
    method = {"holm": "Holm", "benjamini-hochberg": "Benjamini-Hochberg", "none": "one test"}[FAMILIES[name].method]
    declaration = findings.declaration
    level = (
        f"q = {declaration.q:g}" if FAMILIES[name].method == "benjamini-hochberg" else f"level {declaration.alpha:g}"
    )
    number = len(findings.family(name))
    return f"{method}, {level}, {number} test{'s' * (number != 1)}"


def contrasts_csv(findings: Findings) -> str:
    """Return every comparison as CSV (UTF-8, LF): four decimals, p with three digits, empty where there is none."""

    def text(name: str, value: Any) -> Any:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, float):
            return value
        if math.isnan(value):
            return ""
        # + 0.0 turns a rounded -0 into 0
        return f"{value:.3g}" if name in ("p", "adjusted") else f"{round(value, 4) + 0.0:.4f}"

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Finding._fields)
    writer.writerows([text(*field) for field in zip(Finding._fields, row, strict=True)] for row in findings.rows)
    return out.getvalue()
