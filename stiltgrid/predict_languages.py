"""One prediction job: all languages that a run lacks, with one load of its model, over the store."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json
from stiltgrid.commit import code
from stiltgrid.energy import Meter, used_devices
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, read_examples, sidecar
from stiltgrid.exhaustion import OutOfMemoryError
from stiltgrid.predictions import Prediction, check_alignment
from stiltgrid.store import Store, prediction_key
from stiltgrid.tasks.registry import Decoding, TaskRow

log = logging.getLogger(__name__)

Predict = Callable[[list[Example], str], list[Prediction]]


@dataclass(frozen=True)
class Report:
    """What a job did: languages computed, languages taken from the store."""

    computed: tuple[str, ...]
    stored: tuple[str, ...]


def keys(
    manifest: Mapping[str, Any], task: TaskRow, data: Mapping[str, Path], decoding: Decoding | None
) -> dict[str, str]:
    """Return each language's store key, from the checkpoint manifest and the data files' sidecars."""
    return {
        language: prediction_key(
            manifest["digest"], read_json(sidecar(path))["fingerprint"], task.name, language, decoding
        )
        for language, path in data.items()
    }


def predict_languages(
    manifest: Mapping[str, Any],
    task: TaskRow,
    data: Mapping[str, Path],
    outputs: Mapping[str, Path],
    store: Store,
    load: Callable[[], Predict],
    recompute: frozenset[str] = frozenset(),
    decoding: Decoding | None = None,
    meter: Callable[[], Meter] | None = None,
) -> Report:
    """Make every output exist, computing only what the store lacks.

    Args:
        manifest: the checkpoint's manifest.
        task: the target's task row.
        data: examples by language.
        outputs: prediction files by language, the same languages.
        store: the grid's store.
        load: loads the model and returns `predict(examples, language)`; called at most once.
        recompute: languages whose store entries are thrown away first.
        decoding: how answers are written, where they are.
        meter: makes a meter of the energy that a language takes; None: it is not measured.

    Returns:
        What was computed and what was stored already.

    Raises:
        StiltgridError: after all other languages are done, if a language failed; their outputs are whole. Where
            memory ran out the others are not tried: they are as large.
    """
    key = keys(manifest, task, data, decoding)
    for language in recompute:
        store.discard(key[language])
    lacking = [language for language in outputs if not store.holds(key[language])]
    stored = tuple(language for language in outputs if language not in lacking)
    log.info("%d of %d languages in the store; computing: %s", len(stored), len(outputs), " ".join(lacking) or "none")
    failed: dict[str, str] = {}
    predict = load() if lacking else None
    for language in lacking:
        started = time.perf_counter()
        used = meter() if meter is not None else None
        try:
            examples = read_examples(data[language])
            assert predict is not None
            predictions = predict(examples, language)
            check_alignment(examples, predictions, list(task.labels), f"predictions for {language}")
        except OutOfMemoryError as error:
            failed[language] = str(error)
            failed |= dict.fromkeys(lacking[lacking.index(language) + 1 :], "not tried")
            break
        except (StiltgridError, RuntimeError, ValueError, MemoryError) as error:
            # the other languages are worth keeping; the job still ends in failure
            log.error("%s failed: %s", language, error)
            failed[language] = f"{type(error).__name__}: {error}"
            continue
        seconds = time.perf_counter() - started
        store.put(
            key[language],
            predictions,
            {
                "task": task.name,
                "language": language,
                "model_digest": manifest["digest"],
                "recipe_hash": manifest["recipe_hash"],
                "data_fingerprint": read_json(sidecar(data[language]))["fingerprint"],
                "seconds": round(seconds, 3),
                "devices": max(1, len(used_devices())),
                "code": code(),
                "energy_joules": used.joules() if used is not None else None,
            },
        )
        log.info("%s: %d examples in %.1f s", language, len(examples), seconds)
    for language in outputs:
        if language not in failed:
            store.link(key[language], outputs[language])
    if failed:
        lines = "\n".join(f"  {language}: {reason}" for language, reason in failed.items())
        raise StiltgridError(
            f"{len(failed)} of {len(outputs)} languages failed (the others are kept in {store.root}, "
            f"the next run computes only these):\n{lines}"
        )
    return Report(tuple(lacking), stored)
