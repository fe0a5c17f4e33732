"""What each model family can do with each kind of task, and what a target can be trained on."""

from collections.abc import Sequence

from stiltgrid.errors import StiltgridError
from stiltgrid.readers.files import source_paths
from stiltgrid.schema import Source, Target
from stiltgrid.tasks.registry import TaskRow

FORMULATIONS: dict[str, frozenset[str]] = {
    "text2text": frozenset({"classification", "ranking", "tagging", "span", "choice", "generation", "retrieval"}),
    "heads": frozenset({"classification", "ranking", "tagging", "span", "choice", "retrieval"}),
}
IN_OTHER_WORDS = ("classification", "ranking", "tagging", "choice")
"""Kinds of tasks whose answer stays right in other words; a span of the text, or a text to be written, does not."""
WHY = {("heads", "generation"): "an encoder with heads cannot write text; use the text2text family"}


def unsupported(row: TaskRow, family: str) -> str | None:
    """Return why a family cannot run a task, or None if it can.

    Args:
        row: the task.
        family: text2text or heads.
    """
    if row.pending:
        return f"{row.name}: {row.pending}"
    if row.kind not in FORMULATIONS[family]:
        why = WHY.get((family, row.kind), f"the {family} family has no formulation for {row.kind}")
        return f"{row.name}: {why}"
    return None


def untrainable(row: TaskRow, target: Target, source: Source | None) -> str | None:
    """Return why a target cannot be trained as it asks to be, or None if it can.

    Args:
        row: the task.
        target: the target's row of the config.
        source: where the task's files lie, if the config says so.

    Returns:
        For another source language than English: that the release has no training or dev rows in it, as far as the
        names of its files tell. For synonyms: that the kind of task has answers that change with the words.
    """
    if getattr(target.robust, "neighbours", None) is not None and row.kind not in IN_OTHER_WORDS:
        return (
            f"{row.name}: robust: synonyms is for kinds {', '.join(IN_OTHER_WORDS)}; the answers of kind {row.kind} "
            "are words of the text, which would be replaced"
        )
    if target.source_language == "en":
        return None
    return _unnamed(row, source, [(split, target.source_language) for split in ("train", "dev")])


def untranslated(row: TaskRow, languages: Sequence[str], source: Source | None) -> str | None:
    """Return why an intermediate task has no training rows in a language, as far as the names of its files tell.

    Args:
        row: the task.
        languages: of the arm.
        source: where the task's files lie, if the config says so.
    """
    return _unnamed(row, source, [("train", language) for language in languages if language != "en"])


def _unnamed(row: TaskRow, source: Source | None, wanted: Sequence[tuple[str, str]]) -> str | None:
    if source is None:
        return None
    for split, language in wanted:
        try:
            source_paths(row, source.layout_of(split), ".", split, language, source.files)
        except StiltgridError as error:
            return str(error)
    return None
