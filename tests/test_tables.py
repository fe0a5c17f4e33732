"""Tables; `STILTGRID_GOLDEN=write pytest tests/test_tables.py` writes tests/golden anew (read the diff)."""

import csv
import os
import re
from pathlib import Path

import pytest
from test_collect import Files, first_cell, small_grid

from stiltgrid.artifacts import write_json
from stiltgrid.collect import collect
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, folder
from stiltgrid.paper.averages import deviation, gain, mean, score, seed_mean
from stiltgrid.paper.cells import cell, number
from stiltgrid.paper.colours import shade
from stiltgrid.paper.render import latex_text, markdown_text
from stiltgrid.paper.scores import Scores
from stiltgrid.paper.tables import language_table, main_table, seed_table, tables, write_tables

GOLDEN = Path(__file__).parent / "golden"


def scored(*values):
    return {str(k): score(v, "done") for k, v in enumerate(values)}


def texts(table):
    return {(p.title, r.title): [c.text for c in r.cells] for p in table.panels for r in p.rows}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = Files(small_grid())
    files.everything()
    return files


def drop(files, cell):
    Path(files.paths.prediction(cell)).unlink()
    Path(files.paths.score(cell)).unlink()


def damage(files):
    """Two seeds' cells missing, one run failed."""
    for language in ("en", "de", "fr"):
        drop(files, Cell("large", "mnli", "xnli", language, 2))
    failed = Cell("small", "qqp", "pos", "en", 1)
    for language in ("en", "de"):
        drop(files, failed._replace(language=language))
    Path(files.paths.checkpoint(failed.run)).unlink()
    note = {"reason": "CUDA out of memory", "log": "train.log", "when": ""}
    write_json(folder(files.paths.checkpoint(failed.run)) + "/failed.json", note)


def test_means_by_hand():
    assert mean(scored(50, 60, 85)).value == 65
    assert gain(mean(scored(3.0)), mean(scored(5.0))).value == -2
    assert deviation(scored(1.0, 3.0)).value == pytest.approx(2**0.5)
    assert deviation(scored(1.0)).value is None


def test_a_mean_that_lacks_a_part_is_withheld_and_counts():
    lacking = {**scored(50, 60), "2": score(None, "missing")}
    found = mean(lacking)
    assert (found.value, found.status, found.have, found.of) == (None, "incomplete", 2, 3)
    found = seed_mean(lacking)
    assert (found.value, found.status) == (55, "incomplete")
    assert mean({"a": found}).value is None
    assert mean({"a": score(None, "missing"), "b": score(None, "failed")}).status == "failed"
    assert score(float("nan"), "done").status == "missing"


def test_what_is_excluded_is_left_out_and_told_apart_from_what_is_missing():
    some = mean({**scored(50, 60), "x": score(None, "excluded")})
    assert (some.value, some.status, some.of, some.excluded) == (55, "done", 2, {"x"})
    assert mean({"x": score(None, "excluded")}).status == "excluded"
    whole = mean({**scored(50, 60), "x": score(90, "done")})
    assert gain(some, whole).status == "incomparable"
    assert gain(some, whole).value is None


def test_numbers_have_one_decimal_a_real_minus_and_no_signed_zero():
    assert [number(x, signed=True) for x in (1.25, -0.34, -0.04, 0.0)] == ["+1.2", "−0.3", "0.0", "0.0"]
    assert number(71.25) == "71.2"
    assert cell(mean({**scored(50), "x": score(None, "excluded")}), show_excluded=True).text == "50.0 (1/2)"


def test_the_main_table_by_hand(files):
    table = main_table(Scores(files.grid, collect(files.grid, partial=False)))
    found = texts(table)
    # small, none: English 50.5, German 40.5, French 30.5 over two seeds
    assert found["Small_1", "none"] == ["40.5", "45.5", "excl.", "43.0", "38.0"]
    assert found["Small_1", "MNLI"] == ["+2.2", "+2.2", "excl.", "+2.2", "+2.2"]
    assert found["large", "qqp"] == ["−1.2", "−1.2", "excl.", "−1.2", "−1.2"]
    assert [c.title for c in table.columns] == ["XNLI", "POS", "NTG", "Avg", "Avg −en"]
    assert table.columns[3].subtitle == "2 of 3"
    bold = [[c.bold for c in row.cells] for row in table.panels[0].rows]
    assert bold == [[False] * 5, [True, True, False, True, True], [False] * 5]


