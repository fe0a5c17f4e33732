"""Tables beside the main one: costs, intermediate tasks, official averages, published scores; what fits on a page.

`STILTGRID_GOLDEN=write pytest tests/test_paper_tables.py` writes tests/golden/records anew (read the diff).
"""

import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import made_up
import pytest
from test_collect import Files, small_grid
from test_runs import Logged
from test_tables import texts

from stiltgrid.collect import collect
from stiltgrid.grid import Arm, Cell
from stiltgrid.metrics import METRICS
from stiltgrid.paper.cells import Cell as Shown
from stiltgrid.paper.costs import costs_table
from stiltgrid.paper.intermediate_scores import intermediate_table
from stiltgrid.paper.latex_pages import TEXT_WIDTH, pages
from stiltgrid.paper.main_table import main_table
from stiltgrid.paper.official import official_averages, official_table
from stiltgrid.paper.published import comparable_targets, published, published_table
from stiltgrid.paper.render import Column, Panel, Row, Table, latex
from stiltgrid.paper.scores import Scores
from stiltgrid.paper.tables import Records, language_table, write_tables
from stiltgrid.runs import collect_runs
from stiltgrid.submission.leaderboard import leaderboard
from stiltgrid.tasks.registry import task, tasks

GOLDEN = Path(__file__).parent / "golden" / "records"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def logged(energy: float | None = None, **changes) -> Logged:
    files = Logged(small_grid(**changes))
    files.everything(energy)
    return files


# costs and intermediate tasks


def test_costs_by_hand(here):
    files = logged(energy=1.8e6)
    table = costs_table(files.grid, collect_runs(files.grid)[0])
    found = texts(table)
    assert [c.title for c in table.columns] == ["runs", "device hours", "device hours", "energy", "weights"]
    # two seeds of an hour on two devices, half a kWh each; 2 GB a checkpoint
    assert found["large", "train MNLI"] == ["2", "4.00", "2.00", "1.00", "4.00"]
    # three arms, two targets, two seeds: half an hour each
    assert found["large", "train targets"] == ["12", "6.00", "0.50", "6.00", "24.0"]
    # 3 and 2 languages of 36 s, six runs each; half a kWh a language
    assert found["large", "predict"] == ["12", "0.30", "0.02", "15.0", "—"]
    assert found["large", "all"] == ["28", "14.3", "0.51", "23.0", "32.0"]
    assert "Devices: cpu." in table.notes


def test_energy_that_nobody_measured_is_not_printed_and_what_is_unknown_is_not_zero(here):
    files = logged()
    files.arm(Arm("small", "mnli", 1), seconds={})
    Path(files.paths.arm(Arm("small", "qqp", 2))).unlink()
    table = costs_table(files.grid, collect_runs(files.grid)[0])
    assert [c.title for c in table.columns] == ["runs", "device hours", "device hours", "weights"]
    found = texts(table)
    assert found["Small_1", "train MNLI"] == ["2", "1.00 (1/2)", "1.00", "4.00"]
    assert found["Small_1", "train qqp"] == ["1 of 2", "1.00 (1/2)", "1.00", "2.00 (1/2)"]
    assert any(note.startswith("(k/n)") for note in table.notes)


def test_intermediate_scores_are_means_over_seeds_of_tasks_that_an_arm_trains_on(here):
    both = {"none": {}, "mnli": {"tasks": ["mnli"], "title": "MNLI"}, "qqp": {"tasks": ["qqp"]}}
    files = logged(intermediates=both)
    Path(files.paths.arm(Arm("large", "qqp", 2))).unlink()
    files.arm(Arm("small", "mnli", 2), collapsed={"value": True})
    table = intermediate_table(files.grid, *collect_runs(files.grid))
    found = texts(table)
    assert found["Small_1", "MNLI"] == ["71.5", "—"]
    assert found["large", "qqp"] == ["—", "71.0 (1/2)"]
    assert "Learned nothing: small/mnli/seed2." in table.notes
    assert ("Small_1", "none") not in found


# official averages


@pytest.mark.parametrize("suite", ["xglue", "xtreme"])
def test_a_grid_of_all_tasks_has_the_averages_of_the_leaderboard(suite):
    board, rows = leaderboard(suite)
    targets = {row.name.split("/")[1]: {"task": row.name} for row in rows.values()}
    averages = official_averages(small_grid(targets=targets))
    expected = {
        (suite, name): tuple(rows[f].name.split("/")[1] for f in folders) for name, folders in board.averages.items()
    }
    assert averages == expected


