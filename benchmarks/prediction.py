"""Prediction speed: examples a CPU second of label scoring, against greedy `generate()` on the same model and rows.

An mT5 with mT5's full vocabulary (250,112 rows; width 256, 4 + 4 layers, random, untied), one thread, batches of 32:

A. generate(), greedy, 2 new tokens (label and end of sequence), inputs padded to the maximum length (128);
B. the same, inputs padded to the longest of each batch, rows in their order;
C. this package's prediction, float32: longest first, one encoding, one decoder step, the labels' output rows alone;
D. the same in bf16;
E. as B in bf16;
and for tagging
T. generate() of one token a word, padded to the longest of each batch;
U. this package's one pass with a sentinel a word, float32.

Checked in the run: greedy generation restricted to the labels' tokens gives the label that scoring gives, on every
row. The output rows of the labels are raised along the mean decoder state, as fine-tuning would, so that unrestricted
greedy generation too answers with a label; its agreement is printed. Tags are not compared: the two decoders read
different inputs, and only training would make them agree.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measure import Seconds, machine, medians, parser, ratio, spread, table, timed
from synthetic import LONGEST, describe, nli_lengths, nli_rows, pretrained, tagged_rows

EXAMPLES = """  python benchmarks/prediction.py
  python benchmarks/prediction.py --rows 512 --repeats 5
"""
BATCH = 32
VOCABULARY = 250_112
NAMES = {
    "A": "generate(), padded to 128",
    "B": "generate(), dynamic padding",
    "C": "stiltgrid, label scoring, float32",
    "D": "stiltgrid, label scoring, bf16",
    "E": "generate(), dynamic padding, bf16",
    "T": "tagging: generate(), dynamic padding",
    "U": "tagging: stiltgrid, one pass, float32",
}


def raise_labels(setup: Any, model: Any, features: Sequence[Any]) -> None:
    """Make greedy generation answer with a label: lift the labels' output rows along the mean first decoder state."""
    import torch

    from stiltgrid.formulations import text2text
    from stiltgrid.formulations.text2text.labels import targets

    with torch.no_grad():
        batch = text2text.collate(setup, features)
        encoded = model.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]
        states = model.decode(batch["decoder_input_ids"][:, :1], encoded, batch["attention_mask"])[:, 0]
        mean, best = states.mean(0), model.lm_head(states).amax()
        for i, ids in enumerate(targets(setup, next(iter(setup.rows.values())))):
            # half above the best of all other tokens at the mean state; what sets rows apart decides among the labels
            lift = 1.5 * best * mean / mean.dot(mean)
            model.lm_head.weight[ids[0]] = lift + (states[i] - mean)


def generated(
    setup: Any,
    model: Any,
    features: Sequence[Any],
    width: int | None = None,
    tokens: int | None = None,
    allowed: list[int] | None = None,
) -> list[list[int]]:
    """Answer by greedy generation, in the order of the rows.

    Args:
        setup: of the formulation.
        model: the mT5.
        features: inputs.
        width: pad every input to it; None: to the longest of its batch.
        tokens: new tokens; None: exactly the batch's most words.
        allowed: the only ids of the first new token; None: any.

    Returns:
        New token ids of each input.
    """
    import torch

    answers: list[list[int]] = []
    for start in range(0, len(features), BATCH):
        batch = features[start : start + BATCH]
        longest = width or max(len(f.input_ids) for f in batch)
        ids = torch.full((len(batch), longest), setup.tokens.pad)
        for i, feature in enumerate(batch):
            ids[i, : len(feature.input_ids)] = torch.tensor(feature.input_ids)
        number = tokens or max(f.units for f in batch)
        limits: dict[str, Any] = {}
        if allowed is not None:
            limits["prefix_allowed_tokens_fn"] = lambda _, said: allowed if len(said) == 1 else [setup.tokens.end]
        if tokens is None:
            limits["min_new_tokens"] = number
        out = model.generate(
            input_ids=ids,
            attention_mask=(ids != setup.tokens.pad).long(),
            max_new_tokens=number,
            do_sample=False,
            num_beams=1,
            **limits,
        )
        answers += out[:, 1:].tolist()
    return answers


