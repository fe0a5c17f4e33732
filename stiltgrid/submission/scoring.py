"""Scores of a folder of predictions in a leaderboard's layout, against gold in the released files.

The folder may be anybody's. Metrics are those of the grid; a file that does not answer the gold rows exactly is
refused, never padded; a label outside the label set is wrong, and counted.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.examples import Example
from stiltgrid.paper.averages import Mean, mean
from stiltgrid.paper.averages import score as score_of
from stiltgrid.predictions import Prediction
from stiltgrid.readers import read_source
from stiltgrid.readers.archive import check_unpacked, contents_of, is_archive
from stiltgrid.score import score_language
from stiltgrid.submission.forms import FORMS
from stiltgrid.submission.leaderboard import Leaderboard, belongs, file_of, leaderboard, official_metrics
from stiltgrid.tasks.registry import TaskRow

SCHEMA_VERSION = 1
NOT_WORDS = "-DOCSTART-"
"""Reason of a reader's `dropped` that starts so: the official evaluator leaves these lines out as well."""

Status = Literal["done", "missing", "refused"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One language of one task.

    Attributes:
        folder: the task's folder, e.g. NER.
        language: the language.
        file: the prediction file, below the submission's folder.
        status: done; missing: there is no file; refused: it is there and has no score.
        metrics: score by metric, 0 to 100; empty unless done.
        n: units that the metric counts.
        unit: what they are: example, sentence or query.
        outside: answers outside the label set, which count as wrong.
        first_outside: the first of them, with its line.
        reason: why it is refused.
        warnings: what the gold file's reader says, e.g. a row count that is not the published one.
    """

    folder: str
    language: str
    file: str
    status: Status
    metrics: dict[str, float] = field(default_factory=dict)
    n: int = 0
    unit: str = ""
    outside: int = 0
    first_outside: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The scores of one folder.

    Attributes:
        suite: the benchmark.
        split: test or dev.
        rows: the scored tasks by folder, in the official order.
        entries: one a task and language.
        board: the leaderboard's averages.
        unread: prediction files in the folder that no task names.
    """

    suite: str
    split: str
    rows: dict[str, TaskRow]
    entries: tuple[Entry, ...]
    board: Leaderboard
    unread: tuple[str, ...]

    def of(self, folder: str) -> dict[str, Entry]:
        """Return a task's entries by language."""
        return {entry.language: entry for entry in self.entries if entry.folder == folder}

    def task_mean(self, folder: str, metric: str) -> Mean:
        """Return the unweighted mean of a metric over a task's languages, withheld unless all are there."""
        if folder not in self.rows:
            return Mean(None, "missing", 0, 1)
        status = {"done": "done", "missing": "missing", "refused": "failed"}
        return mean(
            {x: score_of(e.metrics.get(metric), status[e.status]) for x, e in self.of(folder).items()}  # type: ignore[arg-type]
        )

    def shown(self, folder: str, metrics: tuple[str, ...]) -> Mean:
        """Return the score that the leaderboard shows for a task: the mean of one metric or of several."""
        if len(metrics) == 1:
            return self.task_mean(folder, metrics[0])
        return mean({metric: self.task_mean(folder, metric) for metric in metrics})

    def averages(self) -> dict[str, Mean]:
        """Return the leaderboard's averages over tasks, withheld unless every task has all its languages."""
        rows = leaderboard(self.suite)[1]
        return {
            name: mean({x: self.shown(x, official_metrics(self.board, x, rows[x])) for x in folders})
            for name, folders in self.board.averages.items()
        }

    def having(self, status: Status) -> list[Entry]:
        """Return the entries of a status."""
        return [entry for entry in self.entries if entry.status == status]


def chosen_tasks(suite: str, names: Collection[str] | None) -> dict[str, TaskRow]:
    """Return a suite's task rows by folder, or those that are named.

    Args:
        suite: e.g. xglue.
        names: folders such as NER or names such as xglue/ner, in any case; None: all.

    Raises:
        StiltgridError: for an unknown suite or name.
    """
    _, rows = leaderboard(suite)
    if names is None:
        return rows
    known = {spelt.lower(): folder for folder, row in rows.items() for spelt in (folder, row.name, row.title)}
    for name in names:
        if name.strip().lower() not in known:
            raise StiltgridError(f"--tasks: unknown task {name!r}; {nearest(name.upper(), rows)}")
    wanted = {known[name.strip().lower()] for name in names}
    if not wanted:
        raise StiltgridError(f"--tasks: names no task; expected some of {', '.join(rows)}, separated by commas")
    return {folder: row for folder, row in rows.items() if folder in wanted}


def gold_rows(
    row: TaskRow, folder: Path, split: str, language: str, layout: str | None = None
) -> tuple[list[Example], tuple[str, ...]]:
    """Read the gold rows of one language; `layout`: the release format, where the task has one of that name.

    Returns:
        The examples, and the reader's warnings.

    Raises:
        StiltgridError: as `read_source`; if rows of the file were left out, since a prediction file has them.
    """
    examples, about = read_source(row, layout if layout in row.layouts else None, folder, split, language)
    dropped = {why: count for why, count in about["dropped"].items() if not why.startswith(NOT_WORDS)}
    if dropped:
        [source, *_] = about["source_files"]
        lost = ", ".join(f"{count} x {why}" for why, count in dropped.items())
        raise StiltgridError(
            f"{source['file']} of {folder}: the reader leaves out {lost}; a prediction file has lines for these "
            "rows, so nothing can be aligned; expected a gold file without such rows"
        )
    return examples, tuple(about["warnings"])


def outside_labels(row: TaskRow, predictions: Sequence[Prediction]) -> Iterator[tuple[int, str]]:
    """Yield (line, label) of every label or tag outside the task's set; the line is that of a file without faults."""
    line = 0
    for said in predictions:
        for given in said.tags if said.tags is not None else (said.label,):
            line += 1
            if given is not None and given not in row.labels:
                yield line, given
        line += said.tags is not None  # the blank line after a sentence


def _score(row: TaskRow, language: str, folder: str, path: Path, gold: Path, split: str, layout: str | None) -> Entry:
    """Score one file; what cannot be scored is an entry with the reason."""
    assert row.submission is not None
    file = file_of(row, language, split)
    if not path.is_file():
        return Entry(folder, language, file, "missing")
    warnings: tuple[str, ...] = ()
    try:
        examples, warnings = gold_rows(row, gold, split, language, layout)
        predictions = FORMS[row.submission.form].read(path, examples, row)
        outside = list(outside_labels(row, predictions)) if row.labels else []
        # what the file says counts as a label for once: then the rows' alignment is still checked, the official rules
        # of chunks see the tag as it is, and it equals no gold label
        widened = row.model_copy(update={"labels": row.labels | {label: label for _, label in outside}})
        scores, _ = score_language(widened, language, examples, predictions, str(path))
    except StiltgridError as error:
        return Entry(folder, language, file, "refused", reason=str(error), warnings=warnings)
    return Entry(
        folder,
        language,
        file,
        "done",
        metrics={name: scores[name] for name in row.metrics},
        n=scores["n"],
        unit=scores["unit"],
        outside=len(outside),
        first_outside=f"{path}:{outside[0][0]}: {outside[0][1]!r}" if outside else "",
        warnings=warnings,
    )


def score_submission(
    folder: Path | str,
    gold: Path | str,
    *,
    tasks: Collection[str] | None = None,
    split: Literal["test", "dev"] = "test",
    suite: str = "xglue",
    layout: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score a folder of predictions.

    Args:
        folder: the submission, e.g. with NER/en.prediction.
        gold: the suite's released archive: its folder, the folder that it was unpacked in, or the file itself once
            the workflow has unpacked it.
        tasks: the tasks to score, e.g. NER; None: all of the suite.
        split: the gold split.
        suite: the benchmark.
        layout: the gold's release format, for the tasks that have one of that name; None: each task's first.
        progress: called with (files done, files).

    Raises:
        StiltgridError: for an unknown suite or task, a folder without any file of the layout, or gold that is not there
            or not unpacked. What is wrong with one file is said in its entry.
    """
    check_unpacked(str(gold))
    folder, gold = Path(folder), Path(contents_of(str(gold)) if is_archive(str(gold)) else gold)
    if not gold.is_dir():
        raise StiltgridError(f"--gold {gold}: no such folder; expected the released archive of {suite}, unpacked")
    board, everything = leaderboard(suite)
    rows = chosen_tasks(suite, tasks)
    known = {name for row in everything.values() for name in row.layouts}
    if layout is not None and layout not in known:
        raise StiltgridError(f"--layout {layout!r}: no task of {suite} has it; {nearest(layout, known)}")
    if not folder.is_dir():
        example = file_of(next(iter(everything.values())), "en", split)
        raise StiltgridError(f"{folder}: no such folder; expected predictions, e.g. {example}")
    wanted = [(name, row, language) for name, row in rows.items() for language in row.languages]
    named = {file_of(row, language, split) for row in everything.values() for language in row.languages}
    # of any task of the suite, whatever folder they lie in
    patterns = {f"*/{belongs(row, split).split('/')[-1]}" for row in everything.values()}
    found = {path.relative_to(folder).as_posix() for pattern in patterns for path in folder.glob(pattern)}
    if not found & {file_of(row, language, split) for _, row, language in wanted}:
        shown = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) or "nothing"
        raise StiltgridError(
            f"{folder}: no file of the layout of {suite}, expected e.g. {file_of(wanted[0][1], wanted[0][2], split)}; "
            f"the folder holds: {shown}"
        )
    entries = []
    for done, (name, row, language) in enumerate(wanted, start=1):
        entries.append(_score(row, language, name, folder / file_of(row, language, split), gold, split, layout))
        if progress is not None:
            progress(done, len(wanted))
    return Report(suite, split, rows, tuple(entries), board, tuple(sorted(found - named)))


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON values: scores from 0 to 100 with all their digits, means null where withheld."""

    def value(part: Mean) -> dict[str, Any]:
        return {"value": part.value if part.status == "done" else None, "have": part.have, "of": part.of}

    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "submission scores",
        "suite": report.suite,
        "split": report.split,
        "scale": "0 to 100",
        "scores": {
            name: {
                x: {**e.metrics, "n": e.n, "unit": e.unit, "outside_label_set": e.outside}
                for x, e in report.of(name).items()
                if e.status == "done"
            }
            for name in report.rows
        },
        "means": {
            name: {metric: value(report.task_mean(name, metric)) for metric in row.metrics}
            for name, row in report.rows.items()
        },
        "official_metric": {
            name: " + ".join(official_metrics(report.board, name, row)) for name, row in report.rows.items()
        },
        "averages": {name: value(part) for name, part in report.averages().items()},
        "missing": [entry.file for entry in report.having("missing")],
        "refused": [{"file": entry.file, "reason": entry.reason} for entry in report.having("refused")],
        "not_scored": list(report.unread),
    }
