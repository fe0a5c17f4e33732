"""PAN-X as Rahimi et al. (2019) released it: a folder a language, words with the language before them, IOB2 tags."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.words import read_words
from stiltgrid.tasks.registry import TaskRow


def read_panx(path: Path, task: TaskRow, language: str, *, dropped: Counter[str]) -> list[Example]:
    """Read a file of sentences whose words are spelt `en:Paris`, and take the language off.

    XTREME's script takes off what stands before the first colon, whatever it is; here it must be a language's code, so
    that a file which lacks it does not lose half of `12:30`.

    Args:
        path: the file.
        task: the task row.
        language: of the file.
        dropped: not used; nothing is left out.

    Returns:
        Examples as `read_words` gives them.

    Raises:
        StiltgridError: as `read_words`; for a word without the file's language before it.
    """
    found = []
    for example in read_words(path, task, language, dropped=dropped, separator="\t"):
        words = []
        for word in example.words or ():
            before, colon, rest = word.partition(":")
            if not colon or before != language or not rest:
                raise StiltgridError(
                    f"{path}: sentence {example.id} has the word {word!r}, expected `{language}:` before each word; "
                    "the files of XTREME's preprocessing, which lack it, are read by the layout `xtreme`"
                )
            words.append(rest)
        found.append(replace(example, words=tuple(words)))
    return found
