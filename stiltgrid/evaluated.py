"""The model that a run is evaluated with, as its predictions and scores know it."""

from typing import Any

from stiltgrid.artifacts import digest, read_json
from stiltgrid.grid import Grid, Run
from stiltgrid.recipes import prediction_recipe


def evaluated_manifest(grid: Grid, run: Run) -> dict[str, Any]:
    """Return the manifest of the model that a run's predictions are made with.

    Of a fine-tuned target it is that of phase (iii). Of a retrieval target it says what phase (ii), or the pretrained
    model, is to this target: its digest; as `recipe` what must agree between the intermediates that are compared, which
    is how sentences are embedded and searched; as `recipe_hash` both; and no training inputs of its own to count.

    Raises:
        StiltgridError: if there is no whole manifest.
    """
    manifest = read_json(grid.evaluated(run))
    if not grid.retrieves(run.target):
        return manifest
    recipe = {"phase": "retrieval", "model": run.model, **prediction_recipe(grid, run.target, run.model)}
    return {
        "digest": manifest["digest"],
        "recipe": recipe,
        "recipe_hash": digest({"recipe": recipe, "evaluated": manifest["digest"]}),
        "counts": {},
    }
