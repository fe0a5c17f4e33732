"""What jobs read that no job made: original files, archives, plain text, neighbours of words, pretrained models."""

from functools import cached_property
from pathlib import Path
from typing import Any

from stiltgrid.config import expanded
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.grid import Grid
from stiltgrid.readers.archive import contents_of, is_archive, manifest_of, plain, unpacked_folder
from stiltgrid.readers.files import source_paths
from stiltgrid.recipes import data_recipe, pretrained_recipe
from stiltgrid.tasks.registry import task
from stiltgrid.wiring.wildcards import Wildcards

DEMO = "demo:"
MODEL_FILES = {".json", ".safetensors", ".bin", ".model"}


def source_folder(grid: Grid, path: str) -> str:
    """Return a source's folder; `demo:x` is folder x of the miniature's own sources, an archive's its unpacked one."""
    if path.startswith(DEMO):
        return f"{grid.paths.root}/source/{path.removeprefix(DEMO)}"
    place = expanded(path)
    return contents_of(place) if is_archive(place) else place


class Originals:
    """What the rules that read originals ask; a plan must not need them, so they are named as far as they are there.

    Args:
        grid: the expanded config.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.demo_sources = f"{grid.paths.root}/source/manifest.json"

    @cached_property
    def archives(self) -> dict[str, str]:
        """Sources that are archives: the path by the name of the folder that it is unpacked into."""
        found = {}
        for source in self.grid.config.sources.values():
            if source.path is None or source.path.startswith(DEMO):
                continue
            try:
                place = expanded(source.path)
            except StiltgridError:
                continue  # the data job reports it
            if is_archive(place):
                found[Path(unpacked_folder(place)).name] = plain(place)
        return found

    def archive(self, w: Wildcards) -> str:
        """Path of the archive that is unpacked into results/sources/{archive}."""
        try:
            return self.archives[w.archive]
        except KeyError:
            raise StiltgridError(
                f"{w.archive}: no source of this config; {nearest(w.archive, self.archives)}"
            ) from None

    def archive_inputs(self, w: Wildcards) -> list[str]:
        """The archive, if it is there: once unpacked it may be moved away."""
        path = self.archive(w)
        return [path] if Path(path).exists() else []

    def data_inputs(self, w: Wildcards) -> list[str]:
        """Original files of a data file, as far as they are there: a plan must not need them.

        An archive's manifest stands for the files in it.
        """
        source = self.grid.source(w.task)
        if source is None:
            return []
        if source.path.startswith(DEMO):
            return [self.demo_sources]
        try:
            if is_archive(place := expanded(source.path)):
                manifest = manifest_of(place)
                return [manifest] if Path(manifest).exists() or Path(place).exists() else []
            found = source_paths(
                task(w.task), source.layout_of(w.split), place, w.split, w.language, files=source.files
            )
        except StiltgridError:
            return []  # the job itself reports it, with all it knows
        return [str(path) for path in found if path.exists()]

    def data_params(self, w: Wildcards) -> dict[str, Any]:
        """What determines a data file, beside the original bytes."""
        return data_recipe(self.grid, w.task, w.split)

    def text_inputs(self, w: Wildcards) -> list[str]:
        """A language's plain text, if it is there: a plan must not need it."""
        text = self.grid.config.denoising_text
        return [] if text is None else self._there(text.path.replace("{lang}", w.language))

    def neighbours_inputs(self, w: Wildcards) -> list[str]:
        """A target's file of neighbours, if it is there."""
        source = self.grid.neighbours_source(w.target)
        return [] if source is None else self._there(source)

    @staticmethod
    def _there(path: str) -> list[str]:
        try:
            place = expanded(path)
        except StiltgridError:
            return []  # the job itself reports it
        return [place] if Path(place).exists() else []

    def pretrained_params(self, w: Wildcards) -> dict[str, Any]:
        """What determines a pretrained model."""
        return pretrained_recipe(self.grid, w.model)

    def pretrained_inputs(self, w: Wildcards) -> list[str]:
        """Files of a model folder, so that changed weights are pinned anew; hub and demo models have none."""
        row = self.grid.config.models[w.model]
        if row.is_hub or row.source.startswith(DEMO):
            return []
        try:
            found = Path(expanded(row.source)).iterdir()
            return sorted(str(path) for path in found if path.is_file() and path.suffix in MODEL_FILES)
        except (StiltgridError, OSError):
            return []  # the job itself reports it
