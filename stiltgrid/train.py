"""One fine-tuning run, phase (ii) or (iii): a recipe, data and a parent in, a checkpoint out.

The run's identity is resolved before torch is imported. It decides what there is to do: nothing, if the folder holds
the finished run of that identity; resume, if it holds its training checkpoints; else start afresh, and remove what an
older recipe left. Killed at any moment, the same call ends at the same weights.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from stiltgrid import storage
from stiltgrid.artifacts import digest, file_sha256, read_json, write_json
from stiltgrid.commit import code
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import sidecar
from stiltgrid.exhaustion import FULL, explain_full_disk, explain_memory
from stiltgrid.launch import check_place, place
from stiltgrid.lock import holding
from stiltgrid.training import checkpoints
from stiltgrid.training.arguments import check_strategy

Data = Mapping[str, Mapping[str, Sequence[Path | str]]]


def identity(recipe: Mapping[str, Any], data: Data, pretrained: Path | str, parent: Path | str) -> dict[str, Any]:
    """Return all that determines a run's result, as plain JSON.

    Args:
        recipe: hyperparameters, tasks, seed.
        data: task -> split -> example files.
        pretrained: folder of the pretrained manifest, whose tokenizer is used.
        parent: folder of the manifest whose weights are continued.

    Returns:
        The recipe with data fingerprints (from sidecars; no example is read) and the digests of both manifests.
    """
    return {
        "recipe": dict(recipe),
        "data": {
            task: {
                split: [read_json(sidecar(path))["fingerprint"] for path in paths] for split, paths in splits.items()
            }
            for task, splits in data.items()
        },
        "pretrained": read_json(Path(pretrained) / "manifest.json")["digest"],
        "parent": read_json(Path(parent) / "manifest.json")["digest"],
    }


def finished(out: Path, hashes: Sequence[str], needed: Callable[[], bool]) -> dict[str, Any] | None:
    """Return the manifest of a finished run of this identity whose weights are whole, else None.

    Args:
        out: the run's folder.
        hashes: of the identity; several where the parent was trained more than once.
        needed: asked only where the storage policy has removed the weights: is there a use for them?
    """
    if not (out / "complete.json").is_file():
        return None
    try:
        manifest = read_json(out / "complete.json")
        if manifest["recipe_hash"] not in hashes:
            return None
        if storage.gone(out):
            return None if needed() else manifest
        for name, record in manifest["weights"].items():
            path = out / "weights" / name
            if path.stat().st_size != record["bytes"] or file_sha256(path) != record["sha256"]:
                return None
    except (StiltgridError, OSError, KeyError):
        return None
    return manifest


def run(
    recipe: Mapping[str, Any],
    data: Data,
    pretrained: Path | str,
    parent: Path | str,
    out: Path | str,
    execution: Mapping[str, Any],
    needed: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Train, or find that it is done; under ddp and zero3 every rank calls it.

    Args:
        recipe: what determines the result, beside the data and the parent.
        data: task -> {"train": files, "dev": files}.
        pretrained: folder of the pretrained manifest.
        parent: folder of the parent's manifest, a checkpoint or the pretrained model itself.
        out: the run's folder.
        execution: what changes only speed: strategy, devices, micro_batch_size, threads, checkpoint_minutes,
            gradient_checkpointing, offload; checkpoint_steps for tests.
        needed: tells whether weights that the storage policy has removed are to be trained again.

    Returns:
        The checkpoint manifest, as written to `out/manifest.json`.

    Raises:
        StiltgridError: for input that cannot be trained on, a loss that is no number (with the step), a signal that
            ended the run early (a checkpoint is saved), or DeepSpeed missing.
    """
    out = Path(out)
    check_strategy(recipe["training"], execution)
    check_place(execution)
    rank, ranks = place()
    about = identity(recipe, data, pretrained, parent)
    with holding(out) if rank == 0 else nullcontext():
        try:
            # looked at under the lock, whose last holder may have finished this very run; by one rank, for all of them
            hashes = storage.expected(about, storage.digests(read_json(Path(parent) / "manifest.json")))
            done = finished(out, hashes, needed) if rank == 0 else None
            if ranks > 1:
                from stiltgrid.training.fit import share_from_first, start_ranks, stop_ranks
                from stiltgrid.training.watchdog import watch

                start_ranks(execution)
                watchdog = watch(out, rank, ranks)
                done = share_from_first(done)
            if done is None:
                manifest = _train(recipe, data, pretrained, parent, out, execution, about)
            else:
                manifest = _found(out, done) if rank == 0 else done
        except Exception as error:
            if rank == 0:
                checkpoints.drop_unfinished(out)
            explain_full_disk(out, error)
            explain_memory(out, error, execution)
            raise
    if ranks > 1:
        manifest = share_from_first(manifest)
        watchdog.stop()
        stop_ranks()
    return manifest


