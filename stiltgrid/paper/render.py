r"""A table as Markdown, CSV and LaTeX; all three hold the same cells.

LaTeX needs `\usepackage{booktabs}`, for shaded cells `\usepackage[table]{xcolor}`, for rotated tables
`\usepackage{rotating}`; numbers of a column have the same decimals and are right-aligned, so that they line up without
siunitx.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from stiltgrid.paper.cells import DASH, MINUS, Cell
from stiltgrid.paper.latex_pages import Page, pages

MANY = 6
"""Floats of one table above which each is given out at once: LaTeX holds 18 that have no page yet."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, a second line (the metric), and whether it is set apart from the one before."""

    title: str
    subtitle: str = ""
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its title and one cell a column."""

    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows under one heading."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: the file's stem and the LaTeX label behind `tab:`.
        title: the grid's title, above the table.
        caption: what the numbers are.
        columns: the columns behind the rows' titles.
        panels: at least one.
        notes: lines below the table.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()


def _header(column: Column) -> str:
    if not column.subtitle:
        return column.title
    return f"{column.title}: {column.subtitle}" if "(" in column.subtitle else f"{column.title} ({column.subtitle})"


def markdown_text(text: str) -> str:
    """Return text on one line, with everything escaped that Markdown would read as markup."""
    for special in ("\\", "|", "*", "_", "`", "<", "["):
        text = text.replace(special, "\\" + special)
    return " ".join(text.split())


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    text = f"**{text}**" if cell.bold else text
    return text + (f"<sup>{cell.marker}</sup>" if cell.marker else "")


def pipe_table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Return the lines of a Markdown table, padded so that its source reads as a table too.

    Args:
        rows: the header first; texts are taken as they are.
        left: columns that are aligned left; the others are aligned right.
    """
    width = [max(3, *(len(row[k]) for row in rows)) for k in range(len(rows[0]))]
    rule = ["-" * w if k in left else "-" * (w - 1) + ":" for k, w in enumerate(width)]

    def line(row: Sequence[str]) -> str:
        padded = (
            text.ljust(w) if k in left else text.rjust(w) for k, (text, w) in enumerate(zip(row, width, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    return [line(row) for row in (rows[0], rule, *rows[1:])]


def markdown(table: Table) -> str:
    """Return the table as Markdown: a heading, the caption, one pipe table a panel, the notes."""
    lines = [f"# {markdown_text(table.title)}", "", markdown_text(table.caption), ""]
    heads = [markdown_text(_header(c)) for c in table.columns]
    for panel in table.panels:
        body = [[markdown_text(row.title), *map(_markdown_cell, row.cells)] for row in panel.rows]
        lines += [*pipe_table([[f"**{markdown_text(panel.title)}**", *heads], *body]), ""]
    for note in table.notes:
        lines += [markdown_text(note), ""]
    return "\n".join(lines[:-1]) + "\n"


def comma_separated(table: Table) -> str:
    """Return the table as CSV (UTF-8, LF): panel, row, then the columns; minus signs are hyphens."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["panel", "row", *(_header(c).replace(MINUS, "-") for c in table.columns)])
    for panel in table.panels:
        for row in panel.rows:
            texts = [c.text.replace(MINUS, "-").replace(DASH, "n/a") + c.marker for c in row.cells]
            writer.writerow([panel.title, row.title, *texts])
    return out.getvalue()


LATEX = {
    "\\": r"\textbackslash{}",
    # after the \\ of the line before, a bare [ or * would be read as its argument
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    '"': r"\textquotedbl{}",
    MINUS: r"\ensuremath{-}",
    DASH: "---",
    "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{MULTIPLICATION SIGN}": r"\ensuremath{\times}",
    "†": r"\ensuremath{\dagger}",
}


def latex_text(text: str) -> str:
    """Return text with everything escaped that LaTeX would read as a command."""
    return "".join(LATEX.get(character, character) for character in " ".join(text.split()))


def _latex_cell(cell: Cell) -> str:
    text = latex_text(cell.text)
    text = rf"\textbf{{{text}}}" if cell.bold else text
    text = (rf"\cellcolor[HTML]{{{cell.shade}}}" if cell.shade else "") + text
    # \rlap keeps a raised sign out of the alignment
    return text + (rf"\rlap{{\textsuperscript{{{latex_text(cell.marker)}}}}}" if cell.marker else "")


def latex(table: Table) -> str:
    """Return the table as a LaTeX `table*` with caption and label; what is too large for one is cut (`latex_pages`)."""
    shaded = any(c.shade for panel in table.panels for row in panel.rows for c in row.cells)
    floats = pages(table)
    packages = [r"\usepackage{booktabs}", *([r"\usepackage[table]{xcolor}"] if shaded else [])]
    packages += [r"\usepackage{rotating}"] if any(page.rotated for page in floats) else []
    lines = [f"% needs {' '.join(packages)}"]
    for number, page in enumerate(floats):
        if number and len(floats) > MANY:
            lines.append(r"\clearpage")
        lines += _float(table, page, number, last=number == len(floats) - 1)
    return "\n".join(lines) + "\n"


def _float(table: Table, page: Page, number: int, *, last: bool) -> list[str]:
    """Return the lines of one float; the first has the caption, the last the notes."""
    environment = "sidewaystable*" if page.rotated else "table*"
    columns = [table.columns[k] for k in page.columns]
    spec = "l" + "".join((r"@{\hspace{1.5em}}" if c.apart else "") + "r" for c in columns)
    title = latex_text(table.title)
    lines = [
        rf"\begin{{{environment}}}" + ("" if page.rotated else "[t]"),
        rf"\centering\{page.size}",
        r"\setlength{\tabcolsep}{4pt}",
    ]
    if number:
        # the number of the first part again
        lines += [r"\addtocounter{table}{-1}", rf"\caption{{\textbf{{{title}}} (continued).}}"]
    else:
        lines.append(rf"\caption{{\textbf{{{title}.}} {latex_text(table.caption)}}}")
        lines.append(rf"\label{{tab:{table.name.replace('_', '-')}}}")
    lines += [
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        " & ".join(["", *(latex_text(c.title) for c in columns)]).strip() + r" \\",
    ]
    if any(c.subtitle for c in columns):
        small = [rf"{{\scriptsize {latex_text(c.subtitle)}}}" if c.subtitle else "" for c in columns]
        lines.append(" & ".join(["", *small]).strip() + r" \\")
    for panel in page.panels:
        lines.append(r"\midrule")
        lines.append(rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\emph{{{latex_text(panel.title)}}}}} \\")
        for row in panel.rows:
            cells = (_latex_cell(row.cells[k]) for k in page.columns)
            lines.append(" & ".join([latex_text(row.title), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes and last:
        notes = "\\par\n".join(map(latex_text, table.notes))
        lines += [
            r"\par\smallskip",
            r"\begin{minipage}{0.95\linewidth}\footnotesize",
            notes,
            r"\end{minipage}",
        ]
    return [*lines, rf"\end{{{environment}}}"]


RENDERERS = {".md": markdown, ".csv": comma_separated, ".tex": latex}
"""File suffix -> renderer."""
