import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with data/ and models/ of real rows and a real encoder; tests that ask for it are marked realdata."""
    folder = os.environ.get("STILTGRID_REAL_DATA")
    if not folder:
        pytest.skip("STILTGRID_REAL_DATA is unset: no real rows here")
    return Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the groups of tests that take minutes, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
