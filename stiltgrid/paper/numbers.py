r"""numbers.tex: a macro for every number that a paper quotes, so that none is typed by hand.

`\stiltgridAnswer` is the sentence, `\stiltgridDifference` and the like its numbers; any other comparison is
`\stiltgridNumber{gain/mt5-xxl/mnli/xnli/zero-shot}`, with `[interval]` or `[p]` before the braces for those. A name
that is not there stops LaTeX.
"""

from collections.abc import Iterator

from stiltgrid.paper.answer import confidence, equation, interval, points, sentence
from stiltgrid.paper.findings import Finding, Findings
from stiltgrid.paper.notes import model_title
from stiltgrid.paper.render import latex_text

HEAD = r"""% \stiltgridAnswer, \stiltgridDifference and more;
% \stiltgridNumber[interval]{gain/model/intermediate/target/zero-shot}
\makeatletter
\providecommand{\stiltgridNumber}[2][value]{%
  \ifcsname stiltgrid@#1@#2\endcsname\csname stiltgrid@#1@#2\endcsname
  \else\PackageError{stiltgrid}{no number #1 of #2}{The grid has no such comparison, or it is not complete.}\fi}
"""
UNKNOWN = r"\textbf{??}"


def name(found: Finding) -> str:
    r"""Return a comparison's name for `\stiltgridNumber`; `mean` stands for what is averaged over."""
    parts = [found.model] if found.kind != "interaction" else []
    parts += [found.intermediate or "mean", found.target or "mean", found.language]
    return "/".join([found.kind, *parts])


def headline_macros(findings: Findings) -> Iterator[tuple[str, str]]:
    """Yield name and text of the macros of the headline; without an answer its numbers show as question marks."""
    record, d = findings.headline, findings.declaration
    yield "Answer", latex_text(sentence(findings))
    yield "Confidence", latex_text(confidence(findings))
    for key, model in (("SmallModel", d.small), ("LargeModel", d.large)):
        yield key, latex_text(model_title(findings.grid, model)) if model is not None else UNKNOWN
    there = record["status"] == "estimated"
    for key, field in (
        ("Difference", "points"),
        ("DifferenceOdds", "odds"),
        ("DifferenceRelative", "relative"),
        ("DifferenceNormalised", "normalised"),
        ("DifferenceMiddle", "middle"),
        ("SmallGain", "small_gain"),
        ("LargeGain", "large_gain"),
    ):
        found = record[field] if there else None
        yield key, latex_text(points(found["value"])) if found else UNKNOWN
        yield f"{key}Interval", latex_text(interval(found["low"], found["high"])) if found else UNKNOWN
        yield f"{key}P", latex_text(equation(found["p"])) if found else UNKNOWN
    coverage = record["coverage"] if there else {}
    for key, field in (("Targets", "targets"), ("Intermediates", "intermediates")):
        yield key, str(coverage[field][0]) if there else UNKNOWN
    other = record["other_tasks"] if there else {}
    yield "OtherTasksInterval", latex_text(interval(other["low"], other["high"])) if there else UNKNOWN
    yield "OtherTasksP", latex_text(equation(other["p"])) if there else UNKNOWN
    for key, field in (("LeaveOneOutLowest", "lowest"), ("LeaveOneOutHighest", "highest")):
        yield key, latex_text(points(other[field][0])) if there and other[field] else UNKNOWN
    yield "TasksWithDifference", str(record["replicates_in"]) if there else UNKNOWN


def numbers_tex(findings: Findings) -> str:
    """Return the macros as LaTeX, ASCII."""
    lines = [rf"\newcommand{{\stiltgrid{key}}}{{{text}}}" for key, text in headline_macros(findings)]
    for found in findings.rows:
        if not found.estimated:
            continue
        signed = found.kind != "score"
        texts = {
            "value": points(found.value, signed=signed),
            "interval": interval(found.low, found.high) if signed else interval(found.low, found.high).replace("+", ""),
            "p": equation(found.shown_p) if signed else "",
        }
        lines += [
            rf"\@namedef{{stiltgrid@{what}@{name(found)}}}{{{latex_text(text)}}}"
            for what, text in texts.items()
            if text
        ]
    return HEAD + "\n".join(lines) + "\n\\makeatother\n"