def test_an_average_of_xglue_holds_english_and_the_official_metric_of_pos():
    grid = made_up.paper_grid()
    frame = made_up.scores_frame(grid)
    frame.loc[(frame.target == "pos") & (frame.metric == "pos_xglue"), "value"] -= 9
    row = texts(official_table(Scores(grid, frame)))["mT5-Base", "none"]

    def of(target: str) -> float:
        languages = grid.languages(target)
        plain = math.fsum(made_up.level(grid, "mt5-base", "none", target, x) for x in languages) / len(languages)
        return plain - (9 if target == "pos" else 0)

    for cell, names in zip(row, official_averages(grid).values(), strict=True):
        assert cell == f"{math.fsum(map(of, names)) / len(names):.1f}"


def test_question_answering_in_xtreme_counts_with_both_metrics(here):
    files = Files(small_grid(targets={t: {"task": f"xtreme/{t}"} for t in ("xquad", "mlqa", "tydiqa")}))
    frame = made_up.scores_frame(files.grid)
    frame.loc[frame.metric.isin(["squad_f1", "mlqa_f1"]), "value"] = 60.0
    frame.loc[frame.metric.isin(["squad_exact", "mlqa_exact"]), "value"] = 35.0
    table = official_table(Scores(files.grid, frame))
    assert [column.title for column in table.columns] == ["Question answering"]
    assert texts(table)["large", "none"] == ["47.5"]


@pytest.mark.parametrize(
    ("change", "there"),
    [
        ({}, True),
        ({"languages": ["en", "de"]}, False),
        ({"eval_split": "dev"}, False),
        ({"source_language": "de"}, False),
    ],
)
def test_an_average_over_less_than_its_tasks_languages_and_test_split_is_none(change, there):
    rows = {"xnli": {"task": "xtreme/xnli"}, "pawsx": {"task": "xtreme/pawsx", **change}}
    averages = official_averages(small_grid(targets=rows))
    assert list(averages) == ([("xtreme", "Sentence-pair classification")] if there else [])


def test_an_average_that_lacks_a_cell_or_excludes_a_task_is_withheld(here):
    targets = {"qg": {"task": "xglue/qg"}, "ntg": {"task": "xglue/ntg"}}
    files = Files(small_grid(targets=targets))
    table = official_table(Scores(files.grid, collect(files.grid, partial=True)))
    assert texts(table)["large", "none"] == ["excl."]
    both = {"xnli": {"task": "xtreme/xnli"}, "pawsx": {"task": "xtreme/pawsx"}}
    files = Files(small_grid(targets=both, seeds=1))
    files.everything()
    gone = Cell("large", "none", "pawsx", "ko", 1)
    for path in (files.paths.prediction(gone), files.paths.score(gone)):
        Path(path).unlink()
    found = texts(official_table(Scores(files.grid, collect(files.grid, partial=True))))
    assert found["large", "none"] == ["— (1/2)"]
    assert found["large", "MNLI"][0][0] in "456789"


# published scores


def test_published_scores_are_of_known_metrics_each_once_with_a_source():
    rows = published()
    assert len({row[:5] for row in rows}) == len(rows) > 150
    # the leaderboard's own column says so
    translated = {row.system for row in rows if row.variant == "translated"}
    assert translated == {"FILTER", "SAG", "MP-Tune"}
    for row in rows:
        assert row.metric in METRICS and 0 < row.value < 100 and row.source, row
        known = tasks().get(row.task)
        if known is not None and known.pending is None:
            assert row.metric in known.metrics, row
            assert row.language in ("all", *known.languages), row


def test_languages_of_a_published_system_average_to_its_published_mean():
    systems = {(row.task, row.system, row.variant) for row in published() if row.language != "all"}
    assert len(systems) == 11
    for place in systems:
        own = {row.language: row.value for row in published() if (row.task, row.system, row.variant) == place}
        mean = own.pop("all")
        assert set(own) == set(task(place[0]).languages)
        assert math.fsum(own.values()) / len(own) == pytest.approx(mean, abs=0.075)


def test_ours_minus_theirs_where_task_metric_and_rows_are_the_same():
    grid = made_up.paper_grid()
    frame = made_up.scores_frame(grid)
    table = published_table(Scores(grid, frame), frame)
    panel = next(p for p in table.panels if p.title == "XNLI, accuracy")
    systems = [(c.title, c.subtitle) for c in table.columns]
    unicoder = systems.index(("Unicoder", "released"))
    assert panel.rows[0].cells[unicoder].text == "74.8"
    ours = panel.rows[1].cells
    assert ours[unicoder].value == pytest.approx(ours[0].value - 74.8)
    assert panel.rows[0].cells[systems.index(("SAG", "translated"))].text == "—"
    # a mistaken test file: ours is shown, and compared with nothing
    frame.loc[(frame.target == "xnli") & (frame.language == "de"), "examples"] = 500
    table = published_table(Scores(grid, frame), frame)
    panel = next(p for p in table.panels if p.title == "XNLI, accuracy")
    assert {c.text for c in panel.rows[1].cells[1:]} == {"—"}
    assert "XNLI: de has 500 test rows here, 5010 as published: no difference is shown." in table.notes


