import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stiltgrid.tasks.added import Added, put_in_force

LONGEST = ("test_transfer", "test_slurm", "test_reruns", "test_survival", "test_storage_policy", "test_faults")
"""Files that take minutes, the longest first."""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with data/ and models/ of real rows and a real encoder; tests that ask for it are marked realdata."""
    folder = os.environ.get("STILTGRID_REAL_DATA")
    if not folder:
        pytest.skip("STILTGRID_REAL_DATA is unset: no real rows here")
    return Path(folder)


@pytest.fixture(autouse=True)
def no_extensions_left() -> Iterator[None]:
    """Take what a test's config has added out of force again."""
    yield
    put_in_force(Added())


def length(slow: frozenset[Path]) -> Callable[[pytest.Item], tuple]:
    """Return the order of tests: files that take minutes, other grids, files with slow tests, quick ones."""

    def key(item: pytest.Item) -> tuple:
        known = LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)
        return known, item.path.parent.name != "workflow", item.path not in slow

    return key


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest, so that no worker is left alone with one at the end.

    A file is one worker's (`--dist loadfile` in the Makefile), for grids and clusters are made once a file. xdist's
    groups are not used: it writes them into an attribute that pytest 9.2 has no more, and they mean nothing.
    """
    items.sort(key=length(frozenset(item.path for item in items if item.get_closest_marker("slow"))))
