"""TyDiQA-GoldP as released: SQuAD's format, all languages in one train file, each told by its question's id."""

from collections import Counter
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.squad import read_squad
from stiltgrid.tasks.registry import TaskRow

LANGUAGES = {
    "ar": "arabic",
    "bn": "bengali",
    "en": "english",
    "fi": "finnish",
    "id": "indonesian",
    "ko": "korean",
    "ru": "russian",
    "sw": "swahili",
    "te": "telugu",
}
"""What an id begins with, before its first hyphen."""


def read_tydiqa(path: Path, task: TaskRow, language: str, *, dropped: Counter[str]) -> list[Example]:
    """Read the questions of one language.

    Args:
        path: the file, of one language or of all.
        task: the task row.
        language: the language; those of others are no part of the result, and not counted as left out.
        dropped: not used.

    Returns:
        Examples as `read_squad` gives them, ids whole.

    Raises:
        StiltgridError: as `read_squad`; if no question is of the language.
    """
    everything = read_squad(path, task, language, dropped=dropped)
    found = [example for example in everything if example.id.split("-")[0] == LANGUAGES[language]]
    if not found:
        raise StiltgridError(
            f"{path}: {len(everything)} questions, none whose id begins with {LANGUAGES[language]!r}-, e.g. "
            f"{everything[0].id!r}; the files that XTREME split by language are read by the layout `xtreme`"
        )
    return found
