"""From files of statistics to the table and the headline, on a small grid."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stiltgrid.analysis.declaration import declared, mixtures
from stiltgrid.analysis.evidence import gather
from stiltgrid.analysis.headline import headline
from stiltgrid.analysis.replicates import replicate
from stiltgrid.analysis.results import COLUMNS, analyse, questions
from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Grid
from stiltgrid.metrics import METRICS

RAW = {
    "grid": "small",
    "seeds": 3,
    "models": {"base": {"source": "demo:base"}, "xxl": {"source": "demo:xxl"}},
    "intermediates": {
        "none": {},
        "mnli": {"tasks": ["mnli"]},
        "qqp": {"tasks": ["qqp"]},
        "multi": {"tasks": ["mnli", "qqp"]},
    },
    "targets": {
        "xnli": {"task": "xglue/xnli", "languages": ["en", "de", "fr"]},
        "pos": {"task": "xglue/pos", "languages": ["en", "de"]},
    },
}
UNITS = 80
SCORES = ["model", "intermediate", "target", "task", "language", "seed", "metric", "main", "value", "n", "examples"]
SCORES += ["status", "reason"]


def tokens(target, rng):
    """Statistics of a run and language."""
    if target == "xnli":
        return {"correct": (rng.random(UNITS) < 0.7).astype(int)}
    words = rng.integers(5, 12, UNITS)
    right = rng.binomial(words, 0.9)
    return {
        "tokens_correct": right,
        "tokens": words,
        "chunks_matched": right,
        "chunks_predicted": words,
        "chunks_gold": words,
    }


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A grid, its tidy scores and its replicates."""
    folder, grid, rng = tmp_path_factory.mktemp("stats"), Grid(validate(RAW)), np.random.default_rng(0)
    files, rows = {}, []
    for k, cell in enumerate(grid.cells()):
        table = tokens(cell.target, rng)
        groups = [f"g{i // 2}" for i in range(UNITS)]
        pq.write_table(pa.table({"unit": groups, "group": groups, **table}), folder / f"{k}.parquet")
        files.setdefault(cell.target, {})[cell] = folder / f"{k}.parquet"
        row = grid.tasks[cell.target]
        for name in row.metrics:
            value = METRICS[name].score(table)
            identity = (*cell[:3], row.name, *cell[3:], name, name == row.metrics[0])
            rows.append((*identity, value, UNITS, UNITS, "done", ""))
    frame = pd.DataFrame(rows, columns=SCORES)
    drawn = {
        t: replicate(t, grid.tasks[t].name, "test", grid.tasks[t].metrics, own, parallel=t == "xnli", replicates=100)
        for t, own in files.items()
    }
    return grid, frame, drawn


def lose(frame, **cell):
    """The scores with some cells missing."""
    gone = np.logical_and.reduce([frame[name] == value for name, value in cell.items()])
    other = frame.copy()
    other.loc[gone, "value"] = math.nan
    other.loc[gone, "status"] = "missing"
    return other


def test_the_declaration_of_a_grid(measured):
    grid, *_ = measured
    d = declared(grid)
    assert (d.small, d.large, d.baseline) == ("base", "xxl", "none")
    assert d.arms == ("mnli", "qqp", "multi")
    assert d.singles == ("mnli", "qqp")
    assert mixtures(grid) == {"multi"}
    assert d.zero_shot == {"xnli": ("de", "fr"), "pos": ("de",)}
    assert d.metrics == {"xnli": ("accuracy",), "pos": ("pos_accuracy",)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"small": "bse"}, "unknown name 'bse'; did you mean 'base'"),
        ({"singles": ["none"]}, "unknown name 'none'"),
        ({"metrics": {"xnl": ["accuracy"]}}, "did you mean 'xnli'"),
        ({"metrics": {"xnli": ["bleu"]}}, "analysis.metrics.xnli: 'bleu'"),
        ({"small": "xxl"}, "named twice"),
    ],
)
def test_a_declaration_of_unknown_names_is_refused(measured, options, said):
    with pytest.raises(StiltgridError, match=said):
        declared(measured[0], **options)


def test_every_question_has_a_row_and_families_have_their_sizes(measured):
    grid, frame, drawn = measured
    d = declared(grid)
    table = analyse(d, gather(grid, frame, drawn, d.metrics))
    assert list(table.columns) == list(COLUMNS)
    assert not table.duplicated(["kind", "model", "intermediate", "target", "language"]).any()
    assert table["family"].value_counts().to_dict() == {
        "": len(table) - 18,
        "gains": 12,
        "intermediates": 3,
        "targets": 2,
        "headline": 1,
    }
    assert (table["status"] == "estimated").all()
    assert table["value"].notna().all()
    assert not (table["marked"] & (table["family"] == "")).any()
    first = table.iloc[0]
    assert (first["family"], first["adjusted"]) == ("headline", first["p"])
    assert len(table) == len(list(questions(d)))


