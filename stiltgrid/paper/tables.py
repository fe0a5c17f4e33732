"""The paper's tables, built from the tidy scores: main, one a target by language, and the spread over seeds.

Every number is a plain mean of scores (over seeds, then languages, then targets, unweighted: XGLUE's official
rule, `xglue_evaluate.py`), a difference of two such means, or a standard deviation over seeds. Intervals and
daggers are the business of `stiltgrid.analysis`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stiltgrid.artifacts import write_text
from stiltgrid.grid import Grid
from stiltgrid.metrics import METRICS
from stiltgrid.paper.averages import Mean, deviation, gain
from stiltgrid.paper.cells import MINUS, Cell, cell, number
from stiltgrid.paper.diagnostics import diagnostics_table
from stiltgrid.paper.notes import model_title, notes, seed_counts
from stiltgrid.paper.render import RENDERERS, Column, Panel, Row, Table, markdown_text
from stiltgrid.paper.scores import Scores

if TYPE_CHECKING:
    import pandas as pd


def metric_title(name: str) -> str:
    """Return what a column header calls a metric; one that this version does not compute goes by its name."""
    return METRICS[name].title if name in METRICS else name.replace("_", " ")


def _target_title(grid: Grid, target: str) -> str:
    return grid.config.targets[target].title or grid.tasks[target].title


def _arm_title(grid: Grid, arm: str) -> str:
    return grid.config.intermediates[arm].title or arm


def _without_source(grid: Grid, targets: Iterable[str]) -> str:
    """Title of an average that leaves the training language out."""
    sources = {grid.config.targets[t].source_language for t in targets}
    return f"Avg {MINUS}{sources.pop()}" if len(sources) == 1 else f"Avg {MINUS}source"


def _bold(rows: list[list[tuple[Mean, Cell]]]) -> list[tuple[Cell, ...]]:
    """Embolden the best score of each column, ties at the printed decimal included.

    A column with an incomplete cell has no best yet: the one that lacks a part may win.

    Args:
        rows: for each row and column what it is ranked by and the cell that is printed.
    """
    best: list[float | None] = []
    for column in zip(*rows, strict=True):
        declared = [_rounded(m) for m, _ in column if m.status != "excluded"]
        known = [value for value in declared if value is not None]
        best.append(max(known) if len(known) == len(declared) > 1 else None)
    return [
        tuple(replace(c, bold=b is not None and _rounded(m) == b) for (m, c), b in zip(row, best, strict=True))
        for row in rows
    ]


def _rounded(value: Mean) -> float | None:
    """Return a complete mean as printed, else None."""
    return round(value.value, 1) if value.status == "done" and value.value is not None else None


def main_table(scores: Scores) -> Table:
    """Return the main table: a panel a model, a row an arm, a column a target, and the averages over targets.

    The baseline's row is absolute, the others are gains over it; without a baseline all rows are absolute.
    """
    grid, baseline = scores.grid, scores.baseline
    targets = list(grid.config.targets)
    absolute = {
        model: {
            arm: [
                *(scores.target(model, arm, t, grid.tasks[t].metrics[0]) for t in targets),
                scores.average(model, arm),
                scores.average(model, arm, source=False),
            ]
            for arm in scores.arms
        }
        for model in grid.config.models
    }
    columns = [Column(_target_title(grid, t), metric_title(grid.tasks[t].metrics[0])) for t in targets]
    # where every average leaves out the same targets, the header says so once; otherwise each cell does
    in_cells: set[int] = set()
    excludes = False
    for k, title in ((len(targets), "Avg"), (len(targets) + 1, _without_source(grid, targets))):
        left_out = {row[k].excluded for rows in absolute.values() for row in rows.values() if row[k].of}
        excludes = excludes or any(left_out)
        gone = next(iter(left_out)) if len(left_out) == 1 else frozenset[str]()
        in_cells |= {k} if len(left_out) > 1 else set()
        subtitle = f"{len(targets) - len(gone)} of {len(targets)}" if gone else ""
        columns.append(Column(title, subtitle, apart=k == len(targets)))
    panels = []
    for model, rows in absolute.items():
        body = []
        for arm, means in rows.items():
            gains = means
            if baseline is not None:
                gains = [gain(m, base) for m, base in zip(means, rows[baseline], strict=True)]
            signed = baseline not in (None, arm)
            # ranked by the gain as printed; the baseline's own is 0
            body.append(
                [
                    (g, cell(g if signed else m, signed=signed, show_excluded=k in in_cells))
                    for k, (m, g) in enumerate(zip(means, gains, strict=True))
                ]
            )
        titled = tuple(Row(_arm_title(grid, a), cells) for a, cells in zip(rows, _bold(body), strict=True))
        panels.append(Panel(model_title(grid, model), titled))
    if baseline is None:
        caption = "Absolute scores: this grid has no row without intermediate training, so there are no gains. "
    else:
        caption = f"Row {_arm_title(grid, baseline)}: absolute scores; other rows: gain over it, in points. "
    caption += (
        "Means over seeds, then languages; Avg: unweighted mean over targets, all languages; "
        f"{columns[-1].title}: without the training language. Bold: best of its column and panel."
    )
    shown = [c for panel in panels for row in panel.rows for c in row.cells]
    left_out = ["Averages (k of n): over the k of n targets that are not excluded."] if excludes else []
    below = (seed_counts(scores), *left_out, *notes(scores, targets, shown))
    return Table("main", grid.config.title or grid.config.grid, caption, tuple(columns), tuple(panels), below)


def language_table(scores: Scores, target: str) -> Table:
    """Return a target's absolute scores by language: a panel a metric and model, training language first."""
    grid, row = scores.grid, scores.grid.tasks[target]
    source = grid.config.targets[target].source_language
    languages = scores.evaluated(target, source=True)
    columns = [
        Column(x, "trained on" if x == source else "", apart=k > 0 and languages[k - 1] == source)
        for k, x in enumerate(languages)
    ]
    columns += [Column("Avg", apart=True), Column(_without_source(grid, [target]))]
    panels = []
    for metric in row.metrics:
        for model in grid.config.models:
            title = model_title(grid, model) + (f", {metric_title(metric)}" if len(row.metrics) > 1 else "")
            body = []
            for arm in scores.arms:
                means = [scores.language(model, arm, target, x, metric) for x in languages]
                means += [scores.target(model, arm, target, metric, source=s) for s in (True, False)]
                body.append([(m, cell(m)) for m in means])
            rows = zip(scores.arms, _bold(body), strict=True)
            panels.append(Panel(title, tuple(Row(_arm_title(grid, arm), cells) for arm, cells in rows)))
    split = grid.config.targets[target].eval_split
    metrics = ", ".join(map(metric_title, row.metrics))
    caption = (
        f"{_target_title(grid, target)} ({metrics}), {split} split, by language: absolute scores, means over "
        f"seeds; trained on {source}. Bold: best of its column and panel."
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
        each = scores.seeds(model, arm, target, grid.tasks[target].metrics[0])
        sd = deviation(each)
        if sd.status == "done" and sd.value is not None:
            return Cell(sd.value, f"{number(sd.value)} ({sd.of})", n=sd.have)
        if sd.status == "incomparable":
            return Cell(None, "one seed", n=1, status="incomparable")
        return cell(replace(sd, value=None))

    panels = []
    for model in grid.config.models:
        rows = [Row(_arm_title(grid, arm), tuple(spread(model, arm, t) for t in targets)) for arm in scores.arms]
        panels.append(Panel(model_title(grid, model), tuple(rows)))
    columns = tuple(Column(_target_title(grid, t), metric_title(grid.tasks[t].metrics[0])) for t in targets)
    caption = (
        "Standard deviation over seeds (n - 1), in points, of each target's mean over languages; "
        "in brackets the number of seeds."
    )
    shown = [c for panel in panels for row in panel.rows for c in row.cells]
    below = [line for line in notes(scores, targets, shown) if not line.startswith("(base)")]
    return Table("seeds", grid.config.title or grid.config.grid, caption, columns, tuple(panels), tuple(below))


def tables(grid: Grid, frame: "pd.DataFrame") -> Iterator[Table]:
    """Yield every table of a grid: main, one a target by language (unless wholly excluded), seeds, diagnostics."""
    scores = Scores(grid, frame)
    yield main_table(scores)
    running = {run.target for run in grid.runs}
    for target in grid.config.targets:
        if target in running:
            yield language_table(scores, target)
    yield seed_table(scores)
    yield diagnostics_table(grid, frame)


def index(grid: Grid, built: Iterable[Table], counts: Mapping[str, int]) -> str:
    """Return the Markdown page that links a grid's tables."""
    total = sum(counts.values())
    state = ", ".join(f"{n} {status}" for status, n in counts.items() if n and status != "done")
    lines = [f"# Tables of {markdown_text(grid.config.title or grid.config.grid)}", ""]
    lines += [f"{counts['done']} of {total} cells done" + (f" ({state})." if state else "."), ""]
    for table in built:
        links = " ".join(f"[{suffix[1:]}]({table.name}{suffix})" for suffix in RENDERERS)
        lines.append(f"- **{markdown_text(table.name)}** {links}: {markdown_text(table.caption)}")
    if grid.config.note:
        lines += ["", markdown_text(grid.config.note)]
    return "\n".join(lines) + "\n"


def write_tables(grid: Grid, frame: "pd.DataFrame", folder: Path | str) -> list[Path]:
    """Write every table as Markdown, CSV and LaTeX, and `README.md`, the page that links them.

    Equal input gives equal bytes, whatever the order of the frame's rows; each file is written atomically.

    Args:
        grid: the expanded config.
        frame: the tidy score table.
        folder: where the tables go, in use `results/<grid>/tables`.

    Returns:
        The files, the index last.

    Raises:
        StiltgridError: if the frame does not belong to the grid.
    """
    folder, paths = Path(folder), []
    built = list(tables(grid, frame))
    for table in built:
        for suffix, render in RENDERERS.items():
            paths.append(folder / f"{table.name}{suffix}")
            write_text(paths[-1], render(table))
    scores = Scores(grid, frame)
    found = Counter(scores.state(c)[0] for c in grid.cells(with_excluded=True))
    counts = {status: found[status] for status in ("done", "missing", "failed", "excluded")}
    paths.append(folder / "README.md")
    write_text(paths[-1], index(grid, built, counts))
    return paths
