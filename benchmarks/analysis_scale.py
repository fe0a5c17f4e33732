"""The whole analysis of a paper's grid on made-up statistics: time and memory.

Two models, eleven arms, the eleven XGLUE targets in all their languages, three seeds: 66 runs, 5,082 files of
statistics, each of `--examples` units in the columns of its real metrics. They are written first, which is not
counted. Then every target is resampled, one process a target, two at a time, and everything that the paper reports is
estimated.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from measure import machine, most_held, parser, table, timed

from stiltgrid.analysis.declaration import declared
from stiltgrid.analysis.evidence import gather
from stiltgrid.analysis.headline import headline
from stiltgrid.analysis.replicates import read_replicates, replicate, write_replicates
from stiltgrid.analysis.results import analyse
from stiltgrid.config import load
from stiltgrid.grid import Cell, Grid
from stiltgrid.metrics import METRICS
from stiltgrid.score_languages import statistics_file
from stiltgrid.tasks.registry import TaskRow

EXAMPLES = """  python benchmarks/analysis_scale.py
  python benchmarks/analysis_scale.py --examples 500 --replicates 200
  python benchmarks/analysis_scale.py --only ntg --processes 1      one target, to profile
"""
CONFIG = Path(__file__).resolve().parents[1] / "config.yaml"
SCORES = ["model", "intermediate", "target", "task", "language", "seed", "metric", "main", "value", "n", "examples"]
SCORES += ["status", "reason"]
ROWS_A_CLUSTER = {"premise": 3, "query": 4, "passage": 3, "paragraph": 5}


def statistics(task: TaskRow, units: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return made-up statistics of a task's metrics, possible ones: no more matches than there are n-grams."""
    found: dict[str, np.ndarray] = {}
    words = 5 + rng.poisson(8, units)
    for name in (c for m in task.metrics for c in METRICS[m].columns):
        kind, _, rest = name.partition("_")
        if name in ("correct", "exact"):
            found[name] = (rng.random(units) < 0.7).astype(int)
        elif name in ("ndcg", "f1"):
            found[name] = rng.random(units)
        elif kind in ("bleu", "chrf"):
            order = int(name[-1]) if name[-1].isdigit() else 1
            length = np.maximum(words * (5 if kind == "chrf" else 1) - order + 1, 0)
            found[name] = rng.binomial(length, 0.6**order) if "match" in rest else length
        else:
            share = 1.0 if name in ("tokens", "chunks_gold") else 0.8
            found[name] = rng.binomial(words, share)
    return found


def cells(grid: Grid, target: str) -> list[Cell]:
    """Return a target's cells."""
    return [cell for cell in grid.cells() if cell.target == target]


def fill(folder: Path, grid: Grid, target: str, examples: int) -> None:
    """Write a target's files of statistics."""
    task, rng = grid.tasks[target], np.random.default_rng(len(target))
    size = ROWS_A_CLUSTER.get(task.cluster, 1) if task.metrics[0] != "ndcg" else 1
    names = [f"id-{k}" for k in range(examples)]
    groups = [f"group {k // size}" for k in range(examples)]
    shared = {"unit": pa.array(names), "group": pa.array(groups)}
    for language in grid.languages(target):
        for cell in (c for c in cells(grid, target) if c.language == language):
            path = folder / statistics_file(grid.paths.score(cell))
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(shared | statistics(task, examples, rng)), path, compression="zstd")


def resample(job: tuple[Path, str, int]) -> tuple[str, float, float]:
    """Resample a target and write its replicates; return its name, CPU seconds and the process's peak in MB."""
    folder, target, number = job
    grid, started = paper(), time.process_time()
    task = grid.tasks[target]
    files = {cell: folder / statistics_file(grid.paths.score(cell)) for cell in cells(grid, target)}
    found = replicate(target, task.name, "test", task.metrics, files, parallel=task.parallel, replicates=number)
    write_replicates(folder / f"{target}.npz", found)
    return target, time.process_time() - started, most_held() / 1e6


def paper() -> Grid:
    """Return the paper's grid with three seeds everywhere; what an arm trains on plays no part here."""
    config = load(CONFIG)
    arms = {
        name: row.model_copy(update={"tasks": row.tasks and ("mnli",)}) for name, row in config.intermediates.items()
    }
    return Grid(config.model_copy(update={"baseline_seeds": None, "seeds": 3, "intermediates": arms}))


def rows(grid: Grid, folder: Path, targets: list[str]) -> Iterator[tuple]:
    """Yield the tidy rows that the made-up statistics score."""
    for target in targets:
        found = read_replicates(folder / f"{target}.npz")
        for k, cell in enumerate(found.cells):
            for m, metric in enumerate(found.metrics):
                identity = (*cell[:3], grid.tasks[target].name, *cell[3:], metric, m == 0, float(found.scores[m, k]))
                yield (*identity, int(found.units[k]), int(found.units[k]), "done", "")


def main() -> None:
    """Measure."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--examples", type=int, default=10_000, help="units a test file")
    options.add_argument("--replicates", type=int, default=2000)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--only", help="one target: resample it, and estimate nothing")
    args = options.parse_args()
    grid = paper()
    targets = [args.only] if args.only else list(grid.config.targets)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for target in targets:
            _, seconds = timed(lambda target=target: fill(folder, grid, target, args.examples))
            print(f"{target}: statistics written, {seconds.wall:.0f} s", flush=True)
        # the largest first, so that no process is left alone at the end
        order = sorted(targets, key=lambda t: (-len(grid.tasks[t].metrics) * len(grid.languages(t)), t))
        jobs = [(folder, target, args.replicates) for target in order]
        started = time.perf_counter()
        with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
            done = list(pool.map(resample, jobs))
        clock = time.perf_counter() - started
        lines = [[t, len(cells(grid, t)), f"{cpu:.1f}", f"{peak:.0f}"] for t, cpu, peak in done]
        total = sum(cpu for _, cpu, _ in done)
        if not args.only:
            declaration = declared(grid, singles=list(grid.config.intermediates)[1:-1], replicates=args.replicates)
            frame = pd.DataFrame(rows(grid, folder, targets), columns=SCORES)

            def estimate() -> pd.DataFrame:
                found = {t: read_replicates(folder / f"{t}.npz") for t in targets}
                evidence = gather(grid, frame, found, declaration.metrics)
                headline(declaration, evidence)
                return analyse(declaration, evidence)

            contrasts, seconds = timed(estimate)
            clock, total = clock + seconds.wall, total + seconds.cpu
            peak = most_held() / 1e6
            lines.append([f"{len(contrasts)} contrasts", "", f"{seconds.cpu:.1f}", f"{peak:.0f}"])
    print("\n" + table(["step", "cells", "CPU s", "peak MB"], lines))
    print(f"\n{clock:.0f} s on the clock with {args.processes} processes, {total:.0f} CPU s. ", end="")
    print(f"{args.examples:,} units a test file, {args.replicates:,} replicates.")
    print(machine("numpy", "scipy", "pyarrow", "stiltgrid"))


if __name__ == "__main__":
    sys.exit(main())
