"""Weights in pieces: files of bounded size, ranges of tensors, partitions of ranks."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file

from stiltgrid import sharded
from stiltgrid.artifacts import write_json
from stiltgrid.cli import main
from stiltgrid.errors import StiltgridError
from stiltgrid.launch import command
from stiltgrid.models import UntiedMT5, check_head, load_encoder, load_saved, load_text2text, save_model
from stiltgrid.predict import Predictor
from stiltgrid.tasks.registry import task

ROUND = """
import json, sys
from pathlib import Path
import torch
import torch.distributed as dist
from transformers.integrations import HfDeepSpeedConfig
from stiltgrid import models, sharded
from stiltgrid.training.arguments import prepare_deepspeed
out = Path(sys.argv[1])
torch.set_num_threads(1)
prepare_deepspeed(cpu=True)
sharded.SHARD_BYTES = 20_000
whole = []
library = models.UntiedMT5.from_pretrained
models.UntiedMT5.from_pretrained = classmethod(lambda *a, **k: whole.append(1) or library(*a, **k))
for precision in ("fp32", "bf16"):
    bf16, zero = {"enabled": precision == "bf16"}, {"stage": 3}
    kept = HfDeepSpeedConfig({"train_micro_batch_size_per_gpu": 1, "bf16": bf16, "zero_optimization": zero})
    for source in sys.argv[2:]:
        family = "heads" if source.endswith("xlmr") else "text2text"
        model = (models.load_encoder if family == "heads" else models.load_text2text)(source)
        assert all(p.numel() == 0 for p in model.parameters())
        models.save_model(model, out / precision / Path(source).name, write=dist.get_rank() == 0)
        dist.barrier()
assert not whole, "read whole by the library"
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def mt5(tmp_path_factory):
    return tiny.save_mt5(tmp_path_factory.mktemp("models") / "mt5")


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory):
    return tiny.save_xlmr(tmp_path_factory.mktemp("models") / "xlmr")


def as_bin(mt5: Path, folder: Path, **how) -> Path:
    """The same model in PyTorch's format, with the copies of the embedding that such files hold."""
    folder.mkdir()
    state = load_file(mt5 / "model.safetensors")
    state |= {f"{half}.embed_tokens.weight": state["shared.weight"] for half in ("encoder", "decoder")}
    torch.save(state, folder / "pytorch_model.bin", **how)
    (folder / "config.json").write_bytes((mt5 / "config.json").read_bytes())
    return folder


def test_files_are_filled_in_order_and_none_is_too_large():
    sizes = {"a": 4, "b": 4, "c": 9, "d": 20, "e": 1, "f": 1}
    assert sharded.shards(sizes, 10) == [["a", "b"], ["c"], ["d"], ["e", "f"]]
    assert sharded.shards({"a": 3}, 10) == [["a"]]
    assert sharded.shards({}, 10) == []


@pytest.mark.parametrize("shape", [(7,), (5, 3), (2, 3, 4), (1, 11)])
def test_a_range_of_a_stored_tensor_is_cut_out(tmp_path, shape):
    from safetensors.torch import save_file

    tensor = torch.arange(torch.tensor(shape).prod().item(), dtype=torch.float32).reshape(shape)
    save_file({"t": tensor}, tmp_path / "model.safetensors")
    torch.save({"t": tensor}, tmp_path / "pytorch_model.bin")
    for name in sharded.NAMES:
        with sharded.opened(tmp_path / name) as stored:
            assert sharded.shape_of(stored["t"]) == shape
            for start in range(tensor.numel()):
                for stop in range(start + 1, tensor.numel() + 1):
                    assert torch.equal(sharded.flat(stored["t"], start, stop), tensor.flatten()[start:stop])


