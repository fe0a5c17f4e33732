"""Training speed: real input tokens a CPU second, against transformers' own Seq2SeqTrainer on the same rows.

One small mT5 (random, untied, vocabulary 8,000) is trained on the same rows, one epoch, batches of 32, one thread, by

A. Seq2SeqTrainer, every input padded to the maximum length (128);
B. Seq2SeqTrainer as it comes: random order, padding to the longest row of a batch;
C. this package's run (stiltgrid.training.fit), float32;
D. the same in bf16, which `precision: auto` chooses on a CPU with bf16 instructions;
and, where asked for with --only,
L. as A by DataCollatorForSeq2Seq(padding="max_length"), which pads the two-token labels to 128 as well (slow);
E. as B with the Trainer's own bf16.

The order is A B C D A B C D ..., so that a busy neighbour slows all of them; medians, ratios within a repeat. Timed is
the call of the Trainer's train() alone, in each case. Real tokens are input tokens that are not padding. Row lengths
are MNLI's where STILTGRID_REAL_DATA names a folder with its rows, else a log-normal like it; the words are made up.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measure import Seconds, machine, medians, parser, ratio, spread, table, timed
from synthetic import LONGEST, describe, nli_lengths, nli_rows, pretrained

from stiltgrid.recipes import formulation_of

EXAMPLES = """  python benchmarks/training.py
  python benchmarks/training.py --rows 640 --repeats 5 --only B E C D
  python benchmarks/training.py --rows 64 --only L A B
"""
BATCH = 32
NAMES = {
    "A": "Seq2SeqTrainer, padded to 128",
    "B": "Seq2SeqTrainer, dynamic padding (its default)",
    "C": "stiltgrid, float32",
    "D": "stiltgrid, bf16",
    "L": "Seq2SeqTrainer, padded to 128, labels too",
    "E": "Seq2SeqTrainer, dynamic padding, bf16",
}
DEFAULT = ["A", "B", "C", "D"]


def recipe(precision: str, steps: int) -> dict[str, Any]:
    """Return a recipe of one epoch with the plain Trainer's own hyperparameters."""
    return {
        "version": 1,
        "phase": "target",
        "model": {"name": "random", "family": "text2text", "pooling": "first", "freeze": "none"},
        "tasks": ["xglue/xnli"],
        "formulation": formulation_of(["xglue/xnli"]),
        "mixing": "proportional",
        "training": {
            "optimizer": "adamw",
            "learning_rate": 1e-4,
            "schedule": "linear",
            "warmup_ratio": 0.0,
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "batch_size": BATCH,
            "epochs": None,
            "max_steps": steps,
            "max_input_length": LONGEST,
            "train_examples": None,
            "dev_examples": None,
            "selection": "last_step",
            "evaluations": 0,
            "patience": None,
            "precision": precision,
            "dropout": None,
        },
        "seed": 1,
    }


