"""The worked example of docs/adding.md, as it stands there: extensions, a fetch from a hub, a run without a network."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import yaml
from hub_server import HubServer
from miniature import CHECKOUT, ROOT, Miniature

from stiltgrid.artifacts import read_json

pytestmark = pytest.mark.slow

GUARD = """
import os, socket

def refuse(self, address, *rest):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        note(f"connect {address}")
        raise OSError(f"no network here: {address}")
    return connect(self, address, *rest)

def note(text):
    with open(os.environ["GUARD_LOG"], "a") as log:
        log.write(text + "\\n")

connect = socket.socket.connect
socket.socket.connect = socket.socket.connect_ex = refuse
note("guarded")
"""


class Outside(Miniature):
    """The example's folder; small numbers are merged over its config."""

    def command(self, *arguments: str) -> list[str]:
        """Return the snakemake command line."""
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.folder / "checkout" / "Snakefile")),
            *("--cores", "2", *arguments, "--configfile", "mood.yaml", "small.yaml"),
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment of a run; a proxy of the machine's is not asked."""
        return super().environment() | {"NO_PROXY": "127.0.0.1"}

    def path(self, below: str) -> Path:
        """Return a path below results/mood."""
        return self.folder / "results" / "mood" / below


@pytest.fixture(scope="module")
def hub():
    server = HubServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def outside(hub, tmp_path_factory) -> Outside:
    """The example's files, written from the page; its data; its model and data set on the hub. Nothing was run."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "checkout").mkdir()
    for name in CHECKOUT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / "checkout" / name)
    page = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL))
    assert set(blocks) == {"mine/tasks/mine.yaml", "mine/readers.py", "mine/metrics.py", "mood.yaml"}
    for name, text in blocks.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    lines = ["# label;text", "sad;the cat sees no park", "glad;the dog runs in the park", "glad;the dog is good"]
    (folder / "mine" / "data").mkdir()
    for language in ("en", "de"):
        for split in ("train", "dev", "test"):
            path = folder / "mine" / "data" / f"{language}.{split}.txt"
            path.write_text("\n".join([*lines[:1], *lines[1:] * 4]), encoding="utf-8")
    training = {"epochs": None, "max_steps": 3, "batch_size": 4, "selection": "last_step", "evaluations": 0}
    small = {"training": {**training, "precision": "fp32"}, "analysis": {"replicates": 100}}
    small |= {"hub": {"folder": "fetched", "endpoint": hub.address}}
    (folder / "small.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")

    model = tiny.save_mt5(folder / "model", tokenizer=tiny.t5_tokenizer(tiny.WORDS))
    files = {path.name: path.read_bytes() for path in model.iterdir()} | {"README.md": b"a model"}
    config = yaml.safe_load(blocks["mood.yaml"])["models"]["small"]
    hub.add("model", config["source"], config["revision"], files)
    shutil.rmtree(model)
    row = yaml.safe_load(blocks["mine/tasks/mine.yaml"])["mine/polarity"]
    table = pa.table(
        {"sentence": ["the cat is sad", "the dog is happy"] * 8, "label": [0, 1] * 8, "idx": list(range(16))}
    )
    pq.write_table(table, buffer := io.BytesIO())
    names = ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001", "test-00000-of-00001")
    parts = {f"data/{name}.parquet": buffer.getvalue() for name in names}
    hub.add("dataset", row["hub"], row["revision"], parts | {"README.md": b"a data set"})
    return Outside(folder)


@pytest.fixture(scope="module")
def finished(outside, hub) -> Outside:
    """The example, fetched, then run while any connection of any process is refused and noted."""
    outside.run("fetch")
    asked = len(hub.requests)
    guard = outside.folder / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(guard))
    patch.setenv("GUARD_LOG", str(outside.folder / "guard.log"))
    outside.run("tables")
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ, check=False).returncode
    patch.undo()
    assert len(hub.requests) == asked
    return outside


def test_fetch_brings_the_model_and_the_splits_that_are_read(finished):
    [one, other] = read_json(finished.path("fetched.json"))
    assert one["id"] == "someone/small-mt5" and set(one["files"]) >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    assert "README.md" not in one["files"]
    assert set(other["files"]) == {
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/validation-00000-of-00001.parquet",
    }
    for repository in (one, other):
        for name, about in repository["files"].items():
            assert (finished.folder / repository["folder"] / name).stat().st_size == about["bytes"]


def test_the_run_opened_no_connection(finished):
    noted = (finished.folder / "guard.log").read_text(encoding="utf-8").splitlines()
    assert [line for line in noted if line != "guarded"] == ["connect ('127.0.0.1', 9)"]  # the guard's own test
    assert noted.count("guarded") > 10  # each job's process


def test_the_tasks_were_read_trained_on_and_scored_by_the_functions_from_outside(finished):
    assert read_json(finished.path("data/mine/polarity/train.en.json"))["examples"] == 32
    score = read_json(finished.path("scores/small/polarity/mood/seed1/de.json"))
    assert set(score["metrics"]) == {"macro_recall", "accuracy"}
    assert "Mood (macro recall)" in finished.path("tables/main.md").read_text(encoding="utf-8")
    manifest = read_json(finished.path("checkpoints/small/polarity/mood/seed1/manifest.json"))
    assert manifest["recipe"]["metrics"].keys() == {"macro_recall"}


def test_what_is_edited_outside_reruns_what_rests_on_it(finished, tmp_path):
    twin = Outside(shutil.copytree(finished.folder, tmp_path / "twin", symlinks=True))
    rows, readers = twin.folder / "mine/tasks/mine.yaml", twin.folder / "mine/readers.py"
    text = rows.read_text(encoding="utf-8")
    rows.write_text("# a comment\n" + text.replace("licence: CC0", "licence: MIT"), encoding="utf-8")
    readers.write_text(readers.read_text(encoding="utf-8") + "# another reader\n", encoding="utf-8")
    files = [
        f"results/mood/data/mine/{name}.parquet" for name in ("mood/test.de", "mood/train.en", "polarity/train.en")
    ]
    assert twin.planned(*files) == {"data": 2}  # what the reader reads: those of mine/mood
