import sys
from pathlib import Path

import pytest

# the builders of tiny models are shared with the torch room's tests
sys.path.insert(0, str(Path(__file__).parents[1]))

from miniature import Miniature


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Miniature:
    """A grid that has run to its end once; tests take copies of it."""
    mini = Miniature.fresh(tmp_path_factory.mktemp("mini") / "grid")
    mini.run()
    return mini


@pytest.fixture
def mini(finished, tmp_path) -> Miniature:
    """A copy of the finished grid."""
    return finished.copy(tmp_path / "grid")