def test_incomplete_cells_are_withheld_from_every_average(files):
    damage(files)
    scores = Scores(files.grid, collect(files.grid, partial=True))
    main, languages = texts(main_table(scores)), texts(language_table(scores, "xnli"))
    assert main["large", "MNLI"] == ["— (0/3)", "+2.2", "excl.", "— (1/2)", "— (1/2)"]
    assert main["Small_1", "qqp"] == ["−1.2", "— (0/2)", "excl.", "— (1/2)", "— (1/2)"]
    assert languages["large", "MNLI"] == ["72.2 (1/2)", "62.2 (1/2)", "52.2 (1/2)", "— (0/3)", "— (0/2)"]
    assert texts(seed_table(scores))["large", "MNLI"] == ["— (1/2)", "0.7 (2)", "excl."]
    assert not any(c.bold for row in main_table(scores).panels[1].rows for c in (row.cells[0], row.cells[3]))
    notes = "\n".join(main_table(scores).notes)
    assert "failed: 2 cells (small/qqp/pos/seed1: phase (iii): CUDA out of memory)." in notes
    assert "missing: 3 cells of large/mnli/xnli/seed2." in notes
    assert "excl.: target ntg (xglue/ntg: an encoder with heads cannot write text" in notes
    assert notes.endswith("A miniature: its numbers mean nothing.")


def test_collapsed_runs_are_counted_and_stay_in_every_mean(files):
    frame = collect(files.grid, partial=False)
    before = texts(main_table(Scores(files.grid, frame)))
    frame.loc[(frame.model == "small") & (frame.target == "pos") & (frame.seed == 2), "collapsed"] = True
    table = main_table(Scores(files.grid, frame))
    assert texts(table) == before
    assert (
        "collapsed: 6 cells of small/none/pos/seed2, small/mnli/pos/seed2, small/qqp/pos/seed2 learned nothing; "
        "they are in every mean." in table.notes
    )


def test_a_gain_is_withheld_where_the_baseline_is_not_complete(files):
    drop(files, Cell("small", "none", "pos", "de", 1))
    found = texts(main_table(Scores(files.grid, collect(files.grid, partial=True))))
    assert found["Small_1", "none"] == ["40.5", "— (1/2)", "excl.", "— (1/2)", "— (1/2)"]
    assert found["Small_1", "MNLI"] == ["+2.2", "— (base)", "excl.", "— (base)", "— (base)"]
    assert found["large", "MNLI"][1] == "+2.2"


def test_without_a_baseline_scores_are_absolute_and_the_table_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = small_grid(intermediates={"mnli": {"tasks": ["mnli"]}})
    Files(grid).everything()
    table = main_table(Scores(grid, collect(grid, partial=False)))
    assert texts(table)["Small_1", "mnli"][0] == "42.8"
    assert "no row without intermediate training" in table.caption


