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

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.artifacts import canonical_json, digest, read_json, replacing
from stiltgrid.diagnostics import DIAGNOSTICS
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Grid
from stiltgrid.status import cell_states

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
)
"""Keys of a score file that are read here."""


def comparability(recipe: Mapping[str, Any]) -> str:
    """Return the hash (64 hex digits) of what must agree between the runs that one average or gain joins.

    That is a target recipe without its seed: two seeds, or two intermediates, of one model and target are
    comparable only if model, task, formulation and hyperparameters are the same.
    """
    return digest({key: value for key, value in recipe.items() if key != "seed"})


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


def _name(cell: Cell) -> str:
    return f"{cell.model}/{cell.intermediate}/{cell.target}/seed{cell.seed}/{cell.language}"


class _Agreement:
    """Refuses cells that must agree in a value and do not; remembers the first cell of each group."""

    def __init__(self) -> None:
        self.first: dict[tuple[Any, ...], tuple[Cell, str]] = {}

    def check(self, what: str, group: tuple[str, ...], cell: Cell, value: str, remedy: str) -> None:
        other, expected = self.first.setdefault((what, *group), (cell, value))
        if value != expected:
            raise StiltgridError(
                f"cells that are compared must rest on the same {what}: {_name(other)} has {expected[:12]}, "
                f"{_name(cell)} has {value[:12]}; {remedy}"
            )


def collect(grid: Grid, *, partial: bool) -> "pd.DataFrame":
    """Return the tidy table of every cell's scores (columns: the module's table).

    Args:
        grid: the expanded config.
        partial: if false, a cell that is neither done nor excluded is an error; if true, it is a row with its
            status.

    Raises:
        StiltgridError: if a score file is not whole; if cells are not done and `partial` is false; or if
            cells disagree where they must not: in the test data of a (target, language), or in the target
            recipe, apart from its seed, of a (model, target). Both cells are named.
    """
    import pandas as pd

    states = cell_states(grid)
    lacking = {cell: s for cell, s in states.items() if s.status in ("missing", "failed")}
    agreement = _Agreement()
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
        redo = "remove the older one's score and run again"
        there = (cell.target, cell.language)
        agreement.check("split", there, cell, record["split"], redo)
        agreement.check("test data (fingerprint)", there, cell, record["data_fingerprint"], redo)
        agreement.check(
            "target recipe",
            (cell.model, cell.target),
            cell,
            record["comparability"],
            "retrain the one that is stale",
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
            f"  {_name(c)}: {s.status} {s.reason or s.stage}".rstrip() for c, s in list(lacking.items())[:5]
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    if list(frame.columns) != list(COLUMNS):
        raise StiltgridError(f"{path}: columns {list(frame.columns)}, expected {list(COLUMNS)}")
    table = pa.Table.from_pandas(frame.astype(COLUMNS), preserve_index=False)
    about = canonical_json({"schema_version": SCHEMA_VERSION, "kind": "scores"})
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"stiltgrid": about.encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_scores(path: Path | str) -> "pd.DataFrame":
    """Read the table that `write_scores` wrote.

    Raises:
        StiltgridError: if it is missing, not whole, or of another schema version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file; collect the scores first") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: not a whole Parquet file ({error}); remove it and collect again") from None
    about = json.loads((table.schema.metadata or {}).get(b"stiltgrid", b"{}"))
    if about.get("schema_version") != SCHEMA_VERSION or table.column_names != list(COLUMNS):
        raise StiltgridError(f"{path}: not a score table of schema version {SCHEMA_VERSION}; collect again")
    return table.to_pandas().astype(COLUMNS)
