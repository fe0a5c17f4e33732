"""Memory of a training run, by hand and against a real model."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from test_collect import SMALL, small_grid

from stiltgrid.artifacts import read_json, write_json
from stiltgrid.config import load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.memory import SETUPS, SHAPES, Setup, Shape, activations, adapters, lines, reckon, shape_from, shape_of
from stiltgrid.memory_view import memory_markdown, memory_rows, render_memory

ROOT = Path(__file__).parents[1]
XXL = SHAPES["google/mt5-xxl"]
GB = 1e9


def parameters_of(shape: Shape) -> float:
    """Matrices of an mT5 of this shape: attention, cross-attention, the gated layer's three, embedding and output."""
    attention, gated = 4 * shape.width * shape.inner, 3 * shape.width * shape.feed_forward
    layers = shape.encoder * (attention + gated) + shape.decoder * (2 * attention + gated)
    return layers + 2 * shape.vocabulary * shape.width


@pytest.fixture(scope="module")
def paper():
    return Grid(load(ROOT / "config.yaml"))


@pytest.mark.parametrize(("model", "name"), [("mt5-base", "google/mt5-base"), ("mt5-xxl", "google/mt5-xxl")])
def test_published_sizes_give_the_parameters_of_the_config(paper, model, name):
    assert parameters_of(SHAPES[name]) == pytest.approx(paper.config.models[model].cost.parameters, rel=1e-3)


def test_mt5_xxl_on_eight_devices_by_hand():
    found = reckon(12.92e9, XXL, Setup("", "zero3", 8, 80, 312), 4, 256, 16, True)
    assert found.weights / GB == pytest.approx(2 * 12.92 / 8)
    assert found.gradients / GB == pytest.approx(2 * 12.92 / 8)
    # 12 bytes a parameter, and float32 gradients of at most 1e9 at once
    assert found.optimizer / GB == pytest.approx(12 * 12.92 / 8 + 4)
    # the output matrix, 250,112 x 4,096, and its gradient, in bf16
    assert found.gathered / GB == pytest.approx(4 * 250112 * 4096 / GB)
    assert found.host / GB == pytest.approx(2 * 12.92)
    assert found.device / GB == pytest.approx(3.23 * 2 + 19.38 + 4 + 4.1 + 4 + found.activations / GB, abs=0.01)


def test_the_verdicts_of_the_four_machines(paper):
    verdicts = {line.setup.title: line.fits for line in lines(paper, "mt5-xxl")}
    assert list(verdicts.values())[1:] == [True, True, False, True, True]
    assert list(verdicts)[1:] == [setup.title for setup in SETUPS]
    offload = next(line for line in lines(paper, "mt5-xxl") if line.setup.offload)
    assert offload.memory.host / GB == pytest.approx(18 * 12.92)
    assert verdicts[next(iter(verdicts))] is None  # the row does not say how large its devices are


@pytest.mark.parametrize(("strategy", "each"), [("single", 18), ("ddp", 22)])
def test_unsharded_bytes_a_parameter(strategy, each):
    found = reckon(1e9, SHAPES["google/mt5-base"], Setup("", strategy, 2, 80, 312), 1, 8, 1, False)
    assert found.weights + found.gradients + found.optimizer == each * 1e9


def test_adapters_are_counted_on_queries_and_values():
    small = Shape(width=8, inner=4, feed_forward=16, heads=2, encoder=3, decoder=2, vocabulary=10)
    # 3 + 2 x 2 attentions, two matrices each, rank x (8 + 4)
    assert adapters(small, 5) == 7 * 2 * 5 * 12
    found = reckon(1e9, small, Setup("", "lora", 1, 80, 312, rank=5), 1, 8, 1, False)
    assert found.weights + found.gradients + found.optimizer == 2e9 + 16 * 840


def test_activations_grow_with_the_batch_and_the_square_of_the_length():
    one = activations(XXL, 1, 256, 16, False)
    assert activations(XXL, 3, 256, 16, False) == 3 * one
    assert activations(XXL, 1, 512, 16, False) > 2 * one
    assert activations(XXL, 1, 256, 16, True) < one / 5
    encoder = Shape(384, 384, 1536, 12, 12, 0, 250037)
    assert activations(encoder, 1, 128, 1, False) == 12 * 128 * (10 * 384 + 8 * 384 + 7 * 12 * 128 + 11 * 1536)


