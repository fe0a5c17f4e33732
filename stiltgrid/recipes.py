"""Recipes: all that determines a run's result, resolved from the config before the run starts.

A recipe is plain JSON, so that Snakemake compares it as a `params` value and a manifest records it. What changes only
speed (`execution`) is apart. `RECIPE_VERSION` is raised by hand when a change of code changes results: that, not an
edit of a file, is what retrains (DESIGN section 3).
"""

from collections.abc import Iterable
from typing import Any

from stiltgrid import formulations
from stiltgrid.artifacts import digest
from stiltgrid.errors import StiltgridError
from stiltgrid.formulations.sharing import shared_heads
from stiltgrid.grid import Grid
from stiltgrid.hub.repository import dataset_of
from stiltgrid.schema import Config, Training, TrainingOverride
from stiltgrid.store import PREDICTION_VERSION
from stiltgrid.tasks.added import code_of, in_force
from stiltgrid.tasks.registry import TaskRow, task, tasks

RECIPE_VERSION = 1
"""Raise when training or batching change in a way that changes results."""

DENOISING_VERSION = 1
"""Raise when text for denoising is drawn or corrupted in another way."""

DATA_VERSION = 1
"""Raise when a reader changes in a way that changes the examples."""

SCORE_VERSION = 2
"""Raise when a metric or a diagnostic changes in a way that changes scores."""


UNREAD = {"title", "licence", "citation", "url", "chance", "sizes", "hub", "revision", "metrics", "submission"}
UNREAD |= {"decoding", "output_length", "segments", "parallel", "layouts", "labels", "search"}
"""Keys of a task's row that say nothing of how its files are read; of `layouts` the chosen one counts, of `labels` the
names."""


def merged(*layers: TrainingOverride) -> Training:
    """Merge hyperparameters: the defaults, then each layer's keys that are set.

    `epochs` and `max_steps` replace each other: the last layer that sets one of them wins.
    """
    values = Training().model_dump()
    for layer in layers:
        given = layer.model_dump(exclude_unset=True)
        if given.get("max_steps") is not None:
            values["epochs"] = None
        if given.get("epochs") is not None:
            values["max_steps"] = None
        values.update(given)
    return Training.model_validate(values)


def formulation_of(names: Iterable[str], family: str = "text2text") -> dict[str, Any]:
    """Return what the formulation of some tasks is: its version, and each task's labels, verbalisers and fields.

    An edited verbaliser is another task to a model, so it is part of the recipe; and of heads, which tasks share one.
    """
    rows = {name: task(name) for name in names}
    about = {
        "version": formulations.VERSION,
        "tasks": {name: formulations.described(row) for name, row in rows.items()},
    }
    shared = shared_heads(rows) if family == "heads" else {}
    return about | ({"heads": shared} if shared else {})


def training_recipe(grid: Grid, model: str, intermediate: str, target: str | None, seed: int) -> dict[str, Any]:
    """Return the recipe of one fine-tuning run.

    Args:
        grid: the expanded config.
        model: a model's name.
        intermediate: the arm; for phase (iii) it only names the parent, which the identity adds by digest.
        target: a target's name for phase (iii), None for phase (ii).
        seed: the chain's seed.

    Raises:
        StiltgridError: if the merged hyperparameters contradict each other, naming the layers.
    """
    config: Config = grid.config
    row = config.models[model]
    if target is not None and grid.retrieves(target):
        raise StiltgridError(f"targets.{target}: {grid.tasks[target].name} has no training set; it is only evaluated")
    if target is not None:
        last, where, names = config.targets[target].training, f"targets.{target}", [grid.tasks[target].name]
    else:
        last, where = config.intermediates[intermediate].training, f"intermediates.{intermediate}"
        names = list(grid.arm_tasks[intermediate])
    try:
        training = merged(config.training, row.training, last)
    except ValueError as error:
        raise StiltgridError(f"training of {where} over models.{model} and defaults: {error}") from None
    if training.optimizer == "adafactor" and row.execution.strategy == "zero3":
        raise StiltgridError(
            f"models.{model}: optimizer adafactor with strategy zero3: ZeRO-3 hands it flat shards, so it is not "
            "Adafactor any more; use adamw"
        )
    if training.selection == "best_dev":
        if training.evaluations < 2:
            raise StiltgridError(
                f"training of {where}: selection best_dev with evaluations {training.evaluations} has nothing to "
                "choose from; set evaluations to 2 or more, or selection: last_step"
            )
        if target is not None and config.targets[target].eval_split == "dev":
            raise StiltgridError(
                f"targets.{target}: eval_split dev with selection best_dev would choose the checkpoint on rows that "
                "are scored (in parallel sets the other languages are their translations); set selection: last_step"
            )
    values = training.model_dump()
    about = {"name": model, "family": row.family, "pooling": row.pooling, "freeze": values.pop("freeze")}
    if row.lora is not None:
        # where there is no adapter yet, nothing is merged or stacked
        first = target is None or not grid.arm_tasks[intermediate]
        about["lora"] = row.lora.model_dump(mode="json", exclude={"phases"} if first else None)
    # what selects a checkpoint, where an extension defines the metric or the row that names it
    code = code_of("metric", [metric for name in names for metric in task(name).metrics])
    own = {name: task(name).metrics[0] for name in names if name in in_force().rows}
    return {
        **({"metrics": code} if code else {}),
        **({"selected_by": own} if own and training.selection == "best_dev" else {}),
        "version": RECIPE_VERSION,
        "phase": "intermediate" if target is None else "target",
        "model": about,
        "tasks": names,
        "formulation": formulation_of(names, row.family),
        "mixing": _mixing(config, intermediate) if target is None else "proportional",
        "source_language": "en" if target is None else config.targets[target].source_language,
        "training": values,
        "seed": seed,
        **(_intermediate_extras(config, intermediate, names) if target is None else _target_extras(config, target)),
    }


