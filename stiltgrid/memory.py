"""What a training run holds on each device and on its hosts, by arithmetic (docs/memory.md). Imports no torch.

Bytes a parameter under bf16 and AdamW, shared by n devices under ZeRO-3 (Rajbhandari et al. 2020, section 3.1): 2 for
the weight, 2 for its gradient, 12 for the optimizer (float32 weight, first and second moment). One process and DDP hold
float32 weights (4), gradients (4) and moments (8), DDP also its gradient buckets (4), and while a forward pass lasts
bf16 copies of the weights (2). LoRA holds frozen bf16 weights (2), and 16 for each parameter of its adapters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.recipes import merged
from stiltgrid.work import inputs_of_example

RESERVE = 4e9
"""Bytes of a device for the CUDA context, NCCL's buffers and fragmentation: an assumption."""
LIVE = 1e9
"""Parameters that DeepSpeed may hold gathered at once (stage3_max_live_parameters)."""
GROUP = 1e9
"""Parameters that DeepSpeed's optimizer takes in one step (sub_group_size), with float32 gradients."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A transformer's sizes.

    Attributes:
        width: d_model.
        inner: heads x size of a head.
        feed_forward: d_ff.
        heads: attention heads.
        encoder: layers of the encoder.
        decoder: layers of the decoder; 0: an encoder alone.
        vocabulary: rows of the embedding, and of a decoder's output matrix.
    """

    width: int
    inner: int
    feed_forward: int
    heads: int
    encoder: int
    decoder: int
    vocabulary: int

    @property
    def largest(self) -> int:
        """Parameters of the largest tensor."""
        return max(self.vocabulary * self.width, self.feed_forward * self.width)


def _mt5(width: int, feed_forward: int, layers: int, heads: int) -> Shape:
    return Shape(width, 64 * heads, feed_forward, heads, layers, layers, 250112)


SHAPES = {
    "google/mt5-small": _mt5(512, 1024, 8, 6),
    "google/mt5-base": _mt5(768, 2048, 12, 12),
    "google/mt5-large": _mt5(1024, 2816, 24, 16),
    "google/mt5-xl": _mt5(2048, 5120, 24, 32),
    "google/mt5-xxl": _mt5(4096, 10240, 24, 64),
}
"""Published sizes, for models that are not here yet."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Machines to train on.

    Attributes:
        title: for tables.
        strategy: single, ddp, zero3 or lora.
        devices: over all nodes.
        gigabytes: memory of a device; None: not known.
        tflops: peak dense bf16 TFLOP/s of a device.
        nodes: hosts that share the devices evenly.
        offload: is the optimizer's state kept on the hosts?
        rank: of LoRA's adapters.
        sharded: are LoRA's frozen weights shared by the devices, as under ZeRO-3?
    """

    title: str
    strategy: str
    devices: int
    gigabytes: float | None
    tflops: float
    nodes: int = 1
    offload: bool = False
    rank: int = 16
    sharded: bool = False


SETUPS = (
    Setup("8 x 80 GB", "zero3", 8, 80, 312),
    Setup("4 x 80 GB", "zero3", 4, 80, 312),
    Setup("1 x 141 GB", "zero3", 1, 141, 989),
    Setup("1 x 141 GB, offload", "zero3", 1, 141, 989, offload=True),
    Setup("1 x 141 GB, LoRA", "lora", 1, 141, 989),
)
"""A100 (312 TFLOP/s), H200 (989): vendors' figures, dense bf16."""

OFFLOAD_SHARE = 0.5
"""Share of the throughput that is left with the optimizer on the host (training.md section 4: 19 h for 10 h)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one device, and of one host.

    Attributes:
        weights: this device's share.
        gradients: this device's share.
        optimizer: this device's share, with what a step adds for a moment.
        gathered: parameters and gradients that are whole for a moment.
        activations: kept for the backward pass, with one layer recomputed where they are checkpointed, and logits.
        reserve: the rest.
        host: what the ranks of one host hold beside their interpreters.
    """

    weights: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float
    reserve: float
    host: float

    @property
    def device(self) -> float:
        """The sum over a device."""
        return self.weights + self.gradients + self.optimizer + self.gathered + self.activations + self.reserve


def shape_of(grid: Grid, model: str) -> Shape | None:
    """Return a model's sizes: from its configuration, if phase (i) has run, else published ones, else None."""
    row, manifest = grid.config.models[model], Path(grid.paths.pretrained(model))
    try:
        config = read_json(manifest.parent / read_json(manifest)["path"] / "config.json")
    except (StiltgridError, KeyError):
        return SHAPES.get(row.source)
    return shape_from(config)


