"""Figures show what the analysis found, are the same bytes each time, and are left out where it found nothing."""

import itertools
import re
from pathlib import Path

import made_up
import pytest
from test_answer import RAW, answered, drop, findings_of, records_of, run, script

from stiltgrid.artifacts import canonical_json
from stiltgrid.collect import read_scores
from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Cell, Grid
from stiltgrid.paper.contents import figure_names
from stiltgrid.paper.figures import FIGURES, write_figures
from stiltgrid.paper.figures.drawing import SERIES, LeftOutError, Material, line_style, save, style
from stiltgrid.paper.figures.gains import gains_figure, scale
from stiltgrid.paper.figures.interaction import interaction_figure
from stiltgrid.paper.figures.languages import DOT, dots, label_offsets, languages_figure
from stiltgrid.paper.figures.slopes import slopes_figure, spread
from stiltgrid.paper.figures.training import BINS, binned, training_figure
from stiltgrid.paper.scores import Scores
from stiltgrid.wiring.results import Results

ONCE = {"evaluations": 1, "selection": "last_step"}


def said(figure) -> list[str]:
    """Every text of a figure."""
    from matplotlib.text import Text

    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def small_paper() -> Grid:
    """The paper's grid with three arms and three targets."""
    config = made_up.paper_grid().config
    return Grid(
        config.model_copy(
            update={
                "intermediates": {n: config.intermediates[n] for n in ("none", "mnli", "qqp")},
                "targets": {n: config.targets[n] for n in ("xnli", "qam", "ntg")},
            }
        )
    )


@pytest.fixture(scope="module")
def material() -> Material:
    return made_up.material(small_paper())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def material_of(grid: Grid) -> Material:
    return Material(grid, Scores(grid, read_scores(grid.paths.scores)), findings_of(grid), records_of(grid))


def test_the_heat_map_has_every_gain_and_dagger(material):
    with style():
        texts = said(gains_figure(material))
    d = material.findings.declaration
    for model in d.models:
        for arm in d.arms:
            for target in (*d.zero_shot, ""):
                found = material.findings.find("gain", model, arm, target)
                value = f"{found.value:+.1f}".replace("-", "−")
                text = (value if value.strip("+−0.") else "0.0") + "†" * found.marked
                assert text in texts, (model, arm, target)
    assert sum("†" in t for t in texts) == 1 + sum(row.marked for row in material.findings.family("gains"))


def test_the_scale_is_symmetric_and_one_collapsed_run_does_not_set_it():
    assert scale([1.0, -3.0]) == (3.0, False)
    assert scale([1.0] * 30 + [-33.0]) == (1.0, True)
    assert scale([0.0]) == (0.0, False)


def test_the_diamond_is_as_wide_as_the_headlines_interval(material):
    from matplotlib.patches import Polygon

    with style():
        figure = interaction_figure(material)
    [diamond] = figure.findobj(lambda artist: type(artist) is Polygon)
    [headline] = material.findings.family("headline")
    xs = sorted({float(x) for x, _ in diamond.get_xy()})
    assert xs == pytest.approx([headline.low, headline.value, headline.high])
    assert "95 % intervals" in " ".join(said(figure))


def test_slopes_end_at_the_gains_and_are_labelled_without_overlap(material):
    with style():
        figure = slopes_figure(material)
    axes = figure.axes[0]
    ends = {
        tuple(line.get_ydata()) for line in axes.get_lines() if len(line.get_xdata()) == 2 and line.get_xdata()[1] == 1
    }
    for arm in ("mnli", "qqp", ""):
        pair = tuple(material.findings.find("gain", model, arm, "").value for model in ("mt5-base", "mt5-xxl"))
        assert pair in ends
    at = spread([0.0, 0.0, 0.05, 3.0], 0.5)
    assert all(b - a >= 0.5 - 1e-9 for a, b in zip(sorted(at), sorted(at)[1:], strict=False))
    assert at[3] == 3.0 and sum(at[:3]) == pytest.approx(0.05)


def test_a_dot_is_a_languages_baseline_and_the_mean_gain_of_the_headlines_tasks(material):
    found = dots(material)
    own = {language: (x, y) for language, x, y in found["mt5-base", "xnli"]}
    assert set(own) == set(material.grid.languages("xnli")) - {"en"}
    base, mnli, qqp = (made_up.level(material.grid, "mt5-base", arm, "xnli", "sw") for arm in ("none", "mnli", "qqp"))
    assert own["sw"] == pytest.approx((base, (mnli + qqp) / 2 - base))


def test_loss_curves_are_means_of_equal_spans_of_steps(material):
    training = material.records.training
    own = training[(training.kind == "loss") & (training.target == "qam") & (training.intermediate == "mnli")]
    own = own[own.model == "mt5-base"]
    steps, values = binned(own, 100)
    assert len(steps) == BINS and steps[:2] == [1.5, 3.5]
    first = own[own.step <= 2]["value"]
    assert values[0] == pytest.approx(first.mean())


def test_lines_are_told_apart_by_colour_and_dashes():
    looks = [line_style(k) for k in range(13)]
    assert len({(look["color"], look["linestyle"]) for look in looks}) == 13
    assert [k for k, look in enumerate(looks) if look["color"] == SERIES[0]] == [0]


