"""One scoring job: every language of a run, from saved predictions, without a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json, replacing, write_json
from stiltgrid.commit import code
from stiltgrid.comparability import comparability
from stiltgrid.diagnostics import diagnostics
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, read_examples, sidecar
from stiltgrid.grid import Cell, Grid, Run
from stiltgrid.predict_languages import keys
from stiltgrid.predictions import Prediction, check_alignment, read_metadata, read_predictions
from stiltgrid.store import Store
from stiltgrid.tasks.registry import TaskRow

SCHEMA_VERSION = 2


def statistics_file(score: Path | str) -> Path:
    """Return the file of per-example statistics that belongs to a score file."""
    return Path(score).with_suffix(".stats.parquet")


def _usable(path: Path, key: str, examples: list[Example], task: TaskRow, store: Store) -> list[Prediction] | str:
    """Return a file's predictions, or set it aside and return why it cannot be used.

    It must be whole, rest on today's checkpoint and data (by its key), and answer exactly the gold rows.
    """
    try:
        found = read_metadata(path)["key"]
        if found == key:
            predictions = read_predictions(path)
            try:
                check_alignment(examples, predictions, list(task.labels), str(path))
            except StiltgridError:
                store.discard(key)  # the same rows would be linked again
                raise
            return predictions
        reason = f"{path}: rests on key {found[:12]}…, the present checkpoint and data give {key[:12]}…"
    except StiltgridError as error:
        reason = str(error)
    if path.exists():
        path.replace(path.with_suffix(".parquet.unusable"))
    return reason


def made_by(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the code that made a score: the earlier file's, if it says the same: what follows stays as it is."""
    try:
        earlier = read_json(path)
        made = earlier.pop("code")
    except (StiltgridError, KeyError, AttributeError):
        return code()
    return made if earlier == record else code()


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
    key = keys(manifest, task, data, grid.decoding(run.target, run.model))
    results, gold, said, unusable = {}, {}, {}, []
    for language in folder_of:
        path = Path(grid.paths.prediction(Cell(*run[:3], language, run.seed)))
        # only a span's diagnostics look into the texts
        gold[language] = read_examples(data[language], texts=task.kind == "span")
        usable = _usable(path, key[language], gold[language], task, store)
        if isinstance(usable, str):
            unusable.append(usable)
        else:
            said[language] = usable
    if unusable:
        raise StiltgridError(
            f"{len(unusable)} of {len(folder_of)} prediction files are not usable and were set aside (*.unusable); run "
            "the same command again, only they are predicted again:\n  " + "\n  ".join(unusable)
        )
    for language in folder_of:
        cell = Cell(*run[:3], language, run.seed)
        path = grid.paths.prediction(cell)
        scores, statistics = score_language(task, language, gold[language], said[language], path)
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
            "diagnostics": diagnostics(task, language, gold[language], said[language], manifest["counts"]),
            "prediction_key": key[language],
            "recipe_hash": manifest["recipe_hash"],
            "comparability": comparability(manifest["recipe"]),
            "model_digest": manifest["digest"],
            "data_fingerprint": read_json(sidecar(data[language]))["fingerprint"],
        }
        record["code"] = made_by(folder_of[language], record)
        results[language] = (record, statistics)
    for language, (record, statistics) in results.items():
        table = pa.BufferOutputStream()
        pq.write_table(pa.table(statistics), table, compression="zstd")
        _write(folder_of[language], record, table.getvalue().to_pybytes())
    return {language: record for language, (record, _) in results.items()}


def _write(path: Path, record: dict[str, Any], statistics: bytes) -> None:
    """Write a score and its statistics; what says the same already keeps its time, so that nothing follows from it."""
    beside = statistics_file(path)
    try:
        if read_json(path) == record and beside.read_bytes() == statistics:
            return
    except (StiltgridError, OSError):
        pass  # missing or damaged: written anew
    # killed between the two files, a job leaves no score rather than one beside statistics of another
    path.unlink(missing_ok=True)
    with replacing(beside) as temporary:
        temporary.write_bytes(statistics)
    write_json(path, record)
