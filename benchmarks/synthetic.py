"""The benchmarks' model and rows: a small mT5 of random weights, one piece a word, input lengths as MNLI has them."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stiltgrid.examples import Example
from stiltgrid.pretrained import prepare
from stiltgrid.tasks.registry import task

PIECES = 8000
MEAN, P95, LONGEST = 47, 94, 128
"""Input tokens of an MNLI row: mean, 95th percentile, and where inputs are cut here."""


def nli_lengths(number: int, seed: int = 0) -> tuple[list[int], str]:
    """Draw input lengths as MNLI has them.

    Args:
        number: rows.
        seed: of the draw.

    Returns:
        Tokens of each input (at least 8, at most `LONGEST`), and where they come from: real MNLI rows where the
        environment names them (STILTGRID_REAL_DATA), else a log-normal of the same mean and 95th percentile.
    """
    rng = random.Random(seed)
    root = os.environ.get("STILTGRID_REAL_DATA")
    file = Path(root or "", "data/mnli/xnli_extension/multinli.train.en.tsv")
    vocabulary = Path(root or "", "models/multilingual-e5-small/tokenizer.json")
    if root and file.is_file() and vocabulary.is_file():
        from tokenizers import Tokenizer

        rows = [line.split("\t")[:2] for line in file.read_text(encoding="utf-8").splitlines()[1:5001]]
        texts = [f"xnli premise: {premise} hypothesis: {hypothesis}" for premise, hypothesis in rows]
        backend = Tokenizer.from_file(str(vocabulary))
        backend.no_truncation()
        backend.no_padding()
        pool = [len(e.ids) for e in backend.encode_batch_fast(texts)]
        lengths, origin = rng.choices(pool, k=number), f"{len(rows)} real MNLI rows"
    else:
        # exp(mu + s^2 / 2) = 47 and exp(mu + 1.645 s) = 94
        lengths, origin = [round(rng.lognormvariate(3.727, 0.496)) for _ in range(number)], "log-normal"
    return [min(max(length, 8), LONGEST) for length in lengths], origin


def describe(lengths: Sequence[int]) -> str:
    """Return the mean, 95th percentile and maximum of some lengths as text."""
    ordered = sorted(lengths)
    high = ordered[int(0.95 * (len(ordered) - 1))]
    return f"mean {sum(ordered) / len(ordered):.1f}, p95 {high}, longest {ordered[-1]}"


def nli_rows(lengths: Sequence[int], seed: int = 0) -> list[Example]:
    """Return sentence pairs whose text2text inputs have exactly these lengths, two thirds of each its premise."""
    rng = random.Random(seed)
    labels = list(task("xglue/xnli").labels)
    rows = []
    for i, length in enumerate(lengths):
        words = [f"w{rng.randrange(PIECES // 2)}" for _ in range(length - 4)]  # 3 pieces of prompt, end of sequence
        cut = len(words) * 2 // 3
        fields = {"premise": " ".join(words[:cut]), "hypothesis": " ".join(words[cut:])}
        rows.append(Example(str(i), str(i), fields, rng.choice(labels)))
    return rows


def tagged_rows(number: int, seed: int = 0) -> list[Example]:
    """Return sentences of 5 to 45 words, about as long as UD's, with random tags."""
    rng = random.Random(seed)
    tags = list(task("xglue/pos").labels)
    rows = []
    for i in range(number):
        size = min(max(round(rng.lognormvariate(2.8, 0.5)), 5), 45)
        words = tuple(f"w{rng.randrange(PIECES // 2)}" for _ in range(size))
        rows.append(Example(str(i), str(i), words=words, tags=tuple(rng.choices(tags, k=size))))
    return rows


def save_tokenizer(folder: Path) -> None:
    """Write a vocabulary of 8,000 whole words: prompts, verbalisers, sentinels and made-up words."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    sentinels = [f"<extra_id_{i}>" for i in range(100)]
    words = ["<pad>", "</s>", "<unk>", "xnli", "pos", "premise:", "hypothesis:"]
    words += [text for name in ("xglue/xnli", "xglue/pos") for text in task(name).labels.values()]
    words += [f"w{i}" for i in range(PIECES)]
    pieces = list(dict.fromkeys(words))[: PIECES - len(sentinels)] + sentinels
    backend = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens([AddedToken(s, normalized=False) for s in ("<pad>", "</s>", "<unk>", *sentinels)])
    backend.save(str(folder / "tokenizer.json"))


def pretrained(folder: Path, rows: int = PIECES, width: int = 256, layers: int = 4) -> Path:
    """Write a pretrained directory: a random mT5 whose output matrix is its own, its vocabulary, its manifest.

    Args:
        folder: is created.
        rows: of the embedding and of the output matrix (mT5: 250,112).
        width: d_model.
        layers: of the encoder, and as many of the decoder.

    Returns:
        The Hugging Face folder.
    """
    import torch
    from transformers import MT5Config

    from stiltgrid.models import UntiedMT5, save_model

    torch.manual_seed(0)
    sizes = {"d_model": width, "d_kv": 64, "d_ff": 4 * width, "num_heads": width // 64}
    config: Any = MT5Config(
        vocab_size=rows, num_layers=layers, num_decoder_layers=layers, decoder_start_token_id=0, **sizes
    )
    model = UntiedMT5(config)
    save_model(model, folder / "model")
    save_tokenizer(folder / "model")
    prepare(str((folder / "model").resolve()), None, "text2text", folder / "manifest.json")
    return folder / "model"