def ours(folder: Path, files: dict[str, list[str]], steps: int, precision: str) -> Seconds:
    """Train by this package's normal entry; return the time of its Trainer's train()."""
    from stiltgrid.training import fit as module

    found: list[Seconds] = []

    class Timed(module.GridTrainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            result, seconds = timed(lambda: super(Timed, self).train(*args, **kwargs))
            found.append(seconds)
            return result

    original, module.GridTrainer = module.GridTrainer, Timed
    try:
        with tempfile.TemporaryDirectory() as out:
            execution = {"strategy": "single", "devices": 1}
            made = module.fit(recipe(precision, steps), {"xglue/xnli": files}, folder, folder, Path(out), execution)
    finally:
        module.GridTrainer = original
    assert made["counts"]["steps"] == steps
    return found[0]


def plain(
    folder: Path, rows: Sequence[dict[str, list[int]]], steps: int, padding: str = "longest", bf16: bool = False
) -> Seconds:
    """Train with transformers' Seq2SeqTrainer and collator; return the time of train()."""
    import torch
    from tokenizers import Tokenizer
    from transformers import (
        DataCollatorForSeq2Seq,
        MT5ForConditionalGeneration,
        PreTrainedTokenizerFast,
        PrinterCallback,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
    )

    backend = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    model = MT5ForConditionalGeneration.from_pretrained(folder / "model")
    assert model.lm_head.weight is not model.shared.weight
    with tempfile.TemporaryDirectory() as out:
        arguments = Seq2SeqTrainingArguments(
            output_dir=out,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=1e-4,
            seed=1,
            use_cpu=True,
            bf16=bf16,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            log_level="error",
            dataloader_pin_memory=False,
        )
        collator = DataCollatorForSeq2Seq(tokenizer, model=model, padding=padding, max_length=LONGEST)
        trainer = Seq2SeqTrainer(model=model, args=arguments, train_dataset=list(rows), data_collator=collator)
        trainer.remove_callback(PrinterCallback)  # it prints where bars are off
        torch.manual_seed(1)
        _, seconds = timed(trainer.train)
    assert trainer.state.global_step == steps
    return seconds


def plain_row(ids: list[int], labels: list[int], width: int, pad: int) -> dict[str, list[int]]:
    """Return a row as transformers' collator takes it, padded to a width if that is longer."""
    left = max(0, width - len(ids))
    return {"input_ids": ids + [pad] * left, "attention_mask": [1] * len(ids) + [0] * left, "labels": labels}


def padded_share(lengths: Sequence[int], name: str) -> float:
    """Return padded over real input tokens of one epoch, by the row's letter."""
    import numpy as np

    from stiltgrid.batching import epoch_batches, padded

    if name in "AL":
        return LONGEST * len(lengths) / sum(lengths)
    if name in "BE":
        order = np.random.default_rng(0).permutation(len(lengths)).tolist()
        cut = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        return sum(max(lengths[i] for i in b) * len(b) for b in cut) / sum(lengths)
    return sum(padded(max(lengths[i] for i in b)) * len(b) for b in epoch_batches(lengths, BATCH, 1, 0)) / sum(lengths)


def main() -> None:
    """Run the repeats and print the table."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--rows", type=int, default=320, help="training rows, a multiple of 32 (default 320)")
    options.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    options.add_argument("--only", nargs="+", choices=list(NAMES), default=DEFAULT, help="default A B C D")
    args = options.parse_args()
    if args.rows % BATCH:
        options.error(f"--rows {args.rows} is not a multiple of {BATCH}")

    import torch
    from transformers.utils import logging

    from stiltgrid.examples import write_examples
    from stiltgrid.formulations import text2text
    from stiltgrid.formulations.features import Setup
    from stiltgrid.tasks.registry import task
    from stiltgrid.tokenization import load_tokens
    from stiltgrid.training.precision import resolve

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    lengths, origin = nli_lengths(args.rows)
    examples = nli_rows(lengths)
    steps = args.rows // BATCH
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        pretrained(folder)
        files = {"train": [str(folder / "train.en.parquet")], "dev": [str(folder / "dev.en.parquet")]}
        write_examples(files["train"][0], examples, {})
        write_examples(files["dev"][0], examples[:1], {})
        row = task("xglue/xnli")
        setup = Setup(load_tokens(folder / "model"), {row.name: row}, LONGEST, 0)
        features = text2text.encode(setup, row.name, examples, True)
        assert [len(f.input_ids) for f in features] == lengths
        rows = [plain_row(f.input_ids, f.labels, 0, setup.tokens.pad) for f in features]
        wide = [plain_row(f.input_ids, f.labels, LONGEST, setup.tokens.pad) for f in features]
        work: dict[str, Callable[[], Seconds]] = {
            "A": lambda: plain(folder, wide, steps),
            "B": lambda: plain(folder, rows, steps),
            "C": lambda: ours(folder, files, steps, "fp32"),
            "D": lambda: ours(folder, files, steps, "bf16"),
            "L": lambda: plain(folder, rows, steps, "max_length"),
            "E": lambda: plain(folder, rows, steps, bf16=True),
        }
        runs: dict[str, list[Seconds]] = {name: [] for name in args.only}
        for repeat in range(args.repeats):
            for name in args.only:
                runs[name].append(work[name]())
                print(f"repeat {repeat + 1}, {NAMES[name]}: {runs[name][-1].cpu:.2f} CPU s", flush=True)
    tokens = sum(lengths)
    rate = {name: tokens / medians(found).cpu for name, found in runs.items()}
    lines = []
    for name, found in runs.items():
        ratios = [f"{ratio(runs[base], found):.2f}" if base in runs else "" for base in ("A", "B")]
        each = spread([tokens / s.cpu for s in found])
        wall = f"{tokens / medians(found).wall:.0f}"
        lines.append([NAMES[name], f"{rate[name]:.0f}", each, wall, f"{padded_share(lengths, name):.2f}", *ratios])
    print(f"\n{args.rows} rows ({origin}): {describe(lengths)}")
    print(f"{tokens} real tokens, {steps} steps of {BATCH}, one thread; `precision: auto` is {resolve('auto')} here\n")
    header = ["path", "real tokens / CPU s", "lowest to highest", "/ wall s", "padded / real", "ratio to A", "to B"]
    print(table(header, lines))
    print(f"\n{machine('torch', 'transformers', 'stiltgrid')}")


if __name__ == "__main__":
    main()
