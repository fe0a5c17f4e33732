"""The paper's tables, built from the tidy scores: main, one a target by language, and the spread over seeds.

Every number is a plain mean of scores (over seeds, then languages, then targets, unweighted: XGLUE's official
rule, `xglue_evaluate.py`), a difference of two such means, or a standard deviation over seeds. Intervals, tests and
daggers are read from what `stiltgrid.analysis` found.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stiltgrid.artifacts import write_text
from stiltgrid.grid import Grid
from stiltgrid.paper.answer import answer_page
from stiltgrid.paper.answer_table import answer_table
from stiltgrid.paper.averages import deviation
from stiltgrid.paper.cells import Cell, cell, number
from stiltgrid.paper.contents import table_names
from stiltgrid.paper.costs import costs_table
from stiltgrid.paper.diagnostics import diagnostics_table
from stiltgrid.paper.findings import Findings, contrasts_csv
from stiltgrid.paper.intermediate_scores import intermediate_table
from stiltgrid.paper.main_table import bold, main_table, without_source
from stiltgrid.paper.notes import (
    arm_title,
    metric_title,
    model_title,
    notes,
    score_title,
    seed_counts,
    target_title,
)
from stiltgrid.paper.numbers import numbers_tex
from stiltgrid.paper.official import official_table
from stiltgrid.paper.published import published_table
from stiltgrid.paper.render import RENDERERS, Column, Panel, Row, Table, markdown_text
from stiltgrid.paper.scores import Scores
from stiltgrid.runs import read_runs

if TYPE_CHECKING:
    import pandas as pd


def language_table(scores: Scores, target: str) -> Table:
    """Return a target's absolute scores by language: a panel a metric and model, training language first."""
    grid, row = scores.grid, scores.grid.tasks[target]
    source = grid.config.targets[target].source_language
    languages = scores.evaluated(target, source=True)
    columns = [
        Column(x, "trained on" if x == source else "", apart=k > 0 and languages[k - 1] == source)
        for k, x in enumerate(languages)
    ]
    columns += [Column("Avg", apart=True), Column(without_source(grid, [target]))]
    panels = []
    for metric in row.metrics:
        for model in grid.config.models:
            title = model_title(grid, model) + (f", {metric_title(metric)}" if len(row.metrics) > 1 else "")
            body = []
            for arm in scores.arms:
                means = [scores.language(model, arm, target, x, metric) for x in languages]
                means += [scores.target(model, arm, target, metric, source=s) for s in (True, False)]
                body.append([(m, cell(m)) for m in means])
            rows = zip(scores.arms, bold(body), strict=True)
            panels.append(Panel(title, tuple(Row(arm_title(grid, arm), cells) for arm, cells in rows)))
    split = grid.config.targets[target].eval_split
    metrics = ", ".join(map(metric_title, row.metrics))
    trained = "not trained on" if grid.retrieves(target) else f"trained on {source}"
    caption = (
        f"{target_title(grid, target)} ({metrics}), {split} split, by language: absolute scores, means over "
        f"seeds; {trained}. Bold: best of its column and panel."
    )
    shown = [c for panel in panels for r in panel.rows for c in r.cells]
    below = (seed_counts(scores), *notes(scores, [target], shown))
    title = grid.config.title or grid.config.grid
    return Table(f"languages_{target}", title, caption, tuple(columns), tuple(panels), below)


def seed_table(scores: Scores) -> Table:
    """Return the spread over seeds: standard deviation of each target's average, and the number of seeds."""
    grid = scores.grid
    targets = list(grid.config.targets)

    def spread(model: str, arm: str, target: str) -> Cell:
        each = scores.seeds(model, arm, target, scores.metrics[target])
        sd = deviation(each)
        if sd.status == "done" and sd.value is not None:
            return Cell(sd.value, f"{number(sd.value)} ({sd.of})", n=sd.have)
        if sd.status == "incomparable":
            return Cell(None, "one seed", n=1, status="incomparable")
        return cell(replace(sd, value=None))

    panels = []
    for model in grid.config.models:
        rows = [Row(arm_title(grid, arm), tuple(spread(model, arm, t) for t in targets)) for arm in scores.arms]
        panels.append(Panel(model_title(grid, model), tuple(rows)))
    columns = tuple(Column(target_title(grid, t), score_title(scores.metrics[t])) for t in targets)
    caption = (
        "Standard deviation over seeds (n - 1), in points, of each target's mean over languages; "
        "in brackets the number of seeds."
    )
    shown = [c for panel in panels for row in panel.rows for c in row.cells]
    below = [line for line in notes(scores, targets, shown) if not line.startswith("(base)")]
    return Table("seeds", grid.config.title or grid.config.grid, caption, columns, tuple(panels), tuple(below))


