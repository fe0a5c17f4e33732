"""Memory of the features of many rows: encoded a part at a time, as runs do, and all at once.

Sentence pairs of MNLI's lengths (synthetic.py) are encoded for both families, each time by a fresh process. Reported
are resident bytes beyond what the process held before, at the end and at the peak, by token of the inputs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from measure import environment, held, machine, most_held, parser, table, timed
from synthetic import describe, nli_lengths, nli_rows, save_tokenizer

EXAMPLES = """  python benchmarks/encoding.py
  python benchmarks/encoding.py --rows 400000    # as many as MNLI has
"""
TASK = "xglue/xnli"


def encode(family: str, at_once: int, rows: int, folder: Path) -> None:
    """Encode in this process and print tokens, MB held, MB at the peak and CPU seconds.

    Args:
        family: "text2text" or "heads".
        at_once: examples that are encoded together.
        rows: examples in all.
        folder: of the vocabulary.
    """
    from stiltgrid.formulations import features, formulation
    from stiltgrid.tasks.registry import task
    from stiltgrid.tokenization import load_tokens

    features.AT_ONCE = at_once
    setup = features.Setup(load_tokens(folder), {TASK: task(TASK)}, 128)
    examples, module = nli_rows(nli_lengths(rows)[0]), formulation(family)
    module.encode(setup, TASK, examples[:8], True)
    before = held() / 1e6
    found, spent = timed(lambda: module.encode(setup, TASK, examples, True))
    peak = most_held() / 1e6
    tokens = sum(len(feature.input_ids) for feature in found)
    print(tokens, f"{held() / 1e6 - before:.0f}", f"{max(peak - before, 0):.0f}", f"{spent.cpu:.1f}")


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--child", nargs=3, metavar=("FAMILY", "AT_ONCE", "FOLDER"), help="used by the command itself")
    args = options.parse_args()
    if args.child:
        encode(args.child[0], int(args.child[1]), args.rows, Path(args.child[2]))
        return
    from stiltgrid.formulations.features import AT_ONCE

    lines = []
    with tempfile.TemporaryDirectory() as folder:
        save_tokenizer(Path(folder))
        for family in ("text2text", "heads"):
            for name, size in ((f"{AT_ONCE:,} at a time", AT_ONCE), ("all at once", args.rows)):
                command = [sys.executable, __file__, "--rows", str(args.rows), "--child", family, str(size), folder]
                done = subprocess.run(command, env=environment(), text=True, capture_output=True, check=True)
                tokens, kept, peak, cpu = done.stdout.split()
                each = f"{float(kept) / int(tokens) * 1e6:.0f}"
                lines.append([f"{family}, {name}", f"{int(tokens):,}", kept, each, peak, cpu])
    print(machine("tokenizers"), end="\n\n")
    print(table(["path", "tokens", "held MB", "bytes a token", "peak MB", "CPU s"], lines))
    print(f"\n{args.rows:,} pairs: {describe(nli_lengths(args.rows)[0])}.")


if __name__ == "__main__":
    main()
