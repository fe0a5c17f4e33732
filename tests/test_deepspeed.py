"""DeepSpeed's configuration: derived from the row, written beside the run, and what the engine has."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import tiny

from stiltgrid.artifacts import read_json, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.launch import command
from stiltgrid.schema import Execution
from stiltgrid.train import run
from stiltgrid.training.arguments import check_honoured, deepspeed_config, split_batch

NLI = "xglue/xnli"
TRAIN = """
import json, sys
from stiltgrid.train import run
from stiltgrid.training import trainer
call = json.load(open(sys.argv[1]))
seen = trainer.check_honoured
def check_honoured(asked, found, *rest):
    json.dump(found, open(call["out"] + ".engine.json", "w"), default=str)
    seen(asked, found, *rest)
trainer.check_honoured = check_honoured
run(call["recipe"], call["data"], call["pretrained"], call["pretrained"], call["out"], call["execution"])
"""


def launched(folder: Path, name: str, execution: dict, data: dict, recipe: dict) -> Path:
    out = folder / name
    (folder / "script.py").write_text(TRAIN)
    call = {"recipe": recipe, "data": data, "out": str(out), "execution": execution}
    write_json(folder / f"{name}.json", {**call, "pretrained": str(folder / "pretrained")})
    words = command([str(folder / "script.py"), str(folder / f"{name}.json")], execution)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[:9000]
    return out


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in map(json.loads, (out / "metrics.jsonl").open()) if "loss" in line]


@pytest.mark.parametrize("offload", [{}, {"offload": True}, {"offload": True, "offload_parameters": True}])
def test_the_configuration_leaves_nothing_to_be_guessed(offload):
    training = tiny.recipe("text2text", [NLI], batch_size=32)["training"]
    split = split_batch(32, {"micro_batch_size": 4}, 4)
    made = deepspeed_config(training, {"strategy": "zero3", **offload}, split, 4096, True, False)
    assert "auto" not in json.dumps(made, allow_nan=False)
    assert made["train_batch_size"] == 32 and made["gradient_accumulation_steps"] == 2
    zero = made["zero_optimization"]
    assert zero["reduce_bucket_size"] == 4096**2 and zero["stage3_param_persistence_threshold"] == 40960
    host = {"device": "cpu", "pin_memory": True}
    assert zero.get("offload_optimizer") == (host if "offload" in offload else None)
    assert zero.get("offload_param") == (host if "offload_parameters" in offload else None)


def test_a_configuration_that_was_changed_under_way_is_noticed():
    asked = {"bf16": {"enabled": True}, "zero_optimization": {"stage": 3}}
    check_honoured(asked, {**asked, "fp16": {"enabled": False}})
    with pytest.raises(StiltgridError, match=r"deepspeed\.json: zero_optimization: stage is 3, DeepSpeed runs with 2"):
        check_honoured(asked, {**asked, "zero_optimization": {"stage": 2}})
    with pytest.raises(StiltgridError, match=r"bf16 is .*, DeepSpeed runs with None"):
        check_honoured(asked, {"zero_optimization": {"stage": 3}})


@pytest.mark.parametrize("key", ["offload", "offload_parameters"])
def test_offloading_is_zero3s(key):
    with pytest.raises(ValueError, match="offload: needs strategy zero3, found ddp"):
        Execution(strategy="ddp", devices=2, **{key: True})
    assert getattr(Execution(strategy="zero3", devices=2, **{key: True}), key)


def test_a_run_without_deepspeed_removes_the_file_of_one_with_it(tmp_path):
    tiny.pretrained(tmp_path / "pretrained", "heads")
    data = tiny.write_data(tmp_path / "data", NLI, tiny.nli(16), tiny.nli(4, seed=5))
    write_json(tmp_path / "run" / "deepspeed.json", {})
    single = {"strategy": "single", "devices": 1}
    pretrained = tmp_path / "pretrained"
    run(tiny.recipe("heads", [NLI], max_steps=1), data, pretrained, pretrained, tmp_path / "run", single)
    assert not (tmp_path / "run" / "deepspeed.json").exists()


@pytest.mark.slow
def test_the_engine_runs_with_what_is_written_and_offloading_changes_no_number(tmp_path):
    """On two ranks; on one, with optimizer and parameters on the host, activations recomputed."""
    tiny.pretrained(tmp_path / "pretrained", "text2text")
    data = tiny.write_data(tmp_path / "data", NLI, tiny.nli(40), tiny.nli(9, seed=5))
    recipe = tiny.recipe("text2text", [NLI], dropout=0.0, max_steps=4)
    plain = {"strategy": "zero3", "devices": 2, "micro_batch_size": 2}
    outs = [launched(tmp_path, "two", plain, data, recipe)]
    hosts = {"offload": True, "offload_parameters": True, "gradient_checkpointing": True}
    outs.append(launched(tmp_path, "one", {**plain, "devices": 1, **hosts}, data, recipe))
    for out, micro in zip(outs, (2, 4), strict=True):
        written, engine = read_json(out / "deepspeed.json"), read_json(f"{out}.engine.json")
        check_honoured(written, engine)
        assert written["gradient_accumulation_steps"] == micro
        assert "auto" not in json.dumps(engine)
    assert written["zero_optimization"]["offload_param"]["device"] == "cpu"
    assert losses(outs[0]) == pytest.approx(losses(outs[1]), rel=2e-3)