OTHERS: dict[str, tuple[str, Callable[[Findings], str]]] = {
    "answer.md": ("the answer in a sentence, and how far it carries", answer_page),
    "numbers.tex": ("a macro for every number", numbers_tex),
    "contrasts.csv": ("every comparison with its interval and test (columns: docs/analysis.md)", contrasts_csv),
}
"""File of what the analysis found -> what it is, and its renderer."""


class Records(NamedTuple):
    """What the training runs cost and how they went: the two tables of `stiltgrid.runs`."""

    runs: "pd.DataFrame"
    training: "pd.DataFrame"


def read_records(runs: Path | str, training: Path | str) -> Records:
    """Read the two tables of the training runs.

    Raises:
        StiltgridError: if one is missing, not whole, or of another schema version.
    """
    return Records(read_runs(runs, "runs"), read_runs(training, "training"))


def tables(
    grid: Grid, frame: "pd.DataFrame", findings: Findings | None = None, records: Records | None = None
) -> Iterator[Table]:
    """Yield every table of a grid, those of `contents.table_names`.

    Args:
        grid: the expanded config.
        frame: the tidy score table.
        findings: what the analysis found; None: no answer table, and no daggers.
        records: of the training runs; None: no table of costs or of intermediate tasks.
    """
    scores = Scores(grid, frame)
    built: dict[str, Callable[[], Table]] = {
        "main": lambda: main_table(scores, findings),
        "official": lambda: official_table(scores),
        "published": lambda: published_table(scores, frame),
        "seeds": lambda: seed_table(scores),
        "diagnostics": lambda: diagnostics_table(grid, frame),
    }
    built |= {f"languages_{t}": partial(language_table, scores, t) for t in grid.config.targets}
    if findings is not None:
        built["answer_table"] = lambda: answer_table(findings)
    if records is not None:
        built["costs"] = lambda: costs_table(grid, records.runs)
        built["intermediates"] = lambda: intermediate_table(grid, *records)
    yield from (built[name]() for name in table_names(grid) if name in built)


def index(grid: Grid, built: Iterable[Table], counts: Mapping[str, int], others: Mapping[str, str]) -> str:
    """Return the Markdown page that links a grid's tables, and other files with a line on each."""
    total = sum(counts.values())
    state = ", ".join(f"{n} {status}" for status, n in counts.items() if n and status != "done")
    lines = [f"# Tables of {markdown_text(grid.config.title or grid.config.grid)}", ""]
    lines += [f"{counts['done']} of {total} cells done" + (f" ({state})." if state else "."), ""]
    for table in built:
        links = " ".join(f"[{suffix[1:]}]({table.name}{suffix})" for suffix in RENDERERS)
        lines.append(f"- **{markdown_text(table.name)}** {links}: {markdown_text(table.caption)}")
    lines += [f"- **[{markdown_text(name)}]({name})**: {markdown_text(meaning)}" for name, meaning in others.items()]
    if grid.config.note:
        lines += ["", markdown_text(grid.config.note)]
    return "\n".join(lines) + "\n"


def write_tables(
    grid: Grid,
    frame: "pd.DataFrame",
    folder: Path | str,
    findings: Findings | None = None,
    records: Records | None = None,
) -> list[Path]:
    """Write every table as Markdown, CSV and LaTeX, what the analysis says beside, and `README.md`, which links them.

    Equal input gives equal bytes, whatever the order of the frame's rows; each file is written atomically.

    Args:
        grid: the expanded config.
        frame: the tidy score table.
        folder: where the tables go, in use `results/<grid>/tables`.
        findings: what the analysis found; None: tables of means alone.
        records: of the training runs; None: no table of costs or of intermediate tasks.

    Returns:
        The files, the index last.

    Raises:
        StiltgridError: if the frame does not belong to the grid, or the findings to the frame.
    """
    folder, paths = Path(folder), []
    built = list(tables(grid, frame, findings, records))
    for table in built:
        for suffix, render in RENDERERS.items():
            paths.append(folder / f"{table.name}{suffix}")
            write_text(paths[-1], render(table))
    others = OTHERS if findings is not None else {}
    for name, (_, render) in others.items():
        paths.append(folder / name)
        write_text(paths[-1], render(findings))
    scores = Scores(grid, frame)
    found = Counter(scores.state(c)[0] for c in grid.cells(with_excluded=True))
    counts = {status: found[status] for status in ("done", "missing", "failed", "excluded")}
    paths.append(folder / "README.md")
    write_text(paths[-1], index(grid, built, counts, {name: meaning for name, (meaning, _) in others.items()}))
    return paths
