"""From statistics of examples to the answer, through the scripts; `STILTGRID_GOLDEN=write` writes the golden files."""

import csv
import json
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from test_collect import SMALL, Files

from stiltgrid.analysis.configured import configured, planned
from stiltgrid.analysis.jobs import read_contrasts, write_contrasts
from stiltgrid.analysis.power import families
from stiltgrid.artifacts import digest, read_json, write_json
from stiltgrid.collect import collect, read_scores
from stiltgrid.config import load, validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Grid
from stiltgrid.paper.answer import equation, interval, p_value, sentence
from stiltgrid.paper.findings import contrasts_csv, read_findings
from stiltgrid.paper.numbers import numbers_tex
from stiltgrid.paper.scores import Scores
from stiltgrid.paper.tables import Records, main_table, write_tables
from stiltgrid.runs import read_runs
from stiltgrid.score_languages import statistics_file
from stiltgrid.wiring.results import Results

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
UNITS = 200

RAW = {
    **SMALL,
    "seeds": 3,
    "targets": {
        "xnli": {"task": "xglue/xnli", "languages": ["en", "de", "fr"]},
        "pawsx": {"task": "xglue/pawsx", "languages": ["en", "de"]},
    },
    "analysis": {"replicates": 200},
}
GAIN = {("small", "mnli"): 0.12, ("small", "qqp"): 0.1, ("large", "mnli"): 0.0, ("large", "qqp"): 0.01}


class Answered(Files):
    """Also writes the statistics of examples that each score is of."""

    def done(self, cell: Cell, *_: float) -> None:
        """Write a finished cell: the arm's gain in the share that is right, and a little noise by seed and example."""
        rng = np.random.default_rng(int(digest(cell)[:8], 16))
        share = 0.6 + GAIN.get(cell[:2], 0.0) + 0.1 * (cell.language == "en") + rng.normal(0, 0.003)
        # examples differ in difficulty, which runs share
        right = (np.arange(UNITS) * 0.618 % 1 + rng.normal(0, 0.05, UNITS) < share).astype(int)
        path = statistics_file(self.paths.score(cell))
        path.parent.mkdir(parents=True, exist_ok=True)
        names = [str(k) for k in range(UNITS)]
        pq.write_table(pa.table({"unit": names, "group": names, "correct": right}), path)
        super().done(cell, 100 * float(right.mean()))


def script(name: str, *arguments: object) -> None:
    """Run a script's main in this process."""
    runpy.run_path(str(ROOT / f"workflow/scripts/{name}.py"))["main"]([str(a) for a in arguments])


