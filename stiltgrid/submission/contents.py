"""What a grid's submissions hold: one a model, intermediate and seed, with every target that has a submission form."""

from collections.abc import Callable
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import sidecar
from stiltgrid.grid import Arm, Cell, Grid, Run
from stiltgrid.submission.leaderboard import LEADERBOARDS, file_of, folder_of, leaderboard
from stiltgrid.support import unsupported


def folder(grid: Grid, model: str, intermediate: str, seed: int | str) -> str:
    """Return the folder of one submission."""
    return f"{grid.paths.root}/submission/{model}/{intermediate}/seed{seed}"


def manifest(grid: Grid, model: str, intermediate: str, seed: int | str) -> str:
    """Return the manifest of one submission."""
    return f"{folder(grid, model, intermediate, seed)}/manifest.json"


def targets(grid: Grid, model: str) -> list[str]:
    """Return the targets of a model's submissions: those with a form that its family can run.

    A partial submission leaves out what is evaluated on another split.
    """
    family, options = grid.config.models[model].family, grid.config.submission
    return [
        name
        for name, row in grid.tasks.items()
        if row.submission is not None
        and unsupported(row, family) is None
        and not (options.partial and grid.config.targets[name].eval_split != options.split)
    ]


def files(grid: Grid, model: str) -> dict[tuple[str, str], str]:
    """Return the files of a model's submissions below their folder: (target, language) -> file."""
    return {
        (target, language): file_of(grid.tasks[target], language, grid.config.submission.split)
        for target in targets(grid, model)
        for language in grid.languages(target)
    }


def outputs(grid: Grid, model: str) -> list[str]:
    """Name every file of a model's submissions, {intermediate} and {seed} left open; none if it has no target."""
    below = folder(grid, model, "{intermediate}", "{seed}")
    # two targets of one task are refused when a submission is asked for, not wherever the rules are read
    named = [f"{below}/{file}" for file in dict.fromkeys(files(grid, model).values())]
    return [f"{below}/manifest.json", *named] if named else []


def inputs(grid: Grid, model: str) -> list[str | Callable[[Any], str]]:
    """Name what a model's submissions are made from, {intermediate} and {seed} left open.

    What a retrieval target is evaluated with depends on the intermediate: a function of the wildcards.
    """
    paths, arm = grid.paths, (model, "{intermediate}")
    found: list[str | Callable[[Any], str]] = [paths.pretrained(model)]
    for target in targets(grid, model):
        if grid.retrieves(target):
            found.append(lambda w, name=target: grid.evaluated(Run(model, w.intermediate, name, int(w.seed))))
        else:
            found.append(paths.checkpoint(Run(*arm, target, "{seed}")))  # type: ignore[arg-type]
        for language in grid.languages(target):
            found.append(paths.prediction(Cell(*arm, target, language, "{seed}")))  # type: ignore[arg-type]
            found.append(str(sidecar(paths.data(grid.evaluation(target, language)))))
    return found


def submissions(grid: Grid) -> list[Arm]:
    """Return (model, intermediate, seed) of every submission; arms that the grid excludes have none."""
    wanted = {(run.model, run.intermediate, run.seed) for run in grid.runs if run.target in targets(grid, run.model)}
    order = dict.fromkeys((run.model, run.intermediate, run.seed) for run in grid.runs)
    return [Arm(*key) for key in order if key in wanted]


def suite(grid: Grid) -> str:
    """Return the suite whose leaderboard the grid's targets belong to.

    Raises:
        StiltgridError: if no target has a submission form, targets of several suites have, or two targets are one
            task and would write the same files.
    """
    named: dict[str, str] = {}
    for target, row in grid.tasks.items():
        if row.submission is not None and row.name in named:
            raise StiltgridError(
                f"targets {named[row.name]!r} and {target!r} are both {row.name}: their predictions would be the same "
                "files of a submission; keep one of them in the config that is exported"
            )
        if row.submission is not None:
            named[row.name] = target
    found = sorted({grid.tasks[target].suite for target in named.values()})
    if len(found) != 1:
        seen = f"targets of {', '.join(found)}" if found else "no target with a submission form"
        raise StiltgridError(
            f"grid {grid.config.grid} has {seen}; expected targets of exactly one of: {', '.join(LEADERBOARDS)}"
        )
    return found[0]


def lacking(grid: Grid, model: str) -> list[str]:
    """Return what the leaderboard wants and a model's submissions do not hold, a line a task, with the reason.

    Raises:
        StiltgridError: as `suite`.
    """
    _, rows = leaderboard(suite(grid))
    by_task = {row.name: target for target, row in grid.tasks.items()}
    family = grid.config.models[model].family
    lines = []
    for name, row in rows.items():
        target = by_task.get(row.name)
        if target is None:
            lines.append(f"{name}: no target of the grid is {row.name}")
        elif (split := grid.config.targets[target].eval_split) != grid.config.submission.split:
            lines.append(f"{name}: target {target!r} is evaluated on {split}")
        elif reason := unsupported(row, family):
            lines.append(f"{name}: excluded: {reason}")
        elif absent := [x for x in row.languages if x not in grid.languages(target)]:
            lines.append(f"{name}: target {target!r} lacks {', '.join(absent)}")
    return lines


def check(grid: Grid) -> None:
    """Check that a grid's config may be exported.

    Raises:
        StiltgridError: as `suite`; if a target is evaluated on another split than `submission.split`; if the grid
            lacks something that the leaderboard wants and the config does not say `submission: {partial: true}`.
    """
    suite(grid)
    options = grid.config.submission
    wrong = [
        f"targets.{name}: eval_split {row.eval_split}"
        for name, row in grid.config.targets.items()
        if folder_of(grid.tasks[name]) and row.eval_split != options.split
    ]
    exported = sum(bool(folder_of(row)) for row in grid.tasks.values())
    if wrong and (not options.partial or len(wrong) == exported):
        raise StiltgridError(
            f"submission.split is {options.split}, but {'; '.join(wrong)}; the leaderboard requires test and "
            "recommends dev: set `submission: {split: ...}`, or the targets' eval_split"
        )
    if not submissions(grid):
        reasons = "; ".join(sorted(set(grid.excluded.values())))
        raise StiltgridError(f"grid {grid.config.grid} has no run with a submission form: {reasons or 'no targets'}")
    if options.partial:
        return
    models: dict[str, list[str]] = {}
    for model in dict.fromkeys(arm.model for arm in submissions(grid)):
        for line in lacking(grid, model):
            models.setdefault(line, []).append(model)
    if models:
        lines = "\n".join(f"  {line} (models: {', '.join(names)})" for line, names in models.items())
        raise StiltgridError(
            f"grid {grid.config.grid} lacks what the leaderboard of {suite(grid)} wants:\n{lines}\n"
            "add it, or write `submission: {partial: true}` into the config for an export that is marked PARTIAL"
        )


def manifests(grid: Grid) -> list[str]:
    """Name the manifest of every submission, after `check`.

    Raises:
        StiltgridError: as `check`, before anything is trained for an export that would be refused.
    """
    check(grid)
    return [manifest(grid, *arm) for arm in submissions(grid)]
