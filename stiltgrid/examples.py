"""One schema for the examples of every task, their files, and their fingerprint.

An example file is a Parquet file beside a small JSON sidecar of the same name. The sidecar carries the fingerprint
(a hash of content, not of bytes or times), so that Snakemake compares content where it would compare mtimes.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import canonical_json, read_json, replacing, write_json
from stiltgrid.commit import code
from stiltgrid.errors import StiltgridError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Example:
    """One row of one task in one language.

    Attributes:
        id: unique within its file; equal across the languages of a parallel test set (row "17" is "17" in each).
        group: the cluster that is resampled as one (statistics.md 1.2): premise, query, paragraph, sentence.
        fields: named texts in the order in which a model reads them, e.g. premise and hypothesis; {} for tagging.
        label: classification and ranking: one of the task row's labels, else None.
        words: tagging: the words, else None.
        tags: tagging: one tag a word, else None.
        references: question answering: every answer that counts as right, none where the context has no answer (SQuAD
            2.0); generation: the one reference text; else None. Kept byte for byte.
        starts: question answering: where each answer begins in the field `context`, in code points; else None.
        choices: multiple choice: the texts to choose from, else None; `label` is the right one's place, from "0".
    """

    id: str
    group: str
    fields: dict[str, str] = field(default_factory=dict)
    label: str | None = None
    words: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    references: tuple[str, ...] | None = None
    starts: tuple[int, ...] | None = None
    choices: tuple[str, ...] | None = None


def fingerprint(examples: Iterable[Example]) -> str:
    """Return the SHA-256 (64 hex digits) over the contents of the examples, in their order.

    Every id, text, label, word, tag and answer counts, and so does the order of rows: training batches, caps on rows
    and the lines of a prediction file follow it.
    """
    sha = hashlib.sha256()
    for e in examples:
        content = [e.id, e.group, list(e.fields.items()), e.label, e.words, e.tags]
        if e.references is not None:  # so that tasks without them keep the fingerprints they have
            content += [e.references, e.starts]
        if e.choices is not None:
            content.append({"choices": e.choices})
        sha.update(canonical_json(content).encode())
        sha.update(b"\n")
    return sha.hexdigest()


def sidecar(path: Path | str) -> Path:
    """Return the JSON file that belongs to an example file: `dev.en.parquet` has `dev.en.json`."""
    return Path(path).with_suffix(".json")


def write_examples(path: Path | str, examples: Sequence[Example], about: dict[str, Any]) -> dict[str, Any]:
    """Write an example file and its sidecar, each atomically.

    Args:
        path: the `.parquet` file.
        examples: at least one row, ids unique.
        about: what else the sidecar records (task, split, language, source files, counts).

    Returns:
        The sidecar's content: `about` with `schema_version`, `examples` (their number) and `fingerprint`.

    Raises:
        StiltgridError: if there is no example, or an id occurs twice (both named).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not examples:
        raise StiltgridError(f"{path}: no examples; expected at least one row")
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise StiltgridError(f"{path}: duplicate id {example.id!r}; ids must be unique within a file")
        seen.add(example.id)
    table = pa.table(
        {
            "id": pa.array([e.id for e in examples], pa.string()),
            "group": pa.array([e.group for e in examples], pa.string()),
            "fields": pa.array([list(e.fields.items()) for e in examples], pa.map_(pa.string(), pa.string())),
            "label": pa.array([e.label for e in examples], pa.string()),
            "words": pa.array([e.words for e in examples], pa.list_(pa.string())),
            "tags": pa.array([e.tags for e in examples], pa.list_(pa.string())),
            "references": pa.array([e.references for e in examples], pa.list_(pa.string())),
            "starts": pa.array([e.starts for e in examples], pa.list_(pa.int64())),
        }
    )
    if any(e.choices is not None for e in examples):  # files of other kinds keep their bytes
        table = table.append_column("choices", pa.array([e.choices for e in examples], pa.list_(pa.string())))
    record = {
        **about,
        "schema_version": SCHEMA_VERSION,
        "examples": len(examples),
        "fingerprint": fingerprint(examples),
    }
    # not in the sidecar: another commit that reads the same rows must rerun nothing
    table = table.replace_schema_metadata({"stiltgrid": canonical_json({**record, "code": code()})})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    write_json(sidecar(path), record)
    return record


def read_examples(path: Path | str, *, texts: bool = True) -> list[Example]:
    """Read an example file.

    Args:
        path: the `.parquet` file.
        texts: whether to read `fields`; scores rest on articles and passages of many kilobytes only where an answer is
            looked up in them. Without, `fields` is empty.

    Raises:
        StiltgridError: if the file is missing, truncated, or of another schema version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    names = ("id", "group", "fields", "label", "words", "tags", "references", "starts", "choices")
    wanted = [name for name in names if texts or name != "fields"]
    try:
        # columns that a file does not have are passed over here
        with pq.ParquetFile(path) as file:
            table = file.read(columns=wanted)
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file; `snakemake` makes it from the source data") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: not a whole Parquet file ({error}); remove it and run again") from None
    version = read_json(sidecar(path)).get("schema_version")
    if version != SCHEMA_VERSION:
        raise StiltgridError(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; remove it and run again")
    nothing = [None] * table.num_rows  # files written before a column existed have none
    columns = [table[name].to_pylist() if name in table.column_names else nothing for name in names]
    return [
        Example(
            id=i,
            group=g,
            fields=dict(f or ()),
            label=label,
            words=None if words is None else tuple(words),
            tags=None if tags is None else tuple(tags),
            references=None if references is None else tuple(references),
            starts=None if starts is None else tuple(starts),
            choices=None if choices is None else tuple(choices),
        )
        for i, g, f, label, words, tags, references, starts, choices in zip(*columns, strict=True)
    ]
