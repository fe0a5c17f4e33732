"""The main table: scores without intermediate training, gains with it, and what the analysis marks."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from stiltgrid.grid import Grid
from stiltgrid.paper.averages import Mean, gain
from stiltgrid.paper.cells import MINUS, Cell, cell
from stiltgrid.paper.colours import limit, shade
from stiltgrid.paper.findings import ZERO_SHOT, Findings
from stiltgrid.paper.notes import arm_title, gain_tests, model_title, notes, score_title, seed_counts, target_title
from stiltgrid.paper.render import Column, Panel, Row, Table
from stiltgrid.paper.scores import Scores


def without_source(grid: Grid, targets: Iterable[str]) -> str:
    """Return the title of an average that leaves the training language out."""
    sources = {grid.config.targets[t].source_language for t in targets}
    return f"Avg {MINUS}{sources.pop()}" if len(sources) == 1 else f"Avg {MINUS}source"


def bold(rows: list[list[tuple[Mean, Cell]]]) -> list[tuple[Cell, ...]]:
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


def _coloured(found: Cell, end: float) -> Cell:
    """Give the cell of a gain its colour; `end` is that of the scale."""
    known = found.status == "done" and found.value is not None
    return replace(found, shade=shade(found.value, end)) if known else found  # type: ignore[arg-type]


def _shaded(panels: Sequence[Panel], gains: Sequence[bool]) -> list[Panel]:
    """Colour the gains of all panels on one scale.

    Args:
        panels: of the main table.
        gains: whether a panel's row holds gains.
    """
    rows = [row for panel in panels for row, signed in zip(panel.rows, gains, strict=True) if signed]
    end = limit(c.value for row in rows for c in row.cells if c.status == "done" and c.value is not None)

    def coloured(row: Row) -> Row:
        return replace(row, cells=tuple(_coloured(c, end) for c in row.cells))

    return [
        replace(panel, rows=tuple(coloured(r) if g else r for r, g in zip(panel.rows, gains, strict=True)))
        for panel in panels
    ]


def main_table(scores: Scores, findings: Findings | None = None) -> Table:
    """Return the main table: a panel a model, a row an arm, a column a target, and the averages over targets.

    The baseline's row is absolute, the others are gains over it; without a baseline all rows are absolute.

    Args:
        scores: of the grid.
        findings: what the analysis found; None: gains are plain differences, and none is marked.

    Raises:
        StiltgridError: if the findings rest on other scores.
    """
    grid, baseline = scores.grid, scores.baseline
    targets = list(grid.config.targets)
    absolute = {
        model: {
            arm: [
                *(scores.target(model, arm, t, scores.metrics[t]) for t in targets),
                scores.average(model, arm),
                scores.average(model, arm, source=False),
            ]
            for arm in scores.arms
        }
        for model in grid.config.models
    }
    columns = [Column(target_title(grid, t), score_title(scores.metrics[t])) for t in targets]
    # where every average leaves out the same targets, the header says so once; otherwise each cell does
    in_cells: set[int] = set()
    excludes = False
    for k, title in ((len(targets), "Avg"), (len(targets) + 1, without_source(grid, targets))):
        left_out = {row[k].excluded for rows in absolute.values() for row in rows.values() if row[k].of}
        excludes = excludes or any(left_out)
        gone = next(iter(left_out)) if len(left_out) == 1 else frozenset[str]()
        in_cells |= {k} if len(left_out) > 1 else set()
        subtitle = f"{len(targets) - len(gone)} of {len(targets)}" if gone else ""
        columns.append(Column(title, subtitle, apart=k == len(targets)))
    # what each column averages, by the names of the analysis
    places = [*((t, "all") for t in targets), ("", "all"), ("", ZERO_SHOT)]
    panels = []
    for model, rows in absolute.items():
        body = []
        for arm, means in rows.items():
            gains = means
            if baseline is not None:
                gains = [gain(m, base) for m, base in zip(means, rows[baseline], strict=True)]
            signed = baseline not in (None, arm)
            marks = [""] * len(means)
            if signed and findings is not None:
                gains = [findings.gain(g, model, arm, *place) for g, place in zip(gains, places, strict=True)]
                marks = [findings.marker(model, arm, target) if target else "" for target, _ in places]
            # ranked by the gain as printed; the baseline's own is 0
            body.append(
                [
                    (g, replace(cell(g if signed else m, signed=signed, show_excluded=k in in_cells), marker=mark))
                    for k, (m, g, mark) in enumerate(zip(means, gains, marks, strict=True))
                ]
            )
        titled = tuple(Row(arm_title(grid, a), cells) for a, cells in zip(rows, bold(body), strict=True))
        panels.append(Panel(model_title(grid, model), titled))
    if baseline is not None:
        panels = _shaded(panels, [arm != baseline for arm in scores.arms])
    if baseline is None:
        caption = "Absolute scores: this grid has no row without intermediate training, so there are no gains. "
    else:
        caption = f"Row {arm_title(grid, baseline)}: absolute scores; other rows: gain over it, in points. "
    caption += (
        "Means over seeds, then languages; Avg: unweighted mean over targets, all languages; "
        f"{columns[-1].title}: without the training language. Bold: best of its column and panel."
    )
    shown = [c for panel in panels for row in panel.rows for c in row.cells]
    left_out = ["Averages (k of n): over the k of n targets that are not excluded."] if excludes else []
    tests = gain_tests(findings) if findings is not None else []
    below = (seed_counts(scores), *tests, *left_out, *notes(scores, targets, shown))
    return Table("main", grid.config.title or grid.config.grid, caption, tuple(columns), tuple(panels), below)
