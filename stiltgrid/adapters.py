"""LoRA: low-rank adapters on frozen weights (Hu et al. 2022, section 4), and what a checkpoint holds of them.

A run trains one adapter a linear layer of `targets`: W x + alpha / rank B A x, with B zero at first. Phase (iii) comes
after phase (ii)'s adapters in one of two ways. `merge`: W + alpha / rank B A, rounded to W's type, is the new frozen
weight. `stack`: phase (ii)'s adapters stay as they are, frozen and without dropout, and are added as the new ones are.
In exact arithmetic both are the same function; they differ in rounding (bf16 weights above all) and in work.

A checkpoint holds the adapters alone, phase (ii)'s among them, so it can be read without that run, and names the
pretrained model below. Each is a folder in PEFT's own format; `adapters.json` says how they follow each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stiltgrid import sharded
from stiltgrid.artifacts import read_json, replacing, write_json
from stiltgrid.encoder import EncoderWithHeads
from stiltgrid.errors import StiltgridError, nearest

ABOUT = "adapters.json"
QUERIES_AND_VALUES = (("q", "v"), ("query", "value"), ("q_proj", "v_proj"), ("q_lin", "v_lin"))
PREFIX = "base_model.model."
"""Of a tensor's name in PEFT's files."""


@dataclass(frozen=True)
class Adapter:
    """The adapters that one run trains.

    Attributes:
        rank: of the product.
        alpha: the product is multiplied by alpha / rank.
        dropout: on the input, while they are trained.
        targets: last names of the layers that have one.
        merged: added to the frozen weights?
        tensors: `<layer>.lora_A.weight` (rank, inputs), `<layer>.lora_B.weight` (outputs, rank); None: to be trained.
    """

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    merged: bool = False
    tensors: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Chain:
    """All adapters on a pretrained model, in the order in which they were trained.

    Attributes:
        pretrained: digest of the pretrained model's manifest.
        dtype: of the frozen weights.
        adapters: at least one.
    """

    pretrained: str
    dtype: torch.dtype
    adapters: tuple[Adapter, ...]


def frozen_dtype(weights: str, precision: str, zero3: bool, gpu: bool) -> torch.dtype:
    """Return the type of the frozen weights.

    Args:
        weights: the recipe's `lora.weights`.
        precision: the run's, "bf16" or "fp32".
        zero3: DeepSpeed holds all weights in the run's precision.
        gpu: is there one?

    Raises:
        StiltgridError: for bf16 weights in an fp32 run, and for what ZeRO-3 cannot do.
    """
    whole = weights if weights != "auto" else precision if zero3 or gpu else "fp32"
    if (whole == "bf16" and precision == "fp32") or (zero3 and whole != precision):
        raise StiltgridError(
            f"lora.weights {weights} in a run of precision {precision}{' under zero3' if zero3 else ''}: "
            f"set lora.weights: auto, or training.precision: {whole}"
        )
    return torch.bfloat16 if whole == "bf16" else torch.float32


def begun(lora: Mapping[str, Any], pretrained: str, dtype: torch.dtype, parent: Path | None) -> Chain:
    """Return the adapters of a run that starts.

    Args:
        lora: the recipe's `model.lora`.
        pretrained: digest of the pretrained model's manifest.
        dtype: of the frozen weights.
        parent: weights of phase (ii), whose adapters come first; None: there is no phase (ii).

    Raises:
        StiltgridError: if the parent holds no adapters, or another pretrained model's.
    """
    earlier: tuple[Adapter, ...] = ()
    if parent is not None:
        before = read(parent)
        if before is None or before.pretrained != pretrained:
            found = "no adapters" if before is None else "adapters of another pretrained model"
            raise StiltgridError(f"{parent}: {found}, but this run goes on from adapters; train phase (ii) again")
        # what a merge has rounded away stays away
        earlier = tuple(replace(a, merged=a.merged or lora["phases"] == "merge") for a in before.adapters)
    targets = tuple(lora["targets"] or ())
    return Chain(pretrained, dtype, (*earlier, Adapter(lora["rank"], lora["alpha"], lora["dropout"], targets)))


def has(model: nn.Module) -> bool:
    """Tell whether adapters were attached to a model."""
    return getattr(model, "chain", None) is not None


def attach(model: nn.Module, chain: Chain, seed: int = 0) -> None:
    """Freeze a model and put adapters on it, in place; heads stay as they are.

    Args:
        model: the pretrained model, or one with heads on it, whole or partitioned by ZeRO-3.
        chain: its last adapters are trained, unless they have tensors.
        seed: of new adapters' initial numbers.

    Raises:
        StiltgridError: if a target names no linear layer, or tensors do not fit.
    """
    body = _body(model)
    whole = not sharded.partitioned(body)
    body.requires_grad_(False)
    last = chain.adapters[-1]
    if last.tensors is None:
        chain = replace(chain, adapters=(*chain.adapters[:-1], replace(last, targets=_targets(body, last.targets))))
    names = []
    for number, adapter in enumerate(chain.adapters, start=1):
        if adapter.merged:
            _merge(body, adapter)
            continue
        names.append(_name(number))
        _inject(body, adapter, names[-1], seed, whole)
    for layer in _layers(body).values():
        layer.set_adapter(names)
    for name, parameter in body.named_parameters():
        parameter.requires_grad_(last.tensors is None and f".{names[-1]}." in name)
    model.chain = chain


def _body(model: nn.Module) -> nn.Module:
    return model.encoder if isinstance(model, EncoderWithHeads) else model


def _name(number: int) -> str:
    return f"run{number}"


def _targets(body: nn.Module, declared: tuple[str, ...]) -> tuple[str, ...]:
    """Return the layers' names, those declared or the queries and values; refuse what is no linear layer inside."""
    linear = sorted({n.rpartition(".")[2] for n, m in body.named_modules() if isinstance(m, nn.Linear)} - {"lm_head"})
    targets = declared or next((pair for pair in QUERIES_AND_VALUES if set(pair) <= set(linear)), ())
    if not targets:
        raise StiltgridError(f"lora.targets: no queries and values known here; name them, of {', '.join(linear)}")
    for name in targets:
        if name not in linear:
            raise StiltgridError(f"lora.targets: {name!r} is no linear layer of the model; {nearest(name, linear)}")
    return tuple(targets)


