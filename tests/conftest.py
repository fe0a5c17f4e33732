import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stiltgrid.tasks.added import Added, put_in_force


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the groups of tests that take minutes, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
