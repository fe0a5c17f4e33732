"""The README's commands exist, and its tables are what the renderer writes."""

import re
from pathlib import Path

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
