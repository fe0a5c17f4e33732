"""Every table of a finished grid, built again from the analysis' files: for pages, and to check what was printed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stiltgrid.grid import Grid
from stiltgrid.paper.findings import Findings
from stiltgrid.paper.render import Table
from stiltgrid.paper.tables import read_records, tables

if TYPE_CHECKING:
    import pandas as pd


def built_tables(grid: Grid, frame: "pd.DataFrame", findings: Findings) -> Iterator[Table]:
    """Yield every table that the tables' job writes.

    Args:
        grid: the expanded config.
        frame: the tidy score table.
        findings: what the analysis found.

    Raises:
        StiltgridError: if the tables of the training runs are missing or not whole.
    """
    records = read_records(grid.paths.runs, grid.paths.training)
    yield from tables(grid, frame, findings, records)
