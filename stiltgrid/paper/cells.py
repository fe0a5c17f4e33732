"""One cell of a table: what it means beside how it is written."""

from dataclasses import dataclass

from stiltgrid.paper.averages import Mean, Status

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EM DASH}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell.

    Attributes:
        value: the number in points, unrounded; None where there is none.
        text: what is printed, with a real minus sign.
        bold: the best of its column.
        marker: a footnote sign that the analysis gives, e.g. a dagger; printed raised.
        shade: colour behind it in LaTeX, six hex digits; empty: none.
        n: complete parts that the value rests on.
        status: as `Mean.status`.
    """

    value: float | None
    text: str
    bold: bool = False
    marker: str = ""
    shade: str = ""
    n: int = 0
    status: Status = "done"


def number(value: float, *, signed: bool = False, places: int = 1) -> str:
    """Return a number with fixed decimals; zero has no sign.

    >>> number(-0.04, signed=True), number(-1.25), number(3, signed=True)
    ('0.0', '−1.2', '+3.0')
    """
    text = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
    if not text.strip("+-0."):
        return text.lstrip("+-")
    return text.replace("-", MINUS)


def cell(mean: Mean, *, signed: bool = False, show_excluded: bool = False) -> Cell:
    """Return the cell of a mean.

    Args:
        mean: the score, average or gain.
        signed: write a sign (gains).
        show_excluded: write "(k/n)" behind a complete average that leaves out excluded parts.
    """
    counts = f"({mean.have}/{mean.of})"
    if mean.status == "done" and mean.value is not None:
        text = number(mean.value, signed=signed)
        if show_excluded and mean.excluded:
            text += f" ({mean.of}/{mean.of + len(mean.excluded)})"
    elif mean.status == "incomplete":
        text = f"{DASH if mean.value is None else number(mean.value, signed=signed)} {counts}"
    elif mean.status == "incomparable":
        text = f"{DASH} (base)"
    else:
        text = {"missing": "missing", "failed": "failed", "excluded": "excl."}[mean.status]
    return Cell(mean.value, text, n=mean.have, status=mean.status)
