"""Two parallel files, a text a line on the source side and its reference on the target side: XGLUE's QG and NTG."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.lines import numbered_lines
from stiltgrid.tasks.registry import TaskRow


def read_parallel(
    paths: Sequence[Path],
    task: TaskRow,
    language: str,
    *,
    dropped: Counter[str],
    group: Mapping[str, str] | None = None,
) -> list[Example]:
    """Read a source file and its target file.

    Every line is a row, an empty one as well: the lines of a prediction file correspond to them. A reference is what
    the official evaluator takes: the last tab-separated field of the target line, stripped of white space. The
    source is kept byte for byte.

    Args:
        paths: the source side, then the target side.
        task: the task row, with one field.
        language: not used; the files hold one language.
        dropped: not used; nothing is left out.
        group: the rule that names an example's cluster. None: the row itself. `{same: f}`: all rows with the same
            text in field f, named by the first row's number.

    Returns:
        Examples with one field and one reference; the id is the line's number, from 1.

    Raises:
        StiltgridError: if there are not two files, or their numbers of lines differ (both named).
    """
    if len(paths) != 2:
        raise StiltgridError(
            f"{task.name}: {paths[0]}: expected two parallel files; write `{{side}}` in the pattern, for src and tgt"
        )
    [field] = task.fields
    source, target = (numbered_lines(path, keep_blank_end=True) for path in paths)
    if len(source) != len(target):
        raise StiltgridError(
            f"{paths[0]} has {len(source)} lines, {paths[1]} has {len(target)}; expected as many: line i of one "
            "belongs to line i of the other (is one of them cut off, or is there a blank line at its end?)"
        )
    first_row: dict[str, str] = {}
    found = []
    for (number, text), (_, answer) in zip(source, target, strict=True):
        cluster = first_row.setdefault(text, str(number)) if group else str(number)
        reference = answer.split("\t")[-1].strip()
        found.append(Example(id=str(number), group=cluster, fields={field: text}, references=(reference,)))
    return found
