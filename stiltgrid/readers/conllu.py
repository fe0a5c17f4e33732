"""CoNLL-U treebanks of Universal Dependencies, read as XGLUE converted them (benchmarks.md 1.2)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.lines import numbered_lines, resolve_label
from stiltgrid.readers.words import WITHHELD, withheld
from stiltgrid.tasks.registry import TaskRow

COLUMNS = 10
FORM, UPOS = 1, 3


def read_conllu(
    paths: Sequence[Path],
    task: TaskRow,
    language: str,
    *,
    dropped: Counter[str],
    first: int | None = None,
    spaces: Literal["keep", "remove"] = "keep",
    text_withheld: Literal["keep", "drop"] = "keep",
) -> list[Example]:
    """Read the words (FORM) and tags (UPOS) of one or more treebank files, one after the other.

    Lines of multiword tokens (`3-4`) are no words of their own. Empty nodes (`8.1`, words that are not written) are
    kept, as XGLUE keeps them; one without a tag is left out and counted.

    Args:
        paths: the files; sentences are numbered through all of them.
        task: the task row, whose labels are the tags.
        language: not used; the files hold one language.
        dropped: number of things left out by reason; added to.
        first: read only so many sentences and count the others as left out (XGLUE's Thai is the start of a file).
        spaces: `remove` takes U+0020 out of words, as XGLUE does: Vietnamese words are phrases with spaces in UD.
        text_withheld: see `words.read_words`.

    Returns:
        Examples with `words` and `tags`; the id is the sentence's number, from 1.

    Raises:
        StiltgridError: for a line without ten tab-separated columns, a bad id, an empty form or an unknown tag, with
            file and line.
    """
    found: list[Example] = []
    number = 0
    for path in paths:
        for sentence in _sentences(path):
            number += 1
            if first is not None and number > first:
                dropped[f"sentence after the first {first}"] += 1
                continue
            words, tags = [], []
            for line, text in sentence:
                cells = _cells(path, line, text)
                if "-" in cells[0]:
                    continue
                if "." in cells[0] and cells[UPOS] == "_":
                    dropped["empty node without a tag"] += 1
                    continue
                words.append(cells[FORM].replace(" ", "") if spaces == "remove" else cells[FORM])
                tags.append(resolve_label(cells[UPOS], {}, task.labels, f"{path}:{line}"))
            if not words:
                raise StiltgridError(f"{path}:{sentence[0][0]}: a sentence without words; expected some")
            if text_withheld == "drop" and withheld(words):
                dropped[WITHHELD] += 1
                continue
            found.append(Example(id=str(number), group=str(number), words=tuple(words), tags=tuple(tags)))
    if not found:
        raise StiltgridError(f"{paths[0]}: no sentence is left ({dict(dropped)} dropped); expected some")
    return found


def _cells(path: Path, line: int, text: str) -> list[str]:
    """Return the columns of a word's line."""
    cells = text.split("\t")
    if len(cells) != COLUMNS or not cells[0].replace("-", "").replace(".", "").isdecimal() or not cells[FORM]:
        raise StiltgridError(
            f"{path}:{line}: expected a CoNLL-U line, {COLUMNS} tab-separated columns that begin with a number and a "
            f"form, found {text[:60]!r}; is the file whole, and of Universal Dependencies?"
        )
    return cells


def _sentences(path: Path) -> list[list[tuple[int, str]]]:
    """Return the numbered word lines of each sentence; comment lines are left out."""
    sentences: list[list[tuple[int, str]]] = [[]]
    for line, text in numbered_lines(path):
        if not text:
            sentences.append([])
        elif not text.startswith("#"):  # a word's line begins with its number
            sentences[-1].append((line, text))
    return [sentence for sentence in sentences if sentence]
