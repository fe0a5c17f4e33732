"""What a grid's files say of themselves, each read once: manifests, sidecars, score files, metadata of predictions."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.artifacts import read_json
from stiltgrid.collect import read_scores
from stiltgrid.errors import StiltgridError
from stiltgrid.evaluated import evaluated_manifest
from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, Cell, Grid, Run, folder
from stiltgrid.predictions import read_metadata

if TYPE_CHECKING:
    import pandas as pd


def parquet_record(path: Path | str) -> dict[str, Any]:
    """Return what a Parquet file of ours says of itself.

    Raises:
        StiltgridError: if it is missing or not whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path).metadata or {}
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: not a whole Parquet file ({error})") from None
    return json.loads(metadata.get(b"stiltgrid", b"{}"))


class Records:
    """Look-ups of a grid's records; a file that is not there or not whole raises `StiltgridError` each time.

    Args:
        grid: the expanded config.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid, self.paths = grid, grid.paths
        self._read: dict[str, Any] = {}

    def json(self, path: str | Path) -> dict[str, Any]:
        """Return a JSON object."""
        key = str(path)
        if key not in self._read:
            found = read_json(path)
            if not isinstance(found, dict):
                raise StiltgridError(f"{path}: expected a JSON object, found {type(found).__name__}")
            self._read[key] = found
        return self._read[key]

    def pretrained(self, model: str) -> dict[str, Any]:
        """Return phase (i)'s manifest, with the code that pinned it."""
        path = self.paths.pretrained(model)
        code = Path(folder(path)) / "code.json"
        return self.json(path) | ({"code": self.json(code)} if code.exists() else {})

    def checkpoint(self, run: Run | Arm) -> dict[str, Any]:
        """Return a checkpoint's manifest."""
        return self.json(self.manifest(run))

    def evaluated(self, run: Run) -> dict[str, Any]:
        """Return the manifest of the model that predicts a run, as predictions and scores know it."""
        key = f"evaluated {run}"
        if key not in self._read:
            self._read[key] = evaluated_manifest(self.grid, run)
        return self._read[key]

    def manifest(self, run: Run | Arm) -> str:
        """Return where a checkpoint's manifest lies."""
        return self.paths.checkpoint(run) if isinstance(run, Run) else self.paths.arm(run)

    def sidecar(self, data: str) -> dict[str, Any]:
        """Return the sidecar of an example file."""
        return self.json(sidecar(data))

    def prediction(self, cell: Cell) -> dict[str, Any]:
        """Return the metadata of a prediction file."""
        path = self.paths.prediction(cell)
        if path not in self._read:
            self._read[path] = read_metadata(path)
        return self._read[path]

    def score(self, cell: Cell) -> dict[str, Any]:
        """Return a score file."""
        return self.json(self.paths.score(cell))

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """The tidy score table."""
        return read_scores(self.paths.scores)

    @cached_property
    def scores(self) -> Mapping[Cell, Mapping[str, tuple[float, str, str]]]:
        """Cell -> metric -> value, recipe hash and data fingerprint, of the cells that are done."""
        found: dict[Cell, dict[str, tuple[float, str, str]]] = {}
        done = self.frame[self.frame["status"] == "done"]
        names = [*Cell._fields, "metric", "value", "recipe_hash", "data_fingerprint"]
        for row in zip(*(done[name].tolist() for name in names), strict=True):
            found.setdefault(Cell(*row[:5]), {})[row[5]] = row[6:]
        return found
