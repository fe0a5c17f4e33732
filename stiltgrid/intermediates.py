"""From an intermediate arm's name to the tasks that it trains on."""

from collections.abc import Mapping, Sequence

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
