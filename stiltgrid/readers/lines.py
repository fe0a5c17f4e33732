"""The lines of a text file, decoded strictly and numbered for messages.

Lines end at LF only (a CR before it is dropped): the characters U+0085, U+2028 and their like, at which
Python's `splitlines` and text mode's universal newlines would cut, occur inside the sentences of real
releases.
"""

import codecs
from pathlib import Path

from stiltgrid.errors import StiltgridError


def numbered_lines(path: Path, *, keep_blank_end: bool = False) -> list[tuple[int, str]]:
    """Return a file's lines without their ends.

    A UTF-8 byte order mark at the start is dropped: it is no part of the first field. Blank lines at the end
    of the file are dropped, blank lines elsewhere are kept.

    Args:
        path: a UTF-8 text file.
        keep_blank_end: keep blank lines at the end, too: a file in which every line is a row, whatever is in it.

    Returns:
        Pairs of line number (from 1) and text; at least one.

    Raises:
        StiltgridError: if the file is empty, or has a byte that is not UTF-8 (line, and offset in the file,
            named).
    """
    lines: list[tuple[int, str]] = []
    start = 0
    with path.open("rb") as handle:  # line by line: NTG's training file has most of a gigabyte
        for number, raw in enumerate(handle, start=1):
            if number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise StiltgridError(
                    f"{path}:1: starts with a UTF-16 byte order mark, expected UTF-8; convert it first"
                )
            try:
                text = raw.removesuffix(b"\n").removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                offset = start + error.start
                raise StiltgridError(
                    f"{path}:{number}: byte 0x{raw[error.start]:02x} at offset {offset} of the file is not "
                    "UTF-8, expected UTF-8 text (is the file compressed, or was it saved in another encoding?)"
                ) from None
            lines.append((number, text.removeprefix("\ufeff") if number == 1 else text))
            start += len(raw)
    while lines and not lines[-1][1] and not keep_blank_end:
        lines.pop()
    if not lines:
        raise StiltgridError(f"{path}: empty file; expected at least one row (is the download or unpacking complete?)")
    return lines


def resolve_label(said: str, aliases: dict[str, str], allowed: dict[str, str], where: str, hint: str = "") -> str:
    """Return the canonical label for a label as the file spells it.

    Args:
        said: the file's label.
        aliases: other spellings of the release, e.g. `contradictory`.
        allowed: the task's labels.
        where: `file:line` for the message.
        hint: a remedy, appended to the message.

    Raises:
        StiltgridError: if it is none of the task's labels.
    """
    label = aliases.get(said, said)
    if label not in allowed:
        expected = ", ".join([*allowed, *(alias for alias in aliases if alias not in allowed)])
        raise StiltgridError(f"{where}: label {said!r}, expected one of: {expected}{hint}")
    return label
