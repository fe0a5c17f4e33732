"""What all figures share: the material, the style, colours that are told apart in grey too, files of fixed bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.artifacts import replacing
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.paper.findings import Findings
from stiltgrid.paper.scores import Scores
from stiltgrid.paper.tables import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("stiltgrid.mplstyle")
WIDTH = 6.3
"""Inches: 16 cm, the text block of most venues."""
SERIES = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's colours, safe for the colour-blind; black first, for the baseline or a mean."""
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "^", "s", "D", "v", "P")
FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
"""Suffix -> metadata that would make two runs differ, taken out."""


class LeftOutError(StiltgridError):
    """A figure cannot be drawn, for what it shows is not there; the message says what."""


@dataclass(frozen=True)
class Material:
    """What figures are drawn from; none of it is computed here.

    Attributes:
        grid: the expanded config.
        scores: its means.
        findings: its comparisons.
        records: its training runs.
    """

    grid: Grid
    scores: Scores
    findings: Findings
    records: Records


@contextmanager
def style() -> Iterator[None]:
    """Draw in the project's style, whatever a user's matplotlibrc says."""
    import matplotlib as mpl
    from matplotlib import style as styles

    with mpl.rc_context():
        mpl.rcdefaults()
        styles.use(STYLE)
        yield


def new_figure(height: float, width: float = WIDTH) -> "Figure":
    """Return an empty figure of a size in inches, laid out by constraints."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def line_style(k: int) -> dict[str, Any]:
    """Return the look of the k-th line: 0 is black and whole; colours come round after six, with other dashes."""
    if k == 0:
        return {"color": SERIES[0], "linestyle": "-"}
    colours = SERIES[1:]
    turn, place = divmod(k - 1, len(colours))
    return {"color": colours[place], "linestyle": DASHES[(place + turn + 1) % len(DASHES)]}


def zero_line(axes: "Axes", *, vertical: bool = False) -> None:
    """Draw the line of no gain behind everything."""
    draw = axes.axvline if vertical else axes.axhline
    draw(0, color="#888888", linewidth=0.7, zorder=0)


def save(figure: "Figure", folder: Path, name: str) -> list[Path]:
    """Write a figure as PDF, SVG and PNG; equal figures give equal bytes (no dates, a fixed salt of ids).

    Returns:
        The files.
    """
    paths = []
    # laid out once, not anew for each format
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for suffix, metadata in FORMATS.items():
        path = folder / f"{name}.{suffix}"
        with replacing(path) as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata)
        paths.append(path)
    return paths
