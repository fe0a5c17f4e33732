"""What a config's extensions add to the package's own tables: task rows, readers, metrics.

A process works on one config. Its additions are put in force when it is validated and when a grid is made of it, and
replace those of the config before as a whole, so that none is ever seen from another config.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Added:
    """The additions of all extensions of a config.

    Attributes:
        rows: task rows by name.
        readers: readers by name, as in `stiltgrid.readers.READERS`.
        metrics: metrics by name, as in `stiltgrid.metrics.METRICS`.
        code: SHA-256 of the file that defines a reader or a metric, by ("reader" or "metric", name).
    """

    rows: Mapping[str, Any] = field(default_factory=dict)
    readers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[tuple[str, str], str] = field(default_factory=dict)


_in_force = Added()


def in_force() -> Added:
    """Return the additions of the config that this process works on."""
    return _in_force


def put_in_force(added: Added) -> None:
    """Replace the additions, all of them."""
    global _in_force
    _in_force = added


def code_of(kind: str, names: Iterable[str]) -> dict[str, str]:
    """Return the hash of the code of those readers or metrics that an extension defines, for recipes.

    What only the package defines has none: a change of it that changes results is declared by a version.

    Args:
        kind: "reader" or "metric".
        names: of readers or metrics.
    """
    return {name: _in_force.code[kind, name] for name in names if (kind, name) in _in_force.code}


class Extended(Mapping[str, Value], Generic[Value]):
    """A table of the package's, and what is added to it now.

    Args:
        own: the package's table.
        added: picks the additions, e.g. `lambda added: added.readers`.
    """

    def __init__(self, own: Mapping[str, Value], added: Callable[[Added], Mapping[str, Value]]) -> None:
        self.own = own
        self._added = added

    def __getitem__(self, name: str) -> Value:
        return self.own[name] if name in self.own else self._added(_in_force)[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.own, *self._added(_in_force)))

    def __len__(self) -> int:
        return len(self.own) + len(self._added(_in_force))
