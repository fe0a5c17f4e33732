"""Which code made an artifact."""

import subprocess

import pytest

from stiltgrid.artifacts import write_json
from stiltgrid.commit import VARIABLE, code, code_of, described
from stiltgrid.examples import Example, write_examples
from stiltgrid.provenance.records import parquet_record
from stiltgrid.score_languages import made_by


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit that holds a piece of code."""
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = tmp_path / "checkout"
    (folder / "stiltgrid").mkdir(parents=True)
    (folder / "stiltgrid" / "x.py").write_text("X = 1\n")
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=n@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    return folder


def test_a_clean_and_a_changed_checkout(checkout):
    found = code_of(checkout)
    assert len(found["commit"]) == 40 and found["dirty"] is False
    (checkout / "notes.txt").write_text("no code\n")
    assert code_of(checkout) == found
    (checkout / "stiltgrid" / "x.py").write_text("X = 2\n")
    changed = code_of(checkout)
    assert changed == found | {"dirty": True}
    assert described(changed) == f"{found['commit'][:12]} with changes"


def test_a_copy_within_a_repository_is_none_of_its_commits(checkout, monkeypatch):
    inner = checkout / "copy"
    inner.mkdir()
    assert (code_of(inner)["commit"], code_of(inner)["dirty"]) == (None, None)
    monkeypatch.setenv(VARIABLE, "a" * 40)
    assert code_of(inner)["commit"] == "a" * 40
    monkeypatch.setenv(VARIABLE, "main")
    assert code_of(inner)["commit"] is None


def test_the_code_of_an_example_file_is_not_in_its_sidecar(tmp_path):
    # another commit that reads the same rows must rerun nothing
    sidecar = write_examples(tmp_path / "a.parquet", [Example("1", "1", {"a": "b"}, label="x")], {})
    assert "code" not in sidecar and "code" not in (tmp_path / "a.json").read_text()
    assert parquet_record(tmp_path / "a.parquet")["code"] == code()


def test_a_score_that_says_the_same_keeps_the_code_that_made_it(tmp_path):
    # so that a rescore by another commit changes no byte, and no table is made again
    path, record = tmp_path / "de.json", {"value": 1.0}
    assert made_by(path, record) == code()
    write_json(path, record | {"code": {"commit": "a" * 40}})
    assert made_by(path, record) == {"commit": "a" * 40}
    assert made_by(path, {"value": 2.0}) == code()
    path.write_text("{")
    assert made_by(path, record) == code()
