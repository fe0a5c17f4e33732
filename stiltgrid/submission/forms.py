r"""The forms in which a benchmark wants predictions: each written to a file's text, each read back.

| form    | file                                                                                          |
|---------|-----------------------------------------------------------------------------------------------|
| labels  | a label a line, one line an example, no header                                                |
| values  | a number a line: the predicted relevance                                                      |
| tags    | a tag a line, one line a word, a blank line after each sentence                               |
| answers | one JSON object {id: answer}                                                                  |
| texts   | a text a line; a line end or tab inside a text becomes one space, all else stays as it is     |
| pairs   | the ids of a mined pair a line, tab between: the language's, the English one                  |
| places  | the place, from 0, of the sentence found, a line an English sentence in alphabetical order    |

Files are UTF-8 with LF. Lines end at LF alone: U+0085, U+2028 and their like occur inside texts, and the official
evaluator does not cut there either. A CR before LF is dropped; a CR elsewhere is refused, because the evaluator, which
reads in text mode, would see two lines. The last line may lack its LF.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.examples import Example
from stiltgrid.metrics.generation import one_line
from stiltgrid.predictions import Prediction
from stiltgrid.submission.lines import bytes_of, given, lines_of, one_an_example
from stiltgrid.submission.retrieved import read_pairs, read_places, write_pairs, write_places
from stiltgrid.tasks.registry import TaskRow


def write_labels(predictions: Sequence[Prediction]) -> str:
    """Return a label a line."""
    return "".join(f"{given(said, 'label')}\n" for said in predictions)


def write_values(predictions: Sequence[Prediction]) -> str:
    """Return a number a line, in the digits that `float` reads back exactly."""
    values = [float(given(said, "value")) for said in predictions]  # type: ignore[arg-type]
    for said, value in zip(predictions, values, strict=True):
        if not math.isfinite(value):
            raise StiltgridError(f"the prediction for {said.id!r} has value {value}; expected a finite number")
    return "".join(f"{value!r}\n" for value in values)


def write_tags(predictions: Sequence[Prediction]) -> str:
    """Return a tag a line and a blank line after each sentence."""
    sentences: list[Sequence[str]] = [given(said, "tags") for said in predictions]  # type: ignore[misc]
    return "".join("".join(f"{tag}\n" for tag in tags) + "\n" for tags in sentences)


def write_answers(predictions: Sequence[Prediction]) -> str:
    """Return one JSON object in the order of the examples, an answer a line for the eye's sake."""
    answers = {said.id: given(said, "text") for said in predictions}
    return json.dumps(answers, ensure_ascii=False, indent=0) + "\n"


def write_texts(predictions: Sequence[Prediction]) -> str:
    """Return a text a line."""
    return "".join(one_line(str(given(said, "text"))) + "\n" for said in predictions)


def read_labels(path: Path, examples: Sequence[Example], task: TaskRow) -> list[Prediction]:
    """Read a label a line, white space around it dropped as the official evaluator does.

    A label outside the task's set is kept as it is: it is wrong, not misaligned.

    Raises:
        StiltgridError: if there is not one line an example.
    """
    lines = lines_of(path)
    one_an_example(path, lines, examples)
    return [Prediction(id=e.id, label=line.strip()) for e, line in zip(examples, lines, strict=True)]


def read_values(path: Path, examples: Sequence[Example], task: TaskRow) -> list[Prediction]:
    """Read a number a line; a prediction's label is the task's nearest one, which nDCG does not read.

    Raises:
        StiltgridError: if there is not one line an example, or one that is no finite number.
    """
    lines = lines_of(path)
    one_an_example(path, lines, examples)
    found = []
    for number, (example, line) in enumerate(zip(examples, lines, strict=True), start=1):
        try:
            value = float(line)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise StiltgridError(
                f"{path}:{number}: {line!r}, expected a finite number (the predicted relevance of {example.id!r})"
            )
        label = min(task.labels, key=lambda name: abs(float(name) - value))
        found.append(Prediction(id=example.id, label=label, value=value))
    return found


