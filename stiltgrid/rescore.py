"""Every run's scores again, from saved predictions: no model, several processes, one run at a time in each."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from fnmatch import fnmatchcase
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from stiltgrid.artifacts import read_json
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.evaluated import evaluated_manifest
from stiltgrid.failures import noting_failure
from stiltgrid.grid import Cell, Grid, Run, use_extensions_of
from stiltgrid.score_languages import score_languages

Progress = Callable[[int, int], None]


class Change(NamedTuple):
    """A metric of one language that is not what the score file said; `before` is None where it said nothing."""

    language: str
    metric: str
    before: float | None
    after: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run.

    Attributes:
        run: the run.
        examples: rows scored, over all languages; 0 if it failed.
        changes: metrics that are new or differ from the score files that were there.
        cpu: seconds of CPU time.
        error: why it was not rescored, naming the files at fault; "" if it was.
    """

    run: Run
    examples: int = 0
    changes: tuple[Change, ...] = ()
    cpu: float = 0.0
    error: str = ""


def run_name(run: Run) -> str:
    """Return a run as it is named on the command line: model/intermediate/target/seedN."""
    return f"{run.model}/{run.intermediate}/{run.target}/seed{run.seed}"


def chosen(grid: Grid, pattern: str | None) -> list[Run]:
    """Return the runs whose name matches a shell pattern (None: all).

    Raises:
        StiltgridError: if none does, with the nearest name.
    """
    names = {run_name(run): run for run in grid.runs}
    found = [run for name, run in names.items() if pattern is None or fnmatchcase(name, pattern)]
    if not found and pattern is not None:
        raise StiltgridError(
            f"--runs {pattern!r}: no run of grid {grid.config.grid} matches; expected a pattern of "
            f"model/intermediate/target/seedN; {nearest(pattern, names)}"
        )
    return found


def predictions(grid: Grid, run: Run) -> list[Path]:
    """Return a run's prediction files, one a language."""
    return [Path(grid.paths.prediction(Cell(*run[:3], x, run.seed))) for x in grid.languages(run.target)]


def split_by_predictions(grid: Grid, runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Return the runs whose predictions are all there, those of the largest files first, and the others."""
    sizes: dict[Run, int] = {}
    for run in runs:
        files = predictions(grid, run)
        if all(file.exists() for file in files):
            sizes[run] = sum(file.stat().st_size for file in files)
    # a long run that starts last would keep one process busy and the others idle
    return sorted(sizes, key=lambda run: -sizes[run]), [run for run in runs if run not in sizes]


def rescore_run(grid: Grid, run: Run) -> Outcome:
    """Write one run's score files again; a failure of any kind becomes the outcome, so that other runs go on."""
    languages = grid.languages(run.target)
    scores = {x: Path(grid.paths.score(Cell(*run[:3], x, run.seed))) for x in languages}
    data = {x: Path(grid.paths.data(grid.evaluation(run.target, x))) for x in languages}
    before = {x: _metrics(path) for x, path in scores.items()}
    started = time.process_time()
    try:
        with noting_failure(scores[languages[0]].parent):
            records = score_languages(grid, run, evaluated_manifest(grid, run), data, scores)
    except StiltgridError as error:
        return Outcome(run, error=str(error))
    except Exception as error:
        return Outcome(run, error=f"{type(error).__name__}: {error}")
    changes = tuple(
        Change(x, name, old, value)
        for x, record in records.items()
        for name, value in record["metrics"].items()
        if (old := before[x].get(name)) != value
    )
    examples = sum(record["examples"] for record in records.values())
    return Outcome(run, examples, changes, time.process_time() - started)


def _metrics(path: Path) -> dict[str, float]:
    """Return what a score file says; nothing if it is missing, damaged or not one."""
    try:
        return dict(read_json(path)["metrics"])
    except (StiltgridError, KeyError, TypeError, ValueError):
        return {}


_GRID: list[Grid] = []  # a worker's own copy, sent once


def _start(grid: Grid) -> None:
    use_extensions_of(grid.config)
    _GRID[:] = [grid]


def _work(run: Run) -> Outcome:
    return rescore_run(_GRID[0], run)


def rescore(grid: Grid, runs: Sequence[Run], processes: int, progress: Progress) -> list[Outcome]:
    """Score runs again, each whole or not at all.

    Args:
        grid: the expanded config.
        runs: runs whose predictions are all there.
        processes: worker processes; 1: none, the work is done here.
        progress: called with (runs done, runs in all) after each.

    Returns:
        An outcome a run, in the order of `runs`.

    Raises:
        StiltgridError: if a worker was killed. Files are whole then too: each is written under another name first.
    """
    outcomes: dict[Run, Outcome] = {}
    if min(processes, len(runs)) <= 1:
        for run in runs:
            outcomes[run] = rescore_run(grid, run)
            progress(len(outcomes), len(runs))
        return list(outcomes.values())
    # not forked: the Parquet library's threads do not survive a fork
    pool = ProcessPoolExecutor(min(processes, len(runs)), get_context("spawn"), _start, (grid,))
    try:
        for future in as_completed([pool.submit(_work, run) for run in runs]):
            outcome = future.result()
            outcomes[outcome.run] = outcome
            progress(len(outcomes), len(runs))
    except BrokenProcessPool:
        raise StiltgridError(
            f"a scoring process was killed after {len(outcomes)} of {len(runs)} runs (out of memory?); ask for fewer "
            "processes and run again"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
    return [outcomes[run] for run in runs]


def report(grid: Grid, outcomes: Sequence[Outcome], left_out: Sequence[Run], processes: int, wall: float) -> str:
    """Return what was done as Markdown: a row a target, then failures and changed scores by name.

    Args:
        grid: the expanded config.
        outcomes: of `rescore`.
        left_out: runs whose predictions were not all there.
        processes: worker processes.
        wall: seconds on the clock.
    """
    failed = [o for o in outcomes if o.error]
    lines = [
        f"# Rescored: grid {grid.config.grid}",
        "",
        f"{len(outcomes) - len(failed)} runs rescored, {len(left_out)} left out (predictions missing), {len(failed)} "
        f"failed; {wall:.1f} s, {processes} processes.",
        "",
        "| target | task | rescored | left out | failed | examples | changed scores | CPU s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for target, task in grid.tasks.items():
        ours = [o for o in outcomes if o.run.target == target]
        lacking = sum(run.target == target for run in left_out)
        if not ours and not lacking:
            continue
        bad, rows = sum(bool(o.error) for o in ours), sum(o.examples for o in ours)
        changed, cpu = sum(len(o.changes) for o in ours), sum(o.cpu for o in ours)
        lines.append(
            f"| {target} | {task.name} | {len(ours) - bad} | {lacking} | {bad} | {rows:,} | {changed} | {cpu:.1f} |"
        )
    if failed:
        lines += ["", "## Failed", ""]
        lines += [f"- {run_name(o.run)}: {' '.join(o.error.split())}" for o in failed]
    if any(o.changes for o in outcomes):
        lines += ["", "## Changed scores", ""]
        lines += [
            f"- {run_name(o.run)} {c.language} {c.metric}: {'new' if c.before is None else f'{c.before:.4f}'}, "
            f"now {c.after:.4f}"
            for o in outcomes
            for c in o.changes
        ]
    return "\n".join(lines) + "\n"
