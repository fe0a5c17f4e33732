"""From a config file to a valid `Config`, or to an error that names each key, its value and the nearest valid name."""

import os
import re
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import ValidationError

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.schema import Block, Config


def _block_at(path: tuple[Any, ...]) -> type[Block] | None:
    """Return the block that a location of the config holds, to name its valid keys."""

    def inside(annotation: Any) -> Any:
        """The annotation of a value below a dict, or of an optional."""
        if get_origin(annotation) is dict:
            return get_args(annotation)[1]
        return annotation

    here: Any = Config
    for part in path:
        if isinstance(here, type) and issubclass(here, Block):
            here = here.model_fields[part].annotation if part in here.model_fields else None
        else:
            here = inside(here)
    return here if isinstance(here, type) and issubclass(here, Block) else None


def _explain(error: dict[str, Any]) -> str:
    """Turn one pydantic error into a line with key, value, what is allowed and the nearest valid name."""
    # names of union members and `[key]` marks are pydantic's, not keys of the file
    where = ".".join(str(part) for part in error["loc"] if part != "[key]" and "[" not in str(part)) or "config"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{where}: missing; this key is required"
    if error["type"] == "extra_forbidden":
        block = _block_at(error["loc"][:-1])
        return f"{where}: unknown key; {nearest(error['loc'][-1], block.model_fields if block else ())}"
    if error["type"] in ("value_error", "assertion_error"):
        return message if message.startswith(where) or where == "config" else f"{where}: {message}"
    hint = ""
    if error["type"] == "literal_error":
        allowed = [part.strip().strip("'") for part in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        hint = f"; {nearest(str(error['input']), allowed)}"
    return f"{where}: value {error['input']!r}: {message[0].lower()}{message[1:]}{hint}"


def validate(raw: dict[str, Any], where: str = "config") -> Config:
    """Validate a loaded config.

    Args:
        raw: what YAML gave.
        where: the file's name, for messages.

    Its extensions are in force from then on, in place of those of the config before.

    Raises:
        StiltgridError: with one line for each fault.
    """
    from stiltgrid import extensions

    if not isinstance(raw, dict):
        raise StiltgridError(f"{where}: expected keys and values, found {type(raw).__name__}")
    folders = raw.get("extensions") or ()
    if not isinstance(folders, (list, tuple)) or not all(isinstance(folder, str) for folder in folders):
        raise StiltgridError(f"{where}: extensions: expected a list of folders, found {folders!r}")
    extensions.use(folders)
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(dict(e))}" for e in error.errors())
        raise StiltgridError(f"{where} is not valid:\n{lines}\n(every key: docs/config.md)") from None


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key written twice, where PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise StiltgridError(f"{key_node.start_mark.name}, line {line}: key {key!r} is written twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(path: Path | str) -> Any:
    """Read a config file, which may be one of several that are merged, without validating it.

    Raises:
        StiltgridError: if it cannot be read, is not YAML, or repeats a key.
    """
    try:
        with Path(path).open(encoding="utf-8") as handle:
            return yaml.load(handle, _UniqueKeys)
    except OSError as error:
        raise StiltgridError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise StiltgridError(f"{path}: not YAML: {error}") from None


def load(path: Path | str) -> Config:
    """Read and validate a config file.

    Raises:
        StiltgridError: as `parse` and `validate`.
    """
    return validate(parse(path), str(path))


def expanded(path: str) -> str:
    """Return a path with `~` and environment variables filled in.

    The config, and so a recipe, keeps the name of the variable: moving the data elsewhere reruns nothing.

    Raises:
        StiltgridError: if a variable is not set, naming it.
    """
    full = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111
    if missing := re.findall(r"\$\{?(\w+)", full):
        name = missing[0]
        raise StiltgridError(f"path {path!r}: environment variable {name} is not set; export {name}=<folder>")
    return full
