"""Pages of the report: tables as HTML, the checklist from manifests, the data card from rows and sidecars."""

import re

import pytest
from test_collect import Files, small_grid

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example, write_examples
from stiltgrid.grid import Arm, Run
from stiltgrid.paper.cells import Cell
from stiltgrid.paper.data_card import data_card, files_of
from stiltgrid.paper.html_tables import html
from stiltgrid.paper.render import Column, Panel, Row, Table
from stiltgrid.paper.reproducibility import hyperparameters, models_table, read_manifests
from stiltgrid.recipes import training_recipe
from stiltgrid.schema import Source
from stiltgrid.tasks.registry import task


def test_a_table_as_a_page_holds_every_cell_and_escapes_texts():
    cells = (Cell(1.0, "+1.0", bold=True, marker="†", shade="85B9D8"), Cell(None, "excl."))
    columns = (Column("XNLI", "accuracy"), Column("A <i>", apart=True))
    table = Table("main", "T & co", "Caption <b>.", columns, (Panel("Base", (Row("mnli", cells),)),), ("†: a note.",))
    text = html(table)
    assert '<td style="background:#85B9D8"><b>+1.0</b><sup>†</sup></td>' in text
    assert '<td class="apart">excl.</td>' in text
    assert "A &lt;i&gt;" in text and "Caption &lt;b&gt;." in text and "<title>T &amp; co: main</title>" in text
    assert "†: a note." in text and text.count("<tr>") == 3


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return small_grid()


def manifest(grid, run: Run | Arm, **changes) -> dict:
    target = run.target if isinstance(run, Run) else None
    recipe = training_recipe(grid, run.model, run.intermediate, target, run.seed)
    return {"recipe": recipe, "seconds": {"total": 1800.0}, "execution": {"devices": 2, "precision": "bf16"}} | changes


def test_budget_is_wall_time_times_devices_and_energy_only_where_every_run_measured_it(grid):
    runs = [Run("small", "none", "xnli", 1), Run("small", "none", "xnli", 2), Arm("large", "mnli", 1)]
    found = {run: manifest(grid, run) for run in runs}
    for run, joules in zip(runs[:2], (3.6e6, 7.2e6), strict=True):
        found[run]["execution"] |= {"energy_joules": joules, "device": "H100"}
    small, large = ([part.strip() for part in line.strip("| ").split("|")] for line in models_table(grid, found)[2:4])
    assert small[2:7] == ["1,000,000,000", "2", "2.00", "3.00", "H100"]
    assert large[3:7] == ["1", "1.00", "not measured", "not recorded"]
    found[runs[1]] |= {"seconds": {}}
    small, large = models_table(grid, found)[2:4]
    assert " not known " in small and " 1.00 " in large


def test_hyperparameters_that_differ_say_where(grid):
    one, two = Run("small", "none", "xnli", 1), Run("small", "none", "pos", 1)
    other = manifest(grid, two)
    other["recipe"]["training"] = {**other["recipe"]["training"], "learning_rate": 0.5}
    shared, *table = hyperparameters({one: manifest(grid, one), two: other})
    assert "batch_size 32" in shared and "learning_rate" not in shared
    lines = [re.sub(r"\s+", " ", line) for line in table]
    assert (
        "| learning\\_rate | 0.0001 | small on xnli |" in lines and "| learning\\_rate | 0.5 | small on pos |" in lines
    )


def test_manifests_that_are_not_there_are_no_runs(grid):
    assert read_manifests(grid) == {}
    Files(grid).checkpoint(grid.runs[0])
    assert list(read_manifests(grid)) == [grid.runs[0]]


def test_the_data_card_names_every_file_licence_and_difference_to_what_was_published(grid):
    files = files_of(grid)
    assert list(files) == ["xglue/xnli", "xglue/pos", "intermediate/mnli", "intermediate/qqp"]
    assert len(files["xglue/xnli"]) == 2 + 3
    for name, own in files.items():
        for file in own:
            about = {"source_files": [{"file": "a.tsv", "sha256": "d" * 64}], "dropped": {"no gold label": 3}}
            about["examples_published"] = 1 if name == "xglue/xnli" else 9
            write_examples(grid.paths.data(file), [Example("1", "1", {"a": "b"})], about)
    text = data_card(grid)
    assert "- Used as: in intermediate MNLI" in text and "a.tsv (dddddddddddd)" in text and "no gold label: 3" in text
    assert text.count("- Licence:") == 4
    [differing] = re.findall(r"## POS.*?Not as many rows as published: (.*?)\.\n", text, flags=re.DOTALL)
    assert differing == "train en, dev en, test de, test en"
    assert "Not as many" not in text.split("## POS")[0]


def test_the_data_card_names_the_data_set_of_the_hub_only_where_it_was_read(grid):
    for own in files_of(grid).values():
        for file in own:
            write_examples(grid.paths.data(file), [Example("1", "1", {"a": "b"})], {})
    assert "Hub data set" not in data_card(grid)
    grid.config.sources["intermediate/qqp"] = Source(hub=True, revision="c" * 40)
    assert f"- Hub data set: {task('intermediate/qqp').hub} at {'c' * 40}" in data_card(grid).replace("\\", "")


def test_a_file_that_is_missing_is_an_error_that_names_it(grid):
    with pytest.raises(StiltgridError, match=r"train\.en\.json: no such file"):
        data_card(grid)
