"""What every training run cost and how it went: `analysis/runs.parquet` and `analysis/training.parquet`.

Both are read from the checkpoint manifests, the `metrics.jsonl` beside them and the metadata of prediction files;
tables and figures of costs, of intermediate tasks and of training rest on them alone. docs/results.md documents their
columns.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Arm, Cell, Grid, Run, folder
from stiltgrid.predictions import read_metadata
from stiltgrid.recipes import training_recipe
from stiltgrid.status import recipe_difference
from stiltgrid.storage import gone
from stiltgrid.tasks.registry import task
from stiltgrid.tidy import read_tidy, write_tidy

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
SECONDS = ("load", "train", "evaluate", "checkpoint", "total")
COUNTS = ("steps", "selected_step", "train_examples", "train_inputs", "truncated_inputs", "dev_examples")
JOULES_A_KWH = 3.6e6

RUN_COLUMNS = {
    **dict.fromkeys(("model", "intermediate", "target"), "string"),
    "seed": "int64",
    **dict.fromkeys(("status", "recipe_hash"), "string"),
    "devices": "int64",
    "device": "string",
    **dict.fromkeys((f"{part}_seconds" for part in SECONDS), "float64"),
    **dict.fromkeys(("device_hours", "energy_kwh"), "float64"),
    **dict.fromkeys(COUNTS, "Int64"),
    "collapsed": "bool",
    **dict.fromkeys(("weights_bytes", "kept_bytes"), "Int64"),
    **dict.fromkeys(("predicted", "cells"), "int64"),
    **dict.fromkeys(("predict_hours", "predict_energy_kwh"), "float64"),
}
"""Column of `runs.parquet` -> pandas type."""

TRAINING_COLUMNS = {
    **dict.fromkeys(("model", "intermediate", "target"), "string"),
    **dict.fromkeys(("seed", "step"), "int64"),
    "epoch": "float64",
    **dict.fromkeys(("kind", "task", "metric"), "string"),
    "main": "bool",
    "value": "float64",
}
"""Column of `training.parquet` -> pandas type."""


def _manifest(grid: Grid, path: str, run: Run | Arm) -> dict[str, Any] | None:
    """Return a run's manifest if it is there and of the config's recipe, else None.

    Raises:
        StiltgridError: if it is there and not whole.
    """
    if not Path(path).exists():
        return None
    found = read_json(path)
    target = run.target if isinstance(run, Run) else None
    if recipe_difference(found, training_recipe(grid, run.model, run.intermediate, target, run.seed)):
        return None
    return found


def _kwh(joules: float | None) -> float:
    return math.nan if joules is None else joules / JOULES_A_KWH


def _predictions(grid: Grid, run: Run, counted: set[str]) -> dict[str, Any]:
    """Return what a run's predictions took, by the files' metadata: seconds times devices, and energy.

    Args:
        grid: the expanded config.
        run: the run.
        counted: keys of predictions of the runs before it. Those cost nothing again: every seed of a pretrained model
            retrieves alike, and is linked to one entry of the store.
    """
    languages = grid.languages(run.target)
    paths = [grid.paths.prediction(Cell(*run[:3], language, run.seed)) for language in languages]
    known = [about for path in paths if Path(path).exists() and "seconds" in (about := read_metadata(path))]
    own = [about for about in known if about.get("key") not in counted]
    counted.update(about["key"] for about in own if "key" in about)
    measured = bool(known) and all(about.get("energy_joules") is not None for about in known)
    # files of before several devices were counted are of one
    seconds = math.fsum(about["seconds"] * about.get("devices", 1) for about in own)
    return {
        "predicted": len(known),
        "cells": len(languages),
        "predict_hours": seconds / 3600 if known else math.nan,
        "predict_energy_kwh": _kwh(math.fsum(about["energy_joules"] for about in own) if measured else None),
    }


def _run_row(
    grid: Grid, run: Run | Arm, path: str, manifest: Mapping[str, Any] | None, counted: set[str]
) -> dict[str, Any]:
    retrieves = isinstance(run, Run) and grid.retrieves(run.target)
    row: dict[str, Any] = {
        "model": run.model,
        "intermediate": run.intermediate,
        "target": run.target if isinstance(run, Run) else "",
        "seed": run.seed,
        "status": "untrained" if retrieves else "missing" if manifest is None else "done",
        "cells": len(grid.languages(run.target)) if isinstance(run, Run) else 0,
        "predicted": 0,
    }
    predicts = isinstance(run, Run) and (retrieves or manifest is not None)
    manifest = manifest or {}
    execution, seconds = manifest.get("execution", {}), manifest.get("seconds", {})
    devices = int(execution.get("devices", 1))
    total = float(seconds.get("total", math.nan))
    size = sum(entry["bytes"] for entry in manifest["weights"].values()) if "weights" in manifest else None
    row |= {
        "recipe_hash": manifest.get("recipe_hash", ""),
        "devices": devices,
        "device": execution.get("device") or "",
        **{f"{part}_seconds": float(seconds.get(part, math.nan)) for part in SECONDS},
        "device_hours": total * devices / 3600,
        "energy_kwh": _kwh(execution.get("energy_joules")),
        **{name: manifest.get("counts", {}).get(name) for name in COUNTS},
        "collapsed": bool(manifest.get("collapsed", {}).get("value", False)),
        "weights_bytes": size,
        "kept_bytes": 0 if size is not None and gone(Path(folder(path))) else size,
    }
    return row | (_predictions(grid, run, counted) if predicts else {})


def _logged(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a `metrics.jsonl`; none if there is no file, as where a checkpoint was brought from elsewhere.

    Raises:
        StiltgridError: for a line that is not whole, but the last: a run that was killed may have left half a line.
    """
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    for k, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            if k < len(lines):
                raise StiltgridError(f"{path}: line {k} is not JSON ({error}); remove the line") from None


