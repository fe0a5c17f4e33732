"""Figures of the paper: pictures of what the analysis found; nothing is estimated here.

Each is a function from `drawing.Material` to a figure; one whose comparisons are missing is left out, with a note.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stiltgrid.artifacts import write_text
from stiltgrid.paper.contents import IMAGES, figure_names
from stiltgrid.paper.figures.drawing import LeftOutError, Material, save, style
from stiltgrid.paper.figures.gains import gains_figure
from stiltgrid.paper.figures.interaction import interaction_figure
from stiltgrid.paper.figures.languages import languages_figure
from stiltgrid.paper.figures.slopes import slopes_figure
from stiltgrid.paper.figures.training import dev_figure, training_figure
from stiltgrid.paper.render import markdown_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: dict[str, tuple[Callable[[Material], "Figure"], str]] = {
    "gain_heatmap": (
        gains_figure,
        "Gain of each intermediate task over none in the languages that are not trained on, in points; one symmetric "
        "scale for all models. A dagger: differs from 0 (Benjamini-Hochberg). Hatched: not there.",
    ),
    "interaction_forest": (
        interaction_figure,
        "Gain of the large model minus gain of the small one, mean over intermediate tasks and languages that are not "
        "trained on, with intervals; the diamond is the headline, its width the interval. Open: seed noise not "
        "measured.",
    ),
    "slopes": (
        slopes_figure,
        "Gain of each intermediate task in the small and the large model, mean over targets, in the languages that are "
        "not trained on.",
    ),
    "language_gain": (
        languages_figure,
        "Gain in each language that is not trained on, mean over intermediate tasks, against its score without one.",
    ),
    "training_curves": (
        training_figure,
        "Training loss by optimizer step, means over seeds; first row: intermediate tasks.",
    ),
    "dev_curves": (dev_figure, "English dev score by optimizer step, means over seeds; first row: intermediate tasks."),
}
"""Name -> how it is drawn, and its caption."""


def write_figures(
    material: Material, folder: Path | str, *, partial: bool = False
) -> tuple[list[Path], dict[str, str]]:
    """Write every figure of a grid as PDF, SVG and PNG, and `README.md`, which shows them with their captions.

    Args:
        material: what they are drawn from.
        folder: where they go, in use `results/<grid>/figures`.
        partial: leave out what cannot be drawn yet.

    Returns:
        The files, the README last; and for each figure that is left out, why.

    Raises:
        LeftOutError: if a figure cannot be drawn and `partial` is false.
    """
    folder = Path(folder)
    paths: list[Path] = []
    left_out: dict[str, str] = {}
    config = material.grid.config
    lines = [f"# Figures of {markdown_text(config.title or config.grid)}", ""]
    for name in figure_names(material.grid):
        draw, caption = FIGURES[name]
        with style():
            try:
                figure = draw(material)
            except LeftOutError as error:
                if not partial:
                    raise LeftOutError(f"{folder}/{name}: {error}; --partial leaves it out") from None
                left_out[name] = str(error)
                for suffix in IMAGES:
                    (folder / f"{name}.{suffix}").unlink(missing_ok=True)
                continue
            paths += save(figure, folder, name)
        links = " ".join(f"[{suffix}]({name}.{suffix})" for suffix in IMAGES)
        lines += [f"## {name}", "", f"![{name}]({name}.png)", "", f"{markdown_text(caption)} {links}", ""]
    lines += [f"Left out: {markdown_text(name)} ({markdown_text(reason)})." for name, reason in left_out.items()]
    if config.note:
        lines += ["", markdown_text(config.note)]
    paths.append(folder / "README.md")
    write_text(paths[-1], "\n".join(lines).rstrip() + "\n")
    return paths, left_out
