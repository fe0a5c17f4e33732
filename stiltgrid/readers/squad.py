"""SQuAD's JSON, articles of paragraphs of questions: SQuAD itself (1.1 and 2.0), MLQA, XQuAD."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example
from stiltgrid.tasks.registry import TaskRow


def read_squad(
    path: Path, task: TaskRow, language: str, *, dropped: Counter[str], numbered: bool = False
) -> list[Example]:
    """Read a file of questions, each with a context and its right answers.

    Answers are spans: `context[answer_start:][:len(text)]` must be the answer's text, in code points. In the
    releases it always is; where it is not, training would learn another span than evaluation asks for, so that it is
    an error and not a row to be skipped or guessed at.

    Args:
        path: the file.
        task: the task row; its fields are `question` and `context`. If it declares `no_answer`, questions may have no
            answer (SQuAD 2.0): their `references` are empty.
        language: not used; the file holds one language.
        dropped: not used; nothing is left out.
        numbered: do the file's ids count the questions of an article alone (XTREME's TyDiQA training files)? An id is
            then `article.paragraph-id`.

    Returns:
        Examples with the texts byte for byte, `references` and `starts` in the file's order. The id is the
        question's own; the group, its paragraph, is `article.paragraph`, both numbered from 1.

    Raises:
        StiltgridError: for a file that is not whole JSON or not SQuAD's, a question without answers where the task has
            none such, an answer that is not where it is said to be, or an id that occurs twice, with file, article,
            paragraph and question.
    """
    found: list[Example] = []
    seen: dict[str, str] = {}
    for article, number, paragraph in _paragraphs(path, _document(path)):
        where = f"{path}: article {article}, paragraph {number}"
        context = _text(paragraph, "context", where)
        for question in _list(paragraph, "qas", where):
            name = _text(question, "id", where)
            place = f"{where}, question {name!r}"
            name = f"{article}.{number}-{name}" if numbered else name
            if name in seen:
                raise StiltgridError(f"{place}: the id occurred before, in {seen[name]}; expected ids unique in a file")
            seen[name] = f"article {article}, paragraph {number}"
            fields = {"question": _text(question, "question", place), "context": context}
            answers = _list(question, "answers", place)
            if not answers and task.no_answer is None:
                raise StiltgridError(
                    f"{place}: no answers; expected one at least (SQuAD 2.0's unanswerable questions are another task)"
                )
            spans = [_span(answer, context, place) for answer in answers]
            if question.get("is_impossible", not spans) != (not spans):
                raise StiltgridError(
                    f"{place}: is_impossible is {question['is_impossible']!r} and there are {len(spans)} answers; "
                    "expected none exactly where it is true"
                )
            texts, starts = zip(*spans, strict=True) if spans else ((), ())
            found.append(Example(id=name, group=f"{article}.{number}", fields=fields, references=texts, starts=starts))
    if not found:
        raise StiltgridError(f"{path}: no question in the file; expected some")
    return found


def _document(path: Path) -> Any:
    """Return the file's JSON."""
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise StiltgridError(f"{path}: byte at offset {error.start} is not UTF-8, expected UTF-8 JSON") from None
    except json.JSONDecodeError as error:
        raise StiltgridError(
            f"{path}:{error.lineno}: not whole JSON ({error.msg} at character {error.pos}); expected SQuAD's format; "
            "is the download or unpacking complete?"
        ) from None


def _paragraphs(path: Path, document: Any) -> Iterator[tuple[int, int, Any]]:
    """Yield each paragraph with the numbers of its article and of itself."""
    for article, entry in enumerate(_list(document, "data", str(path)), start=1):
        for number, paragraph in enumerate(_list(entry, "paragraphs", f"{path}: article {article}"), start=1):
            yield article, number, paragraph


def _span(answer: Any, context: str, where: str) -> tuple[str, int]:
    """Return an answer's text and start, checked against the context."""
    text = _text(answer, "text", where)
    checked_answer(text, answer.get("answer_start"), context, where)
    return text, answer["answer_start"]


def checked_answer(text: str, start: Any, context: str, where: str) -> None:
    """Check that an answer is where it is said to be.

    Raises:
        StiltgridError: if `start` is no whole number, or the context has another text there.
    """
    if not isinstance(start, int) or isinstance(start, bool):
        raise StiltgridError(f"{where}: answer_start {start!r} of answer {text[:40]!r}, expected an integer")
    there = context[start : start + len(text)] if start >= 0 else ""
    if not text.strip() or there != text:
        raise StiltgridError(
            f"{where}: answer {text[:40]!r} is not at answer_start {start}, where the context has {there[:40]!r}; "
            "expected the answer's own text, in code points (was the file edited, or its text normalised?)"
        )


def _list(value: Any, key: str, where: str) -> list[Any]:
    """Return the list under a key."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        seen = f"an object with keys {sorted(value)}" if isinstance(value, dict) else f"a {type(value).__name__}"
        raise StiltgridError(f"{where}: expected a list under {key!r} (SQuAD 1.1's format), found {seen}")
    return found


def _text(value: Any, key: str, where: str) -> str:
    """Return the text under a key."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise StiltgridError(f"{where}: expected text under {key!r}, found {found!r:.60}")
    try:
        found.encode()
    except UnicodeEncodeError as error:  # half of an escaped pair, \ud83d
        raise StiltgridError(
            f"{where}: {key!r} holds a lone surrogate at character {error.start}, which is no Unicode text"
        ) from None
    return found
