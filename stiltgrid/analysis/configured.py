"""A config's `analysis` block as the analysis takes it."""

from typing import TYPE_CHECKING

from stiltgrid.analysis.declaration import Declaration, declared
from stiltgrid.analysis.variances import Variances, assumed
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid

if TYPE_CHECKING:
    import pandas as pd


def configured(grid: Grid) -> Declaration:
    """Return what a grid's config declares.

    Raises:
        StiltgridError: as `declared`.
    """
    asked = grid.config.analysis
    levels = {"alpha": asked.alpha, "q": asked.q, "allow_partial": asked.allow_partial, "replicates": asked.replicates}
    return declared(grid, small=asked.small, large=asked.large, singles=asked.singles, metrics=asked.metrics, **levels)


def planned(grid: Grid, declaration: Declaration) -> Variances:
    """Return the variances that a grid's config declares.

    Raises:
        StiltgridError: if it declares none, or not of every model.
    """
    power = grid.config.analysis.power
    if not power.seed_sd:
        raise StiltgridError(
            "analysis.power.seed_sd: missing; declare each model's standard deviation between seeds, in points, e.g. "
            + ", ".join(f"{model}: 0.7" for model in declaration.models)
        )
    return assumed(
        grid,
        declaration,
        power.seed_sd,
        baseline_sd=power.baseline_sd or None,
        disagreement=power.disagreement,
        checkpoint=power.checkpoint,
    )


def declared_cells(grid: Grid) -> "pd.DataFrame":
    """Return every cell that is not excluded as if it were done: what a complete grid resamples.

    Returns:
        Columns model, intermediate, target, language, seed and status.
    """
    import pandas as pd

    return pd.DataFrame([cell._asdict() | {"status": "done"} for cell in grid.cells()])
