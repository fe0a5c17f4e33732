"""Plain text for denoising: an index of its lines, and lines drawn from it. No file is ever held in memory.

The text stays where the user keeps it. Beside the grid's data lies an index, `<language>.npy`, the offset of every line
that is not blank, and a sidecar with the fingerprint of the file, so that another text is another recipe.
"""

import hashlib
import mmap
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stiltgrid.artifacts import read_json, replacing, write_json
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import sidecar

BLOCK = 1 << 24
"""Bytes read at once."""


def index_text(source: Path | str, path: Path | str, language: str) -> dict[str, Any]:
    """Write the index of a text file and its sidecar, each atomically.

    Args:
        source: UTF-8 text, one sentence or document a line; blank lines are passed over.
        path: the index, `.npy`: (lines + 1) offsets in bytes, int64, in file order, the last one past the end; where a
            blank line follows a line, that line's bytes reach to the next line that is not blank.
        language: for the sidecar.

    Returns:
        The sidecar: source (absolute), language, bytes, lines, fingerprint (SHA-256 of the file's bytes).

    Raises:
        StiltgridError: if the file is missing, not UTF-8, or has no line of text.
    """
    source = Path(source).absolute()
    if not source.is_file():
        raise StiltgridError(f"{source}: no such file; `denoising_text.path` must name one of {language}")
    sha, number, starts, at = hashlib.sha256(), 0, array("q"), 0
    with source.open("rb", buffering=BLOCK) as file:
        for line in file:
            number += 1
            sha.update(line)
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise StiltgridError(
                    f"{source}: line {number} is not UTF-8 ({error.reason} at byte {error.start}); convert the file"
                ) from None
            if text.strip():
                starts.append(at)
            at += len(line)
    if not starts:
        raise StiltgridError(f"{source}: no line of text; expected one sentence or document a line")
    lines = len(starts)
    starts.append(at)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.frombuffer(starts, np.int64))
    record = {
        "schema_version": 1,
        "source": str(source),
        "language": language,
        "bytes": at,
        "lines": lines,
        "fingerprint": sha.hexdigest(),
    }
    write_json(sidecar(path), record)
    return record


@dataclass(frozen=True)
class Text:
    """One language's indexed text.

    Attributes:
        language: of the lines.
        source: the file.
        offsets: as `index_text` writes them, mapped into memory.
        content: the file's bytes, mapped into memory.
    """

    language: str
    source: str
    offsets: np.ndarray
    content: mmap.mmap

    @property
    def lines(self) -> int:
        """Number of lines that are not blank."""
        return len(self.offsets) - 1

    def line(self, number: int) -> str:
        """Return a line without spaces around it."""
        start, stop = int(self.offsets[number]), int(self.offsets[number + 1])
        return self.content[start:stop].decode().strip()

    def size(self, number: int) -> int:
        """Return the bytes of a line."""
        return int(self.offsets[number + 1] - self.offsets[number])


def open_text(path: Path | str) -> Text:
    """Open an indexed text.

    Args:
        path: the index.

    Raises:
        StiltgridError: if index or text is missing, or the text is not the one that was indexed (by its size).
    """
    about = read_json(sidecar(path))
    source = Path(about["source"])
    if not source.is_file() or source.stat().st_size != about["bytes"]:
        found = f"has {source.stat().st_size} bytes, {about['bytes']} were indexed" if source.is_file() else "is gone"
        raise StiltgridError(f"{source}: {found}; put the text back, or remove {sidecar(path)} and run again")
    try:
        offsets = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise StiltgridError(f"{path}: no whole index ({error}); remove {sidecar(path)} and run again") from None
    with source.open("rb") as file:
        return Text(about["language"], str(source), offsets, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def language_shares(lines: Mapping[str, int], alpha: float) -> dict[str, float]:
    """Return how often each language is drawn: its lines to the power alpha, normalised (Conneau et al. 2020)."""
    powers = {language: number**alpha for language, number in lines.items()}
    return {language: power / sum(powers.values()) for language, power in powers.items()}


class Lines:
    """Lines drawn at random, with replacement; the k-th is a function of the seed and k alone.

    Args:
        texts: one a language.
        alpha: see `language_shares`.
        seed: the run's.
    """

    def __init__(self, texts: Sequence[Text], alpha: float, seed: int) -> None:
        self.texts = tuple(texts)
        self.seed = seed
        self.shares = language_shares({text.language: text.lines for text in texts}, alpha)
        self._edges = np.cumsum(list(self.shares.values()))

    def at(self, k: int) -> tuple[Text, int]:
        """Return the text and the number of its line that the k-th draw gives."""
        rng = np.random.default_rng([self.seed, k, 2])
        place = min(int(np.searchsorted(self._edges, rng.random(), side="right")), len(self.texts) - 1)
        return self.texts[place], int(rng.integers(self.texts[place].lines))