def shape_from(config: Mapping[str, Any]) -> Shape | None:
    """Return the sizes that a Hugging Face configuration states; None if it states them by other names."""
    try:
        if "d_model" in config and "d_kv" in config:
            layers = config["num_layers"]
            inner, decoder = config["num_heads"] * config["d_kv"], config.get("num_decoder_layers") or layers
            return Shape(
                config["d_model"], inner, config["d_ff"], config["num_heads"], layers, decoder, config["vocab_size"]
            )
        width, heads = config["hidden_size"], config["num_attention_heads"]
        layers = config["num_hidden_layers"]
        return Shape(width, width, config["intermediate_size"], heads, layers, 0, config["vocab_size"])
    except KeyError:
        return None


def activations(shape: Shape, batch: int, tokens: int, target_tokens: int, checkpointing: bool) -> float:
    """Return the bytes that a forward pass keeps for the backward pass, in bf16 with dropout, scores materialised.

    A token in a layer (the counting of Korthikanti et al. 2023, section 4, for T5's gated layer): attention keeps
    4 x width + 8 x inner + 7 x heads x positions attended to, the feed-forward 4 x width + 11 x feed_forward, dropout
    masks 2 x width; a decoder's cross-attention as much as attention again, and 4 x inner a source token. With
    checkpointing a layer keeps its input, 2 x width, and one layer at a time is whole.

    Args:
        shape: the model's.
        batch: inputs at once on a device.
        tokens: of an input.
        target_tokens: of a target; each with its row of logits (bf16, float32 and its gradient: 10 bytes).
        checkpointing: are activations recomputed?
    """

    def layer(length: int, attends: int) -> float:
        attention = 4 * shape.width + 8 * shape.inner + 7 * shape.heads * attends
        return length * (attention + 6 * shape.width + 11 * shape.feed_forward)

    one = layer(tokens, tokens)
    cross = target_tokens * (4 * shape.width + 8 * shape.inner + 7 * shape.heads * tokens) + tokens * 4 * shape.inner
    two = (layer(target_tokens, target_tokens) + cross) if shape.decoder else 0.0
    kept = shape.encoder * one + shape.decoder * two
    if checkpointing:
        kept = 2 * shape.width * (shape.encoder * tokens + shape.decoder * target_tokens) + max(one, two)
    logits = 10 * target_tokens * shape.vocabulary if shape.decoder else 0
    return batch * (kept + logits)


def adapters(shape: Shape, rank: int) -> int:
    """Return the parameters of LoRA's adapters on all queries and values (Hu et al. 2022, section 4.2)."""
    return (shape.encoder + 2 * shape.decoder) * 2 * rank * (shape.width + shape.inner)


def reckon(
    parameters: float, shape: Shape, setup: Setup, batch: int, tokens: int, target_tokens: int, checkpointing: bool
) -> Memory:
    """Return what a training run holds.

    Args:
        parameters: all of the model.
        shape: its sizes.
        setup: the machines and the strategy.
        batch: inputs at once on a device.
        tokens: of an input, at most.
        target_tokens: of a target.
        checkpointing: are activations recomputed?
    """
    acts = activations(shape, batch, tokens, target_tokens, checkpointing)
    a_node = setup.devices // setup.nodes
    if setup.strategy == "zero3":
        share = parameters / setup.devices
        # whole tensors: what may be live, or the largest with its gradient before that is shared out
        gathered = max(2 * LIVE, 4 * shape.largest) if setup.devices > 1 else 2 * shape.largest
        if setup.offload:
            # float32 weights, moments and gradients, and the bf16 gradients that arrive from the device
            return Memory(2 * share, 0, 0, gathered, acts, RESERVE, 18 * share * a_node)
        step = 4 * min(share, GROUP)
        # loading holds this rank's range and one tensor, saving one file of weights: small beside the device
        return Memory(2 * share, 2 * share, 12 * share + step, gathered, acts, RESERVE, 2 * share * a_node)
    if setup.strategy == "lora":
        small = adapters(shape, setup.rank)
        share, gathered = parameters, 0.0
        if setup.sharded and setup.devices > 1:
            share, gathered = parameters / setup.devices, max(2 * LIVE, 2 * shape.largest)
        # loaded in bf16, in host memory first
        return Memory(2 * share + 4 * small, 4 * small, 8 * small, gathered, acts, RESERVE, 2 * share * a_node)
    bucket = 4 * parameters if setup.strategy == "ddp" else 0
    # float32 weights are loaded in host memory first
    return Memory(6 * parameters, 4 * parameters + bucket, 8 * parameters, 0, acts, RESERVE, 4 * parameters * a_node)