def test_sizes_come_from_the_models_own_configuration_where_it_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = small_grid()
    assert shape_of(grid, "small") is None
    config = {"d_model": 8, "d_kv": 2, "num_heads": 3, "d_ff": 16, "num_layers": 4, "vocab_size": 99}
    manifest = Path(grid.paths.pretrained("small"))
    write_json(manifest.parent / "weights" / "config.json", config)
    write_json(manifest, {"path": "weights"})
    assert shape_of(grid, "small") == Shape(8, 6, 16, 3, 4, 4, 99)
    bert = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3, "intermediate_size": 9, "vocab_size": 5}
    assert shape_from(bert) == Shape(8, 8, 9, 2, 3, 0, 5)
    assert shape_from({"n_embd": 8}) is None


def test_unknown_sizes_are_unknown_and_not_zero(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = memory_rows(small_grid(), "small")
    assert all(row[2:8] == ("unknown",) * 6 for row in rows[1:])
    with pytest.raises(StiltgridError, match=r"models\.large\.cost: missing"):
        memory_rows(small_grid(), "large")


def test_time_is_tokens_over_speed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = small_grid(targets={"xnli": SMALL["targets"]["xnli"]}, intermediates={"none": {}})
    # 100 TFLOP/s, half reached, 6 x 0.5e9 FLOP a token; 3 epochs of 392,702 rows of 100 tokens
    speed = 100e12 * 0.5 / (6 * 0.5e9)
    own = memory_rows(grid, "small")[1]
    assert own[-2:] == (f"{speed:,.0f}", f"{3 * 392702 * 100 / speed / 3600:.1f} h")


def test_an_encoder_reads_all_choices_of_an_example_at_once():
    """HellaSwag's examples have four endings; text2text reads them as one input."""
    [plain, *_] = lines(small_grid(intermediates={"none": {}}), "small")
    arms = {"none": {}, "hellaswag": {"tasks": ["hellaswag"], "training": {"max_input_length": 128}}}
    [chosen, *_] = lines(small_grid(intermediates=arms), "small")
    assert chosen.batch == 4 * plain.batch
    written = {"small": {**SMALL["models"]["small"], "family": "text2text"}}
    assert lines(small_grid(intermediates=arms, models=written), "small")[0].batch == plain.batch


def test_activations_are_those_of_the_longest_inputs_that_are_trained_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    published = {"source": "google/mt5-small", "revision": "0" * 40, "family": "text2text"}
    models = {"small": {**SMALL["models"]["small"], **published}}
    kept = {}
    for length in (128, 512):
        arms = {"none": {}, "mnli": {"tasks": ["mnli"], "training": {"max_input_length": length}}}
        kept[length] = lines(small_grid(models=models, intermediates=arms), "small")[0].memory.activations
    batch = lines(small_grid(models=models), "small")[0].batch
    assert kept[512] == activations(SHAPES["google/mt5-small"], batch, 512, 16, False) > kept[128]


def test_a_runs_own_batch_counts_by_the_devices_that_share_it():
    targets = {"xnli": {**SMALL["targets"]["xnli"], "training": {"batch_size": 256}}}
    found = {line.setup.devices: line.batch for line in lines(small_grid(targets=targets), "small")}
    assert found == {1: 256, 8: 32, 4: 64}


def test_the_page_holds_the_tables_that_are_reckoned_now(paper):
    page = (ROOT / "docs" / "memory.md").read_text(encoding="utf-8")
    assert memory_markdown(paper, "mt5-xxl") in page


def test_the_table_is_printed(paper):
    out = io.StringIO()
    render_memory(paper, "mt5-xxl", Console(file=out, width=200))
    assert "1 x 141 GB, LoRA" in out.getvalue() and "12.92 billion parameters" in out.getvalue()


def test_the_command_prints_it_and_names_the_nearest_model(capsys, monkeypatch):
    from stiltgrid.cli import main

    monkeypatch.setenv("COLUMNS", "200")
    main(["memory", str(ROOT / "config.yaml"), "--model", "mt5-xxl"])
    assert "4 x 80 GB" in capsys.readouterr().out
    with pytest.raises(StiltgridError, match="did you mean 'mt5-xxl'"):
        main(["memory", str(ROOT / "config.yaml"), "--model", "mt5-xl"])


def test_the_plans_files_hold_the_table(paper, tmp_path, monkeypatch):
    from stiltgrid.plan import plan
    from stiltgrid.plan_view import write_plan

    monkeypatch.chdir(tmp_path)
    page, record = write_plan(plan(paper), tmp_path / "out", {"mt5-xxl": memory_rows(paper, "mt5-xxl")})
    assert "## Memory and time of mt5-xxl" in page.read_text()
    assert "| 1 x 141 GB, LoRA " in page.read_text()
    found = read_json(record)["memory"]["mt5-xxl"]
    assert [line["fits"] for line in found] == ["", "yes", "yes", "no", "yes", "yes"]
