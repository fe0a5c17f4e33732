"""What the rules name: few paths, and none that Snakemake would miss."""

import os
from pathlib import Path
from types import SimpleNamespace as Wildcards

import pytest
from made_up import paper_grid

from stiltgrid.grid import Cell
from stiltgrid.score_languages import statistics_file
from stiltgrid.wiring.jobs import Jobs
from stiltgrid.wiring.results import Results


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """A grid in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return paper_grid()


def write(path: str | Path, at: float) -> None:
    """Make a file that was changed at a time."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("{}", encoding="utf-8")
    os.utime(path, (at, at))


def test_what_all_models_ask_for_alike_is_a_value(grid):
    predict = Jobs(grid).resources("predict", None)
    assert predict["nodes"] == predict["gpu"] == 1
    # it differs by model, it doubles on a retry
    assert callable(predict["mem_mb"]) and callable(predict["runtime"])
    xxl, base = Wildcards(model="mt5-xxl"), Wildcards(model="mt5-base")
    assert [predict["mem_mb"](w, attempt=1) for w in (base, xxl)] == [
        grid.config.models["mt5-base"].resources.mem_mb,
        grid.config.models["mt5-xxl"].resources.predict_mem_mb,
    ]
    train = Jobs(grid).resources("train", None)
    assert train["gpu"](xxl, attempt=1) == 8 and train["nodes"] == 1


def test_of_a_grid_that_has_nothing_one_score_a_run_is_asked_for(grid):
    named = Results(grid).standing_scores()
    runs = {cell.run for cell in grid.cells()}
    assert len(named) == len(set(named)) == len(runs) < len(list(grid.cells())) / 5
    assert all(grid.paths.score(Cell(*run[:3], grid.languages(run.target)[0], run.seed)) in named for run in runs)


def test_a_score_that_is_missing_or_younger_than_what_was_made_of_it_is_named(grid):
    cells = [cell for cell in grid.cells() if cell[:3] == ("mt5-base", "mnli", "xnli") and cell.seed == 2]
    few = set(Results(grid).standing_scores())

    def beside(cell: Cell) -> bool:
        return grid.paths.score(cell) in Results(grid).standing_scores()

    for cell in cells:
        write(grid.paths.score(cell), 100)
    # nothing is made of them yet: whatever is made will see them all
    assert set(Results(grid).standing_scores()) == few
    write(grid.paths.scores, 200)
    assert set(Results(grid).standing_scores()) == few

    write(grid.paths.score(cells[2]), 201)
    Path(grid.paths.score(cells[3])).unlink()
    assert [cell for cell in cells if beside(cell)] == [cells[0], *cells[2:4]]
    # without the first, the job that makes it makes the others too
    Path(grid.paths.score(cells[0])).unlink()
    assert set(Results(grid).standing_scores()) == few


def test_what_is_missing_behind_finished_tables_is_asked_for(grid):
    paths = grid.paths
    assert Results(grid).holes() == []
    write(Results(grid).table_files()[0], 300)
    missing = Results(grid).holes()
    assert {paths.scores, paths.runs, paths.contrasts, *Results(grid).bootstraps()} < set(missing)
    assert set(map(paths.score, grid.cells())) < set(missing)


def test_statistics_are_named_by_the_age_of_their_own_targets_resamples(grid):
    cells = [cell for cell in grid.cells() if cell.target in ("xnli", "pawsx") and cell.seed == 1]
    for cell in cells:
        write(statistics_file(grid.paths.score(cell)), 100)
    write(grid.paths.bootstrap("xnli"), 90)
    write(grid.paths.bootstrap("pawsx"), 110)
    xnli, pawsx = (Results(grid).standing_statistics(Wildcards(target=target)) for target in ("xnli", "pawsx"))
    assert {str(statistics_file(grid.paths.score(c))) for c in cells if c.target == "xnli"} <= set(xnli)
    assert len(pawsx) == len({run for run in grid.runs if run.target == "pawsx"})


def test_gold_that_went_missing_is_asked_for_by_the_scoring_of_what_was_predicted(grid):
    run = Wildcards(model="mt5-base", intermediate="none", seed="1")
    # a grid that has nothing: predictions ask for gold first
    assert Jobs(grid).gold_again("xnli")(run) == []
    write(grid.paths.prediction(Cell("mt5-base", "none", "xnli", grid.languages("xnli")[0], 1)), 100)
    gold = Jobs(grid).gold("xnli")
    assert Jobs(grid).gold_again("xnli")(run) == gold
    for path in gold[1:]:
        write(path, 50)
    assert Jobs(grid).gold_again("xnli")(run) == gold[:1]
    assert Jobs(grid).gold_again("xnli")(Wildcards(model="mt5-base", intermediate="mnli", seed="1")) == []
