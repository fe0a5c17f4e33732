"""How the tests themselves are shared out over processes: what a file makes once is made once."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULE = """
import pytest

pytestmark = {mark}

@pytest.fixture(scope="module")
def made():
    with open("made", "a") as file:
        print("{name}", file=file)

@pytest.mark.parametrize("i", range(4))
def test_it(made, i):
    pass
"""


@pytest.mark.slow
def test_a_file_is_one_workers_and_the_long_ones_come_first(tmp_path):
    shutil.copy(TESTS / "conftest.py", tmp_path)
    marks = {"a": "[]", "b": "[]", "y": "pytest.mark.slow", "transfer": "pytest.mark.slow"}
    for name, mark in marks.items():
        (tmp_path / f"test_{name}.py").write_text(MODULE.format(name=name, mark=mark), encoding="utf-8")
    makefile = (TESTS.parent / "Makefile").read_text(encoding="utf-8")
    shared_out = re.search(r"python -m pytest -n \S+ (--dist .*)", makefile)[1].split()
    command = [sys.executable, "-m", "pytest", "-n", "2", *shared_out, "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "16 passed" in done.stdout, done.stdout
    made = (tmp_path / "made").read_text(encoding="utf-8").split()
    assert sorted(made) == sorted(marks)
    listed = subprocess.run([*command, "-n", "0", "--collect-only", "-q"], cwd=tmp_path, capture_output=True, text=True)
    order = dict.fromkeys(re.findall(r"^test_(\w+)\.py::", listed.stdout, flags=re.MULTILINE))
    assert list(order) == ["transfer", "y", "a", "b"], listed.stdout
