"""The prediction file of one language: what a model said for each example, and what it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import canonical_json, replacing
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import Example

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer to one example.

    Attributes:
        id: the example's id.
        label: classification, ranking and choice: the most probable label.
        scores: classification, ranking and choice: log-probability of each label in the task row's order, or of each
            choice (natural log, normalised over them).
        value: ranking: expected relevance, the mean of the numeric labels under `scores`.
        tags: tagging: one tag a word.
        text: question answering and generation: the answer, byte for byte; may be empty. Where there may be no answer
            (SQuAD 2.0): what it is if there is one.
        truncated: was some of the example's input cut off? None: not known.
        no_answer: question answering where there may be no answer: how much likelier that is than the answer, in log
            odds; above 0 the answer is withheld.
    """

    id: str
    label: str | None = None
    scores: tuple[float, ...] | None = None
    value: float | None = None
    tags: tuple[str, ...] | None = None
    text: str | None = None
    truncated: bool | None = None
    no_answer: float | None = None


def write_predictions(path: Path | str, predictions: Sequence[Prediction], about: dict[str, Any]) -> None:
    """Write one language's predictions, atomically; `about` becomes the file's metadata (strings and numbers)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "id": pa.array([p.id for p in predictions], pa.string()),
            "label": pa.array([p.label for p in predictions], pa.string()),
            "scores": pa.array([p.scores for p in predictions], pa.list_(pa.float32())),
            "value": pa.array([p.value for p in predictions], pa.float64()),
            "tags": pa.array([p.tags for p in predictions], pa.list_(pa.string())),
            "text": pa.array([p.text for p in predictions], pa.string()),
            "truncated": pa.array([p.truncated for p in predictions], pa.bool_()),
        }
    )
    if any(p.no_answer is not None for p in predictions):  # files of other tasks keep their bytes
        table = table.append_column("no_answer", pa.array([p.no_answer for p in predictions], pa.float64()))
    record = {**about, "schema_version": SCHEMA_VERSION, "rows": len(predictions)}
    table = table.replace_schema_metadata({"stiltgrid": canonical_json(record)})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_metadata(path: Path | str) -> dict[str, Any]:
    """Return the metadata of a prediction file without reading its rows.

    Raises:
        StiltgridError: if the file is missing, truncated, not ours, or of another schema version.
    """
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    try:
        footer = pq.read_metadata(path)
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: truncated or not Parquet ({error}); remove it and run again") from None
    record = json.loads((footer.metadata or {}).get(b"stiltgrid", b"{}"))
    if record.get("schema_version") != SCHEMA_VERSION or record.get("rows") != footer.num_rows:
        raise StiltgridError(
            f"{path}: not a prediction file of schema version {SCHEMA_VERSION} (metadata {record}); "
            "remove it and run again"
        )
    return record


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read a prediction file.

    Raises:
        StiltgridError: as `read_metadata`, and for a file whose pages are damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    read_metadata(path)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: damaged Parquet pages ({error}); remove it and run again") from None
    nothing = [None] * table.num_rows  # files written before a column existed have none
    columns = [
        table[name].to_pylist() if name in table.column_names else nothing
        for name in ("id", "label", "scores", "value", "tags", "text", "truncated", "no_answer")
    ]
    return [
        Prediction(
            id=i,
            label=label,
            scores=None if scores is None else tuple(scores),
            value=value,
            tags=None if tags is None else tuple(tags),
            text=text,
            truncated=truncated,
            no_answer=no_answer,
        )
        for i, label, scores, value, tags, text, truncated, no_answer in zip(*columns, strict=True)
    ]


def check_alignment(
    examples: Sequence[Example], predictions: Sequence[Prediction], labels: Sequence[str], where: str
) -> None:
    """Check that predictions answer exactly these examples, in their order, within the label set.

    Args:
        examples: the gold rows.
        predictions: one for each, same order.
        labels: the valid labels or tags; empty: any (those of training data that are not here).
        where: the prediction file's name for messages.

    Raises:
        StiltgridError: naming the first difference: row count, id, tag count, or a label outside the set.
    """
    if len(examples) != len(predictions):
        raise StiltgridError(f"{where}: {len(predictions)} predictions for {len(examples)} examples; nothing is padded")
    allowed = set(labels)
    for row, (example, said) in enumerate(zip(examples, predictions, strict=True), start=1):
        if example.id != said.id:
            raise StiltgridError(f"{where}: row {row} has id {said.id!r}, expected {example.id!r}")
        if example.words is not None:
            if said.tags is None or len(said.tags) != len(example.words):
                found = None if said.tags is None else len(said.tags)
                raise StiltgridError(f"{where}: {said.id!r} has {found} tags for {len(example.words)} words")
            given: tuple[str | None, ...] = said.tags
        elif example.references is not None:
            if said.text is None:
                raise StiltgridError(f"{where}: {said.id!r} has no text; expected an answer, which may be empty")
            continue
        else:
            given = (said.label,)
        # of choices only those that the example has
        valid = allowed if example.choices is None else {str(i) for i in range(len(example.choices))}
        for label in given:
            if label is None or (valid and label not in valid):
                raise StiltgridError(f"{where}: {said.id!r} is labelled {label!r}; allowed: {', '.join(sorted(valid))}")