def test_the_table_s_values_are_plain_means(measured):
    grid, frame, drawn = measured
    d = declared(grid)
    table = analyse(d, gather(grid, frame, drawn, d.metrics)).set_index(
        ["kind", "model", "intermediate", "target", "language"]
    )
    main = frame[frame["main"].astype(bool)]
    cell = main.groupby(["model", "intermediate", "target", "language"])["value"].mean()

    def score(model, arm, target, languages):
        return np.mean([cell[model, arm, target, x] for x in languages])

    def delta(arm, target):
        g = {
            m: score(m, arm, target, d.zero_shot[target]) - score(m, "none", target, d.zero_shot[target])
            for m in d.models
        }
        return g["xxl"] - g["base"]

    assert table.loc[("score", "xxl", "qqp", "xnli", "all"), "value"] == pytest.approx(
        score("xxl", "qqp", "xnli", ("en", "de", "fr"))
    )
    assert table.loc[("interaction", "", "multi", "pos", "zero-shot"), "value"] == pytest.approx(delta("multi", "pos"))
    # the official average: over languages with English, then over tasks
    official = np.mean([score("base", "mnli", t, own) for t, own in d.languages.items()])
    assert table.loc[("score", "base", "mnli", "", "all"), "value"] == pytest.approx(official)
    expected = np.mean([[delta(arm, t) for arm in d.singles] for t in ("xnli", "pos")])
    assert table.loc[("interaction", "", "", "", "zero-shot"), "value"] == pytest.approx(expected)


def test_rows_of_scores_in_another_order_give_the_same_table(measured):
    grid, frame, drawn = measured
    d = declared(grid)
    one, two = (
        analyse(d, gather(grid, f, drawn, d.metrics), only=lambda q: bool(q.family))
        for f in (frame, frame.sample(frac=1, random_state=0))
    )
    pd.testing.assert_frame_equal(one, two)


def test_a_missing_cell_leaves_its_quantities_out_by_name_and_keeps_the_others(measured):
    grid, frame, drawn = measured
    d = declared(grid)
    found = gather(
        grid, lose(frame, model="xxl", intermediate="qqp", target="xnli", language="de", seed=2), drawn, d.metrics
    )
    table = analyse(d, found, only=lambda q: bool(q.family)).set_index(["family", "model", "intermediate", "target"])
    lost = table[table["status"] == "incomplete"]
    assert set(lost.index) == {
        ("headline", "", "", ""),
        ("targets", "", "", "xnli"),
        ("intermediates", "", "qqp", ""),
        ("gains", "xxl", "qqp", "xnli"),
    }
    assert lost["reason"].str.contains(r"xxl/qqp/xnli/de: 1 of 3 seeds are not done \(seed 2 missing\)").all()
    assert lost["value"].isna().all()
    assert not lost["marked"].any()
    with pytest.raises(StiltgridError, match="xxl/qqp/xnli/de"):
        headline(d, found)


def test_a_declared_partial_headline_says_what_it_covers(measured):
    grid, frame, drawn = measured
    d = declared(grid, allow_partial=True)
    found = gather(grid, lose(frame, model="xxl", intermediate="none", target="pos"), drawn, d.metrics)
    h = headline(d, found)
    assert str(h.coverage) == "1/2 tasks, 4/6 languages"
    assert list(h.targets) == ["xnli"]
    whole = headline(declared(grid), gather(grid, frame, drawn, d.metrics))
    assert h.points.value == whole.targets["xnli"].value
    table = analyse(d, found, only=lambda q: bool(q.family))
    assert table.iloc[0]["coverage"] == "1/2 tasks, 4/6 languages"
    of_pos = table[table["target"] == "pos"]
    assert (of_pos[of_pos["model"] == "base"]["status"] == "estimated").all()
    assert (of_pos[of_pos["model"] != "base"]["status"] == "incomplete").all()


def test_a_partial_gain_covers_what_both_models_have_and_a_score_is_never_partial(measured):
    grid, frame, drawn = measured
    d = declared(grid, allow_partial=True)
    found = gather(grid, lose(frame, model="xxl", intermediate="mnli", language="fr"), drawn, d.metrics)
    table = analyse(d, found).set_index(["kind", "model", "intermediate", "target", "language"])
    small, one = (table.loc[("gain", "base", "mnli", "xnli", x)] for x in ("zero-shot", "de"))
    assert small["value"] == one["value"]
    assert small["coverage"] == "1/2 languages"
    assert table.loc[("gain", "base", "mnli", "xnli", "fr"), "status"] == "estimated"
    scores = table.loc["score"]
    assert (scores["coverage"] == "").all()
    assert (scores.loc["base"]["status"] == "estimated").all()
    assert set(scores[scores["status"] == "incomplete"].index.get_level_values("intermediate")) == {"mnli"}