def test_a_large_model_is_written_in_several_files_and_read_again(mt5, tmp_path, monkeypatch):
    model = load_text2text(mt5)
    save_model(model, tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    monkeypatch.setattr(sharded, "SHARD_BYTES", 20_000)
    save_model(model, tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    files = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert len(files) > 3 and set(index["weight_map"].values()) == set(files)
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    for name in files:
        state = load_file(tmp_path / name)
        assert len(state) == 1 or sum(t.numel() * 4 for t in state.values()) <= 20_000
    again = load_saved(tmp_path, "text2text")
    for (name, a), (_, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    (tmp_path / files[1]).unlink()
    with pytest.raises(StiltgridError, match=files[1]):
        check_head(model, tmp_path)
    monkeypatch.undo()
    save_model(model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_the_head_of_pytorchs_format_is_checked_too(mt5, tmp_path):
    folder = as_bin(mt5, tmp_path / "bin")
    model = load_text2text(folder)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    with pytest.raises(StiltgridError, match="row 0 of lm_head is not the checkpoint's"):
        check_head(model, folder)


def test_a_format_that_can_only_be_read_whole_is_refused_where_that_matters(mt5, tmp_path):
    folder = as_bin(mt5, tmp_path / "bin", _use_new_zipfile_serialization=False)
    assert sharded.stored_in(folder) == {}
    load_text2text(folder)
    with pytest.raises(StiltgridError, match=f"can only be read whole.*: stiltgrid safetensors {folder}$"):
        sharded.load(UntiedMT5, folder, None)


def test_the_output_matrix_is_compared_with_an_old_file_too(mt5, tmp_path):
    folder = as_bin(mt5, tmp_path / "bin", _use_new_zipfile_serialization=False)
    model = load_text2text(folder)
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    with pytest.raises(StiltgridError, match="row 0 of lm_head is not the checkpoint's"):
        check_head(model, folder)


@pytest.mark.parametrize("old", [True, False])
def test_bin_files_are_written_anew_as_safetensors(mt5, tmp_path, capsys, monkeypatch, old):
    """The command of the refusal: the same model, in files that can be read by ranges, each tensor once."""
    folder = as_bin(mt5, tmp_path / "bin", _use_new_zipfile_serialization=not old)
    monkeypatch.setattr(sharded, "SHARD_BYTES", 20_000)
    main(["safetensors", str(folder)])
    written = capsys.readouterr().out.split()
    assert len(written) > 1 and all(Path(path).is_file() for path in written)
    first, again = load_text2text(mt5).state_dict(), load_text2text(folder).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    places = sharded.stored_in(folder)
    assert set(places) == set(load_file(mt5 / "model.safetensors"))
    with pytest.raises(StiltgridError, match="is there already"):
        main(["safetensors", str(folder)])
    with pytest.raises(StiltgridError, match="no pytorch_model"):
        main(["safetensors", str(tmp_path)])


@pytest.mark.slow
def test_two_ranks_read_their_own_parts_and_write_the_same_weights(mt5, xlmr, tmp_path):
    """Bit for bit, of both formats and both kinds of model, and never by the library's way."""
    (tmp_path / "script.py").write_text(ROUND)
    sources = [mt5, as_bin(mt5, tmp_path / "bin"), xlmr]
    arguments = [str(tmp_path / "script.py"), str(tmp_path / "out"), *map(str, sources)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    words = command(arguments, {"strategy": "zero3", "devices": 2})
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    for source in sources:
        load = load_encoder if source is xlmr else load_text2text
        first = load(source).state_dict()
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            folder = tmp_path / "out" / precision / source.name
            assert len(list(folder.glob("*.safetensors"))) > 1
            again = load(folder).state_dict()
            assert set(again) == set(first)
            for name, tensor in first.items():
                assert torch.equal(again[name], tensor.to(dtype).float()), (source.name, precision, name)


TRAIN = """
import json, sys
from stiltgrid.train import run
call = json.load(open(sys.argv[1]))
run(call["recipe"], call["data"], call["pretrained"], call["pretrained"], call["out"], call["execution"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["heads", "text2text"])
def test_twenty_steps_of_one_process_ddp_and_zero3_are_the_same(tmp_path, family):
    """The same losses but for rounding, and weights that answer alike in one process, whatever wrote them."""
    tiny.pretrained(tmp_path / "pretrained", family)
    data = tiny.write_data(tmp_path / "data", "xglue/xnli", tiny.nli(61), tiny.nli(15, seed=5))
    recipe = tiny.recipe(family, ["xglue/xnli"], dropout=0.0, max_steps=20, evaluations=2)
    (tmp_path / "script.py").write_text(TRAIN)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    losses, said = {}, {}
    for strategy, devices in (("single", 1), ("ddp", 2), ("zero3", 2)):
        out, execution = tmp_path / strategy, {"strategy": strategy, "devices": devices, "micro_batch_size": 4}
        about = {"recipe": recipe, "data": data, "out": str(out), "execution": execution}
        write_json(tmp_path / "call.json", {**about, "pretrained": str(tmp_path / "pretrained")})
        words = command([str(tmp_path / "script.py"), str(tmp_path / "call.json")], execution)
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        logged = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
        losses[strategy] = [line["loss"] for line in logged if "loss" in line]
        predictor = Predictor.load(out, tmp_path / "pretrained", threads=1)
        said[strategy] = predictor.predict(task("xglue/xnli"), tiny.nli(15, seed=5))
    assert len(losses["single"]) == 20
    for strategy in ("ddp", "zero3"):
        assert losses[strategy] == pytest.approx(losses["single"], rel=2e-3), strategy
        assert [p.label for p in said[strategy]] == [p.label for p in said["single"]]
        for one, two in zip(said[strategy], said["single"], strict=True):
            assert one.scores == pytest.approx(two.scores, abs=2e-2)
    if family == "text2text":
        heads_stay_heads(tmp_path, list(losses))


def heads_stay_heads(folder, strategies):
    """mT5's output matrix is the checkpoint's, trained a little, and no strategy has put the embedding in its place."""
    start = load_file(folder / "pretrained" / "model" / "model.safetensors")
    apart = (start["lm_head.weight"] - start["shared.weight"]).abs().max()
    for strategy in strategies:
        found = load_file(folder / strategy / "weights" / "model.safetensors")
        moved = (found["lm_head.weight"] - start["lm_head.weight"]).abs().max()
        assert 0 < moved < apart / 4, strategy
        assert (found["lm_head.weight"] - found["shared.weight"]).abs().max() > apart / 2, strategy


@pytest.mark.slow
def test_no_rank_holds_the_whole_model_while_it_is_loaded(monkeypatch):
    """About 1 GB on two ranks: each holds its half, and for a moment a tensor and the pages that it reads."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import loading

    found = loading.measure(2, 1.0, paths=["ranges"])
    half = found["bytes"] / 2
    for rank in found["paths"]["ranges"]:
        assert half * 0.95 < rank["loaded"] < half + 150e6, rank
        assert rank["loading"] < half + 300e6 < found["bytes"], rank
        assert rank["saving"] < loading.FILES + 2 * found["largest"], rank
