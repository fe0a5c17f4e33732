"""Files with a word and its tag a line, a blank line between sentences: XGLUE POS and NER, XTREME UDPOS."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.readers.lines import numbered_lines, resolve_label
from stiltgrid.tasks.registry import TaskRow

WITHHELD = "sentence whose words are all '_' (text withheld by UD)"


def withheld(words: Sequence[str]) -> bool:
    """Return whether a sentence has no word but `_`, which stands for text that UD must not publish."""
    return all(word == "_" for word in words)


def read_words(
    path: Path,
    task: TaskRow,
    language: str,
    *,
    dropped: Counter[str],
    separator: str,
    labels: Mapping[str, str] | None = None,
    scheme: Literal["bare", "iob"] = "bare",
    text_withheld: Literal["keep", "drop"] = "keep",
) -> list[Example]:
    r"""Read a file of tagged sentences.

    The last sentence counts whether or not a blank line follows. Words are kept as they are, zero-width
    characters and exotic spaces included: only the last `separator` of a line separates.

    Args:
        path: the file.
        task: the task row, whose labels are the tags.
        language: not used; the file holds one language.
        dropped: number of sentences left out by reason; added to.
        separator: what stands between word and tag: a space (XGLUE) or a tab (XTREME).
        labels: other spellings of tags.
        scheme: `iob`: the tags mark entities as IOB1 or IOB2 and become IOB2 (XGLUE NER mixes the two), and
            `-DOCSTART-` lines, which are no words, are left out and counted.
        text_withheld: what to do with sentences whose words are all `_`, whose text UD must not publish (4,124 in
            XGLUE's training file). `drop` leaves them out and counts them: right for training. `keep`: right for
            files that are scored, where the predictions of others have a line for each word.

    Returns:
        Examples with `words` and `tags`; the id is the sentence's number in the file, from 1.

    Raises:
        StiltgridError: for a line without a tag, an empty word, or an unknown tag, with file and line.
    """
    aliases = dict(labels or {})
    found: list[Example] = []
    for number, sentence in enumerate(_sentences(path), start=1):
        words, tags = [], []
        for line, text in sentence:
            if scheme == "iob" and text.startswith("-DOCSTART-"):
                dropped["-DOCSTART- line"] += 1
                continue
            word, cut, tag = text.rpartition(separator)
            if not cut or not word or "\t" in word:
                raise StiltgridError(
                    f"{path}:{line}: expected a word, a {_spelt(separator)} and a tag, found {text!r}; "
                    "XTREME's test files have no tags and cannot be scored (use `files: {test: ...}` or dev)"
                )
            words.append(word)
            tags.append(resolve_label(tag, aliases, task.labels, f"{path}:{line}"))
        if not words:
            continue  # nothing but a -DOCSTART- line
        if text_withheld == "drop" and withheld(words):
            dropped[WITHHELD] += 1
            continue
        if scheme == "iob":
            tags = iob2(tags)
        found.append(Example(id=str(number), group=str(number), words=tuple(words), tags=tuple(tags)))
    if not found:
        raise StiltgridError(f"{path}: no sentence is left ({dict(dropped)} dropped); expected some")
    return found


def iob2(tags: Sequence[str]) -> list[str]:
    """Return entity tags as IOB2, where every entity starts with `B-`.

    Args:
        tags: one sentence in IOB1 (`B-` only between touching entities of a type) or IOB2. An `I-` at the
            start of a sentence, after `O`, or after another type starts an entity in IOB1; the lenient scorer
            agrees.

    Returns:
        The same entities; IOB2 comes back unchanged.
    """
    found: list[str] = []
    before = "O"
    for tag in tags:
        begins = tag.startswith("I-") and before[2:] != tag[2:]
        found.append(f"B-{tag[2:]}" if begins else tag)
        before = tag
    return found


def _spelt(separator: str) -> str:
    return {" ": "space", "\t": "tab"}.get(separator, repr(separator))


def _sentences(path: Path) -> Iterator[list[tuple[int, str]]]:
    """Yield the numbered lines of each sentence; several blank lines in a row separate as one does."""
    sentence: list[tuple[int, str]] = []
    for line, text in numbered_lines(path):
        if text:
            sentence.append((line, text))
        elif sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence
