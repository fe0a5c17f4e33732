"""Put the results of finished grids into README.md, between their markers.

For each NAME=FOLDER: `<!-- NAME table: begin -->` to `end` becomes the main table; `<!-- NAME answer: begin -->` to
`end`, where README has it, becomes the sentence that answers the grid's question and the heat map of gains, which is
copied to docs/figures/NAME_gain_heatmap.svg (at most 100 kB).
"""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
LARGEST = 100_000
"""Bytes of a figure; a repository is no place for larger ones."""


def replaced(text: str, marker: str, content: str) -> str:
    """Return the text with what stands between a marker's two comments replaced.

    Exits if the marker is not there exactly once.
    """
    begin, end = f"<!-- {marker}: begin -->", f"<!-- {marker}: end -->"
    block = f"{begin}\n{content.strip()}\n{end}"
    text, count = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, text, flags=re.DOTALL)
    if count != 1:
        sys.exit(f"README.md: {count} places for {marker!r}, expected 1")
    return text


def read(path: Path) -> str:
    """Return a file's text; exits if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        sys.exit(f"{path}: no such file; finish the grid first, e.g. make demo")


def table(folder: Path) -> str:
    """Return a grid's main table, without its heading."""
    lines = read(folder / "tables/main.md").splitlines()
    return "\n".join(line for line in lines if not line.startswith("# "))


def answer(folder: Path, name: str, figures: Path) -> str:
    """Return the sentence that answers a grid's question, and its heat map as an image; copies the figure."""
    [sentence] = [line for line in read(folder / "tables/answer.md").splitlines() if line.startswith("**")]
    source, target = folder / "figures/gain_heatmap.svg", figures / f"{name}_gain_heatmap.svg"
    if not source.is_file():
        sys.exit(f"{source}: no such file; finish the grid first, e.g. make demo")
    if source.stat().st_size > LARGEST:
        sys.exit(f"{source}: {source.stat().st_size} bytes, at most {LARGEST} are wanted in the repository")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    place = f"docs/{figures.name}/{target.name}"
    return f"{sentence}\n\n![Gains of each intermediate task, a panel a model]({place})"


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrite README.md."""
    options = argparse.ArgumentParser(
        description="Put the results of finished grids into README.md, between their markers.",
        epilog="example: python docs/readme_tables.py demo=results/demo sample=results/sample",
    )
    options.add_argument("grids", nargs="+", metavar="NAME=FOLDER", help="marker and results folder of a finished grid")
    options.add_argument("--readme", type=Path, default=README, help="the file (default: this repository's README.md)")
    args = options.parse_args(argv)
    text = read(args.readme)
    for grid in args.grids:
        name, equals, folder = grid.partition("=")
        if not equals or not Path(folder).is_dir():
            options.error(f"{grid!r}: expected NAME=FOLDER, the folder being a grid's, e.g. demo=results/demo")
        text = replaced(text, f"{name} table", table(Path(folder)))
        if f"<!-- {name} answer: begin -->" in text:
            figures = args.readme.parent / "docs/figures"
            text = replaced(text, f"{name} answer", answer(Path(folder), name, figures))
    args.readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