def _mixing(config: Config, intermediate: str) -> Any:
    rule = config.intermediates[intermediate].mixing
    return rule if isinstance(rule, str) else rule.model_dump()


def _intermediate_extras(config: Config, intermediate: str, names: list[str]) -> dict[str, Any]:
    """Return what an arm's recipe holds beyond one task in English: absent keys leave other recipes as they were."""
    row, text = config.intermediates[intermediate], config.denoising_text
    found: dict[str, Any] = {}
    if len(names) > 1:
        found["weighting"] = "inputs"  # else a sentence of 20 tags would weigh as much as 20 pairs
    if row.languages != ("en",):
        found["languages"] = list(row.languages)
    if row.denoising is not None and text is not None:
        found["denoising"] = {
            "version": DENOISING_VERSION,
            "rate": row.denoising,
            "languages": list(text.languages),
            "alpha": text.alpha,
        }
    return found


def _target_extras(config: Config, target: str) -> dict[str, Any]:
    """Return how a target is made robust; the file of neighbours counts by its content, which is data."""
    robust = config.targets[target].robust
    return {} if robust is None else {"robust": robust.model_dump(exclude={"neighbours"})}


def pretrained_recipe(grid: Grid, model: str) -> dict[str, Any]:
    """Return what determines a pretrained model: its source and revision."""
    row = grid.config.models[model]
    return {"source": row.source, "revision": row.revision, "family": row.family}


def prediction_recipe(grid: Grid, target: str, model: str | None = None) -> dict[str, Any]:
    """Return what, beside the checkpoint, determines a target's predictions: versions, task and split.

    Args:
        grid: the expanded config.
        target: the target.
        model: of a retrieval target, which is embedded and searched as the model's row says.
    """
    split = grid.config.targets[target].eval_split
    about = {"version": [PREDICTION_VERSION, formulations.VERSION], "task": grid.tasks[target].name, "split": split}
    if model is not None and grid.retrieves(target):
        return about | {"retrieval": grid.retrieval(target, model).model_dump()}
    decoding = grid.decoding(target)
    return about if decoding is None else about | {"decoding": decoding.model_dump()}


def scoring_recipe(grid: Grid, target: str) -> dict[str, Any]:
    """Return what, beside the predictions, determines a target's scores: version, task, metrics and split."""
    row, split = grid.tasks[target], grid.config.targets[target].eval_split
    about = {"version": SCORE_VERSION, "task": row.name, "metrics": list(row.metrics), "split": split}
    code = code_of("metric", row.metrics)
    return about | {"code": code} if code else about


def data_recipe(grid: Grid, task: str, split: str) -> dict[str, Any]:
    """Return what, beside the original files' bytes, determines a data file: layout, patterns, rows."""
    source = grid.source(task)
    if source is None:
        return {}
    if source.hub:
        repository = dataset_of(tasks()[task], source)
        place = {"hub": repository.id, "revision": repository.revision}
    else:
        place = {"path": source.path}
    if task in in_force().rows:
        place["extension"] = _reading(tasks()[task], source.layout_of(split))
    return {
        "version": DATA_VERSION,
        **place,
        "layout": source.layout_of(split),
        "file": source.files.get(split),
        "rows": list(source.rows[split]) if split in source.rows else None,
    }


def _reading(row: TaskRow, layout: str | None) -> str:
    """Return a hash of how the files of an extension's task are read: its row and, where it has its own, the reader.

    The package's rows have none: a change of them that changes examples is declared by DATA_VERSION.
    """
    if row.pending or not row.layouts:
        return digest(row.name)
    chosen = row.layouts.get(layout or next(iter(row.layouts)))
    about = row.model_dump(mode="json", exclude=UNREAD) | {"labels": list(row.labels)}
    reader = {} if chosen is None else chosen.model_dump(mode="json", exclude={"sizes"})
    return digest([about, reader, code_of("reader", [reader.get("reader", "")])])
