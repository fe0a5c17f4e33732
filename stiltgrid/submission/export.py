"""One submission: every prediction of a model, intermediate and seed, in the leaderboard's layout."""

import json
import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import file_sha256, read_json, write_json, write_text
from stiltgrid.commit import code
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.evaluated import evaluated_manifest
from stiltgrid.examples import read_examples, sidecar
from stiltgrid.grid import Arm, Cell, Grid, Run
from stiltgrid.metrics.generation import one_line
from stiltgrid.predict_languages import keys
from stiltgrid.predictions import Prediction, check_alignment, read_predictions
from stiltgrid.predictions import read_metadata as prediction_metadata
from stiltgrid.status import State, cell_states
from stiltgrid.submission.contents import check, files, folder, lacking, submissions, suite, targets
from stiltgrid.submission.forms import FORMS
from stiltgrid.submission.leaderboard import belongs, leaderboard

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a submission: its text and what the manifest says of it."""

    text: str
    about: dict[str, Any]


def _predictions(grid: Grid, cell: Cell, state: State, key: str) -> list[Prediction]:
    """Return a cell's predictions.

    Raises:
        StiltgridError: if the cell failed or is excluded, or its file is missing, truncated, misaligned, or rests on
            another checkpoint, other data or another decoding than the config's.
    """
    path = grid.paths.prediction(cell)
    if state.status in ("failed", "excluded"):
        raise StiltgridError(f"{path}: the cell is {state.status}: {state.reason}")
    if state.stage not in ("predicted", "scored"):
        raise StiltgridError(state.reason or f"{path}: no such file; the cell is not predicted yet")
    found = prediction_metadata(path).get("key")
    if found != key:
        raise StiltgridError(
            f"{path}: rests on key {str(found)[:12]}…, the present checkpoint and data give {key[:12]}…; predict again"
        )
    predictions = read_predictions(path)
    row = grid.tasks[cell.target]
    examples = read_examples(grid.paths.data(grid.evaluation(cell.target, cell.language)), texts=False)
    check_alignment(examples, predictions, list(row.labels), path)
    return predictions


def _part(cell: Cell, row: Any, predictions: list[Prediction], about: Mapping[str, Any]) -> Part:
    text = FORMS[row.submission.form].write(predictions)
    written = {
        **about,
        "target": cell.target,
        "task": row.name,
        "language": cell.language,
        "form": row.submission.form,
        "examples": len(predictions),
        "lines": text.count("\n"),
    }
    if row.submission.form == "texts":
        changed = sum(one_line(said.text or "") != said.text for said in predictions)
        written["texts_with_line_ends_replaced"] = changed
        if changed:
            log.warning("%s %s: line ends or tabs became spaces in %d texts", cell.target, cell.language, changed)
    return Part(text, written)


def export(grid: Grid, model: str, intermediate: str, seed: int) -> dict[str, Any]:
    """Write one submission, its manifest last.

    Args:
        grid: the expanded config.
        model: a model's name.
        intermediate: an intermediate's name.
        seed: the seed.

    Returns:
        The manifest as written.

    Raises:
        StiltgridError: as `contents.check`; if the grid has no such submission; if a prediction is missing, stale,
            truncated or misaligned, its cell failed, or its rows are not as many as the released file's (unless
            `submission: {partial: true}`), each named. Then nothing is written, and the manifest of an earlier export
            is gone.
    """
    below = Path(folder(grid, model, intermediate, seed))
    (below / "manifest.json").unlink(missing_ok=True)
    check(grid)
    arms = {"/".join(map(str, arm)) for arm in submissions(grid)}
    if (asked := f"{model}/{intermediate}/{seed}") not in arms:
        raise StiltgridError(f"grid {grid.config.grid} has no submission {asked}; {nearest(asked, arms)}")
    named, states = files(grid, model), cell_states(grid)
    parts: dict[str, Part] = {}
    faults: list[str] = []
    for target in targets(grid, model):
        run, row = Run(model, intermediate, target, seed), grid.tasks[target]
        data = {x: Path(grid.paths.data(grid.evaluation(target, x))) for x in grid.languages(target)}
        try:
            checkpoint = evaluated_manifest(grid, run)
            key = keys(checkpoint, row, data, grid.decoding(target, model))
        except StiltgridError as error:
            faults.append(f"{target}: {error}")
            continue
        for language in data:
            cell = Cell(*run[:3], language, seed)
            about = {
                "prediction_key": key[language],
                "recipe_hash": checkpoint["recipe_hash"],
                "model_digest": checkpoint["digest"],
                "data_fingerprint": read_json(sidecar(data[language]))["fingerprint"],
            }
            try:
                said = _predictions(grid, cell, states.get(cell, State("missing")), key[language])
                parts[named[target, language]] = _part(cell, row, said, about)
            except StiltgridError as error:
                faults.append(str(error))
    lacking_rows = [line for file, part in parts.items() if (line := _lacking_rows(grid, file, part))]
    if not grid.config.submission.partial:
        faults += lacking_rows
    if faults:
        raise StiltgridError(
            f"{below}: {len(faults)} faults, so no submission is written:\n  " + "\n  ".join(faults) + "\n"
            "snakemake makes what is missing; `snakemake status` shows the rest"
        )
    record = _record(grid, Arm(model, intermediate, seed), lacking_rows) | {"code": code()}
    for row in leaderboard(suite(grid))[1].values():
        for old in below.glob(belongs(row, grid.config.submission.split)):
            if old.relative_to(below).as_posix() not in parts:
                old.unlink()  # of a target that the config no longer has
    for file, part in parts.items():
        write_text(below / file, part.text)
    record["files"] = {file: {**p.about, "sha256": file_sha256(below / file)} for file, p in parts.items()}
    write_json(below / "manifest.json", record)
    return record


def _lacking_rows(grid: Grid, file: str, part: Part) -> str | None:
    """Say that a file has not a line for each row of the leaderboard's; None if it has, or the count is not published.

    A partial copy of the data, a slice (`rows`) or another file (`files`) is scored as it is, but no submission.
    """
    row, split = grid.tasks[part.about["target"]], grid.config.submission.split
    published = row.sizes.get(f"{split}.{part.about['language']}", row.sizes.get(split))
    if published in (None, part.about["examples"]):
        return None
    return (
        f"{file}: predictions for {part.about['examples']} rows, the released {split} file has {published}; bring the "
        "whole file, or write `submission: {partial: true}`"
    )


def _record(grid: Grid, arm: Arm, lacking_rows: list[str]) -> dict[str, Any]:
    """Return what the manifest says beside the files."""
    pretrained = read_json(grid.paths.pretrained(arm.model))
    missing = lacking(grid, arm.model) + lacking_rows
    if missing:
        log.warning("PARTIAL submission of %s: %s", "/".join(map(str, arm)), "; ".join(missing))
    parameters, basis = parameter_count(grid, arm.model, pretrained)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "submission",
        "suite": suite(grid),
        "leaderboard": leaderboard(suite(grid))[0].source,
        "status": "PARTIAL" if missing else "complete",
        "lacking": missing,
        "grid": grid.config.grid,
        **arm._asdict(),
        "split": grid.config.submission.split,
        "translated_data_used": "yes" if _reads_translations(grid, arm) else "no",
        "source_languages": sorted({grid.config.targets[t].source_language for t in targets(grid, arm.model)}),
        "parameters": parameters,
        "parameters_from": basis,
        "pretrained": {name: pretrained.get(name) for name in ("source", "revision", "digest", "family")},
    }


def _reads_translations(grid: Grid, arm: Arm) -> bool:
    """Tell whether a target, or the intermediate before it, is trained on translated text.

    The layout or the file of the config says so by its name; what is not English in the parallel tasks, XNLI and
    PAWS-X, is translated from English, and so is what is not English of an intermediate task.
    """
    if any(language != "en" for language in grid.config.intermediates[arm.intermediate].languages):
        return True
    trained = [target for target in targets(grid, arm.model) if not grid.retrieves(target)]
    for name in (*grid.arm_tasks[arm.intermediate], *(grid.tasks[target].name for target in trained)):
        source = grid.source(name)
        if source is not None and "translat" in f"{source.layout_of('train')} {source.files.get('train')}":
            return True
    return any(grid.tasks[t].parallel and grid.config.targets[t].source_language != "en" for t in trained)


def parameter_count(grid: Grid, model: str, pretrained: Mapping[str, Any]) -> tuple[int | None, str]:
    """Return a pretrained model's number of parameters, and where it is from.

    From the manifest, else counted in the headers of its safetensors files (no weights are read), else from the
    config's `cost.parameters`; None if none of them says.
    """
    if pretrained.get("parameters"):
        return int(pretrained["parameters"]), "pretrained manifest"
    shards = [name for name in pretrained.get("files", ()) if name.endswith(".safetensors")]
    where = Path(grid.paths.pretrained(model)).parent / str(pretrained.get("path", ""))
    if shards and all((where / name).is_file() for name in shards):
        return sum(_parameters_in(where / name) for name in shards), "headers of the safetensors files"
    cost = grid.config.models[model].cost
    if cost is not None:
        return int(cost.parameters), f"models.{model}.cost.parameters"
    return None, "not known: no safetensors files here, and the config gives no cost.parameters"


def _parameters_in(path: Path) -> int:
    """Return the number of floating-point values that a safetensors file holds, from its header."""
    with path.open("rb") as handle:
        [size] = struct.unpack("<Q", handle.read(8))
        header = json.loads(handle.read(size))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__" and tensor["dtype"].startswith(("F", "BF")):
            count = 1
            for length in tensor["shape"]:
                count *= length
            total += count
    return total
