"""Files with a sentence and its tags a line: CCGbank's supertags as jiant took them."""

from collections import Counter
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.lines import numbered_lines, resolve_label
from stiltgrid.tasks.registry import TaskRow


def read_tagged_lines(path: Path, task: TaskRow, language: str, *, dropped: Counter[str]) -> list[Example]:
    """Read a file of lines `word word ...<TAB>tag tag ...`, words and tags each apart by single spaces.

    Args:
        path: the file.
        task: the task row; without labels of its own (`labels_from`) every tag is taken.
        language: not used; the file holds one language.
        dropped: not used; nothing is left out.

    Returns:
        Examples with `words` and `tags`; the id is the line's number.

    Raises:
        StiltgridError: for a line of another shape, with file and line.
    """
    found = []
    for line, text in numbered_lines(path):
        sentence, tab, last = text.partition("\t")
        words, tags = sentence.split(" "), last.split(" ")
        if not tab or "\t" in last or "" in words or "" in tags or len(words) != len(tags):
            seen = f"{len(words)} words and {len(tags)} tags" if tab else "no tab"
            raise StiltgridError(
                f"{path}:{line}: {seen} in {text[:60]!r}; expected words, a tab, as many tags, single spaces between"
            )
        if not task.labels_from:
            tags = [resolve_label(tag, {}, task.labels, f"{path}:{line}") for tag in tags]
        found.append(Example(id=str(line), group=str(line), words=tuple(words), tags=tuple(tags)))
    return found
