"""A submission's scores for reading: a table of tasks by languages, the leaderboard's averages, what is not scored."""

from typing import TYPE_CHECKING

from stiltgrid.metrics import METRICS
from stiltgrid.paper.averages import Mean
from stiltgrid.paper.render import pipe_table
from stiltgrid.submission.leaderboard import official_metrics
from stiltgrid.submission.scoring import Entry, Report

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {"missing": "missing", "refused": "refused"}
MOST = 12
"""Lines of a list that are shown before "and n more"."""


def mean_text(part: Mean) -> str:
    """Return a mean with two decimals, or n/m where it is withheld: parts that are there of parts that are wanted."""
    return f"{part.value:.2f}" if part.status == "done" and part.value is not None else f"{part.have}/{part.of}"


def table(report: Report) -> list[list[str]]:
    """Return the table, header first: a row a task and metric; task, metric, mean, then a column a language."""
    languages = sorted({entry.language for entry in report.entries})
    rows = [["task", "metric", "mean", *languages]]
    for folder, row in report.rows.items():
        entries = report.of(folder)
        official = official_metrics(report.board, folder, row)
        for name in row.metrics:
            title = METRICS[name].title if name in METRICS else name
            starred = f"{title} *" if name in official and len(row.metrics) > 1 else title
            cells = [_cell(entries.get(language), name) for language in languages]
            rows.append([folder, starred, mean_text(report.task_mean(folder, name)), *cells])
    return rows


def _cell(entry: Entry | None, metric: str) -> str:
    if entry is None:
        return ""
    return f"{entry.metrics[metric]:.2f}" if entry.status == "done" else MARKS[entry.status]


def _listed(title: str, lines: list[str]) -> list[str]:
    """Return a heading and its lines, the first few of many."""
    if not lines:
        return []
    more = [f"  and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return ["", f"{title} ({len(lines)}):", *(f"  {line}" for line in lines[:MOST]), *more]


def notes(report: Report) -> list[str]:
    """Return the lines below the table: averages, what is missing, refused, outside the label set, not scored."""
    lines = [
        f"{report.suite} {report.split}, scores from 0 to 100. mean: over the task's languages, each with the same "
        "weight; n/m: withheld, n of m languages (tasks) have scores. *: the leaderboard's (of two, their mean).",
        "",
    ]
    for name, part in report.averages().items():
        lines.append(f"{name}: {mean_text(part)}  (mean of {', '.join(report.board.averages[name])})")
    outside = [f"{e.outside} in {e.file}, first {e.first_outside}" for e in report.entries if e.outside]
    warnings = [text for e in report.entries for text in e.warnings]
    return [
        *lines,
        *_listed("labels outside the label set, counted wrong", outside),
        *_listed("missing files", [entry.file for entry in report.having("missing")]),
        *_listed("refused", [f"{entry.file}: {entry.reason}" for entry in report.having("refused")]),
        *_listed("files that belong to no task of the leaderboard, not scored", list(report.unread)),
        *_listed("of the gold files", warnings),
    ]


def plain(report: Report) -> str:
    """Return the whole report as text without control codes, its table in Markdown."""
    return "\n".join([*pipe_table(table(report), left=(0, 1)), "", *notes(report)]) + "\n"


def show(report: Report, console: "Console") -> None:
    """Print the report: plain text unless `console` is a terminal; there, as many tables as its width asks for."""
    if not console.is_terminal:
        print(plain(report), end="")
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = table(report)
    fixed = 3
    width = [max(len(row[k]) for row in rows) + 2 for k in range(len(rows[0]))]
    blocks: list[list[int]] = [[]]
    for k in range(fixed, len(rows[0])):
        if blocks[-1] and sum(width[:fixed]) + sum(width[j] for j in blocks[-1]) + width[k] > console.width:
            blocks.append([])
        blocks[-1].append(k)
    colours = {"missing": "yellow", "refused": "bold red"}
    for block in blocks:
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
        for k in (*range(fixed), *block):
            shown.add_column(rows[0][k], justify="left" if k < 2 else "right", no_wrap=True)
        for row in rows[1:]:
            if any(row[k] for k in block):
                shown.add_row(*(Text(row[k], style=colours.get(row[k], "")) for k in (*range(fixed), *block)))
        console.print(shown)
        console.print()
    console.print(Text("\n".join(notes(report))), soft_wrap=True)
