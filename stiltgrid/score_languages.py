"""One scoring job: every language of a run, from saved predictions, without a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json, replacing, write_json
from stiltgrid.collect import comparability
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import read_examples, sidecar
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.predict_languages import keys
from stiltgrid.predictions import read_metadata, read_predictions
from stiltgrid.store import Store
from stiltgrid.tasks.registry import TaskRow

SCHEMA_VERSION = 1


def statistics_file(score: Path | str) -> Path:
    """Return the file of per-example statistics that belongs to a score file."""
    return Path(score).with_suffix(".stats.parquet")


def _verified(path: Path, key: str, store: Store) -> None:
    """Check that a prediction file is whole and rests on today's checkpoint and data; set it aside otherwise."""
    try:
        found = read_metadata(path)["key"]
        if found == key:
            return
        reason = f"rests on key {found[:12]}…, the present checkpoint and data give {key[:12]}…"
    except StiltgridError as error:
        reason = str(error)
        store.discard(key)
    aside = path.with_suffix(".parquet.unusable")
    path.replace(aside)
    raise StiltgridError(
        f"{path}: not usable: {reason}. It was set aside as {aside.name}; run the same command again: "
        "only this language is predicted again"
    )


def score_languages(
    grid: Grid, run: Run, manifest: Mapping[str, Any], data: Mapping[str, Path], folder_of: Mapping[str, Path]
) -> dict[str, dict[str, Any]]:
    """Score every language of a run and write its files.

    Args:
        grid: the expanded config.
        run: the run.
        manifest: its checkpoint's manifest.
        data: gold examples by language.
        folder_of: score files (`.json`) by language.

    Returns:
        Each language's score record, as written.

    Raises:
        StiltgridError: if a prediction file is truncated, stale or misaligned; nothing is written for any language.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from stiltgrid.score import score_language

    task: TaskRow = grid.tasks[run.target]
    store = Store(grid.paths.store)
    key = keys(manifest, task, data)
    results = {}
    for language in folder_of:
        cell = Cell(run.model, run.intermediate, run.target, language, run.seed)
        path = Path(grid.paths.prediction(cell))
        _verified(path, key[language], store)
        scores, statistics = score_language(task, read_examples(data[language]), read_predictions(path), str(path))
        record = {
            "schema_version": SCHEMA_VERSION,
            "cell": cell._asdict(),
            "task": task.name,
            "split": grid.config.targets[run.target].eval_split,
            "main": task.metrics[0],
            "metrics": {name: scores[name] for name in task.metrics},
            "n": scores["n"],
            "examples": scores["examples"],
            "unit": scores["unit"],
            "prediction_key": key[language],
            "recipe_hash": manifest["recipe_hash"],
            "comparability": comparability(manifest["recipe"]),
            "model_digest": manifest["digest"],
            "data_fingerprint": read_json(sidecar(data[language]))["fingerprint"],
        }
        results[language] = (record, statistics)
    for language, (record, statistics) in results.items():
        with replacing(statistics_file(folder_of[language])) as temporary:
            pq.write_table(pa.table(statistics), temporary, compression="zstd")
        write_json(folder_of[language], record)
    return {language: record for language, (record, _) in results.items()}