def read_tags(path: Path, examples: Sequence[Example], task: TaskRow) -> list[Prediction]:
    """Read a tag a line, sentences separated by one blank line; blank lines at the file's end do not count.

    Raises:
        StiltgridError: for a blank line where tags are expected (the official evaluator reads it as an empty tag),
            white space inside a tag, or a sentence of another length than the gold one; nothing is padded.
    """
    sentences: list[tuple[int, list[str]]] = []
    lines = [line.strip() for line in lines_of(path)]
    while lines and not lines[-1]:
        lines.pop()
    begins = True
    for number, tag in enumerate(lines, start=1):
        if not tag:
            if begins:
                raise StiltgridError(
                    f"{path}:{number}: a blank line, expected the first tag of sentence {len(sentences) + 1}; one "
                    "blank line separates sentences, and no sentence is empty"
                )
            begins = True
            continue
        if len(tag.split()) > 1:
            raise StiltgridError(f"{path}:{number}: {tag!r}, expected one tag and no word beside it")
        if begins:
            sentences.append((number, []))
            begins = False
        sentences[-1][1].append(tag)
    for number, (example, (line, tags)) in enumerate(zip(examples, sentences, strict=False), start=1):
        words = example.words or ()
        if len(tags) != len(words):
            where = line + min(len(tags), len(words))
            raise StiltgridError(
                f"{path}:{where}: sentence {number} (id {example.id!r}, from line {line}) has {len(tags)} tags, "
                f"expected {len(words)}, one a word; nothing is padded or cut"
            )
    if len(sentences) != len(examples):
        where = sentences[len(examples)][0] if len(sentences) > len(examples) else len(lines)
        raise StiltgridError(
            f"{path}:{where}: {len(sentences)} sentences, expected {len(examples)}; nothing is padded or cut"
        )
    return [Prediction(id=e.id, tags=tuple(tags)) for e, (_, tags) in zip(examples, sentences, strict=True)]


def read_answers(path: Path, examples: Sequence[Example], task: TaskRow) -> list[Prediction]:
    """Read a JSON object {id: answer} with exactly the examples' ids, in any order.

    Raises:
        StiltgridError: if it is no JSON object, an id is missing, unknown or twice there, or an answer is no text.
    """
    data = bytes_of(path)
    pairs: list[tuple[str, object]] = []

    def flat(found: list[tuple[str, object]]) -> dict[str, object]:
        pairs[:] = found  # objects close from the inside out: the outermost is the last
        return dict(found)

    try:
        value = json.loads(data, object_pairs_hook=flat)
    except (ValueError, RecursionError) as error:
        raise StiltgridError(f"{path}: not JSON ({error}); expected one object {{id: answer}}") from None
    if not isinstance(value, dict):
        raise StiltgridError(f"{path}: a JSON {type(value).__name__}, expected one object {{id: answer}}")
    answers: dict[str, str] = {}
    for key, answer in pairs:
        if key in answers:
            raise StiltgridError(f"{path}:{_line_of(data, key)}: id {key!r} occurs twice, expected each once")
        if not isinstance(answer, str):
            where = f"{path}:{_line_of(data, key)}"
            raise StiltgridError(f"{where}: the answer to {key!r} is {answer!r}, expected a text")
        answers[key] = answer
    ids = {example.id for example in examples}
    if unknown := [key for key in answers if key not in ids]:
        hint = nearest(unknown[0], ids) if len(ids) <= 20 else f"allowed: the {len(ids)} ids of the gold file"
        raise StiltgridError(f"{path}:{_line_of(data, unknown[0])}: unknown id {unknown[0]!r}; {hint}")
    if missing := [example.id for example in examples if example.id not in answers]:
        raise StiltgridError(
            f"{path}: {len(answers)} answers, expected {len(examples)}: no answer to {missing[0]!r}; an empty one is "
            "allowed, a missing one is not"
        )
    return [Prediction(id=example.id, text=answers[example.id]) for example in examples]


def _line_of(data: bytes, key: str) -> int:
    """Return the line on which a key of a JSON file occurs last, for messages."""
    spelt = max(data.rfind(json.dumps(key, ensure_ascii=ascii_).encode("utf-8", "replace")) for ascii_ in (True, False))
    return data.count(b"\n", 0, max(spelt, 0)) + 1


def read_texts(path: Path, examples: Sequence[Example], task: TaskRow) -> list[Prediction]:
    """Read a text a line, byte for byte; a blank line is an empty text.

    Raises:
        StiltgridError: if there is not one line an example.
    """
    lines = lines_of(path, keep_mark=True)
    one_an_example(path, lines, examples)
    return [Prediction(id=e.id, text=line) for e, line in zip(examples, lines, strict=True)]


@dataclass(frozen=True, slots=True)
class Form:
    """One form.

    Attributes:
        write: of predictions: the file's text.
        read: of (file, gold examples, task): one prediction an example, in their order.
    """

    write: Callable[[Sequence[Prediction]], str]
    read: Callable[[Path, Sequence[Example], TaskRow], list[Prediction]]


FORMS: dict[str, Form] = {
    "labels": Form(write_labels, read_labels),
    "values": Form(write_values, read_values),
    "tags": Form(write_tags, read_tags),
    "answers": Form(write_answers, read_answers),
    "texts": Form(write_texts, read_texts),
    "pairs": Form(write_pairs, read_pairs),
    "places": Form(write_places, read_places),
}
"""Name in a task row's `submission` -> how it is written and read."""
