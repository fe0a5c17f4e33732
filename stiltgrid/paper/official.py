"""The official averages of a benchmark: XGLUE's three, XTREME's groups and total, by their own rules.

A task's score is the unweighted mean of its official metric over all its languages, English included; an average is
the unweighted mean over its tasks (XGLUE: `xglue_evaluate.py`; XTREME: `evaluate.py`, where a question answering task
counts with the mean of exact match and F1). Which they are is said once, in `stiltgrid.submission.leaderboard`. An
average is printed only if each of its tasks is a target of the grid, on the official test split, in every official
language, trained on English: else it would be another number under the same name.
"""

from stiltgrid.paper.averages import Mean, mean, score
from stiltgrid.paper.cells import cell
from stiltgrid.paper.comparable import official_averages
from stiltgrid.paper.main_table import bold
from stiltgrid.paper.notes import arm_title, model_title, notes, seed_counts
from stiltgrid.paper.render import Column, Panel, Row, Table
from stiltgrid.paper.scores import Scores
from stiltgrid.submission.leaderboard import LEADERBOARDS, folder_of, official_metrics


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
