"""What a benchmark's leaderboard wants: its tasks, their official metrics, its averages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.tasks.registry import TaskRow, tasks


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A leaderboard's numbers beyond those of each task.

    Attributes:
        averages: name -> the folders of the tasks whose scores are averaged, each task with the same weight. A task's
            score is the unweighted mean of its official metric over its languages.
        official: folder -> the metric that the leaderboard shows, where it is not the task's main one.
        source: where the rules are stated.
    """

    averages: Mapping[str, tuple[str, ...]]
    official: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


UNDERSTANDING = ("NER", "POS", "NC", "MLQA", "XNLI", "PAWSX", "QADSM", "WPR", "QAM")

LEADERBOARDS: dict[str, Leaderboard] = {
    "xglue": Leaderboard(
        averages={
            "Understanding": UNDERSTANDING,
            "Generation": ("QG", "NTG"),
            "Unique": ("NC", "QADSM", "WPR", "QAM"),
        },
        # the evaluator calls precision over runs of equal tags "POS"; token accuracy stands beside it
        official={"POS": "pos_xglue"},
        source="https://microsoft.github.io/XGLUE/",
    )
}
"""Suite -> its leaderboard."""


def folder_of(row: TaskRow) -> str:
    """Return the folder of a task's predictions, e.g. NER; "" for a task without a submission form."""
    return "" if row.submission is None else PurePosixPath(row.submission.file).parts[0]


def file_of(row: TaskRow, language: str) -> str:
    """Return the file of one language's predictions below the submission's folder.

    Raises:
        StiltgridError: if the task has no submission form.
    """
    if row.submission is None:
        raise StiltgridError(f"{row.name}: no submission form is known for it")
    return row.submission.file.replace("{lang}", language)


def leaderboard(suite: str) -> tuple[Leaderboard, dict[str, TaskRow]]:
    """Return a suite's leaderboard and its task rows by folder, in the official order.

    Raises:
        StiltgridError: if the suite has none.
    """
    if suite not in LEADERBOARDS:
        raise StiltgridError(f"suite {suite!r} has no submission form; {nearest(suite, LEADERBOARDS)}")
    rows = {folder_of(row): row for row in tasks().values() if row.suite == suite and row.submission is not None}
    return LEADERBOARDS[suite], rows


def official_metric(board: Leaderboard, folder: str, row: TaskRow) -> str:
    """Return the metric that the leaderboard shows for a task."""
    return board.official.get(folder, row.metrics[0])
