"""Label sets that no row can list: the 1,363 supertags of CCGbank are those of the user's training file.

They are taken from the whole training file, whatever share of it a run trains on, the most frequent first.
The recipe says that they come from there (`labels_from`), the identity holds the file's fingerprint, the manifest of a
checkpoint lists them. A tag of dev that training does not have counts as wrong.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.tasks.registry import TaskRow


def with_training_labels(row: TaskRow, paths: Sequence[Path | str]) -> TaskRow:
    """Return a task with the labels of its training files, or as it is if it lists its own.

    Args:
        row: the task.
        paths: its training example files.

    Raises:
        StiltgridError: if they hold no tag.
    """
    if row.labels_from is None:
        return row
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    counts: Counter[str] = Counter()
    for path in paths:
        tags = pc.list_flatten(pq.read_table(path, columns=["tags"])["tags"])
        if isinstance(tags, pa.ChunkedArray):
            tags = tags.combine_chunks()
        counts.update({entry["values"]: entry["counts"] for entry in pc.value_counts(tags).to_pylist()})
    if not counts:
        raise StiltgridError(f"{row.name}: its labels are those of the training data, which hold no tag")
    return with_labels(row, sorted(counts, key=lambda tag: (-counts[tag], tag)))


def with_labels(row: TaskRow, labels: Iterable[str] | None) -> TaskRow:
    """Return a task with the labels of a checkpoint's manifest; None: as it is."""
    return row if labels is None else row.model_copy(update={"labels": {label: label for label in labels}})
