"""One process, DDP and ZeRO-3 on two CPU ranks through Snakemake: the same run but for rounding."""

import json

import pytest
from miniature import Miniature

from stiltgrid.artifacts import read_json

pytestmark = pytest.mark.slow


def test_single_ddp_and_zero3_give_the_same_losses_and_scores(tmp_path):
    mini = Miniature.fresh(tmp_path / "grid")
    mini.config["training"]["dropout"] = 0.0  # each rank draws its own dropout
    mini.config["intermediates"] = {"none": {}}
    mini.config["targets"] = {"xnli": {"task": "xglue/xnli", "languages": ["de"]}}
    devices = {"single": 1, "ddp": 2, "zero3": 2}
    mini.config["models"] = {
        name: {"source": "./model", "execution": {"strategy": name, "devices": number}}
        for name, number in devices.items()
    }
    mini.run("results/mini/analysis/scores.parquet")
    losses, scores = {}, {}
    for name, number in devices.items():
        run = mini.path(f"checkpoints/{name}/none/xnli/seed1")
        lines = [json.loads(x) for x in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        losses[name] = [x["loss"] for x in lines if "loss" in x]
        assert read_json(run / "manifest.json")["execution"]["devices"] == number
        assert (run / "deepspeed.json").exists() == (name == "zero3")
        scores[name] = read_json(mini.path(f"scores/{name}/none/xnli/seed1/de.json"))["metrics"]
    assert len(losses["single"]) == 6
    for name in ("ddp", "zero3"):
        assert losses[name] == pytest.approx(losses["single"], rel=1e-4), name
        assert scores[name] == scores["single"]


def test_adapters_go_through_both_phases_and_only_the_second_asks_how_they_meet(tmp_path):
    mini = Miniature.fresh(tmp_path / "grid")
    mini.config["intermediates"] = {"mnli": {"tasks": ["mnli"]}}
    mini.config["targets"] = {"xnli": mini.config["targets"]["xnli"]}
    mini.config["models"] = {"small": {"source": "./model", "lora": {"rank": 4, "phases": "stack"}}}
    mini.run("results/mini/analysis/scores.parquet")
    first, second = (mini.path(f"checkpoints/small/mnli/{phase}") for phase in ("seed1", "xnli/seed1"))
    assert [p.name for p in sorted((first / "weights").iterdir())] == ["adapter-1", "adapters.json"]
    assert [p.name for p in sorted((second / "weights").iterdir())] == ["adapter-1", "adapter-2", "adapters.json"]
    assert mini.path("scores/small/mnli/xnli/seed1/de.json").is_file()
    mini.config["models"]["small"]["lora"]["phases"] = "merge"
    planned = mini.planned()
    assert planned["train_target"] == 1 and "train_intermediate" not in planned, planned