def _training_rows(run: Run | Arm, path: str, manifest: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `training.parquet` of a finished run."""
    identity = (run.model, run.intermediate, run.target if isinstance(run, Run) else "", run.seed)

    def scores(step: int, epoch: float, kind: str, found: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        for name, values in found.items():
            for metric, value in values.items():
                main = metric == task(name).metrics[0]
                number = math.nan if value is None else float(value)
                yield (*identity, step, epoch, kind, name, metric, main, number)

    for line in _logged(Path(folder(path)) / "metrics.jsonl"):
        if "loss" in line:
            yield (*identity, line["step"], line["epoch"], "loss", "", "loss", True, float(line["loss"]))
        if "dev" in line:
            yield from scores(line["step"], line["epoch"], "dev", line["dev"])
    if "dev" in manifest:
        step = manifest.get("counts", {}).get("selected_step", 0)
        yield from scores(step, math.nan, "chosen", manifest["dev"])


def collect_runs(grid: Grid) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Return the two tables of the module, in the grid's order.

    Raises:
        StiltgridError: if a manifest, a log or a prediction file is not whole.
    """
    import pandas as pd

    runs, training, counted = [], [], set[str]()
    places = [*((arm, grid.paths.arm(arm)) for arm in grid.arms), *((r, grid.paths.checkpoint(r)) for r in grid.runs)]
    for run, path in places:
        manifest = _manifest(grid, path, run)
        runs.append(_run_row(grid, run, path, manifest, counted))
        if manifest is not None:
            training += _training_rows(run, path, manifest)
    return (
        pd.DataFrame(runs, columns=list(RUN_COLUMNS)).astype(RUN_COLUMNS),
        pd.DataFrame(training, columns=list(TRAINING_COLUMNS)).astype(TRAINING_COLUMNS),
    )


def write_runs(path: Path | str, frame: "pd.DataFrame", kind: str) -> None:
    """Write one of the two tables as Parquet, atomically.

    Args:
        path: the file.
        frame: the table.
        kind: `runs` or `training`, noted in the file's metadata with the schema version.
    """
    write_tidy(path, frame, kind, SCHEMA_VERSION)


def read_runs(path: Path | str, kind: str) -> "pd.DataFrame":
    """Read what `write_runs` wrote.

    Raises:
        StiltgridError: if it is missing, not whole, of the other kind, or of another schema version.
    """
    columns = {"runs": RUN_COLUMNS, "training": TRAINING_COLUMNS}[kind]
    table, about = read_tidy(path, first="run workflow/scripts/runs.py first", again="collect")
    known = (about.get("schema_version"), about.get("kind")) == (SCHEMA_VERSION, kind)
    if not known or table.column_names != list(columns):
        raise StiltgridError(
            f"{path}: not a table of {kind} of schema version {SCHEMA_VERSION} (metadata {about}); collect again"
        )
    return table.to_pandas().astype(columns)