def answered(**changes) -> Grid:
    """Write a finished grid below the working folder and its config; run what follows the scores."""
    raw = {**RAW, **changes}
    Path("config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    grid = Grid(validate(raw))
    Answered(grid).everything()
    run(grid)
    return grid


def run(grid: Grid, *, partial: bool = False) -> None:
    """Run collect, bootstrap, contrasts, runs and tables, as the rules do."""
    scores = ("--scores", grid.paths.scores) if partial else ()
    script("collect", "--config", "config.yaml", *(["--partial"] if partial else []))
    script("bootstrap", "--config", "config.yaml", *scores)
    script("contrasts", "--config", "config.yaml")
    script("runs", "--config", "config.yaml")
    script("tables", "--config", "config.yaml")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drop(grid: Grid, cell: Cell) -> None:
    for path in (grid.paths.prediction(cell), grid.paths.score(cell), statistics_file(grid.paths.score(cell))):
        Path(path).unlink()


def findings_of(grid: Grid):
    return read_findings(grid, Path(grid.paths.contrasts).parent)


def records_of(grid: Grid) -> Records:
    return Records(read_runs(grid.paths.runs, "runs"), read_runs(grid.paths.training, "training"))


def edit_config(raw) -> Grid:
    Path("config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return Grid(load("config.yaml"))


@pytest.mark.parametrize("state", ["answer", "answer_borrowed", "answer_partial", "answer_one_model"])
def test_golden_bytes(folder, state):
    models = RAW["models"]
    changes = {
        "answer": {},
        "answer_borrowed": {"models": {**models, "large": {**models["large"], "seeds": 1}}},
        "answer_one_model": {"models": {"small": models["small"]}},
    }.get(state, {})
    grid = answered(**changes)
    if state == "answer_partial":
        drop(grid, Cell("large", "mnli", "xnli", "fr", 2))
        run(grid, partial=True)
    written = sorted(Path(grid.paths.tables).iterdir())
    assert {str(p) for p in written} == {
        *Results(grid).table_files(),
        f"{grid.paths.tables}/README.md",
        f"{grid.paths.tables}/manifest.json",
    }
    for path in written:
        if path.stem.split("_")[0] not in ("main", "answer", "numbers", "contrasts", "README"):
            continue  # tests/test_tables.py
        golden = GOLDEN / state / path.name
        if os.environ.get("STILTGRID_GOLDEN") == "write":
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes(path.read_bytes())
        assert path.read_bytes() == golden.read_bytes(), f"{path.name} differs from {golden}"


def test_the_main_tables_numbers_are_the_plain_means(folder):
    grid = answered()
    frame = collect(grid, partial=False)
    plain = main_table(Scores(grid, frame))
    read = main_table(Scores(grid, frame), findings_of(grid))
    texts = [[c.text for p in table.panels for r in p.rows for c in r.cells] for table in (plain, read)]
    assert texts[0] == texts[1]
    marks = {(p.title, r.title): [c.marker for c in r.cells] for p in read.panels for r in p.rows}
    # the planted gains of the small model, and no other; averages are in no family
    assert marks["Small_1", "MNLI"] == ["†", "†", "", ""]
    assert marks["large", "MNLI"] == [""] * 4
    assert not any(marks["Small_1", "none"])
    assert "†" not in "".join(c.marker for p in plain.panels for r in p.rows for c in r.cells)


def test_markers_follow_the_declared_family(folder):
    grid = answered()
    rows = findings_of(grid).family("gains")
    table = main_table(Scores(grid, collect(grid, partial=False)), findings_of(grid))
    marked = sum(c.marker == "†" for p in table.panels for r in p.rows for c in r.cells)
    assert marked == sum(row.marked for row in rows) == sum(row.adjusted < 0.05 for row in rows) > 0
    strict = edit_config({**RAW, "analysis": {"replicates": 200, "q": 1e-30}})
    script("contrasts", "--config", "config.yaml")
    assert not any(row.marked for row in findings_of(strict).family("gains"))


def test_the_sentence_takes_sides_only_where_the_test_does(folder):
    grid = answered()
    found = findings_of(grid)
    text = sentence(found)
    assert "Averaged over 2 intermediate tasks and 2 target tasks" in text
    assert re.search(
        r"it helps large less than Small_1, by \d+\.\d\d points \(95 % interval .*, p < 0\.001\), in", text
    )
    record = json.loads(json.dumps(found.headline))
    found.headline["points"]["p"] = 0.3
    assert "is not decided, the difference being −" in sentence(found)
    found.headline["points"] = record["points"] | {"status": "borrowed", "borrowed": ["x from y"], "tipping": 1.5}
    assert "borrowed (x from y): the interval would touch 0 at a seed standard deviation of 1.50" in sentence(found)
    found.headline["points"]["p"] = 0.3
    assert "No difference is shown, and part of the seed noise was not measured" in sentence(found)
    found.headline["points"] = record["points"] | {"status": "none"}
    assert "between these runs alone" in sentence(found)
    found.headline["points"] = record["points"]
    found.headline["direction"] = "less in points, not in odds"
    assert sentence(found).endswith("in points but not in odds.")


def test_a_missing_cell_is_named_and_nothing_is_made_up(folder):
    grid = answered()
    drop(grid, Cell("large", "mnli", "xnli", "fr", 2))
    with pytest.raises(StiltgridError, match="large/mnli/xnli/seed2/fr"):
        script("collect", "--config", "config.yaml")
    with pytest.raises(StiltgridError, match=r"large/mnli/xnli/seed2/fr\.stats\.parquet"):
        script("bootstrap", "--config", "config.yaml")
    run(grid, partial=True)
    text = Path(grid.paths.tables, "answer.md").read_text(encoding="utf-8")
    assert "There is no answer yet" in text
    assert "large/mnli/xnli/fr: 1 of 3 seeds are not done (seed 2 missing" in text
    found = findings_of(grid)
    assert found.find("interaction", "", "mnli", "").status == "incomplete"
    assert found.find("interaction", "", "qqp", "").estimated
    with Path(grid.paths.tables, "answer_table.csv").open(encoding="utf-8") as handle:
        rows = {row["row"]: row for row in csv.DictReader(handle)}
    assert rows["MNLI"]["difference"] == "missing"
    assert rows["qqp"]["difference"] not in ("missing", "n/a")
    assert r"\newcommand{\stiltgridDifference}{\textbf{??}}" in numbers_tex(found)


def test_a_declared_partial_average_says_how_many(folder):
    grid = answered(analysis={"replicates": 200, "allow_partial": True})
    for seed in (1, 2, 3):
        for language in ("de", "fr"):
            drop(grid, Cell("large", "mnli", "xnli", language, seed))
    run(grid, partial=True)
    found = findings_of(grid)
    assert "Averaged over 2 intermediate tasks and 2 target tasks" in sentence(found)
    assert found.family("headline")[0].coverage == "4/6 languages"
    notes = Path(grid.paths.tables, "answer_table.md").read_text(encoding="utf-8")
    assert "Averages over what is complete in both models: 4/6 languages" in notes


def test_without_a_baseline_there_are_no_gains(folder):
    grid = answered(intermediates={"mnli": {"tasks": ["mnli"]}})
    assert not Path(grid.paths.tables, "answer_table.md").exists()
    answer = Path(grid.paths.tables, "answer.md").read_text(encoding="utf-8")
    assert "does not compare the gains of two models" in answer
    assert {row.kind for row in findings_of(grid).rows} == {"score"}
    with pytest.raises(StiltgridError, match="tests nothing"):
        script("power", "--config", "config.yaml")


def test_a_target_of_several_metrics_is_their_mean_everywhere(folder):
    raw = {
        **RAW,
        "targets": {"pos": {"task": "xglue/pos", "languages": ["en", "de"]}},
        "analysis": {"metrics": {"pos": ["pos_accuracy", "pos_xglue"]}},
    }
    grid = Grid(validate(raw))
    Files(grid).everything()
    scores = Scores(grid, collect(grid, partial=False))
    # by the first metric 51 and 41, by the second 5 more
    [cell, *_] = main_table(scores).panels[0].rows[0].cells
    assert cell.value == (51 + 41) / 2 + 2.5
    assert "mean of" in main_table(scores).columns[0].subtitle


def test_tables_refuse_contrasts_of_other_scores(folder):
    grid = answered()
    path = Path(grid.paths.contrasts)
    table = read_contrasts(path)
    row = (table["kind"] == "gain") & (table["language"] == "all") & (table["intermediate"] == "qqp")
    table.loc[row, "value"] += 0.01
    write_contrasts(path, table)
    with pytest.raises(StiltgridError, match=r"gain of small/qqp/xnli .* stale"):
        script("tables", "--config", "config.yaml")


def test_contrasts_refuse_scores_of_other_statistics(folder):
    grid = answered()
    path = Path(grid.paths.score(Cell("large", "qqp", "pawsx", "de", 1)))
    write_json(path, read_json(path) | {"metrics": {"accuracy": 12.5}})
    script("collect", "--config", "config.yaml")
    with pytest.raises(StiltgridError, match="large/qqp/pawsx/de/1: the score differs"):
        script("contrasts", "--config", "config.yaml")


def test_power_prints_declared_and_pilot_variances(folder, capsys):
    grid = answered(analysis={"power": {"seed_sd": {"small": 0.7, "large": 0.5}}})
    script("power", "--config", "config.yaml")
    text = capsys.readouterr().out
    assert "seed SD small 0.7, large 0.5" in text
    assert "Variances: the pilot's" in text
    assert Path(grid.paths.root, "power.md").read_text(encoding="utf-8") in text


def test_power_before_any_run_needs_declared_variances(folder):
    edit_config({**RAW})
    with pytest.raises(StiltgridError, match=r"analysis\.power\.seed_sd: missing"):
        script("power", "--config", "config.yaml")
    edit_config({**RAW, "analysis": {"power": {"seed_sd": {"small": 0.7}}}})
    with pytest.raises(StiltgridError, match="no seed standard deviation of model 'large'"):
        script("power", "--config", "config.yaml")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"small": "smal"}, "analysis.small: unknown name 'smal'; .*small"),
        ({"singles": ["mnl"]}, "analysis.singles: unknown name 'mnl'; .*mnli"),
        ({"singles": []}, "analysis.singles"),
        ({"metrics": {"xnli": ["f1"]}}, "analysis.metrics.xnli: unknown metric 'f1'"),
        ({"power": {"seed_sd": {"larg": 1}}}, "analysis.power.seed_sd: unknown name 'larg'; .*large"),
        ({"alpha": 1.5}, "analysis.alpha"),
        ({"replicate": 3}, "analysis.replicate: unknown key; .*replicates"),
    ],
)
def test_a_config_that_asks_for_what_is_not_there_is_refused(block, message):
    with pytest.raises(StiltgridError, match=message):
        validate({**RAW, "analysis": block})


