"""The answer in one sentence, and what qualifies it: read from the headline, which is never computed here."""

import math
from collections.abc import Mapping
from typing import Any

from stiltgrid.paper.cells import DASH, number
from stiltgrid.paper.findings import Findings
from stiltgrid.paper.notes import model_title, target_title
from stiltgrid.paper.render import markdown_text

Estimate = Mapping[str, Any]
"""An estimate as `headline.json` has it: a number that is not finite is null."""


def points(value: float | None, *, signed: bool = True) -> str:
    """Return a number with two decimals; a dash where there is none."""
    return DASH if value is None or math.isnan(value) else number(value, signed=signed, places=2)


def interval(low: float | None, high: float | None) -> str:
    """Return an interval, e.g. `−1.02 to +0.31`; a dash where there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return DASH
    return f"{points(low)} to {points(high)}"


def p_value(p: float | None) -> str:
    """Return p with three decimals.

    >>> p_value(0.04), p_value(0.0002), p_value(None)
    ('0.040', '<0.001', '—')
    """
    if p is None or math.isnan(p):
        return DASH
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def equation(p: float | None) -> str:
    """Return p as a sentence has it: `p = 0.040`, `p < 0.001`, `no p`."""
    text = p_value(p)
    return "no p" if text == DASH else f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def confidence(findings: Findings) -> str:
    """Return the coverage of intervals, e.g. `95 %`."""
    return f"{100 * (1 - findings.declaration.alpha):g} %"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def one_line(reason: str) -> str:
    """Return a reason of several lines on one: a heading, then its items between semicolons."""
    first, *items = [line.strip() for line in reason.splitlines()]
    return f"{first} {'; '.join(items)}".strip()


def _covered(coverage: Mapping[str, list[int]]) -> str:
    """Say what the headline averages over; a partial one says of how many."""
    parts = []
    for name, what in (("intermediates", "intermediate task"), ("targets", "target task")):
        have, of = coverage[name]
        parts.append(_counted(have, what) if have == of else f"{have} of {_counted(of, what)}")
    return " and ".join(parts)


def sentence(findings: Findings) -> str:
    """Return the sentence that answers the grid's question, as plain text.

    It says more or less only where the test rejects, the seed noise was measured, and points and odds agree; else it
    says why not.
    """
    record, d = findings.headline, findings.declaration
    if d.small is None or d.large is None or d.baseline is None:
        return "This grid does not compare the gains of two models, so it answers nothing about their difference."
    if record["status"] != "estimated":
        return f"There is no answer yet: {one_line(record['reason'])}."
    small, large = (model_title(findings.grid, m) for m in (d.small, d.large))
    found: Estimate = record["points"]
    measured = f"{confidence(findings)} interval {interval(found['low'], found['high'])}, {equation(found['p'])}"
    size = f"by {points(abs(found['value']), signed=False)} points ({measured})"
    start = (
        f"Averaged over {_covered(record['coverage'])}, in the languages that are not trained on, an English "
        f"intermediate task changes the score of {small} by {points(record['small_gain']['value'])} points and that of "
        f"{large} by {points(record['large_gain']['value'])}"
    )
    rejected = found["p"] is not None and found["p"] < d.alpha
    if found["status"] == "none":
        return (
            f"{start}, a difference of {points(found['value'])} points ({measured}) between these runs alone: no seed "
            "noise was measured."
        )
    if found["status"] == "borrowed":
        guess = f"part of the seed noise was not measured but borrowed ({'; '.join(found['borrowed'])})"
        tip = points(found["tipping"], signed=False)
        verdict = (
            f"However, {guess}: the interval would touch 0 at a seed standard deviation of {tip} points."
            if rejected
            else f"No difference is shown, and {guess}."
        )
        return f"{start}, a difference of {points(found['value'])} points ({measured}). {verdict}"
    if not rejected:
        return (
            f"{start}: whether it helps {large} more or less is not decided, the difference being "
            f"{points(found['value'])} points ({measured})."
        )
    scale = ", in points and in odds" if " not in odds" not in record["direction"] else ", in points but not in odds"
    word = "more" if found["value"] > 0 else "less"
    return f"{start}: it helps {large} {word} than {small}, {size}{scale}."


def qualifications(findings: Findings) -> list[str]:
    """Return the lines that say how far the answer carries; none without an answer."""
    record = findings.headline
    if record["status"] != "estimated":
        return []
    odds, other = record["odds"], record["other_tasks"]
    lines = [f"In log odds: {points(odds['value'])} ({interval(odds['low'], odds['high'])}, {equation(odds['p'])})."]
    for key, name, unit in (
        ("relative", "In relative error reduction", "percent"),
        ("normalised", "In chance-normalised points", "points"),
        ("middle", "Over the middle half of the tasks", "points"),
    ):
        if (found := record[key]) is not None:
            lines.append(f"{name}: {points(found['value'])} {unit} ({interval(found['low'], found['high'])}).")
    titles = {target: target_title(findings.grid, target) for target in findings.grid.config.targets}
    if other["lowest"] is not None:
        (low, without_low), (high, without_high) = other["lowest"], other["highest"]
        lines.append(
            f"Leaving one task out: between {points(low)} (without {titles[without_low]}) and {points(high)} (without "
            f"{titles[without_high]})."
        )
        lines.append(
            f"As a sample of {other['tasks']} tasks, for tasks like these: {interval(other['low'], other['high'])}, "
            f"sign-flip test {equation(other['p'])}."
        )
    number_of = len(record["targets"])
    lines.append(f"A difference is shown for {record['replicates_in']} of {_counted(number_of, 'task')} (Holm).")
    return lines + [f"Not computed: {note}." for note in record["notes"]]


def answer_page(findings: Findings) -> str:
    """Return the answer as Markdown: the sentence, what qualifies it, the config's note."""
    config = findings.grid.config
    lines = [f"# {markdown_text(config.title or config.grid)}", "", f"**{markdown_text(sentence(findings))}**", ""]
    if found := qualifications(findings):
        lines += [*(f"- {markdown_text(line)}" for line in found), ""]
    if config.note:
        lines += [markdown_text(config.note), ""]
    return "\n".join(lines[:-1]) + "\n"
