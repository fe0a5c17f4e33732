"""From an intermediate arm's name to the tasks that it trains on."""

from collections.abc import Mapping, Sequence
from typing import Any

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.tasks.registry import tasks


def training_tasks(name: str, arms: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the full names of the tasks of an arm, each once, in order of first mention.

    An entry of `tasks` is a task of the suite `intermediate`, a full suite/task name, or another arm, which
    stands for its own tasks; a task that two arms share is used once (`multi` holds `mnli` and `anli_plus`).

    Args:
        name: the arm.
        arms: each arm's `tasks`, by name.

    Raises:
        StiltgridError: if an entry is neither a task nor an arm, or arms name each other in a circle.
    """
    known = tasks()
    found: dict[str, None] = {}

    def add(arm: str, path: tuple[str, ...]) -> None:
        for entry in arms[arm]:
            full = entry if "/" in entry else f"intermediate/{entry}"
            if full in known:
                found[full] = None
            elif entry != arm and entry in path:
                raise StiltgridError(f"{' -> '.join((*path, entry))}: intermediates name each other in a circle")
            elif entry != arm and entry in arms:
                add(entry, (*path, entry))
            else:
                names = {*(set(arms) - {arm}), *(task.removeprefix("intermediate/") for task in known)}
                raise StiltgridError(f"unknown task or intermediate {entry!r}; {nearest(entry, names)}")

    add(name, (name,))
    return tuple(found)


def check_arms(arms: Mapping[str, Any], text: bool) -> list[str]:
    """Return what contradicts itself in the arms' rows, one line each.

    Args:
        arms: the rows by name, with `tasks`, `languages`, `mixing`, `denoising`.
        text: does the config name text for denoising?
    """
    found = []
    for name, row in arms.items():
        where = f"intermediates.{name}"
        if len(set(row.languages)) != len(row.languages):
            found.append(f"{where}.languages: {', '.join(row.languages)} names a language twice")
        if not row.tasks and (row.denoising is not None or row.languages != ("en",) or row.mixing != "proportional"):
            found.append(
                f"{where}: an arm without `tasks` is the baseline; it has nothing to mix, translate or denoise"
            )
        if row.denoising is not None and not text:
            found.append(
                f"{where}.denoising: {row.denoising}, and the config has no text; write "
                "denoising_text: {path: text/{lang}.txt, languages: [...]}"
            )
        for entry in row.tasks:
            inner = arms.get(entry)
            if inner is None or entry == name or f"intermediate/{entry}" in tasks():
                continue  # a task goes before an arm of its name
            for key in ("languages", "denoising", "mixing"):
                own = getattr(inner, key)
                if own != type(inner).model_fields[key].default and own != getattr(row, key):
                    found.append(
                        f"{where}.tasks: {entry} stands for its tasks alone, and its `{key}` would be lost; set "
                        f"`{key}` of {name}, or list the tasks of {entry}"
                    )
    return found
