"""Tiny mT5-like models that transfer: the miniature's phase (i).

A model of under a million parameters learns no alignment of languages from gradient steps within a minute, so the
embeddings come from co-occurrence (`stiltgrid.demo.alignment`), attention starts as a comparison of words, and a
short pretraining (span corruption on parallel text, translation, code-switched denoising) joins the parts. No task
label occurs in it.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stiltgrid.demo import lexicon as lx
from stiltgrid.demo.alignment import ParallelText, cooccurrence, embeddings
from stiltgrid.demo.corpus import text_pool
from stiltgrid.demo.vocabulary import SENTINELS, save_tokenizer


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of a model and the length of its pretraining."""

    d_model: int
    d_kv: int
    d_ff: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    steps: int
    batch_size: int = 64
    learning_rate: float = 5e-4  # more of it, or longer, unlearns the initial comparison of words
    scenes: int = 4000
    aligned_dimensions: int = 64  # of d_model; the rest is left free


SHAPES = {
    "base": Shape(d_model=128, d_kv=32, d_ff=256, heads=4, encoder_layers=2, decoder_layers=1, steps=120),
    "xxl": Shape(d_model=192, d_kv=32, d_ff=384, heads=6, encoder_layers=3, decoder_layers=1, steps=120),
}

# what a pretraining example is, and how often (training.md section 7)
MIXTURE = {"word": 0.1, "parallel": 0.3, "translation": 0.4, "denoising": 0.2}

COPIED = 1.0  # weight of a neighbour's copy
SUBTRACTED = 0.7  # share of the equal word that is subtracted


def _corrupt(words: Sequence[int], sentinels: Sequence[int], rng: random.Random, spans: int) -> tuple[list, list]:
    """Replace `spans` spans of one or two words by sentinels; return the source and the target."""
    starts = sorted(rng.sample(range(len(words)), min(spans, len(words))))
    source, target, at = [], [], 0
    for n, start in enumerate(starts):
        if start < at:
            continue
        stop = min(start + rng.choice((1, 1, 2)), len(words))
        source += [*words[at:start], sentinels[n]]
        target += [sentinels[n], *words[start:stop]]
        at = stop
    return source + list(words[at:]), target


def pretraining_examples(text: ParallelText, rng: random.Random) -> Iterator[tuple[list[int], list[int]]]:
    """Yield (source, target) piece ids without end, `</s>` included."""
    ids = text.ids
    sentinels = [ids[f"<extra_id_{i}>"] for i in range(SENTINELS)]
    names, weights = list(MIXTURE), list(MIXTURE.values())
    while True:
        index = rng.randrange(len(text.sentences))
        first, second = rng.sample(lx.LANGUAGES, 2)
        task = rng.choices(names, weights)[0]
        if task == "word":
            sides = text.aligned[index]
            shared = [key for key in sides[first] if key is not None and key in sides[second]]
            chosen = rng.sample(shared, min(3, len(shared)))
            source = [ids[f"▁{second}"], *(sides[first][key] for key in chosen)]
            target = [sides[second][key] for key in chosen]
        elif task == "parallel":
            pair = text.sentences[index][first] + text.sentences[index][second]
            source, target = _corrupt(pair, sentinels, rng, 4)
        elif task == "translation":
            source = [ids[f"▁{second}"], *text.switched(index, first, rng, 0.4)]
            target = text.sentences[index][second]
        else:
            source, target = _corrupt(text.switched(index, first, rng, 0.4), sentinels, rng, 3)
        yield [*source, 1], [*target, 1]