def main() -> None:
    """Run the repeats, check agreement, print the table."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--rows", type=int, default=256, help="classification rows (default 256)")
    options.add_argument("--sentences", type=int, default=64, help="tagging sentences; 0: none (default 64)")
    options.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    options.add_argument("--vocabulary", type=int, default=VOCABULARY, help="rows of the output matrix (default mT5's)")
    args = options.parse_args()

    import torch
    from transformers.utils import logging

    from stiltgrid.formulations import text2text
    from stiltgrid.formulations.features import Setup
    from stiltgrid.formulations.text2text.labels import targets
    from stiltgrid.models import load_text2text
    from stiltgrid.predict import answer
    from stiltgrid.tasks.registry import task
    from stiltgrid.tokenization import load_tokens
    from stiltgrid.training.precision import autocast

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    lengths, origin = nli_lengths(args.rows)
    examples, sentences = nli_rows(lengths), tagged_rows(args.sentences)
    with tempfile.TemporaryDirectory() as made:
        source = pretrained(Path(made), rows=args.vocabulary)
        model = load_text2text(source).eval()
        tokens = load_tokens(source)
    setup = Setup(tokens, {"xglue/xnli": task("xglue/xnli")}, LONGEST, 0)
    tagging = Setup(tokens, {"xglue/pos": task("xglue/pos")}, LONGEST, 0)
    features = text2text.encode(setup, "xglue/xnli", examples, False)
    windows = text2text.encode(tagging, "xglue/pos", sentences, False)
    assert len(windows) == len(sentences)
    raise_labels(setup, model, features[: 2 * BATCH])

    def scored(precision: str) -> list[str | None]:
        said = answer(text2text, setup, model, "xglue/xnli", examples, BATCH, precision)
        return [p.label for p in said]

    def in_bf16() -> list[list[int]]:
        with autocast("bf16", "cpu"):
            return generated(setup, model, text2text.encode(setup, "xglue/xnli", examples, False), None, 2)

    work: dict[str, Callable[[], Any]] = {
        # encoding the texts is part of prediction, so each path does it
        "A": lambda: generated(setup, model, text2text.encode(setup, "xglue/xnli", examples, False), LONGEST, 2),
        "B": lambda: generated(setup, model, text2text.encode(setup, "xglue/xnli", examples, False), None, 2),
        "C": lambda: scored("fp32"),
        "D": lambda: scored("bf16"),
        "E": in_bf16,
    }
    if args.sentences:
        work["T"] = lambda: generated(tagging, model, text2text.encode(tagging, "xglue/pos", sentences, False))
        work["U"] = lambda: answer(text2text, tagging, model, "xglue/pos", sentences, BATCH, "fp32")
    runs: dict[str, list[Seconds]] = {name: [] for name in work}
    said: dict[str, Any] = {}
    for repeat in range(args.repeats):
        for name, job in work.items():
            said[name], seconds = timed(job)
            runs[name].append(seconds)
            print(f"repeat {repeat + 1}, {NAMES[name]}: {seconds.cpu:.2f} CPU s", flush=True)

    lines = []
    for name, found in runs.items():
        number, base = (len(sentences), "T") if name in "TU" else (len(examples), "B")
        ratios = ["" if name in "TU" else f"{ratio(runs['A'], found):.2f}", f"{ratio(runs[base], found):.2f}"]
        rates = [f"{number / seconds:.1f}" for seconds in medians(found)]
        lines.append([NAMES[name], rates[0], spread([number / s.cpu for s in found]), rates[1], *ratios])
    print(f"\n{args.rows} rows ({origin}): {describe(lengths)}")
    print(f"vocabulary {args.vocabulary}, batches of {BATCH}, one thread")
    if args.sentences:
        print(f"{args.sentences} sentences of {describe([f.units for f in windows])} words")
    header = ["path", "examples / CPU s", "lowest to highest", "/ wall s", "ratio to padded", "ratio to dynamic"]
    print("\n" + table(header, lines) + "\n")

    names = list(task("xglue/xnli").labels)
    label_of = {ids[0]: name for ids, name in zip(targets(setup, task("xglue/xnli")), names, strict=True)}
    restricted = [label_of[ids[0]] for ids in generated(setup, model, features, None, 2, list(label_of))]
    counts = {name: restricted.count(name) for name in names}
    for what, labels in (
        ("greedy generation restricted to the labels", restricted),
        ("unrestricted greedy generation", [label_of.get(ids[0]) for ids in said["B"]]),
        ("label scoring in bf16", said["D"]),
    ):
        same = sum(a == b for a, b in zip(labels, said["C"], strict=True))
        print(f"label scoring in float32 agrees with {what} on {same} of {len(labels)} rows")
    print(f"labels chosen: {counts}")
    print(f"\n{machine('torch', 'transformers', 'stiltgrid')}")


if __name__ == "__main__":
    main()
