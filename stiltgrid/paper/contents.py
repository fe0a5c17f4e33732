"""Which tables and figures a grid has, by its declaration alone: what the rules name as outputs. Imports no pandas."""

from stiltgrid.grid import Grid
from stiltgrid.paper.comparable import comparable_targets, official_averages
from stiltgrid.recipes import training_recipe

FORMS = ("md", "csv", "tex")
TEXTS = ("answer.md", "numbers.tex", "contrasts.csv")
IMAGES = ("pdf", "svg", "png")


def has_gains(grid: Grid) -> bool:
    """Whether there is a gain to show: a baseline, another arm, a language that is not trained on."""
    arms = grid.arm_tasks.values()
    unseen = any(set(grid.languages(t)) - {row.source_language} for t, row in grid.config.targets.items())
    return unseen and any(arms) and not all(arms)


def running(grid: Grid) -> tuple[str, ...]:
    """Return the targets of which at least one run is not excluded."""
    found = {run.target for run in grid.runs}
    return tuple(target for target in grid.config.targets if target in found)


def table_names(grid: Grid) -> tuple[str, ...]:
    """Return the names of a grid's tables, in the order in which they are built."""
    return (
        "main",
        *(("answer_table",) if has_gains(grid) else ()),
        *(("official",) if official_averages(grid) else ()),
        *(("published",) if comparable_targets(grid) else ()),
        *(f"languages_{target}" for target in running(grid)),
        *(("intermediates",) if grid.arms else ()),
        "seeds",
        "diagnostics",
        "costs",
    )


def figure_names(grid: Grid) -> tuple[str, ...]:
    """Return the names of a grid's figures."""
    from stiltgrid.analysis.configured import configured

    found: list[str] = []
    if has_gains(grid):
        d = configured(grid)
        found.append("gain_heatmap")
        if d.small is not None and d.large is not None:
            found += [*(["interaction_forest"] if d.singles else []), "slopes"]
        if d.singles:
            found.append("language_gain")
    if grid.arms or grid.fine_tuned:
        found.append("training_curves")
    if _evaluated_often(grid):
        found.append("dev_curves")
    return tuple(found)


def _evaluated_often(grid: Grid) -> bool:
    """Whether some run is scored on dev more than once, so that there is a curve to draw."""
    # hyperparameters are the same for all seeds, and a target's for all arms: one recipe each
    runs = {(run.model, run.target): (run.model, run.intermediate, run.target, run.seed) for run in grid.fine_tuned}
    arms = {arm[:2]: (arm.model, arm.intermediate, None, arm.seed) for arm in grid.arms}
    recipes = (training_recipe(grid, *place) for place in (*runs.values(), *arms.values()))
    return any(recipe["training"]["evaluations"] > 1 for recipe in recipes)


def table_files(grid: Grid) -> list[str]:
    """Return every file of `tables/` but its README, which links them."""
    names = [f"{name}.{form}" for name in table_names(grid) for form in FORMS]
    return [f"{grid.paths.tables}/{name}" for name in (*names, *TEXTS)]


def figure_files(grid: Grid) -> list[str]:
    """Return every file of `figures/` but its README."""
    return [f"{grid.paths.figures}/{name}.{form}" for name in figure_names(grid) for form in IMAGES]