def _initialise(model: Any, vectors: np.ndarray, axes: np.ndarray, rank: int) -> None:
    """Set the embeddings, the head, and attention that compares two sentences (mimetic, Trockman & Kolter 2023).

    From random numbers, comparing words costs hundreds of steps before the loss moves. So half of the heads start as
    seekers of the equal word elsewhere; one head each copies the next and the previous word into the directions that
    embeddings leave free; in the last encoder layer the seekers subtract what they find, so that a word without its
    equal, or in other company, stands out. All of it is only a start, and is trained.

    Args:
        model: the model.
        vectors: pieces x d_model.
        axes: d_model x d_model, orthonormal rows; the first `rank` span the embeddings, the others are free.
        rank: dimensions of the embeddings.
    """
    import torch

    with torch.no_grad():
        table = torch.from_numpy(vectors)
        model.shared.weight.copy_(table)
        model.lm_head.weight.copy_(table / table.shape[1] ** 0.5)
        size, heads = model.config.d_kv, model.config.num_heads
        content = torch.from_numpy(axes[:rank]).float()
        free = torch.from_numpy(axes[rank:]).float()
        seekers = heads // 2

        def rows(head: int) -> slice:
            return slice(head * size, (head + 1) * size)

        def some(space: Any, start: int) -> Any:
            return space[[(start + i) % len(space) for i in range(size)]]

        for stack in (model.encoder, model.decoder):
            for block in stack.block:
                for layer in block.layer[:-1]:
                    attention = layer.SelfAttention if hasattr(layer, "SelfAttention") else layer.EncDecAttention
                    for head in range(seekers):
                        equal = some(content, head * size) * (8 / size) ** 0.5 / 2**0.5
                        attention.q.weight[rows(head)] = equal
                        attention.k.weight[rows(head)] = equal
        first = model.encoder.block[0].layer[0].SelfAttention
        for n, head in enumerate((seekers, seekers + 1)):
            first.v.weight[rows(head)] = some(content, n * size)
            first.o.weight[:, rows(head)] = COPIED * some(free, n * size).T
        last = model.encoder.block[-1].layer[0].SelfAttention
        for head in range(seekers):
            for part in (last.q, last.k):  # by now the word shares its state with its neighbours' copies
                part.weight[rows(head)] *= 2**0.5
            compared = some(content, 0) if head == 0 else some(free, size // 2)
            last.v.weight[rows(head)] = compared
            last.o.weight[:, rows(head)] = -SUBTRACTED * compared.T
        # one bias table serves every layer
        bias = first.relative_attention_bias.weight
        after = model.config.relative_attention_num_buckets // 2
        bias[0, :seekers] = -4.0
        bias[after + 1, seekers] = 5.0
        bias[1, seekers + 1] = 5.0


def make(size: str, ids: dict[str, int], vectors: np.ndarray, axes: np.ndarray, seed: int) -> Any:
    """Return the untrained model of a size with these embeddings, its head untied."""
    import torch
    from transformers import MT5Config

    from stiltgrid.models import UntiedMT5

    shape = SHAPES[size]
    torch.manual_seed(seed)
    config = MT5Config(
        vocab_size=len(ids),
        d_model=shape.d_model,
        d_kv=shape.d_kv,
        d_ff=shape.d_ff,
        num_heads=shape.heads,
        num_layers=shape.encoder_layers,
        num_decoder_layers=shape.decoder_layers,
        dropout_rate=0.0,
        relative_attention_max_distance=64,
        feed_forward_proj="gated-silu",  # a third cheaper here than mT5's gelu, which is eight passes over memory
    )
    # eager attention: at this size the fused kernels cost more than they save
    config._attn_implementation = "eager"
    model = UntiedMT5(config)
    _initialise(model, vectors, axes, shape.aligned_dimensions)
    return model


def pretrain(model: Any, text: ParallelText, shape: Shape, seed: int, progress: Callable[[str], None]) -> float:
    """Train on the pretraining mixture with the embeddings frozen; return the mean loss of the last fifty steps."""
    import torch

    examples = pretraining_examples(text, random.Random(f"{seed}/pretraining"))
    model.shared.weight.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=shape.learning_rate, weight_decay=0.01)
    warmup = shape.steps // 10
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warmup, (shape.steps - s) / (shape.steps - warmup))
    )
    model.train()
    losses: list[float] = []
    # the order of sums, hence the weights, must not depend on the machine's number of cores
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    batches: list[list[tuple[list[int], list[int]]]] = []
    order = random.Random(f"{seed}/order")
    for step in range(shape.steps):
        if not batches:
            # twenty batches at a time, sorted by length: half the padding
            chunk = sorted((next(examples) for _ in range(20 * shape.batch_size)), key=lambda e: len(e[0]) + len(e[1]))
            batches = [chunk[i : i + shape.batch_size] for i in range(0, len(chunk), shape.batch_size)]
            order.shuffle(batches)
        batch = batches.pop()
        source, target = (_padded([pair[side] for pair in batch]) for side in (0, 1))
        labels = torch.where(target == 0, -100, target)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=source, attention_mask=(source != 0).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            progress(f"pretraining step {step + 1}/{shape.steps}, loss {sum(losses[-50:]) / 50:.2f}")
    torch.set_num_threads(threads)
    model.shared.weight.requires_grad_(True)
    return sum(losses[-50:]) / len(losses[-50:])


def _padded(rows: Sequence[Sequence[int]]) -> Any:
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])


def build(folder: Path | str, *, size: str, seed: int = 0, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """Build, pretrain and save one tiny model with its tokenizer.

    Args:
        folder: receives `config.json`, `model.safetensors` and the tokenizer's files.
        size: "base" or "xxl" (a stand-in for the larger model: more of everything).
        seed: of the text, the initialisation and the batches.
        progress: told a line now and then.

    Returns:
        `parameters`, `vocabulary`, `loss` (mean of the last fifty steps), `seconds`.
    """
    started = time.perf_counter()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shape = SHAPES[size]
    ids = save_tokenizer(folder)
    text = ParallelText(text_pool(random.Random(f"{seed}/text"), shape.scenes), ids)
    counts = cooccurrence(text, random.Random(f"{seed}/switching"), len(ids))
    vectors, axes = embeddings(counts, shape.d_model, shape.aligned_dimensions, np.random.default_rng(seed))
    progress(f"{size}: embeddings of {len(ids)} pieces after {time.perf_counter() - started:.1f} s")
    model = make(size, ids, vectors, axes, seed)
    loss = pretrain(model, text, shape, seed, progress)
    model.save_pretrained(str(folder))
    (folder / "model.safetensors").chmod(0o644)  # the library writes 0600, which locks colleagues out
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(ids),
        "loss": loss,
        "seconds": time.perf_counter() - started,
    }
