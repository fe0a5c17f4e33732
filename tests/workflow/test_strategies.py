"""One process, DDP and ZeRO-3 on two CPU ranks through Snakemake: the same run but for rounding."""

import json

import pytest
from miniature import Miniature

from stiltgrid.artifacts import read_json

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("transfer")]


def test_single_ddp_and_zero3_give_the_same_losses_and_scores(tmp_path):
    mini = Miniature.fresh(tmp_path / "grid")
    mini.config["training"]["dropout"] = 0.0  # each rank draws its own dropout
    mini.config["intermediates"] = {"none": {}}
    mini.config["targets"] = {"xnli": mini.config["targets"]["xnli"]}
    devices = {"single": 1, "ddp": 2, "zero3": 2}
    mini.config["models"] = {
        name: {"source": "./model", "execution": {"strategy": name, "devices": number}}
        for name, number in devices.items()
    }
    mini.run()
    losses, scores = {}, {}
    for name, number in devices.items():
        run = mini.path(f"checkpoints/{name}/none/xnli/seed1")
        lines = [json.loads(x) for x in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        losses[name] = [x["loss"] for x in lines if "loss" in x]
        assert read_json(run / "manifest.json")["execution"]["devices"] == number
        scores[name] = read_json(mini.path(f"scores/{name}/none/xnli/seed1/de.json"))["metrics"]
    assert len(losses["single"]) == 6
    for name in ("ddp", "zero3"):
        assert losses[name] == pytest.approx(losses["single"], rel=1e-4), name
        assert scores[name] == scores["single"]