def test_equal_figures_are_equal_bytes(material, tmp_path):
    written = []
    for again in ("a", "b"):
        with style():
            written.append(save(gains_figure(material), tmp_path / again, "gains"))
    assert [p.suffix for p in written[0]] == [".pdf", ".svg", ".png"]
    assert [p.read_bytes() for p in written[0]] == [p.read_bytes() for p in written[1]]
    assert not re.search(rb"\b20\d\d-\d\d-\d\d", written[0][1].read_bytes())


def test_what_a_figure_needs_and_is_not_there_is_said(material):
    import pandas as pd

    empty = pd.DataFrame(columns=material.records.training.columns).astype(material.records.training.dtypes)
    bare = Material(material.grid, material.scores, material.findings, material.records._replace(training=empty))
    with pytest.raises(LeftOutError, match=r"no finished run has a metrics\.jsonl with a loss"):
        training_figure(bare)


def test_which_figures_a_grid_has():
    assert figure_names(small_paper()) == (
        "gain_heatmap",
        "interaction_forest",
        "slopes",
        "language_gain",
        "training_curves",
        "dev_curves",
    )
    one = Grid(validate({**RAW, "models": {"small": RAW["models"]["small"]}, "training": ONCE}))
    assert figure_names(one) == ("gain_heatmap", "language_gain", "training_curves")
    plain = Grid(validate({**RAW, "intermediates": {"none": {}}, "training": ONCE}))
    assert figure_names(plain) == ("training_curves",)


def test_the_script_writes_what_the_rule_declares_and_a_preview_leaves_out_what_is_missing(folder):
    grid = answered(training=ONCE)
    with pytest.raises(StiltgridError, match=r"figures/training_curves: no finished run has a metrics\.jsonl"):
        script("figures", "--config", "config.yaml")
    drop(grid, Cell("large", "mnli", "xnli", "fr", 2))
    run(grid, partial=True)
    script("figures", "--config", "config.yaml", "--partial", "--out", "preview")
    text = Path("preview/README.md").read_text(encoding="utf-8")
    assert re.search(r"Left out: interaction\\_forest \(the headline is not estimated.*large/mnli/xnli/fr", text)
    assert not Path("preview/interaction_forest.svg").exists()
    there = {path.name for path in Path("preview").iterdir()}
    assert {"gain_heatmap.svg", "slopes.pdf", "language_gain.png"} <= there
    declared = {Path(path).name for path in Results(grid).figure_files()}
    assert there - {"README.md"} == {
        n for n in declared if n.split(".")[0] not in ("interaction_forest", "training_curves")
    }


def test_a_cell_without_a_gain_is_hatched_and_open_marks_say_that_seed_noise_is_not_measured(folder):
    models = RAW["models"]
    grid = answered(models={**models, "large": {**models["large"], "seeds": 1}})
    drop(grid, Cell("large", "mnli", "xnli", "fr", 1))
    run(grid, partial=True)
    with style():
        figure = gains_figure(material_of(grid))
        hatched = figure.findobj(lambda artist: getattr(artist, "get_hatch", lambda: None)() is not None)
        # MNLI on XNLI, and its average
        assert len(hatched) == 2
        languages = said(languages_figure(material_of(grid)))
    assert languages.count("fr") == 1
    answered(models={**models, "large": {**models["large"], "seeds": 1}})
    with style():
        texts = said(interaction_figure(material_of(grid)))
    assert "open: seed noise not measured" in " ".join(texts)


def test_the_names_of_captions_are_those_of_the_figures():
    assert list(FIGURES) == list(figure_names(small_paper()))
    assert canonical_json([caption for _, caption in FIGURES.values()]).isascii()


@pytest.mark.slow
def test_every_figure_of_a_whole_papers_grid(tmp_path):
    grid = made_up.paper_grid()
    written, left_out = write_figures(made_up.material(grid), tmp_path)
    assert not left_out
    assert len(written) == 6 * 3 + 1
    assert max(path.stat().st_size for path in written) < 1_500_000


@pytest.mark.parametrize("sides", [(1,), (-1,), (1, -1)])
def test_labels_of_close_dots_do_not_cover_each_other(sides):
    places = [(0.0, 0.0), (1.0, 0.0), (2.0, 3.0), (40.0, 0.0), (41.0, 1.0), (42.0, 20.0)]
    offsets = label_offsets(places, sides, (8, 6))
    assert offsets[3] == 4 * sides[0]
    assert {offset > 0 for offset in offsets} == {side > 0 for side in sides}
    lower = [offset if offset > 0 else offset - 6 for offset in offsets]
    texts = [(x, y + edge) for (x, y), edge in zip(places, lower, strict=True)]
    for (x, y), (u, v) in itertools.combinations(texts, 2):
        assert abs(x - u) >= 8 or abs(y - v) >= 6
    for (x, y), (u, v) in itertools.product(texts, places):
        assert abs(x - u) >= 4 + DOT or y >= v + DOT or v - DOT >= y + 6
