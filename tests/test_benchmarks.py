"""The pure parts of the benchmarks; no time is asserted."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Import a benchmark as running it would: its folder first on the path, its modules forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in {"measure", "synthetic"} - before:
        sys.modules.pop(name, None)


def test_ratio_compares_each_run_with_its_own_neighbour(benchmark):
    measure = benchmark("measure")
    slow = [measure.Seconds(cpu, 0.0) for cpu in (2.0, 40.0, 6.0)]
    fast = [measure.Seconds(cpu, 0.0) for cpu in (1.0, 20.0, 2.0)]  # the second pair met a busy neighbour
    assert measure.ratio(slow, fast) == 2.0


def test_medians_are_taken_apart(benchmark):
    measure = benchmark("measure")
    runs = [measure.Seconds(1.0, 9.0), measure.Seconds(3.0, 7.0), measure.Seconds(2.0, 8.0)]
    assert measure.medians(runs) == (2.0, 8.0)


def test_rows_have_the_lengths_that_were_asked_for(benchmark, tmp_path):
    from stiltgrid.formulations import text2text
    from stiltgrid.formulations.features import Setup
    from stiltgrid.tasks.registry import task
    from stiltgrid.tokenization import load_tokens

    synthetic = benchmark("synthetic")
    lengths = [8, 47, 128, 9]
    synthetic.save_tokenizer(tmp_path)
    setup = Setup(load_tokens(tmp_path), {"xglue/xnli": task("xglue/xnli")}, 128)
    features = text2text.encode(setup, "xglue/xnli", synthetic.nli_rows(lengths), True)
    assert [len(f.input_ids) for f in features] == lengths
    assert not any(f.truncated for f in features)


def test_made_up_lengths_are_mnli_like(benchmark, monkeypatch):
    monkeypatch.delenv("STILTGRID_REAL_DATA", raising=False)
    synthetic = benchmark("synthetic")
    lengths, origin = synthetic.nli_lengths(5000)
    ordered = sorted(lengths)
    assert origin == "log-normal"
    assert abs(sum(lengths) / len(lengths) - synthetic.MEAN) < 2
    assert abs(ordered[int(0.95 * len(ordered))] - synthetic.P95) < 4
    assert ordered[0] >= 8
    assert ordered[-1] <= synthetic.LONGEST


def test_bucketing_leaves_less_padding_than_chance(benchmark):
    lengths, _ = benchmark("synthetic").nli_lengths(320)
    training = benchmark("training")
    assert 1 <= training.padded_share(lengths, "C") < training.padded_share(lengths, "B") < 128 / min(lengths)


def test_import_times_are_summed_by_package(benchmark):
    log = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       100 |        100 |   torch._dynamo.a\n"
        "import time:       200 |        300 | torch._dynamo.b\n"
        "import time:        50 |         50 | scipy.linalg\n"
        "12:00:00 INFO a line of the job\n"
    )
    found = benchmark("fixed_cost").by_package(log)
    assert found == pytest.approx({"torch._dynamo": 300e-6, "scipy": 50e-6})


def test_grids_of_a_size_keep_the_shape_of_the_papers(benchmark):
    planning = benchmark("planning")
    raw, cells, _ = planning.config_of(2000)
    assert abs(cells - 2000) < 120
    assert raw["targets"] == planning.config_of(None)[0]["targets"]