def test_what_is_asked_changes_no_recipe():
    """Training, prediction and scoring must not rerun for an edit of `analysis`."""
    from stiltgrid.recipes import prediction_recipe, scoring_recipe, training_recipe

    first, second = (Grid(validate({**RAW, "analysis": a})) for a in ({}, {"alpha": 0.01, "singles": ["mnli"]}))
    for recipe in (
        lambda g: training_recipe(g, "small", "mnli", "xnli", 1),
        lambda g: prediction_recipe(g, "xnli"),
        lambda g: scoring_recipe(g, "xnli"),
        lambda g: Results(g).grid_digest(),
    ):
        assert recipe(first) == recipe(second)
    assert Results(first).declaration_digest() != Results(second).declaration_digest()
    powered = Grid(validate({**RAW, "analysis": {"power": {"seed_sd": {"small": 1}}}}))
    assert Results(first).declaration_digest() == Results(powered).declaration_digest()


def test_numbers_of_the_answer():
    assert [p_value(p) for p in (0.04, 0.0004, None)] == ["0.040", "<0.001", "—"]
    assert equation(0.0001) == "p < 0.001"
    assert equation(None) == "no p"
    assert interval(-1.004, 0.3) == "−1.00 to +0.30"
    assert interval(None, 1.0) == "—"


