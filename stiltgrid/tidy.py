"""A tidy table on disk: Parquet whose metadata say which table it is, of which schema version, and by what code."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stiltgrid.artifacts import canonical_json, replacing
from stiltgrid.commit import code
from stiltgrid.errors import StiltgridError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def write_tidy(path: Path | str, frame: "pd.DataFrame", kind: str, schema_version: int) -> None:
    """Write a table, atomically.

    Args:
        path: the file.
        frame: the table, its columns of their types.
        kind: which table it is.
        schema_version: of its columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    about = canonical_json({"schema_version": schema_version, "kind": kind, "code": code()})
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"stiltgrid": about.encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_tidy(path: Path | str, *, first: str, again: str) -> tuple["pa.Table", dict[str, Any]]:
    """Read what `write_tidy` wrote, and what it says of itself; whether that is what was asked for is the caller's.

    Args:
        path: the file.
        first: what to do if it is missing.
        again: what to do, once it is removed, if it is not whole.

    Raises:
        StiltgridError: if it is missing or not whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise StiltgridError(f"{path}: no such file; {first}") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StiltgridError(f"{path}: not a whole Parquet file ({error}); remove it and {again} again") from None
    return table, json.loads((table.schema.metadata or {}).get(b"stiltgrid", b"{}"))