def test_the_miniature_and_parts_of_tasks_are_compared_with_nothing():
    xnli = {"xnli": {"task": "xglue/xnli"}}
    assert comparable_targets(small_grid(targets=xnli)) == {"xnli": ("accuracy",)}
    demo = {"sources": {"xglue": {"path": "demo:xglue_full_dataset"}}}
    assert comparable_targets(small_grid(targets=xnli, **demo)) == {}
    assert comparable_targets(small_grid(targets={"xnli": {"task": "xglue/xnli", "languages": ["en", "de"]}})) == {}
    # beside one that is trained on German, the one from English is compared
    both = {"german": {"task": "xtreme/pawsx", "source_language": "de"}, "pawsx": {"task": "xtreme/pawsx"}}
    assert comparable_targets(small_grid(targets=both)) == {"pawsx": ("accuracy",)}


# pages


def wide(columns: int, rows: int, panels: int = 2) -> Table:
    cells = tuple(Shown(k, f"+{k}.0") for k in range(columns))
    body = tuple(Panel(f"P{p}", tuple(Row(f"row {r}", cells) for r in range(rows))) for p in range(panels))
    return Table("wide", "Title", "Caption.", tuple(Column(f"c{k}", "accuracy") for k in range(columns)), body, ("N.",))


def test_a_table_that_fits_is_one_upright_float():
    [page] = pages(wide(6, 11))
    assert (page.size, page.rotated, len(page.columns)) == ("small", False, 6)


def test_eleven_targets_stay_on_one_page():
    grid = made_up.paper_grid()
    [page] = pages(main_table(Scores(grid, made_up.scores_frame(grid))))
    assert len(page.columns) == 13 and len(page.panels) == 2


@pytest.mark.parametrize(("columns", "rows"), [(40, 11), (12, 90), (42, 60), (1, 200)])
def test_parts_hold_every_cell_once(columns, rows):
    table = wide(columns, rows)
    found = pages(table)
    assert len(found) > 1
    shown = [
        (panel.title.removesuffix(" (continued)"), row.title, k)
        for page in found
        for panel in page.panels
        for row in panel.rows
        for k in page.columns
    ]
    assert len(shown) == len(set(shown)) == 2 * rows * columns
    text = latex(table)
    assert text.count(r"\label{") == 1 and text.count(r"\addtocounter{table}{-1}") == len(found) - 1
    assert text.count("N.\n") == 1 and text.count("(continued)") >= len(found) - 1


DOCUMENT = r"""\documentclass[10pt,twocolumn]{article}
\usepackage[a4paper,textwidth=16cm,textheight=24.7cm]{geometry}
\usepackage{booktabs}
\usepackage[table]{xcolor}
\usepackage{rotating}
\begin{document}
%s
\end{document}
"""


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here: LaTeX is checked for its form alone")
def test_wide_tables_compile_and_nothing_sticks_out(tmp_path):
    grid = made_up.paper_grid()
    frame = made_up.scores_frame(grid)
    scores = Scores(grid, frame)
    built = [main_table(scores, made_up.findings(grid)), language_table(scores, "pos"), official_table(scores)]
    built += [published_table(scores, frame), wide(40, 22)]
    text = "\\clearpage\n".join(map(latex, built))
    (tmp_path / "paper.tex").write_text(DOCUMENT % text, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-3000:]
    beyond = [float(x) for x in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert max(beyond, default=0.0) < 0.01 * TEXT_WIDTH
    assert "Float too large" not in done.stdout


# golden


def test_golden_bytes(here):
    """Costs, intermediates, official averages and published scores of small saved scores."""
    raw = {
        "seeds": 1,
        "targets": {
            "xnli": {"task": "xtreme/xnli"},
            "pawsx": {"task": "xtreme/pawsx"},
            "qam": {"task": "xglue/qam"},
        },
    }
    files = logged(energy=1.8e6, **raw)
    for cell in files.grid.cells():
        size = files.grid.tasks[cell.target].sizes["test"]
        files.score(cell, *made_up_values(cell), n=size, examples=size)
    frame = collect(files.grid, partial=False)
    written = write_tables(files.grid, frame, "tables", records=Records(*collect_runs(files.grid)))
    names = ("costs", "intermediates", "official", "published", "README")
    checked = [path for path in written if path.stem in names]
    assert len(checked) == 4 * 3 + 1
    for path in checked:
        golden = GOLDEN / path.name
        if os.environ.get("STILTGRID_GOLDEN") == "write":
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes(path.read_bytes())
        assert path.read_bytes() == golden.read_bytes(), f"{path.name} differs from {golden}"


def made_up_values(cell: Cell) -> tuple[float, ...]:
    arm = {"none": 0.0, "mnli": 2.25, "qqp": -1.25}[cell.intermediate]
    return (70.0 + arm + 10 * (cell.model == "large") - 5 * (cell.language != "en") + cell.seed / 2,)
