"""Every cell's scores in one tidy table, `analysis/scores.parquet`: the only source of tables and figures.

Columns of the table, schema version 2; one row a cell and metric, in the grid's order. A cell without a score
has one row with its main metric.

| column           | type   | meaning                                                                    |
|------------------|--------|----------------------------------------------------------------------------|
| model            | string | model, a key of the config                                                 |
| intermediate     | string | intermediate arm, a key of the config                                      |
| target           | string | target, a key of the config                                                |
| task             | string | the target's task, suite/task                                              |
| language         | string | evaluation language                                                        |
| seed             | int64  | 1, 2, ...                                                                  |
| metric           | string | name of the metric                                                         |
| main             | bool   | is it the task's main metric?                                              |
| value            | double | 0 to 100 points; NaN without a score, or where the metric is not defined   |
| n                | int64  | units that the metric counts (examples, words, queries); null without score|
| examples         | int64  | rows of the test file; null without a score                                |
| status           | string | done, missing, failed or excluded                                          |
| reason           | string | why there is no score; empty if done                                       |
| recipe_hash      | string | of the run, 64 hex digits; empty without a score                           |
| data_fingerprint | string | of the test file, 64 hex digits; empty without a score                     |
| invalid ...      | double | the shares of `diagnostics.DIAGNOSTICS`, percent; NaN: not applicable      |
| collapsed        | bool   | did the run learn nothing (`collapse`)? Its score is data like any other   |
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.artifacts import read_json
from stiltgrid.comparability import Agreement, cell_name, comparability, of_run, of_score
from stiltgrid.diagnostics import DIAGNOSTICS
from stiltgrid.errors import StiltgridError
from stiltgrid.evaluated import evaluated_manifest
from stiltgrid.grid import Arm, Cell, Grid, Run
from stiltgrid.status import cell_states
from stiltgrid.store import prediction_key
from stiltgrid.tidy import read_tidy, write_tidy

__all__ = ["COLUMNS", "SCHEMA_VERSION", "collect", "comparability", "read_score", "read_scores", "write_scores"]

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 2
SCORE_VERSION = 2

COLUMNS = {
    "model": "string",
    "intermediate": "string",
    "target": "string",
    "task": "string",
    "language": "string",
    "seed": "int64",
    "metric": "string",
    "main": "bool",
    "value": "float64",
    "n": "Int64",
    "examples": "Int64",
    "status": "string",
    "reason": "string",
    "recipe_hash": "string",
    "data_fingerprint": "string",
    **dict.fromkeys(DIAGNOSTICS, "float64"),
    "collapsed": "bool",
}
"""Column -> pandas type."""

SCORE_KEYS = (
    "cell",
    "task",
    "split",
    "main",
    "metrics",
    "n",
    "examples",
    "recipe_hash",
    "data_fingerprint",
    "comparability",
    "diagnostics",
    "model_digest",
    "prediction_key",
)
"""Keys of a score file that are read here."""


def read_score(path: Path | str, cell: Cell) -> dict[str, Any]:
    """Read a score file.

    Args:
        path: the JSON file.
        cell: the cell that its place in the tree promises.

    Raises:
        StiltgridError: if it is truncated, of another version, lacks a key, or belongs to another cell.
    """
    record = read_json(path)
    if not isinstance(record, dict) or record.get("schema_version") != SCORE_VERSION:
        found = record.get("schema_version") if isinstance(record, dict) else type(record).__name__
        raise StiltgridError(f"{path}: schema version {found}, expected {SCORE_VERSION}; remove it and score again")
    if lacking := [key for key in SCORE_KEYS if key not in record]:
        raise StiltgridError(f"{path}: lacks {', '.join(lacking)}; remove it and score again")
    if record["cell"] != cell._asdict():
        raise StiltgridError(
            f"{path}: is the score of {record['cell']}, expected {cell._asdict()}; was it copied here?"
        )
    if record["main"] not in record["metrics"]:
        raise StiltgridError(f"{path}: main metric {record['main']!r} is not among {sorted(record['metrics'])}")
    return record


class _Manifests:
    """The manifests of runs and of what they start from, each read once."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.arms: dict[Arm, dict[str, Any]] = {}

    def __call__(self, run: Run) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Return a run's manifest and its arm's, which is None for the baseline."""
        arm = Arm(run.model, run.intermediate, run.seed)
        if self.grid.arm_tasks[run.intermediate] and arm not in self.arms:
            self.arms[arm] = read_json(self.grid.paths.arm(arm))
        return evaluated_manifest(self.grid, run), self.arms.get(arm)


def collect(grid: Grid, *, partial: bool) -> "pd.DataFrame":
    """Return the tidy table of every cell's scores (columns: the module's table).

    Args:
        grid: the expanded config.
        partial: if false, a cell that is neither done nor excluded is an error; if true, it is a row with its
            status.

    Raises:
        StiltgridError: if a score file is not whole; if cells are not done and `partial` is false; or if
            cells disagree where they must not (`comparability`); both cells are named.
    """
    import pandas as pd

    states = cell_states(grid)
    lacking = {cell: s for cell, s in states.items() if s.status in ("missing", "failed")}
    agreement, seen, manifests = Agreement(), set[Run](), _Manifests(grid)
    rows: list[tuple[Any, ...]] = []
    for cell, state in states.items():
        task, path = grid.tasks[cell.target], Path(grid.paths.score(cell))
        identity = (cell.model, cell.intermediate, cell.target, task.name, cell.language, cell.seed)
        if state.status == "failed" and path.exists():
            read_score(path, cell)
        if state.status != "done":
            nothing = [math.nan] * len(DIAGNOSTICS)
            score = (task.metrics[0], True, math.nan, None, None)
            rows.append((*identity, *score, state.status, state.reason, "", "", *nothing, False))
            continue
        record = read_score(path, cell)
        if record["task"] != task.name:
            raise StiltgridError(f"{path}: scores task {record['task']}, the config's {cell.target} is {task.name}")
        split = grid.config.targets[cell.target].eval_split
        if record["split"] != split:
            raise StiltgridError(
                f"{path}: scores split {record['split']!r}, the config asks for {split!r}; score again"
            )
        for claim in of_score(cell, record):
            agreement.check(cell, claim)
        if cell.run not in seen:
            seen.add(cell.run)
            for claim in of_run(cell.run, *manifests(cell.run)):
                agreement.check(cell, claim)
        decoding = grid.decoding(cell.target, cell.model)
        fingerprint = record["data_fingerprint"]
        key = prediction_key(record["model_digest"], fingerprint, task.name, cell.language, decoding)
        if record["prediction_key"] != key:
            raise StiltgridError(
                f"{path}: rests on predictions with key {record['prediction_key'][:12]}, expected {key[:12]}: another "
                "version of the formulations or of prediction made them, or they are decoded otherwise than others; "
                "run again"
            )
        for name, value in record["metrics"].items():
            rows.append(
                (
                    *identity,
                    name,
                    name == record["main"],
                    math.nan if value is None else float(value),
                    record["n"],
                    record["examples"],
                    "done",
                    "",
                    record["recipe_hash"],
                    record["data_fingerprint"],
                    *(math.nan if (share := record["diagnostics"][d]) is None else float(share) for d in DIAGNOSTICS),
                    state.collapsed,
                )
            )
    if lacking and not partial:
        shown = "\n".join(
            f"  {cell_name(c)}: {s.status} {s.reason or s.stage}".rstrip() for c, s in list(lacking.items())[:5]
        )
        more = f"\n  … and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise StiltgridError(
            f"{len(lacking)} of {len(states)} cells are not done; run them, or ask for partial tables:\n{shown}{more}"
        )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def write_scores(path: Path | str, frame: "pd.DataFrame") -> None:
    """Write the table as Parquet, atomically; metadata `stiltgrid` holds the schema version.

    Raises:
        StiltgridError: if the frame has other columns than `COLUMNS`.
    """
    if list(frame.columns) != list(COLUMNS):
        raise StiltgridError(f"{path}: columns {list(frame.columns)}, expected {list(COLUMNS)}")
    write_tidy(path, frame.astype(COLUMNS), "scores", SCHEMA_VERSION)


def read_scores(path: Path | str) -> "pd.DataFrame":
    """Read the table that `write_scores` wrote.

    Raises:
        StiltgridError: if it is missing, not whole, or of another schema version.
    """
    table, about = read_tidy(path, first="collect the scores first", again="collect")
    if about.get("schema_version") != SCHEMA_VERSION or table.column_names != list(COLUMNS):
        raise StiltgridError(f"{path}: not a score table of schema version {SCHEMA_VERSION}; collect again")
    return table.to_pandas().astype(COLUMNS)