def test_the_headline_is_the_mean_of_its_targets(measured):
    grid, frame, drawn = measured
    d = declared(grid)
    h = headline(d, gather(grid, frame, drawn, d.metrics))
    assert h.points.value == pytest.approx(np.mean([e.value for e in h.targets.values()]))
    assert h.points.value == pytest.approx(h.large_gain.value - h.small_gain.value)
    assert h.other_tasks.value == pytest.approx(h.points.value)
    assert h.middle.value == pytest.approx(h.other_tasks.interquartile)
    record = h.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["points"]["value"] == h.points.value


def test_a_target_s_score_may_be_the_mean_of_two_metrics(measured):
    """As XTREME's question answering."""
    grid, frame, drawn = measured
    names = {"pos": ("pos_accuracy", "pos_xglue")}
    d = declared(grid, metrics=names)
    found = gather(grid, frame, drawn, d.metrics)
    one = next(p for p in found.scores if p.target == "pos")
    rows = frame[
        (frame["target"] == "pos") & (frame["model"] == one.model) & (frame["intermediate"] == one.intermediate)
    ]
    expected = rows[rows["language"] == one.language].groupby("seed")["value"].mean()
    assert found.scores[one] == pytest.approx(expected.to_numpy())
    assert found.replicates[one].shape == (3, 100)


def test_a_score_that_is_not_that_of_its_statistics_is_refused(measured):
    grid, frame, drawn = measured
    other = frame.copy()
    other.loc[other["target"] == "xnli", "value"] += 0.01
    with pytest.raises(StiltgridError, match=r"base/none/xnli/de/\d: the score differs by 0.01"):
        gather(grid, other, drawn)
    with pytest.raises(StiltgridError, match=r"pos: .* has a score and no replicates"):
        gather(grid, frame, {"xnli": drawn["xnli"]})


def test_scores_of_another_grid_or_twice_are_refused(measured):
    grid, frame, drawn = measured
    with pytest.raises(StiltgridError, match="accuracy of base/none/xnli/de/1 twice"):
        gather(grid, pd.concat([frame, frame.head(1)]), drawn)
    other = frame.copy()
    other.loc[0, "seed"] = 9
    with pytest.raises(StiltgridError, match="base/none/xnli/de/9 and grid small has no such cell"):
        gather(grid, other, drawn)


def test_targets_that_were_resampled_differently_often_are_refused(measured):
    grid, frame, drawn = measured
    fewer = replace(drawn["pos"], values=drawn["pos"].values[:, :, :50])
    with pytest.raises(StiltgridError, match=r"differently often: {'xnli': 100, 'pos': 50}"):
        gather(grid, frame, drawn | {"pos": fewer})


def test_a_grid_without_a_second_model_has_gains_and_no_headline(measured):
    _, frame, drawn = measured
    grid = Grid(validate(RAW | {"models": {"base": {"source": "demo:base"}}}))
    d = declared(grid)
    found = gather(grid, frame[frame["model"] == "base"], drawn, d.metrics)
    table = analyse(d, found)
    assert set(table["kind"]) == {"gain", "score"}
    assert (table["status"] == "estimated").all()
    with pytest.raises(StiltgridError, match="1 models"):
        headline(d, found)


def test_one_seed_of_the_large_model_is_flagged_in_every_row_that_rests_on_it(measured):
    _, frame, drawn = measured
    raw = RAW | {"models": {"base": {"source": "demo:base"}, "xxl": {"source": "demo:xxl", "seeds": 1}}}
    grid = Grid(validate(raw))
    d = declared(grid)
    kept = frame[(frame["model"] == "base") | (frame["seed"] == 1)]
    table = analyse(d, gather(grid, kept, drawn, d.metrics), only=lambda q: bool(q.family))
    large = table[(table["model"] != "base")]
    assert (large["seed_status"] == "borrowed").all()
    assert large["borrowed"].str.contains("from base's intermediates").all()
    assert large["tipping"].notna().all()
    assert not large["marked"].any()
    assert (table[table["model"] == "base"]["seed_status"] == "measured").all()


def test_progress_is_told(measured):
    grid, frame, drawn = measured
    seen = []
    d = declared(grid)
    found = gather(grid, frame, drawn, d.metrics)
    analyse(d, found, only=lambda q: q.kind == "gain", progress=lambda *x: seen.append(x))
    number = len([q for q in questions(d) if q.kind == "gain"])
    assert seen == [(number, number)]


def test_a_cell_of_the_grid_is_named_with_its_seed(measured):
    assert Cell("base", "none", "xnli", "en", 1) in measured[2]["xnli"].cells
