"""The links of the chain, from a score back to pretrained weights and rows; each holds or says how it is broken.

A file's name for what it rests on (digest, key, fingerprint, hash) is compared with what that file says of itself, and
hashes are computed again from what they are hashes of. `deep` also reads weights and rows, which takes as long as
reading them takes.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stiltgrid.artifacts import digest, file_sha256
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import fingerprint, read_examples
from stiltgrid.grid import Arm, Cell, Run, folder, parent_manifest
from stiltgrid.metrics import METRICS
from stiltgrid.provenance.records import Records, parquet_record
from stiltgrid.recipes import training_recipe
from stiltgrid.score_languages import statistics_file
from stiltgrid.status import recipe_difference
from stiltgrid.storage import digests, gone
from stiltgrid.store import prediction_key

TOLERANCE = 1e-6
"""Points by which sums of fractions in another order may differ."""


class Link(NamedTuple):
    """One link: what is claimed, the file that claims it, and how it is broken; empty if it holds."""

    what: str
    file: str
    broken: str = ""


def same(what: str, file: str, found: Any, expected: Any, where: str) -> Link:
    """Return the link that two values are equal; hashes are shown by their first digits."""

    def text(value: Any) -> str:
        return f"{value[:12]}…" if isinstance(value, str) and len(value) == 64 else str(value)

    return Link(what, file, "" if found == expected else f"names {text(found)}, {where} has {text(expected)}")


def guarded(what: str, file: str, links: Callable[[], Iterator[Link]]) -> list[Link]:
    """Return links; a file that cannot be read, or lacks a key, is a broken one."""
    found: list[Link] = []
    try:
        for link in links():
            found.append(link)
    except StiltgridError as error:
        found.append(Link(what, file, str(error)))
    except KeyError as error:
        found.append(Link(what, file, f"lacks {error}"))
    return found


def data_links(records: Records, path: str, deep: bool) -> list[Link]:
    """Return the links of an example file: its sidecar is of it; `deep`: its fingerprint is of its rows."""

    def links() -> Iterator[Link]:
        named = records.sidecar(path)["fingerprint"]
        yield same("fingerprint of the rows", path, parquet_record(path).get("fingerprint"), named, "its sidecar")
        if deep:
            yield same("fingerprint, from the rows", path, named, fingerprint(read_examples(path)), "the file")

    return guarded("rows", path, links)


def pretrained_links(records: Records, model: str, deep: bool) -> list[Link]:
    """Return the links of a pretrained model: its digest is of its files; it is what the config names."""
    path, row = records.paths.pretrained(model), records.grid.config.models[model]

    def links() -> Iterator[Link]:
        found = records.pretrained(model)
        files: Mapping[str, Any] = found["files"]
        yield same("source", path, found["source"], row.source, "the config")
        yield same("revision", path, found["revision"], row.revision, "the config")
        named = digest({name: about["sha256"] for name, about in files.items()})
        yield same("digest of the weights", path, found["digest"], named, "the list of files")
        if deep:
            place = Path(folder(path), found["path"])
            for name, about in files.items():
                if not (place / name).exists():
                    yield Link("pretrained file", f"{place / name}", "no such file; the model was moved away")
                else:
                    now = file_sha256(place / name)
                    yield same("pretrained file", f"{place / name}", about["sha256"], now, "the file")

    return guarded("pretrained model", path, links)


def run_links(records: Records, run: Run | Arm, deep: bool) -> list[Link]:
    """Return the links of a checkpoint: recipe, rows, parent and weights are those that its hashes name."""
    grid, path = records.grid, records.manifest(run)
    target = run.target if isinstance(run, Run) else None

    def links() -> Iterator[Link]:
        found = records.checkpoint(run)
        identity = found["identity"]
        yield same("recipe hash", path, found["recipe_hash"], digest(identity), "what it hashes")
        yield same("recipe", path, digest(found["recipe"]), digest(identity["recipe"]), "what is hashed")
        change = recipe_difference(found, training_recipe(grid, run.model, run.intermediate, target, run.seed))
        yield Link("recipe of the config", path, change)
        weights = {name: about["sha256"] for name, about in found["weights"].items()}
        named = digest([found["recipe_hash"], weights])
        yield same("digest of the checkpoint", path, found["digest"], named, "the list of weights")
        begun = records.pretrained(run.model)["digest"]
        yield same("pretrained weights", path, identity["pretrained"], begun, records.paths.pretrained(run.model))
        if target is not None:
            parent = parent_manifest(records.paths, grid, run.model, run.intermediate, run.seed)
            known = digests(records.json(parent))
            broken = "" if identity["parent"] in known else f"starts from {identity['parent'][:12]}…, {parent} is "
            yield Link("parent checkpoint", path, broken + (f"{known[0][:12]}…" if broken else ""))
        for task, splits in grid.training_files(run.intermediate, target).items():
            for split, files in splits.items():
                now = [records.sidecar(records.paths.data(file))["fingerprint"] for file in files]
                yield same(f"{split} rows of {task}", path, identity["data"][task][split], now, "the data folder")
        for name, others in grid.other_inputs(run.intermediate, target).items():
            now = [records.sidecar(other)["fingerprint"] for other in others]
            yield same(f"{name} of the training", path, identity["data"][name]["train"], now, "its files")
        place = Path(folder(path))
        if deep and not gone(place):
            for name, sha in weights.items():
                file = place / "weights" / name
                now = file_sha256(file) if file.exists() else "no file"
                yield same("weights", f"{file}", sha, now, "the file")

    return guarded("checkpoint", path, links)


def cell_links(records: Records, cell: Cell) -> list[Link]:
    """Return the links of a cell: tidy table, score, statistics, predictions, checkpoint, test rows."""
    grid, paths = records.grid, records.paths
    score, prediction = paths.score(cell), paths.prediction(cell)
    data = paths.data(grid.evaluation(cell.target, cell.language))

    def links() -> Iterator[Link]:
        found, task = records.score(cell), grid.tasks[cell.target]
        if cell not in records.scores:
            yield Link("score in the tidy table", paths.scores, f"has no score of {'/'.join(map(str, cell))}")
        for metric, (value, recipe, rows) in records.scores.get(cell, {}).items():
            at = found["metrics"][metric]
            yield same(f"{metric} in the tidy table", paths.scores, value, math.nan if at is None else at, score)
            yield same("recipe hash in the tidy table", paths.scores, recipe, found["recipe_hash"], score)
            yield same("fingerprint in the tidy table", paths.scores, rows, found["data_fingerprint"], score)
        yield from _statistics(score, found["metrics"])
        said, checkpoint = records.prediction(cell), records.evaluated(cell.run)
        yield same("predictions", score, found["prediction_key"], said["key"], prediction)
        named = (found["model_digest"], found["data_fingerprint"], task.name, cell.language)
        key = prediction_key(*named, grid.decoding(cell.target, cell.model))
        yield same("key of the predictions", prediction, said["key"], key, "checkpoint, rows and decoding of today")
        yield same("checkpoint", score, found["model_digest"], checkpoint["digest"], grid.evaluated(cell.run))
        yield same("recipe hash", score, found["recipe_hash"], checkpoint["recipe_hash"], grid.evaluated(cell.run))
        yield same("test rows", score, found["data_fingerprint"], records.sidecar(data)["fingerprint"], data)

    return guarded("score", score, links)


def _statistics(score: str, metrics: Mapping[str, float | None]) -> Iterator[Link]:
    """Yield the links of a score to the statistics of examples that intervals rest on."""
    import pyarrow.parquet as pq

    path = statistics_file(score)
    if not path.exists():
        yield Link("statistics of examples", str(path), "no such file; score again")
        return
    table = pq.read_table(path)
    columns = {name: table[name].to_numpy() for name in table.column_names if name not in ("unit", "group")}
    for name, value in metrics.items():
        if name not in METRICS or not set(METRICS[name].columns) <= set(columns):
            yield Link(f"{name} from statistics", str(path), "lacks its columns; score again")
            continue
        again = float(METRICS[name].score(columns))
        close = value is not None and abs(again - value) <= TOLERANCE
        yield Link(f"{name} from statistics", str(path), "" if close else f"give {again}, {score} has {value}")
