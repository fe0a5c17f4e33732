"""Tasks, readers and metrics from a user's own folders, which the config names under `extensions`.

A folder holds task rows in `tasks/*.yaml`, as the package has them. Where they need more, `readers.py` defines
`READERS`, functions by name, and `metrics.py` defines `METRICS`, `Metric`s by name. The hash of a file is part of the
recipes of what it determines. They are two files, so that another reader of the same rows trains nothing again.
"""

import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from stiltgrid.artifacts import file_sha256
from stiltgrid.config import expanded, parse
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.metrics import METRICS, Metric
from stiltgrid.readers import READERS
from stiltgrid.tasks.added import Added, put_in_force
from stiltgrid.tasks.registry import TaskRow, package_tasks

TABLES = {"reader": ("readers.py", "READERS"), "metric": ("metrics.py", "METRICS")}
"""The file of an extension and the dictionary in it that define names of a kind."""


def use(folders: Sequence[str]) -> None:
    """Put the extensions in these folders, and no others, in force for this process.

    Raises:
        StiltgridError: as `load`.
    """
    put_in_force(load(folders))


def load(folders: Sequence[str]) -> Added:
    """Read extensions, without putting them in force.

    Args:
        folders: as in the config: relative to the working folder or absolute, `${VARIABLE}` filled in.

    Raises:
        StiltgridError: naming file and key, for a folder without task rows, a malformed row, a name that the package
            or another extension has already, a reader or metric that nobody defines, or code that does not load.
    """
    rows: dict[str, TaskRow] = {}
    tables: dict[str, dict[str, Any]] = {"reader": {}, "metric": {}}
    code: dict[tuple[str, str], str] = {}
    known = {"reader": READERS.own, "metric": METRICS.own}
    files = []
    for given in folders:
        folder = Path(expanded(given))
        found = sorted(folder.glob("tasks/*.yaml"))
        if not found:
            what = "holds no tasks/*.yaml" if folder.is_dir() else "is no folder"
            raise StiltgridError(f"extensions: {given!r} {what}; expected a folder with task rows in tasks/*.yaml")
        files += found
        for kind, (file, table) in TABLES.items():
            if not (path := folder / file).is_file():
                continue
            sha256 = file_sha256(path)
            for name, value in _entries(path, _module(path.resolve(), sha256), kind).items():
                _check_new(f"{path}: {table}", name, (known[kind], tables[kind]))
                tables[kind][name], code[kind, name] = value, sha256
    for path in files:
        for name, row in _rows(path).items():
            _check_new(str(path), name, (package_tasks(), rows))
            _check_names(f"{path}: {name}", row, {kind: {**known[kind], **tables[kind]} for kind in TABLES})
            rows[name] = row
    return Added(rows, tables["reader"], tables["metric"], code)


@cache
def _module(path: Path, sha256: str) -> ModuleType:
    """Load a file of code, once for each content."""
    name = f"stiltgrid_extension_{sha256[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a module up by its name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        line = next((f", line {t.lineno}" for t in _frames(error) if t.filename == str(path)), "")
        raise StiltgridError(f"{path}{line}: does not load: {type(error).__name__}: {error}") from error
    return module


def _frames(error: BaseException) -> Iterable[Any]:
    import traceback

    return reversed(traceback.extract_tb(error.__traceback__))


def _entries(path: Path, module: ModuleType, kind: str) -> Mapping[str, Any]:
    """Return a table of a module, each entry of which is what it should be."""
    table = TABLES[kind][1]
    found = getattr(module, table, None)
    if not isinstance(found, Mapping):
        raise StiltgridError(f"{path}: {table}: expected a dictionary by name, found {type(found).__name__}")
    for name, value in found.items():
        if kind == "reader" and not callable(value):
            raise StiltgridError(f"{path}: {table}.{name}: expected a function, found {type(value).__name__}")
        if kind == "metric" and not (isinstance(value, Metric) and value.name == name):
            raise StiltgridError(f"{path}: {table}.{name}: expected a Metric of that name, found {value!r}")
    return found


def _rows(path: Path) -> dict[str, TaskRow]:
    """Return the rows of a file.

    Raises:
        StiltgridError: for the first fault, with the row's key.
    """
    raw = parse(path)
    if not isinstance(raw, dict):
        raise StiltgridError(f"{path}: expected task rows by name (suite/task), found {type(raw).__name__}")
    rows = {}
    for name, keys in raw.items():
        if not isinstance(keys, dict):
            raise StiltgridError(f"{path}: {name}: expected a row of keys and values, found {type(keys).__name__}")
        try:
            rows[name] = TaskRow(**keys | {"name": name})
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(map(str, (name, *fault["loc"])))
            unknown = fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1
            hint = f"; {nearest(str(fault['loc'][0]), TaskRow.model_fields)}" if unknown else ""
            raise StiltgridError(f"{path}: {key}: {fault['msg'].removeprefix('Value error, ')}{hint}") from None
    return rows


def _check_new(where: str, name: str, tables: Iterable[Mapping[str, Any]]) -> None:
    package, others = tables
    if name in package or name in others:
        who = "the package" if name in package else "another extension, or this one,"
        raise StiltgridError(f"{where}: {name!r} is a name that {who} has already; choose another")


def _check_names(where: str, row: TaskRow, tables: Mapping[str, Mapping[str, Any]]) -> None:
    named = [("reader", f"layouts.{layout}.reader", about.reader) for layout, about in row.layouts.items()]
    named += [("metric", "metrics", name) for name in row.metrics]
    for kind, key, name in named:
        if name not in tables[kind]:
            file, table = TABLES[kind]
            raise StiltgridError(
                f"{where}.{key}: unknown {kind} {name!r}; {nearest(name, tables[kind])}; one of your own stands in "
                f"{table} of {file}, beside tasks/"
            )