def tokens_a_second(compute_parameters: float, utilisation: float, setup: Setup) -> float:
    """Return the input tokens that all devices train on in a second.

    6 FLOP a parameter and token, 4 where weights are frozen: their gradients are not computed.

    Args:
        compute_parameters: parameters that each input token passes.
        utilisation: share of the peak that is reached.
        setup: the machines.
    """
    share = OFFLOAD_SHARE if setup.offload else 1.0
    flop = (4 if setup.strategy == "lora" else 6) * compute_parameters
    return setup.devices * setup.tflops * 1e12 * utilisation * share / flop


@dataclass(frozen=True, slots=True)
class Line:
    """A model on some machines.

    Attributes:
        setup: the machines.
        batch: inputs at once on a device, in the largest run.
        memory: what it holds; None where the model's sizes are not known.
        tokens_a_second: over all devices; None without a `cost`.
    """

    setup: Setup
    batch: int
    memory: Memory | None
    tokens_a_second: float | None

    @property
    def fits(self) -> bool | None:
        """Whether a device is large enough; None where that cannot be said."""
        if self.memory is None or self.setup.gigabytes is None:
            return None
        return self.memory.device <= self.setup.gigabytes * 1e9


def own_setup(grid: Grid, model: str) -> Setup:
    """Return the machines that a model's row asks for."""
    row = grid.config.models[model]
    execution, tflops = row.execution, row.cost.device_tflops if row.cost else 0.0
    title = f"this config: {execution.devices} x {execution.strategy}{', offload' if execution.offload else ''}"
    if row.lora is not None:
        sharded = execution.strategy == "zero3"
        nodes, rank = getattr(row.resources, "nodes", 1), row.lora.rank
        return Setup(f"{title}, LoRA", "lora", execution.devices, None, tflops, nodes, rank=rank, sharded=sharded)
    nodes = getattr(row.resources, "nodes", 1)
    return Setup(title, execution.strategy, execution.devices, None, tflops, nodes, execution.offload)


def _trainings(grid: Grid, model: str) -> list[tuple[int, int, int]]:
    """Return (inputs of an example, tokens of an input, batch size) of each task that a model is trained on.

    An encoder with heads reads each choice of a multiple-choice example as an input of its own, all at once.
    """
    config, row = grid.config, grid.config.models[model]
    targets = [name for name in config.targets if not grid.retrieves(name)]
    trained = [(config.targets[name].training, [grid.tasks[name].name]) for name in targets]
    trained += [(config.intermediates[name].training, grid.arm_tasks[name]) for name in config.intermediates]
    found = []
    for last, names in trained:
        training = merged(config.training, row.training, last)
        sizes = (training.max_input_length, training.batch_size)
        found += [(inputs_of_example(row.family, name), *sizes) for name in names]
    return found


def _at_once(trainings: list[tuple[int, int, int]], devices: int, micro: int | None) -> tuple[int, int]:
    """Return (inputs, tokens of an input) that a device holds at once, in the training that holds most."""
    shares = [(inputs, tokens, max(1, batch // devices)) for inputs, tokens, batch in trainings]
    sizes = [(inputs * min(micro or share, share), tokens) for inputs, tokens, share in shares]
    # attention's scores grow with the square of an input's length
    return max(sizes, key=lambda size: (size[0] * size[1], size[1]), default=(0, 0))


def lines(grid: Grid, model: str, setups: tuple[Setup, ...] = SETUPS, target_tokens: int = 16) -> list[Line]:
    """Return a model's row on its own machines and on others.

    Args:
        grid: the expanded config.
        model: a name of `models`.
        setups: other machines.
        target_tokens: of an answer.

    Raises:
        StiltgridError: if the row has no `cost`.
    """
    row = grid.config.models[model]
    if row.cost is None:
        raise StiltgridError(f"models.{model}.cost: missing; memory is reckoned from its parameters (docs/config.md)")
    shape, execution = shape_of(grid, model), row.execution
    trainings = _trainings(grid, model)
    found = []
    for setup in (own_setup(grid, model), *setups):
        batch, longest = _at_once(trainings, max(1, setup.devices), execution.micro_batch_size)
        memory = None
        if shape is not None:
            checkpointing = execution.gradient_checkpointing
            memory = reckon(row.cost.parameters, shape, setup, batch, longest, target_tokens, checkpointing)
        speed = tokens_a_second(row.cost.compute_parameters, row.cost.utilisation, setup)
        found.append(Line(setup, batch, memory, speed))
    return found