def test_the_csv_of_contrasts_has_a_row_a_comparison_and_no_nan(folder):
    grid = answered()
    text = contrasts_csv(findings_of(grid))
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == len(read_contrasts(grid.paths.contrasts))
    assert "nan" not in text.lower()
    assert rows[0]["family"] == "headline"
    assert float(rows[0]["low"]) < float(rows[0]["value"]) < float(rows[0]["high"])


def test_rows_in_any_order_give_the_same_tables(folder):
    grid = answered()
    before = {p.name: p.read_bytes() for p in Path(grid.paths.tables).iterdir() if p.name != "manifest.json"}
    frame = read_scores(grid.paths.scores).sample(frac=1, random_state=2)
    write_tables(grid, frame, "again", findings_of(grid), records_of(grid))
    assert {p.name: p.read_bytes() for p in Path("again").iterdir()} == before


DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage[table]{xcolor}
\input{numbers}
\begin{document}
\stiltgridAnswer{} \stiltgridDifference{} (\stiltgridDifferenceInterval, \stiltgridDifferenceP);
%s
%s
\end{document}
"""


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here: LaTeX is checked for its form alone")
@pytest.mark.parametrize("state", ["answer", "answer_partial", "answer_one_model"])
def test_latex_compiles(tmp_path, state):
    tables = sorted(p.stem for p in (GOLDEN / state).glob("*.tex") if p.stem != "numbers")
    shutil.copytree(GOLDEN / state, tmp_path, dirs_exist_ok=True)
    quoted = r"\stiltgridNumber{gain/small/qqp/xnli/zero-shot} \stiltgridNumber[p]{gain/small/mean/mean/zero-shot}"
    text = DOCUMENT % (quoted, "\n".join(rf"\input{{{name}}}" for name in tables))
    (tmp_path / "paper.tex").write_text(text, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-3000:]
    (tmp_path / "paper.tex").write_text(text.replace("/qqp/", "/qq/"), encoding="ascii")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode != 0
    assert "no number value of gain/small/qq/xnli/zero-shot" in done.stdout.replace("\n", "")


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "config").glob("*.yaml")), ROOT / "config.yaml"], ids=lambda p: p.stem
)
def test_what_the_shipped_configs_declare_can_be_asked(path):
    grid = Grid(load(path))
    declaration = configured(grid)
    assert set(families(declaration)) >= {"gains"}
    assert declaration.small == (next(iter(grid.config.models)) if len(grid.config.models) > 1 else None)


def test_the_papers_grid_declares_the_families_of_the_question():
    grid = Grid(load(ROOT / "config.yaml"))
    found = families(configured(grid))
    assert {name: len(tests) for name, tests in found.items()} == {
        "headline": 1,
        "targets": 11,
        "intermediates": 10,
        "gains": 220,
    }
    assert len(configured(grid).singles) == 9
    assert planned(grid, configured(grid)).source.startswith("declared: seed SD mt5-base 0.7")
