"""How a LaTeX table that is too wide or too tall for a page is set: smaller, rotated, or in parts.

Widths are estimated from the letters, in points, for a text block of 16 cm by 22.7 cm, which two-column styles have
(ACL, 11pt article with geometry); LaTeX itself is not asked, so that the same table gives the same bytes everywhere.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stiltgrid.paper.render import Panel, Table

TEXT_WIDTH, TEXT_HEIGHT = 455.0, 645.0
SIZES = {"small": (9.0, 11.0), "footnotesize": (8.0, 9.5)}
"""LaTeX size -> letters and lines, in points."""
SUBTITLE = 8.0
"""Points; `scriptsize` has 7, and wider letters for its size."""
NOTE = SIZES["footnotesize"]
BETWEEN = 8.0
"""Twice \\tabcolsep."""
APART = 1.5
"""Space in em before a column that is set apart."""


@dataclass(frozen=True, slots=True)
class Page:
    """One float of a table.

    Attributes:
        columns: the columns that it shows, by number.
        panels: the panels, or parts of them.
        size: of the letters, a key of `SIZES`.
        rotated: whether it is turned by a quarter.
    """

    columns: tuple[int, ...]
    panels: tuple["Panel", ...]
    size: str = "small"
    rotated: bool = False


def width(text: str, size: float) -> float:
    """Return about how wide a text is, in points, in a serif face of a size, bold at most."""
    em = 0.0
    for letter in text:
        em += 0.36 if letter in " .,:;'|()[]ilj!" else 0.78 if letter.isupper() or letter in "mw%+−—" else 0.52
    return em * size


def _columns(table: "Table", size: float) -> tuple[float, list[float]]:
    """Return the width of the rows' titles and of each column, space between included."""
    rows = [row for panel in table.panels for row in panel.rows]
    first = max(width(row.title, size) for row in rows)
    found = []
    for k, column in enumerate(table.columns):
        cells = max(width(row.cells[k].text + row.cells[k].marker, size) for row in rows)
        widest = max(cells, width(column.title, size), width(column.subtitle, SUBTITLE))
        found.append(widest + (BETWEEN / 2 + APART * size if column.apart else BETWEEN))
    return first, found


def _lines(texts: Sequence[str], across: float) -> float:
    """Return how many lines paragraphs fill."""
    return sum(math.ceil(width(text, NOTE[0]) / across) for text in texts)


def _room(table: "Table", across: float, high: float, line: float) -> int:
    """Return how many lines of rows a page of the table has room for, caption, header and notes taken off."""
    caption = _lines([f"{table.title} {table.caption}"], across) * 12
    notes = _lines(table.notes, 0.95 * across) * NOTE[1] + 12
    header = 2.5 * line + 20
    return int((high - caption - notes - header) / line)


def _tall(panels: Sequence["Panel"]) -> int:
    return sum(len(panel.rows) + 1 for panel in panels)


def _stacks(panels: Sequence["Panel"], room: int) -> Iterator[tuple["Panel", ...]]:
    """Yield panels in stacks of at most so many lines; a panel that is longer is cut, and says so."""
    stack: list[Panel] = []
    for panel in panels:
        rest = panel
        while len(rest.rows) + 1 > room:
            if stack:
                yield tuple(stack)
                stack = []
            yield (replace(rest, rows=rest.rows[: room - 1]),)
            rest = replace(panel, title=f"{panel.title} (continued)", rows=rest.rows[room - 1 :])
        if stack and _tall(stack) + len(rest.rows) + 1 > room:
            yield tuple(stack)
            stack = []
        stack.append(rest)
    if stack:
        yield tuple(stack)


def _blocks(first: float, widths: Sequence[float]) -> list[tuple[int, ...]]:
    """Cut columns into the fewest blocks that fit, about equally wide."""
    space = TEXT_WIDTH - first
    number = max(1, math.ceil(sum(widths) / space))
    while True:
        goal = min(space, max(sum(widths) / number * 1.02, *widths))
        blocks: list[list[int]] = [[]]
        used = 0.0
        for k, one in enumerate(widths):
            if blocks[-1] and used + one > goal:
                blocks.append([])
                used = 0.0
            blocks[-1].append(k)
            used += one
        if len(blocks) <= number or number >= len(widths):
            return [tuple(block) for block in blocks]
        number += 1


def pages(table: "Table") -> list[Page]:
    """Return the floats of a table: one wherever it fits, upright if possible.

    Tried in this order: upright; upright in smaller letters; rotated; rotated in smaller letters; in parts, blocks of
    columns by stacks of panels.
    """
    everything = tuple(range(len(table.columns)))
    for rotated, across, high in ((False, TEXT_WIDTH, TEXT_HEIGHT), (True, TEXT_HEIGHT, TEXT_WIDTH)):
        for size, (letter, line) in SIZES.items():
            first, widths = _columns(table, letter)
            fits = first + sum(widths) <= across and _tall(table.panels) <= _room(table, across, high, line)
            if fits:
                return [Page(everything, table.panels, size, rotated)]
    size, (letter, line) = "small", SIZES["small"]
    first, widths = _columns(table, letter)
    room = max(10, _room(table, TEXT_WIDTH, TEXT_HEIGHT, line))
    stacks = list(_stacks(table.panels, room))
    return [Page(block, stack, size) for stack in stacks for block in _blocks(min(first, 300.0), widths)]
