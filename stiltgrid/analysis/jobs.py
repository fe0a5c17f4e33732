"""The analysis as jobs of a workflow: resample a target; then estimate everything. Files in, files out.

`resample_target` makes `analysis/bootstrap/<target>.npz`, one job a target; `estimate` makes of these and of
`analysis/scores.parquet` the table `analysis/contrasts.parquet` and `analysis/headline.json`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.analysis.declaration import Declaration
from stiltgrid.analysis.evidence import Evidence, gather
from stiltgrid.analysis.headline import SCHEMA_VERSION as HEADLINE_VERSION
from stiltgrid.analysis.headline import headline
from stiltgrid.analysis.replicates import Replicates, read_replicates, replicate
from stiltgrid.analysis.resampling import REPLICATES
from stiltgrid.analysis.results import COLUMNS, SCHEMA_VERSION, analyse
from stiltgrid.artifacts import write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Grid
from stiltgrid.score_languages import statistics_file
from stiltgrid.tidy import read_tidy, write_tidy

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], None]


def resample_target(
    grid: Grid, frame: "pd.DataFrame", target: str, *, replicates: int = REPLICATES, progress: Progress | None = None
) -> Replicates:
    """Resample every finished cell of a target.

    Args:
        grid: the expanded config.
        frame: the tidy scores; says which cells are done.
        target: its name in the config.
        replicates: number of draws.
        progress: called with (cells done, cells in all).

    Raises:
        StiltgridError: if a file of statistics is not usable.
    """
    row = grid.tasks[target]
    done = frame[(frame["target"] == target) & (frame["status"] == "done")]
    names = ("model", "intermediate", "target", "language", "seed")
    cells = {Cell(*key) for key in zip(*(done[name].tolist() for name in names), strict=True)}
    files = {cell: statistics_file(grid.paths.score(cell)) for cell in cells}
    split = grid.config.targets[target].eval_split
    return replicate(
        target, row.name, split, row.metrics, files, parallel=row.parallel, replicates=replicates, progress=progress
    )


def headline_record(declaration: Declaration, evidence: Evidence) -> dict[str, Any]:
    """Return the headline as JSON holds it; `status` is estimated, or refused with a `reason` that names the cells."""
    try:
        return {"status": "estimated", "reason": ""} | headline(declaration, evidence).record()
    except StiltgridError as error:
        return {"schema_version": HEADLINE_VERSION, "status": "refused", "reason": str(error)}


def estimate(
    grid: Grid,
    declaration: Declaration,
    frame: "pd.DataFrame",
    bootstrap: Mapping[str, Path | str],
    folder: Path | str,
    *,
    progress: Progress | None = None,
) -> "pd.DataFrame":
    """Estimate everything that is declared and write it.

    Args:
        grid: the expanded config.
        declaration: what is asked.
        frame: the tidy scores.
        bootstrap: target -> file of replicates.
        folder: receives `contrasts.parquet` and `headline.json`.
        progress: called with (questions done, questions in all).

    Returns:
        The table of contrasts.

    Raises:
        StiltgridError: if scores and replicates do not belong together.
    """
    drawn = {target: read_replicates(path) for target, path in bootstrap.items()}
    evidence = gather(grid, frame, drawn, declaration.metrics)
    table = analyse(declaration, evidence, progress=progress)
    write_contrasts(Path(folder) / "contrasts.parquet", table)
    write_json(Path(folder) / "headline.json", headline_record(declaration, evidence))
    return table


def write_contrasts(path: Path | str, table: "pd.DataFrame") -> None:
    """Write the table of contrasts as Parquet, atomically; metadata `stiltgrid` holds the schema version."""
    write_tidy(path, table.astype(COLUMNS), "contrasts", SCHEMA_VERSION)


def read_contrasts(path: Path | str) -> "pd.DataFrame":
    """Read the table that `write_contrasts` wrote.

    Raises:
        StiltgridError: if it is missing, not whole, or of another schema version.
    """
    table, about = read_tidy(path, first="estimate the contrasts first", again="estimate")
    if about.get("schema_version") != SCHEMA_VERSION or table.column_names != list(COLUMNS):
        raise StiltgridError(f"{path}: no table of contrasts of schema version {SCHEMA_VERSION}; estimate again")
    return table.to_pandas().astype(COLUMNS)
