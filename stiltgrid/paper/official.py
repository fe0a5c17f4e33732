"""The official averages of a benchmark: XGLUE's three, XTREME's groups and total, by their own rules.

A task's score is the unweighted mean of its official metric over all its languages, English included; an average is
the unweighted mean over its tasks (XGLUE: `xglue_evaluate.py`; XTREME: `evaluate.py`, where a question answering task
counts with the mean of exact match and F1). Which they are is said once, in `stiltgrid.submission.leaderboard`. An
average is printed only if each of its tasks is a target of the grid, on the official test split, in every official
language, trained on English: else it would be another number under the same name.
"""

from stiltgrid.grid import Grid
from stiltgrid.paper.averages import Mean, mean, score
from stiltgrid.paper.cells import cell
from stiltgrid.paper.main_table import bold
from stiltgrid.paper.notes import arm_title, model_title, notes, seed_counts
from stiltgrid.paper.render import Column, Panel, Row, Table
from stiltgrid.paper.scores import Scores
from stiltgrid.submission.leaderboard import LEADERBOARDS, folder_of, leaderboard, official_metrics


def whole_target(grid: Grid, name: str) -> str | None:
    """Return the target that evaluates a task as its benchmark does, whole, on test, from English; else None."""
    for target, row in grid.tasks.items():
        asked = grid.config.targets[target]
        as_released = asked.eval_split == "test" and grid.languages(target) == row.languages
        if row.name == name and as_released and asked.source_language == "en":
            return target
    return None


def official_averages(grid: Grid) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the averages that a grid declares whole: (suite, name) -> targets."""
    found = {}
    for suite in LEADERBOARDS:
        board, rows = leaderboard(suite)
        for name, folders in board.averages.items():
            targets = [whole_target(grid, rows[folder].name) for folder in folders]
            if None not in targets:
                found[suite, name] = tuple(t for t in targets if t is not None)
    return found


def official_average(scores: Scores, model: str, arm: str, suite: str, targets: tuple[str, ...]) -> Mean:
    """Return an average of a model's arm; excluded where one of its tasks is."""
    board, tasks = LEADERBOARDS[suite], scores.grid.tasks
    metrics = {t: official_metrics(board, folder_of(tasks[t]), tasks[t]) for t in targets}
    found = mean({t: scores.target(model, arm, t, metrics[t]) for t in targets})
    return score(None, "excluded") if found.excluded else found


def official_table(scores: Scores) -> Table:
    """Return the official averages: a panel a model, a row an arm, a column an average."""
    grid, averages = scores.grid, official_averages(scores.grid)
    panels = []
    for model in grid.config.models:
        body = []
        for arm in scores.arms:
            means = [official_average(scores, model, arm, suite, t) for (suite, _), t in averages.items()]
            body.append([(m, cell(m)) for m in means])
        rows = zip(scores.arms, bold(body), strict=True)
        panels.append(Panel(model_title(grid, model), tuple(Row(arm_title(grid, arm), cells) for arm, cells in rows)))
    several = len({suite for suite, _ in averages}) > 1
    columns, before = [], None
    for (suite, name), targets in averages.items():
        title = f"{LEADERBOARDS[suite].title} {name}" if several else name
        columns.append(Column(title, f"{len(targets)} tasks", apart=before not in (None, suite)))
        before = suite
    names = " and ".join(dict.fromkeys(LEADERBOARDS[suite].title for suite, _ in averages))
    caption = (
        f"Official averages of {names}: unweighted means over tasks of each task's official metric, itself the mean "
        "over all languages, the training language included; absolute scores, means over seeds. Bold: best of its "
        "column and panel."
    )
    extra = []
    if any(suite == "xtreme" for suite, _ in averages):
        extra.append("XTREME: a question answering task counts with the mean of exact match and F1.")
    if any(suite == "xglue" for suite, _ in averages):
        extra.append("XGLUE: POS counts with the evaluator's score, precision over runs of equal tags.")
    shown = [c for panel in panels for row in panel.rows for c in row.cells]
    chosen = dict.fromkeys(t for targets in averages.values() for t in targets)
    below = (seed_counts(scores), *extra, *notes(scores, chosen, shown))
    return Table("official", grid.config.title or grid.config.grid, caption, tuple(columns), tuple(panels), below)
