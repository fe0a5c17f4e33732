"""The answer table: the gain of each model, their difference, its interval, p and logit, overall and part by part."""

from collections.abc import Sequence

from stiltgrid.paper.answer import confidence, interval, one_line, p_value, points
from stiltgrid.paper.cells import DASH, Cell
from stiltgrid.paper.findings import DAGGER, Finding, Findings, tested
from stiltgrid.paper.notes import arm_title, model_title, target_title
from stiltgrid.paper.render import Column, Panel, Row, Table

UNMEASURED = {"borrowed": "b", "none": "n"}
"""Status of the seed variance -> footnote sign."""


def _value(found: Finding | None) -> Cell:
    if found is None:
        return Cell(None, DASH)
    if not found.estimated:
        return Cell(None, "missing", status="missing")
    return Cell(found.value, points(found.value))


def _range(found: Finding | None) -> Cell:
    if found is None or not found.estimated:
        return Cell(None, DASH)
    return Cell(None, interval(found.low, found.high), marker=UNMEASURED.get(found.seed_status, ""))


def _test(found: Finding | None) -> Cell:
    """Return p within its family, with a dagger where the family's test rejects."""
    if found is None or not found.estimated:
        return Cell(None, DASH)
    marker = DAGGER if found.marked else UNMEASURED.get(found.seed_status, "")
    return Cell(found.shown_p, p_value(found.shown_p), marker=marker)


def _logit(found: Finding | None) -> Cell:
    return Cell(None, DASH) if found is None or not found.estimated else Cell(found.logit, points(found.logit))


def answer_table(findings: Findings) -> Table:
    """Return the answer table: panels for the headline, each target and each intermediate."""
    d, grid = findings.declaration, findings.grid
    two = d.small is not None and d.large is not None
    models: Sequence[str] = (d.small, d.large) if two else d.models  # type: ignore[assignment]

    def row(title: str, arm: str, target: str) -> Row:
        gains = [findings.find("gain", model, arm, target) for model in models]
        asked = findings.find("interaction", "", arm, target) if two else gains[0]
        last = (_range(asked), _test(asked), _logit(asked))
        return Row(title, (*map(_value, gains), *([_value(asked)] if two else []), *last))

    singles = ", ".join(arm_title(grid, arm) for arm in d.singles)
    targets = [t for t, own in d.zero_shot.items() if own]
    panels = []
    if d.singles:
        panels.append(Panel("Headline", (row("all targets", "", ""),)))
        panels.append(Panel("By target", tuple(row(target_title(grid, t), "", t) for t in targets)))
    panels.append(Panel("By intermediate", tuple(row(arm_title(grid, a), a, "") for a in d.arms)))
    names = [model_title(grid, model) for model in models]
    columns = [Column(name, "gain") for name in names]
    if two:
        columns.append(Column("difference", apart=True))
    columns += [Column(f"{confidence(findings)} interval"), Column("p", apart=True), Column("log odds")]
    what = f"the gain of {names[1]} minus that of {names[0]}" if two else f"the gain of {names[0]}"
    caption = (
        "Gains over the row without intermediate training, in points, in the languages that are not trained on: means "
        "over languages, then intermediates, then targets. "
        + (f"Difference, with interval, p and log odds: {what}." if two else f"Interval, p and log odds: {what}.")
    )
    notes = [f"Headline and targets: mean over {singles}."] if d.singles else []
    if two:
        by_family = [
            f"{name}: {tested(family, findings)}"
            for name, family in (("headline", "headline"), ("targets", "targets"), ("intermediates", "intermediates"))
            if findings.family(family)
        ]
        notes.append(f"p: within its family ({'; '.join(by_family)}); intervals are of each comparison by itself.")
        notes.append(f"{DAGGER}: rejected in its family.")
    else:
        notes.append("p: of each comparison by itself, not corrected. One model: there is no difference of gains.")
    notes += _seed_notes(findings)
    notes += _coverage_notes(findings)
    if grid.config.note:
        notes.append(grid.config.note)
    return Table(
        "answer_table", grid.config.title or grid.config.grid, caption, tuple(columns), tuple(panels), tuple(notes)
    )


def _seed_notes(findings: Findings) -> list[str]:
    """Say what was borrowed, what is not measured, and which seed noise would overturn the headline."""
    shown = [row for row in findings.rows if row.estimated and row.kind != "score"]
    lines = []
    borrowed = dict.fromkeys(
        part for row in shown if row.seed_status == "borrowed" for part in row.borrowed.split("; ")
    )
    if borrowed:
        lines.append(
            f"b: seed variance was not measured but borrowed ({'; '.join(borrowed)}); p is never corrected or marked."
        )
    if any(row.seed_status == "none" for row in shown):
        lines.append(
            "n: no seed variance is known; interval and p are of the test examples alone, never corrected or marked."
        )
    headline = next(iter(findings.family("headline")), None)
    if headline is not None and headline.estimated and headline.seed_status != "measured" and headline.tipping > 0:
        lines.append(
            "The headline's interval would touch 0 at a seed standard deviation of "
            f"{points(headline.tipping, signed=False)} points of a target's mean."
        )
    return lines


def _coverage_notes(findings: Findings) -> list[str]:
    """Say what partial averages leave out, and what is missing."""
    partial = list(dict.fromkeys(row.coverage for row in findings.rows if row.coverage and row.kind != "score"))
    lines = []
    if partial:
        more = f" and {len(partial) - 4} others" if len(partial) > 4 else ""
        lines.append(f"Averages over what is complete in both models: {'; '.join(partial[:4])}{more}.")
    headline = next(iter(findings.family("headline")), None)
    if headline is not None and not headline.estimated:
        lines.append(f"missing: {one_line(headline.reason)}.")
    return lines
