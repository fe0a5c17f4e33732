import runpy
from pathlib import Path

from stiltgrid.licences import licence_table
from stiltgrid.tasks.registry import TaskRow, package_tasks

ROOT = Path(__file__).parents[1]


def test_the_page_of_data_has_the_table_of_the_rows():
    """If it has not: make docs."""
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "docs" / "page_tables.py"))["with_table"]("data.md", page) == page


def test_each_task_has_its_licence_and_citation():
    lines = licence_table(package_tasks().values()).splitlines()[2:]
    for line, row in zip(lines, package_tasks().values(), strict=True):
        assert f"`{row.name}`" in line and row.licence in line and row.citation in line and row.url in line


def test_a_line_says_what_to_bring_and_what_can_be_fetched():
    layouts = {
        "own": {"reader": "table", "files": {"train": ["a.tsv", "b.tsv"], "test": "c.tsv"}},
        "hub": {"reader": "parquet_rows", "files": {"train": "train-*.parquet"}},
    }
    about = {
        "title": "Tone",
        "kind": "generation",
        "languages": ["en"],
        "metrics": ["bleu"],
        "chance": 0,
        "cluster": "row",
    }
    about |= {"licence": "CC0 | other", "citation": "A and B (2020)", "url": "https://example.org", "output_length": 3}
    row = TaskRow(name="mine/tone", layouts=layouts, hub="them/tone", revision="a" * 40, **about)
    start = "| `mine/tone` | [Tone](https://example.org) | CC0 \\| other | A and B (2020) | `own`: a.tsv |"
    unpinned = row.model_copy(update={"revision": None})
    assert licence_table([row]).splitlines()[2] == f"{start} them/tone at aaaaaaaa |"
    assert licence_table([unpinned]).splitlines()[2] == f"{start} them/tone, its `revision` to be pinned by you |"
