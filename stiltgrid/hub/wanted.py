"""Which files of which repositories a grid needs, from its config and the rows of its tasks."""

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import NamedTuple

from stiltgrid.grid import DataFile, Grid
from stiltgrid.hub.repository import Repository, dataset_of
from stiltgrid.readers.files import filled_patterns
from stiltgrid.tasks.registry import task

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
"""In order of preference: only the first form that a repository has is fetched."""
MODEL = (
    *("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json"),
    *("pytorch_model*.bin", "pytorch_model*.bin.index.json"),
    *("tokenizer*", "spiece.model", "sentencepiece*", "special_tokens_map.json", "vocab*", "merges.txt"),
)
"""Files of a model: configuration, weights for PyTorch, tokenizer. What lies in folders, other formats, is not."""


class Wanted(NamedTuple):
    """A repository and the patterns of the files that are needed of it."""

    repository: Repository
    patterns: tuple[str, ...]


def model_of(source: str, revision: str) -> Wanted:
    """Return what is needed of a model."""
    return Wanted(Repository("model", source, revision), MODEL)


def wanted(grid: Grid) -> list[Wanted]:
    """Return what is needed of the hub: models as the config has them, then data sets; each repository once."""
    models = [model_of(row.source, row.revision) for row in grid.config.models.values() if row.is_hub and row.revision]
    patterns: dict[Repository, dict[str, None]] = {}
    for file in data_files(grid):
        if needed := of_file(grid, file):
            patterns.setdefault(needed.repository, {}).update(dict.fromkeys(needed.patterns))
    return [*dict.fromkeys(models), *(Wanted(repository, tuple(names)) for repository, names in patterns.items())]


def of_file(grid: Grid, file: DataFile) -> Wanted | None:
    """Return what a data file is read from; None where that is not on the hub."""
    source = grid.source(file.task)
    if source is None or not source.hub:
        return None
    row = task(file.task)
    patterns = filled_patterns(row, source.layout_of(file.split), file.split, file.language, source.files)
    return Wanted(dataset_of(row, source), tuple(patterns))


def data_files(grid: Grid) -> list[DataFile]:
    """Return every data file that some run of the grid reads, each once."""
    trained = [grid.training_files(arm, None) for arm in dict.fromkeys(arm.intermediate for arm in grid.arms)]
    targets = dict.fromkeys(run.target for run in grid.runs)
    trained += [grid.training_files(None, target) for target in targets]
    found = [file for by_task in trained for splits in by_task.values() for files in splits.values() for file in files]
    found += [grid.evaluation(target, language) for target in targets for language in grid.languages(target)]
    return list(dict.fromkeys(found))


def selected(wanted: Wanted, names: Sequence[str]) -> list[str]:
    """Return the files of a repository that are needed, in its own order.

    Args:
        wanted: patterns; `*` does not pass a slash in a model's.
        names: all files of the repository.
    """
    model = wanted.repository.kind == "model"
    candidates = [name for name in names if not (model and "/" in name)]
    found = [name for name in candidates if any(fnmatch(name, pattern) for pattern in wanted.patterns)]
    if not model:
        return found
    forms = [form for form in WEIGHTS if any(fnmatch(name, form) for name in found)]
    unwanted = {
        name for form in forms[1:] for name in found if fnmatch(name, form) or fnmatch(name, f"{form}.index.json")
    }
    return [name for name in found if name not in unwanted]
