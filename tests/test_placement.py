"""Where weights are held to predict: types, one GPU or several."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch

from stiltgrid import placement
from stiltgrid.errors import StiltgridError
from stiltgrid.models import load_saved, load_text2text, save_model
from stiltgrid.placement import Placement, devices, numbers, placed

ROOT = Path(__file__).parent.parent
SPREAD = """
import sys, tiny, torch
from accelerate import big_modeling
from torch._subclasses.fake_tensor import FakeTensorMode
from stiltgrid.formulations.features import Setup
from stiltgrid.formulations.text2text.labels import whole_label_scores
from stiltgrid.models import UntiedMT5
from stiltgrid.tokenization import load_tokens

class Guard(torch._C._acc.DeviceGuard):
    def type_(self):
        return torch._C._autograd.DeviceType.PrivateUse1

class Hooks(torch._C._acc.PrivateUse1Hooks):
    is_available = is_built = has_primary_context = lambda *_: True

class Module:
    device_count = staticmethod(lambda: 2)
    current_device = staticmethod(lambda: 0)
    is_available = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)

# a kind of device that has no hardware: tensors on it know their shape, type and device, and hold no numbers
torch.utils.rename_privateuse1_backend("pretend")
torch._register_device_module("pretend", Module)
torch._C._acc.register_python_privateuseone_hook(Hooks())
torch._C._acc.register_python_privateuseone_device_guard(Guard())
first, second = "pretend:0", "pretend:1"
places = {name: first for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens", "lm_head")}
for half in ("encoder", "decoder"):
    places |= {f"{half}.block.0": first, f"{half}.block.1": second, f"{half}.block.2": second}
    places |= {f"{half}.final_layer_norm": second, f"{half}.dropout": second}
with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
    model = UntiedMT5(tiny.mt5_config(200, num_layers=3, num_decoder_layers=3)).eval()
    for name, device in places.items():
        for module in model.get_submodule(name).modules():
            for key, old in module._parameters.items():
                if old is not None:
                    module._parameters[key] = torch.nn.Parameter(torch.empty(old.shape, device=device))
    for half in (model.encoder, model.decoder):
        half.embed_tokens.weight = model.shared.weight
    # tied tensors are found by their addresses, which are all the same here
    big_modeling.find_tied_parameters = lambda _: []
    big_modeling.dispatch_model(model, places, main_device=first, force_hooks=True)
    ids, mask = torch.ones(2, 8, dtype=torch.int64, device=first), torch.ones(2, 8, device=first)
    encoded = model.encoder(input_ids=ids, attention_mask=mask)[0]
    print(encoded.device)
    states = model.decode(ids[:, :3], encoded, mask)
    print(states.device)
    scored = model.score_rows(states, torch.tensor([4, 5]).to(second))
    assert scored.shape == (2, 3, 2)
    print(scored.device)
    setup = Setup(load_tokens(sys.argv[1]), {}, 64)
    assert whole_label_scores(setup, model, [[4], [5, 6]], encoded, mask).shape == (2, 2)
    whole = model(input_ids=ids, attention_mask=mask, decoder_input_ids=ids[:, :3], use_cache=False).logits
    assert whole.shape == (2, 3, 200)
    print(whole.device)
    try:
        states @ model.lm_head.weight.T
    except Exception as error:
        print("raised" if "same device" in str(error) else error)
"""


@pytest.fixture(scope="module")
def mt5(tmp_path_factory):
    return tiny.save_mt5(tmp_path_factory.mktemp("mt5"))


def test_a_cpu_holds_float32(mt5):
    assert placed(mt5, mt5) == Placement(torch.float32, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_holds_what_was_saved(mt5, tmp_path, monkeypatch, dtype):
    save_model(load_text2text(mt5).to(dtype), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: (80_000_000_000, 80_000_000_000))
    assert placed(tmp_path, tmp_path) == Placement(dtype, {"": 0})
    monkeypatch.setattr(placement, "numbers", lambda _: 100_000_000_000 // dtype.itemsize)
    assert placed(tmp_path, tmp_path).devices == "balanced"


def test_layers_are_shared_out_where_one_gpu_is_too_small():
    large = 26_000_000_000
    assert devices(large, [80_000_000_000]) == {"": 0}
    assert devices(large, [80_000_000_000] * 4) == {"": 0}
    assert devices(large, [24_000_000_000] * 2) == "balanced"
    for few in ([24_000_000_000], [12_000_000_000] * 2):
        with pytest.raises(StiltgridError, match=r"need .* GB of GPU memory, 24.0 GB are free on .*predict_gpus"):
            devices(large, few)


def test_numbers_are_counted_without_reading_them(mt5):
    whole = load_text2text(mt5)
    assert numbers(mt5) == sum(parameter.numel() for parameter in whole.parameters())


@pytest.mark.slow
def test_layers_on_two_devices_compute_without_meeting_on_the_wrong_one(mt5, tmp_path):
    """Whole forward pass and label scoring; a product of tensors of two devices raises."""
    (tmp_path / "script.py").write_text(SPREAD)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    words = [sys.executable, str(tmp_path / "script.py"), str(mt5)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.split() == ["pretend:1", "pretend:1", "pretend:0", "pretend:0", "raised"]


def test_loading_by_a_device_map_gives_the_same_answers(mt5, tmp_path):
    """The library's path with hooks, all pieces on the CPU."""
    save_model(load_text2text(mt5).bfloat16(), tmp_path)
    spread = load_saved(tmp_path, "text2text", placement=Placement(torch.bfloat16, {"": "cpu"}))
    whole = load_saved(tmp_path, "text2text", placement=Placement(torch.bfloat16))
    assert {p.dtype for p in spread.parameters()} == {torch.bfloat16}
    ids = torch.tensor([[5, 6, 7, 1], [8, 9, 1, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    with torch.no_grad():
        one, two = (m(**batch, decoder_input_ids=ids[:, :2]).logits for m in (spread, whole))
        texts = [m.generate(**batch, max_new_tokens=4, do_sample=False).tolist() for m in (spread, whole)]
    assert torch.equal(one, two) and texts[0] == texts[1]