def _train(
    recipe: Mapping[str, Any],
    data: Data,
    pretrained: Path | str,
    parent: Path | str,
    out: Path,
    execution: Mapping[str, Any],
    about: dict[str, Any],
) -> dict[str, Any]:
    """Return the new manifest on the first rank, {} on the others."""
    from stiltgrid.training.fit import fit

    recipe_hash = digest(about)
    first = place()[0] == 0
    if first:
        _make_ready(out, about, recipe_hash, execution)
    result = fit(recipe, data, pretrained, parent, out, execution)
    return _finish(out, about, recipe_hash, execution, result) if first else {}


def _found(out: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Declare a finished run again, and remove what a kill just after its end left."""
    write_json(out / "manifest.json", manifest)
    shutil.rmtree(out / "training", ignore_errors=True)
    print(f"{out}: nothing to train, the finished run has this recipe", file=sys.stderr, flush=True)
    return manifest


def _make_ready(out: Path, about: dict[str, Any], recipe_hash: str, execution: Mapping[str, Any]) -> None:
    """Keep the training checkpoints of this very run; remove everything else an earlier one left."""
    record = out / "training" / "identity.json"
    layout = {"strategy": execution.get("strategy", "single"), "devices": execution.get("devices", 1)}
    replaces: list[str] = []
    try:
        before = read_json(record)
        same = before["recipe_hash"] == recipe_hash
        sharded = "zero3" in (before["strategy"], layout["strategy"])
        replaces = before["replaces"] if same else []
    except (StiltgridError, KeyError):
        same = sharded = False
    if same and sharded and any(before[key] != value for key, value in layout.items()):
        # DeepSpeed's shards are one a rank, and nobody else's format; they may be days of work, so a person decides
        if (whole := checkpoints.newest(out / "training")) is not None:
            raise StiltgridError(
                f"{out}: its checkpoint at step {checkpoints.step_of(whole[0])} is of {before['strategy']} on "
                f"{before['devices']} devices and cannot be continued by {layout['strategy']} on {layout['devices']}; "
                f"set the model's execution back, or remove {out / 'training'} to start again"
            )
        same = False
    earlier = storage.record(out)
    if earlier is not None and storage.gone(out) and earlier["recipe_hash"] == recipe_hash:
        replaces = storage.digests(earlier)
    if not same:
        for name in ("training", "weights", "weights.tmp", storage.GOING):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / "metrics.jsonl").unlink(missing_ok=True)
    # before the manifests go: they, or this, say whose place the new weights take
    write_json(record, {"recipe_hash": recipe_hash, "identity": about, "replaces": replaces, **layout})
    for name in ("complete.json", "manifest.json"):
        (out / name).unlink(missing_ok=True)


def _finish(
    out: Path,
    about: dict[str, Any],
    recipe_hash: str,
    execution: Mapping[str, Any],
    result: dict[str, Any],
) -> dict[str, Any]:
    """Put the weights into place, write the manifest, and only then remove the training checkpoints.

    Until the manifest is written, `training/` stays as it was: whoever is killed here can be run again.
    """
    source = Path(result["weights"])
    measured = {key: result[key] for key in ("precision", "energy_joules", "device")}
    rest = {key: value for key, value in result.items() if key not in ("weights", *measured)}
    weights = {
        str(path.relative_to(source)): {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        for path in sorted(source.rglob("*"))
        if path.is_file()
    }
    copy = out / "weights.tmp"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, copy_function=_link)
    shutil.rmtree(out / "weights", ignore_errors=True)
    copy.replace(out / "weights")
    manifest = {
        "schema_version": 1,
        "kind": "checkpoint",
        "phase": about["recipe"]["phase"],
        "recipe": about["recipe"],
        "identity": about,
        "recipe_hash": recipe_hash,
        "weights": weights,
        "digest": digest([recipe_hash, {name: record["sha256"] for name, record in weights.items()}]),
        "execution": {**execution, **measured},
        "code": code(),
        **rest,
    }
    replaces = read_json(out / "training" / "identity.json")["replaces"]
    if replaces := [old for old in replaces if old != manifest["digest"]]:
        manifest["replaces"] = replaces  # what rests on them rests on this recipe: it need not be trained again
    write_json(out / "complete.json", manifest)
    write_json(out / "manifest.json", manifest)
    shutil.rmtree(out / "training", ignore_errors=True)
    return manifest


def _link(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in FULL:
            raise
        shutil.copyfile(source, target)
