"""Fixed cost of a job: what train.py, predict.py and score.py take when there is almost nothing to do.

A throw-away grid of one tiny mT5 (0.5 million weights) and 64 NLI rows a split is made in a temporary folder, and the
workflow's own scripts run on it as Snakemake runs them: one training step, two languages predicted, two scored.
Printed are medians of several runs, and what the imports of one run of each cost, by package
(python -X importtime, which by itself adds about a tenth).
"""

import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from measure import CHECKOUT, Seconds, environment, machine, medians, parser, table, timed_command
from synthetic import nli_lengths, nli_rows, pretrained

EXAMPLES = """  python benchmarks/fixed_cost.py
  python benchmarks/fixed_cost.py --repeats 9 --top 25
"""
RUN = ["--model", "tiny", "--intermediate", "none", "--target", "xnli", "--seed", "1"]
CONFIG = """
grid: cost
seeds: 1
training: {max_steps: 1, epochs: null, batch_size: 32, evaluations: 0, selection: last_step, max_input_length: 128}
models:
  tiny: {source: ./tiny, execution: {threads: 1}}
intermediates:
  none: {}
targets:
  xnli: {task: xglue/xnli, languages: [en, de]}
"""


def make_grid(folder: Path) -> tuple[Any, Any]:
    """Write the grid's config, data and pretrained model; return the grid and its one run."""
    from stiltgrid.config import load
    from stiltgrid.examples import write_examples
    from stiltgrid.grid import Grid, Run

    (folder / "config.yaml").write_text(CONFIG)
    grid = Grid(load(folder / "config.yaml"))
    rows = nli_rows(nli_lengths(64)[0])
    files = [f for splits in grid.training_files("none", "xnli").values() for names in splits.values() for f in names]
    for file in {*files, *(grid.evaluation("xnli", language) for language in grid.languages("xnli"))}:
        write_examples(folder / grid.paths.data(file), rows, file._asdict())
    pretrained((folder / grid.paths.pretrained("tiny")).parent, rows=8000, width=64, layers=2)
    return grid, Run("tiny", "none", "xnli", 1)


def by_package(log: str) -> Counter[str]:
    """Sum the self times of `python -X importtime`, in seconds.

    Args:
        log: its output, among other lines.

    Returns:
        Seconds by package; of torch and transformers by their first subpackage too, e.g. `torch._dynamo`.
    """
    seconds: Counter[str] = Counter()
    for found in re.finditer(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", log, re.MULTILINE):
        parts = found[2].split(".")
        deep = parts[0] in ("torch", "transformers") and len(parts) > 1
        seconds[".".join(parts[:2]) if deep else parts[0]] += int(found[1]) / 1e6
    return seconds


def main() -> None:
    """Run each script several times and print the tables."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--repeats", type=int, default=5, help="runs of each script (default 5)")
    options.add_argument("--top", type=int, default=12, help="packages listed (default 12)")
    args = options.parse_args()
    runs: dict[str, list[Seconds]] = {name: [] for name in ("train", "to the first step", "predict", "score", "python")}
    imports: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        grid, run = make_grid(folder)
        results = folder / grid.paths.root
        metrics = (folder / grid.paths.checkpoint(run)).with_name("metrics.jsonl")

        def job(name: str, *flags: str, milestone: Any = None) -> tuple[Seconds, Seconds | None]:
            script = str(CHECKOUT / "workflow" / "scripts" / f"{name}.py")
            command = [sys.executable, *flags, script, "--config", "config.yaml", *RUN]
            return timed_command(command, folder, environment(), folder / f"{name}.log", milestone)

        for repeat in range(-1, args.repeats):  # the first, which fills caches, is not counted
            for stage in ("checkpoints", "predictions", "store", "scores"):
                shutil.rmtree(results / stage, ignore_errors=True)
            whole, first = job("train", milestone=metrics.exists)
            found = {"train": whole, "to the first step": first, "predict": job("predict")[0], "score": job("score")[0]}
            found["python"] = timed_command([sys.executable, "-c", ""], folder, environment(), folder / "python.log")[0]
            if repeat >= 0:
                for name, seconds in found.items():
                    assert seconds is not None
                    runs[name].append(seconds)
                said = ", ".join(f"{name} {seconds.cpu:.2f}" for name, seconds in found.items() if seconds)
                print(f"repeat {repeat + 1}: {said}", flush=True)
        for stage in ("checkpoints", "predictions", "store", "scores"):
            shutil.rmtree(results / stage, ignore_errors=True)
        for name in ("train", "predict", "score"):
            job(name, "-X", "importtime")
            imports[name] = by_package((folder / f"{name}.log").read_text())

    labels = {
        "train": "train.py, one step, to the end",
        "to the first step": "train.py, to its first line of metrics",
        "predict": "predict.py, two languages of 64 rows",
        "score": "score.py, two languages of 64 rows",
        "python": "python -c ''",
    }
    rows = []
    for name, found in runs.items():
        middle = medians(found)
        share = f"{imports[name].total():.2f}" if name in imports else ""
        rows.append([labels[name], f"{middle.cpu:.2f}", f"{middle.wall:.2f}", share])
    print("\n" + table(["job", "CPU s", "wall s", "of it imports (s, traced)"], rows) + "\n")
    most = [package for package, _ in (imports["train"] + imports["predict"]).most_common(args.top)]
    cells = [[p, *(f"{imports[name][p]:.2f}" for name in imports)] for p in most]
    print(table(["package, own time of its modules (s)", *(f"{name}.py" for name in imports)], cells))
    print(f"\n{machine('torch', 'transformers', 'stiltgrid')}")


if __name__ == "__main__":
    main()
