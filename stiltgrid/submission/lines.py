"""What the forms share: a prediction's value of a form, and the lines of a file, decoded strictly."""

import codecs
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.predictions import Prediction


def given(said: Prediction, name: str) -> object:
    """Return a prediction's value of this form.

    Raises:
        StiltgridError: if it has none.
    """
    value = getattr(said, name)
    if value is None:
        raise StiltgridError(f"the prediction for {said.id!r} has no {name}; expected one, predict it again")
    return value


def lines_of(path: Path, *, keep_mark: bool = False) -> list[str]:
    """Return a file's lines without their ends, blank ones at its end included.

    Args:
        path: a UTF-8 file.
        keep_mark: is U+FEFF at the start part of the first line? Else it is dropped as a byte order mark.

    Raises:
        StiltgridError: for a missing file, a byte that is not UTF-8, or a CR that is not before LF.
    """
    data = bytes_of(path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise StiltgridError(f"{path}:1: starts with a UTF-16 byte order mark, expected UTF-8; convert it first")
    parts = data.split(b"\n")
    if not parts[-1]:
        parts.pop()
    lines = []
    for number, part in enumerate(parts, start=1):
        try:
            line = part.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            raise StiltgridError(
                f"{path}:{number}: byte 0x{part[error.start]:02x} is not UTF-8, expected UTF-8 text; was the file "
                "saved in another encoding?"
            ) from None
        if "\r" in line:
            raise StiltgridError(
                f"{path}:{number}: a carriage return inside the line, expected LF or CR LF as line ends; the official "
                "evaluator would read two lines here"
            )
        lines.append(line)
    if lines and not keep_mark:
        lines[0] = lines[0].removeprefix("\ufeff")
    return lines


def bytes_of(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        StiltgridError: if there is no such file.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file") from None


def one_an_example(path: Path, lines: Sequence[str], examples: Sequence[Example]) -> None:
    """Check that a file has one line an example.

    Raises:
        StiltgridError: naming the first line that is too many, or the last one that is there.
    """
    seen, expected = len(lines), len(examples)
    if seen < expected:
        raise StiltgridError(
            f"{path}:{seen}: the file ends here, after {seen} lines, expected {expected}, one an example (the next "
            f"is {examples[seen].id!r}); nothing is padded"
        )
    if seen > expected:
        raise StiltgridError(
            f"{path}:{expected + 1}: {lines[expected]!r}, expected the file's end: {seen} lines for {expected} "
            "examples (a header, a blank line, or a text that contains a line end?)"
        )