def test_an_unequal_number_of_seeds_is_not_incomplete(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = small_grid(baseline_seeds=3)
    Files(grid).everything()
    table = main_table(Scores(grid, collect(grid, partial=False)))
    assert texts(table)["Small_1", "none"][0] == "41.0"
    assert table.notes[0] == "Seeds: Small_1 2, baseline 3; large 2, baseline 3."


def test_the_language_table_sets_the_training_language_apart_and_adds_second_metrics(files):
    table = language_table(Scores(files.grid, collect(files.grid, partial=False)), "pos")
    assert [c.title for c in table.columns] == ["en", "de", "Avg", "Avg −en"]
    assert [c.apart for c in table.columns] == [False, True, True, False]
    assert len(table.panels) == 4
    first, _, third, _ = (panel.title for panel in table.panels)
    assert first != third
    found = texts(table)
    assert found[first, "none"] == ["50.5", "40.5", "45.5", "40.5"]
    assert found[third, "none"] == ["55.5", "45.5", "50.5", "45.5"]


def test_a_target_that_is_wholly_excluded_has_no_language_table(files):
    names = [t.name for t in tables(files.grid, collect(files.grid, partial=False))]
    assert names == ["main", "languages_xnli", "languages_pos", "seeds", "diagnostics"]


@pytest.mark.parametrize("state", ["whole", "partial"])
def test_golden_bytes_whatever_the_order_of_rows(files, tmp_path, state):
    if state == "partial":
        damage(files)
    frame = collect(files.grid, partial=True)
    written = write_tables(files.grid, frame, tmp_path / "tables")
    shuffled = write_tables(files.grid, frame.sample(frac=1, random_state=3), tmp_path / "again")
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in shuffled]
    assert written[-1].name == "README.md"
    for path in written:
        golden = GOLDEN / state / path.name
        if os.environ.get("STILTGRID_GOLDEN") == "write":
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes(path.read_bytes())
        assert path.read_bytes() == golden.read_bytes(), f"{path.name} differs from {golden}"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/[!n]*.tex")), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_latex_is_well_formed(path):
    text = path.read_text(encoding="utf-8")
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    begun, ended = re.findall(r"\\begin\{(\S+?)\}", text), re.findall(r"\\end\{(\S+?)\}", text)
    assert sorted(begun) == sorted(ended)
    parts = re.findall(r"\\begin\{tabular\}\{([^\n]*)\}\n(.*?)\\end\{tabular\}", text, flags=re.DOTALL)
    assert len(parts) == text.count(r"\begin{tabular}") > 0
    for spec, body in parts:
        columns = len(re.sub(r"@\{.*?\}\}|@\{.*?\}", "", spec))
        rows = [line for line in body.splitlines() if line.endswith(r" \\") and "multicolumn" not in line]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}
    assert text.isascii()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/*.csv")), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_csv_rows_are_of_one_length(path):
    with path.open(encoding="utf-8", newline="") as handle:
        assert len({len(row) for row in csv.reader(handle)}) == 1


def test_titles_are_escaped():
    assert latex_text(r"a_b & 50% of #1 $x$ {y} ~ ^ \ [z]*") == (
        r"a\_b \& 50\% of \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{} {[}z{]}{*}"
    )
    assert markdown_text("a|b_c*\nd") == r"a\|b\_c\* d"


def test_a_table_that_does_not_belong_to_the_grid_is_refused(files):
    frame = collect(files.grid, partial=False)
    import pandas as pd

    with pytest.raises(StiltgridError, match="twice"):
        Scores(files.grid, pd.concat([frame, frame.head(1)]))
    with pytest.raises(StiltgridError, match="no cell of grid toy"):
        Scores(small_grid(seeds=1), frame)


def test_a_cell_that_the_table_lacks_is_missing(files):
    frame = collect(files.grid, partial=False)
    gone = first_cell(files.grid)
    keep = (frame[list(Cell._fields)] != pd_row(gone)).any(axis=1)
    assert texts(main_table(Scores(files.grid, frame[keep])))["Small_1", "none"][0] == "— (2/3)"


def pd_row(cell):
    import pandas as pd

    return pd.Series(cell._asdict())


def test_gains_are_coloured_on_one_symmetric_scale(files):
    table = main_table(Scores(files.grid, collect(files.grid, partial=False)))
    shades = {(p.title, r.title): [c.shade for c in r.cells] for p in table.panels for r in p.rows}
    assert not any(shades["Small_1", "none"])
    assert shades["Small_1", "MNLI"] == shades["large", "MNLI"]
    blue, orange = shades["large", "MNLI"][0], shades["large", "qqp"][0]
    assert shade(2.25, 2.25) == blue and shade(-1.25, 2.25) == orange
    # a loss of half the size is nearer to white than the largest gain
    assert sum(bytes.fromhex(orange)) > sum(bytes.fromhex(blue))
    assert shades["large", "MNLI"][2] == ""
    assert shade(1.0, 0.0) == ""