def _layers(body: nn.Module) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in body.named_modules() if isinstance(module, LoraLayer)}


def _inject(body: nn.Module, adapter: Adapter, name: str, seed: int, whole: bool) -> None:
    """Put one run's adapters on; under ZeRO-3 in the type of all weights, else in their own, or float32 if new."""
    from peft import LoraConfig, inject_adapter_in_model

    trained = adapter.tensors is None
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout if trained else 0.0,
        target_modules=list(adapter.targets),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, body, name)
    vars(body).pop("peft_config", None)  # the library takes a second adapter for a mistake
    left = dict(adapter.tensors or {})
    for path, layer in _layers(body).items():
        for part in (layer.lora_A, layer.lora_B):
            if name not in part:
                continue
            if trained:
                part[name].to(torch.float32 if whole else layer.get_base_layer().weight.dtype)
                continue
            key = f"{path}.{'lora_A' if part is layer.lora_A else 'lora_B'}.weight"
            stored = left.pop(key, None)
            if stored is None or stored.shape != part[name].weight.shape:
                raise StiltgridError(f"adapters: {key} is missing or of another shape than the model's")
            part[name].to(stored.dtype if whole else layer.get_base_layer().weight.dtype)
            with torch.no_grad():
                part[name].weight.copy_(stored)
    if left:
        raise StiltgridError(f"adapters: {min(left)} belongs to no layer of the model")


def _merge(body: nn.Module, adapter: Adapter) -> None:
    """Add the products to the frozen weights: in float32 on the host, each rank to its own part, rounded once."""
    modules = dict(body.named_modules())
    for key, a in adapter.tensors.items():
        path, _, rest = key.rpartition(".lora_")
        if rest != "A.weight":
            continue
        layer, b = modules.get(path), adapter.tensors[f"{path}.lora_B.weight"]
        if not isinstance(layer, nn.Linear):
            raise StiltgridError(f"adapters: {path} is no linear layer of the model")
        sharded.add(layer.weight, adapter.alpha / adapter.rank * (b.float() @ a.float()))


def save(model: nn.Module, folder: Path, write: bool) -> None:
    """Write all adapters of a model, in the order of training.

    Args:
        model: has adapters; every rank calls this where it is partitioned.
        folder: exists where this rank writes.
        write: is this the rank that writes?
    """
    from safetensors.torch import save_file

    chain: Chain = model.chain
    body = _body(model)
    for number, adapter in enumerate(chain.adapters, start=1):
        tensors = dict(adapter.tensors or {})
        if adapter.tensors is None:
            marks = {f".lora_{x}.{_name(number)}.weight": f".lora_{x}.weight" for x in "AB"}
            own = {
                name.replace(mark, plain): parameter
                for name, parameter in body.named_parameters()
                for mark, plain in marks.items()
                if name.endswith(mark)
            }
            with sharded.gathered(list(own.values())):
                if write:
                    tensors = {name: parameter.detach().cpu().clone() for name, parameter in own.items()}
        if not write:
            continue
        with replacing(folder / f"adapter-{number}" / "adapter_model.safetensors") as temporary:
            named = {PREFIX + name: tensor.contiguous() for name, tensor in tensors.items()}
            save_file(named, temporary, {"format": "pt"})
        config = {"peft_type": "LORA", "r": adapter.rank, "lora_alpha": adapter.alpha, "bias": "none"}
        config |= {"lora_dropout": adapter.dropout, "target_modules": list(adapter.targets), "inference_mode": True}
        write_json(folder / f"adapter-{number}" / "adapter_config.json", config)
    if write:
        record = {"pretrained": chain.pretrained, "weights": str(chain.dtype).removeprefix("torch.")}
        write_json(folder / ABOUT, record | {"merged": [adapter.merged for adapter in chain.adapters]})


def read(folder: Path) -> Chain | None:
    """Return the adapters that a weights folder holds; None if it holds whole weights.

    Raises:
        StiltgridError: if a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / ABOUT).is_file():
        return None
    about, adapters = read_json(folder / ABOUT), []
    for number, merged in enumerate(about["merged"], start=1):
        at = folder / f"adapter-{number}"
        config = read_json(at / "adapter_config.json")
        try:
            stored = load_file(at / "adapter_model.safetensors")
        except (SafetensorError, OSError) as error:
            raise StiltgridError(
                f"{at}/adapter_model.safetensors: missing, truncated or damaged ({error}); train again"
            ) from None
        adapters.append(
            Adapter(
                config["r"],
                config["lora_alpha"],
                config["lora_dropout"],
                tuple(config["target_modules"]),
                merged,
                {name.removeprefix(PREFIX): tensor for name, tensor in stored.items()},
            )
        )
    return Chain(about["pretrained"], getattr(torch, about["weights"]), tuple(adapters))


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that a run with adapters changes, by name: all that its training checkpoints must hold."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
