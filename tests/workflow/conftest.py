import sys
from pathlib import Path

import pytest
from filelock import FileLock

# the builders of tiny models are shared with the torch room's tests
sys.path.insert(0, str(Path(__file__).parents[1]))

from miniature import Miniature


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Miniature:
    """A grid that has run to its end once, whichever of pytest's processes came first; tests take copies of it."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent  # what all processes of this session have in common
    folder = shared / "finished"
    with FileLock(shared / "finished.lock"):
        if (shared / "finished.done").exists():
            return Miniature(folder)
        assert not folder.exists(), "another process could not run the miniature to its end"
        mini = Miniature.fresh(folder)
        mini.run()
        (shared / "finished.done").touch()
    return mini


@pytest.fixture
def mini(finished, tmp_path) -> Miniature:
    """A copy of the finished grid."""
    return finished.copy(tmp_path / "grid")


@pytest.fixture
def to_tables(mini) -> None:
    """End the grid's runs and plans that name no target with the tables: figures and pages are for other tests."""
    mini.goal = "tables"
