"""The content-addressed store behind the prediction files.

A prediction job declares one file a language, but computes only the languages whose *key* the store lacks, with one
load of the model, and then links all of them into place. Deleted outputs are linked again, an added language is one
language's work, and a retrained model (another digest) never meets old predictions. workflow.md section 6, option f,
tells why Snakemake's own means (update, groups, services, directories) lose data here.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stiltgrid import formulations
from stiltgrid.artifacts import digest
from stiltgrid.errors import StiltgridError
from stiltgrid.predictions import Prediction, read_metadata, read_predictions, write_predictions
from stiltgrid.tasks.registry import Decoding

PREDICTION_VERSION = 1
"""Raise when decoding changes in a way that changes predictions from the same weights (formulations.VERSION: when
the text given to a model, or the scoring of its labels, changes)."""


def prediction_key(
    model_digest: str, data_fingerprint: str, task: str, language: str, decoding: Decoding | None = None
) -> str:
    """Return the key (64 hex digits) of one language's predictions.

    It names everything they rest on: the weights and their recipe (with the formulation, the input length and the
    precision) by the checkpoint manifest's digest, the examples by content, the task, the language, the versions,
    and, where answers are written, how (`decoding`; None: they are not).
    """
    what = [PREDICTION_VERSION, formulations.VERSION, model_digest, data_fingerprint, task, language]
    return digest(what if decoding is None else [*what, decoding.model_dump()])


class Store:
    """A folder of prediction files named by key.

    Args:
        root: the folder; made when the first entry is put.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def path(self, key: str) -> Path:
        """Return where the entry of a key lies; two-digit folders keep listings short."""
        return self.root / key[:2] / f"{key}.parquet"

    def holds(self, key: str) -> bool:
        """Tell whether a whole entry is there; a damaged one is removed, so that it is computed again."""
        path = self.path(key)
        if not path.exists():
            return False
        try:
            whole = read_metadata(path).get("key") == key and bool(read_predictions(path))
        except StiltgridError:
            whole = False
        if not whole:
            path.unlink(missing_ok=True)
        return whole

    def put(self, key: str, predictions: list[Prediction], about: dict[str, Any]) -> None:
        """Write an entry, atomically."""
        write_predictions(self.path(key), predictions, {**about, "key": key})

    def link(self, key: str, output: Path | str) -> None:
        """Make `output` the entry: a hard link, or a copy where the file system has none, moved into place whole."""
        import shutil

        output = Path(output)
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        try:
            os.link(self.path(key), temporary)
        except OSError:
            shutil.copyfile(self.path(key), temporary)
        # an entry keeps the time of its computation; Snakemake needs outputs that are newer than their inputs
        os.utime(temporary)
        # rename(2) does nothing where both names are one file already, so the old name goes first
        output.unlink(missing_ok=True)
        temporary.replace(output)

    def discard(self, key: str) -> None:
        """Remove an entry, if it is there."""
        self.path(key).unlink(missing_ok=True)

    def entries(self) -> list[str]:
        """Return the keys of all entries, sorted."""
        return sorted(path.stem for path in self.root.glob("??/*.parquet"))

    def unreferenced(self, referenced: Iterable[str]) -> list[tuple[str, int]]:
        """Return the entries that nothing refers to, as (key, bytes)."""
        keep = set(referenced)
        return [(key, self.path(key).stat().st_size) for key in self.entries() if key not in keep]
