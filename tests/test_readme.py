"""The README's commands exist, and its tables are what the renderer writes."""

import re
import runpy
from pathlib import Path

import pytest

README = Path("README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].split("&&")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert {"demo", "test"} <= named <= targets


def test_snakemake_targets_exist():
    rules = "".join(p.read_text(encoding="utf-8") for p in [Path("Snakefile"), *Path("rules").glob("*.smk")])
    known = set(re.findall(r"^rule (\w+):", rules, flags=re.MULTILINE))
    named = {c.split()[1] for c in COMMANDS if c.startswith("snakemake ") and not c.split()[1].startswith("-")}
    assert {"plan", "status", "preview", "tables"} <= named <= known


def test_linked_pages_exist():
    for path in re.findall(r"\]\(((?:docs/|CITATION)[^)#]*)\)", README):
        assert Path(path).is_file(), path


def test_each_table_has_a_baseline_row_and_says_what_it_is():
    for name in ("demo", "sample"):
        table = README.split(f"<!-- {name} table: begin -->")[1].split(f"<!-- {name} table: end -->")[0]
        assert re.search(r"^\| none +\|", table, flags=re.MULTILINE), name
        assert "Row none: absolute scores" in table


def finished(folder: Path) -> Path:
    """A results folder as far as the README is concerned."""
    for name, text in {
        "tables/main.md": "# Title\n\nRow none: absolute scores.\n\n| a | b |\n",
        "tables/answer.md": "# Title\n\n**Yes, by 1 point.**\n\n- In log odds: 2.\n",
        "figures/gain_heatmap.svg": "<svg/>",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_command_puts_table_answer_and_figure_of_a_finished_grid_into_the_readme(tmp_path):
    main = runpy.run_path("docs/readme_tables.py")["main"]
    readme = tmp_path / "README.md"
    markers = [f"<!-- demo {name}: {end} -->" for name in ("answer", "table") for end in ("begin", "end")]
    readme.write_text("Before.\n" + "\nold\n".join(markers) + "\nAfter.\n", encoding="utf-8")
    results = finished(tmp_path / "results/demo")
    main([f"demo={results}", "--readme", str(readme)])
    text = readme.read_text(encoding="utf-8")
    assert "**Yes, by 1 point.**" in text and "Row none: absolute scores." in text
    assert "# Title" not in text and "log odds" not in text and text.endswith("After.\n")
    assert "](docs/figures/demo_gain_heatmap.svg)" in text
    assert (tmp_path / "docs/figures/demo_gain_heatmap.svg").read_text() == "<svg/>"
    main([f"demo={results}", "--readme", str(readme)])
    assert readme.read_text(encoding="utf-8") == text


def test_what_cannot_be_put_there_is_said(tmp_path, capsys):
    main = runpy.run_path("docs/readme_tables.py")["main"]
    readme = tmp_path / "README.md"
    readme.write_text("Nothing here.\n", encoding="utf-8")
    results = finished(tmp_path / "results/demo")
    with pytest.raises(SystemExit, match="0 places for 'demo table'"):
        main([f"demo={results}", "--readme", str(readme)])
    (results / "tables/main.md").unlink()
    with pytest.raises(SystemExit, match="no such file; finish the grid first"):
        main([f"demo={results}", "--readme", str(readme)])
    with pytest.raises(SystemExit):
        main(["demo", "--readme", str(readme)])
    assert "expected NAME=FOLDER" in capsys.readouterr().err


def test_figures_in_the_repository_are_small():
    shown = {Path(path) for path in re.findall(r"\]\((docs/figures/[^)]*)\)", README)}
    there = {path for path in Path("docs/figures").glob("*") if path.suffix in (".svg", ".png")}
    assert shown == there
    assert all(path.stat().st_size < 100_000 for path in there)
