"""Which entries of the prediction store nothing refers to any more."""

from pathlib import Path

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import sidecar
from stiltgrid.grid import Grid
from stiltgrid.predictions import read_metadata
from stiltgrid.store import Store, prediction_key


def referenced_keys(grid: Grid) -> set[str]:
    """Return the keys in use.

    A key is in use if a prediction file of the grid carries it (also of a cell that the config no longer names), or
    if a present checkpoint manifest and a present data file give it (so a deleted output is linked again, not lost).
    """
    root = Path(grid.paths.root)
    keys = set()
    for path in (root / "predictions").rglob("*.parquet"):
        try:
            keys.add(read_metadata(path).get("key"))
        except StiltgridError:
            continue  # a damaged file refers to nothing; scoring reports it
    fingerprints = {}
    for target in grid.config.targets:
        for language in grid.languages(target):
            path = sidecar(grid.paths.data(grid.evaluation(target, language)))
            if path.exists():
                fingerprints[target, language] = read_json(path)["fingerprint"]
    for run in grid.runs:
        manifest = Path(grid.evaluated(run))
        # the undeclared copy outlives a deleted output
        for path in (manifest, manifest.with_name("complete.json")):
            if path.exists():
                digest, decoding = read_json(path)["digest"], grid.decoding(run.target, run.model)
                for language in grid.languages(run.target):
                    if (run.target, language) in fingerprints:
                        print_ = fingerprints[run.target, language]
                        keys.add(prediction_key(digest, print_, grid.tasks[run.target].name, language, decoding))
    return keys


def sweep(grid: Grid, *, delete: bool) -> list[tuple[str, int]]:
    """List the unreferenced entries of a grid's store, and with `delete` remove them.

    Returns:
        (key, bytes) of each entry found.
    """
    store = Store(grid.paths.store)
    found = store.unreferenced(referenced_keys(grid))
    if delete:
        for key, _ in found:
            store.discard(key)
    return found
