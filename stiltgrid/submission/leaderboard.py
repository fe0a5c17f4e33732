"""What a benchmark's leaderboard wants: its tasks, their official metrics, its averages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.tasks.registry import TaskRow, package_tasks


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A leaderboard's numbers beyond those of each task.

    Attributes:
        title: the benchmark's name.
        averages: name -> the folders of the tasks whose scores are averaged, each task with the same weight. A task's
            score is the unweighted mean of its official metric over its languages.
        official: folder -> the metrics whose mean the leaderboard shows, where that is not the task's main one.
        source: where the rules are stated.
    """

    title: str
    averages: Mapping[str, tuple[str, ...]]
    official: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = ""


UNDERSTANDING = ("NER", "POS", "NC", "MLQA", "XNLI", "PAWSX", "QADSM", "WPR", "QAM")

LEADERBOARDS: dict[str, Leaderboard] = {
    "xglue": Leaderboard(
        "XGLUE",
        averages={
            "Understanding": UNDERSTANDING,
            "Generation": ("QG", "NTG"),
            "Unique": ("NC", "QADSM", "WPR", "QAM"),
        },
        # the evaluator calls precision over runs of equal tags "POS"; token accuracy stands beside it
        official={"POS": ("pos_xglue",)},
        source="https://microsoft.github.io/XGLUE/",
    ),
    "xtreme": Leaderboard(
        "XTREME",
        averages={
            "All": ("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba"),
            "Sentence-pair classification": ("xnli", "pawsx"),
            "Structured prediction": ("udpos", "panx"),
            "Question answering": ("xquad", "mlqa", "tydiqa"),
            "Sentence retrieval": ("bucc2018", "tatoeba"),
        },
        # of a question the mean of F1 and exact match
        official={
            "xquad": ("squad_f1", "squad_exact"),
            "mlqa": ("mlqa_f1", "mlqa_exact"),
            "tydiqa": ("squad_f1", "squad_exact"),
        },
        source="https://github.com/google-research/xtreme",
    ),
}
"""Suite -> its leaderboard."""


def folder_of(row: TaskRow) -> str:
    """Return the folder of a task's predictions, e.g. NER; "" for a task without a submission form."""
    return "" if row.submission is None else PurePosixPath(row.submission.file).parts[0]


def file_of(row: TaskRow, language: str, split: str = "test") -> str:
    """Return the file of one language's predictions below the submission's folder.

    Args:
        row: the task's row.
        language: the language.
        split: of the predictions; XTREME's names have it.

    Raises:
        StiltgridError: if the task has no submission form.
    """
    if row.submission is None:
        raise StiltgridError(f"{row.name}: no submission form is known for it")
    return row.submission.file.replace("{lang}", language).replace("{split}", split)


def belongs(row: TaskRow, split: str) -> str:
    """Return the pattern of a task's files below the submission's folder."""
    return file_of(row, "*", split)


def leaderboard(suite: str) -> tuple[Leaderboard, dict[str, TaskRow]]:
    """Return a suite's leaderboard and its task rows by folder, in the official order.

    They are the package's: a row of an extension belongs to no leaderboard, whatever its suite is called.

    Raises:
        StiltgridError: if the suite has none.
    """
    if suite not in LEADERBOARDS:
        raise StiltgridError(f"suite {suite!r} has no submission form; {nearest(suite, LEADERBOARDS)}")
    rows = {
        folder_of(row): row for row in package_tasks().values() if row.suite == suite and row.submission is not None
    }
    return LEADERBOARDS[suite], rows


def official_metrics(board: Leaderboard, folder: str, row: TaskRow) -> tuple[str, ...]:
    """Return the metrics whose mean the leaderboard shows for a task; most often one."""
    return board.official.get(folder, row.metrics[:1])
