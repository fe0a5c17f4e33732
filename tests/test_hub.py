"""Fetching from a hub served on 127.0.0.1: what is taken, what is checked, what a kill leaves, what a job then says."""

import hashlib
import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_server import HubServer
from huggingface_hub import hf_hub_download

from stiltgrid.artifacts import read_json
from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import DataFile, Grid
from stiltgrid.hub import download, fetched
from stiltgrid.hub.repository import Repository
from stiltgrid.hub.wanted import MODEL, Wanted, model_of, of_file, selected, wanted
from stiltgrid.pretrained import prepare
from stiltgrid.readers import read_source
from stiltgrid.readers.files import filled_patterns
from stiltgrid.recipes import data_recipe, pretrained_recipe
from stiltgrid.tasks.registry import task
from stiltgrid.wiring.start import environment

ROOT = Path(__file__).parents[1]
REVISION, OTHER = "a" * 40, "b" * 40
BODY = os.urandom(6000)
SET = Wanted(Repository("dataset", "them/set", REVISION), ("mnli/train-*.parquet",))


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    """Nothing of the machine's own settings keeps the client from 127.0.0.1."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub():
    server = HubServer()
    server.add(
        "dataset",
        "them/set",
        REVISION,
        {
            "mnli/train-0.parquet": BODY,
            "mnli/train-1.parquet": b"small",
            "qqp/train-0.parquet": BODY,
            "README.md": b"r",
        },
    )
    yield server
    server.close()


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_of_the_patterns_come_with_a_manifest_and_are_not_asked_for_again(hub, tmp_path):
    record = download.fetch(SET, tmp_path, hub.address)
    here = content(tmp_path)
    assert here.pop("manifest.json")
    assert here == {"mnli/train-0.parquet": BODY, "mnli/train-1.parquet": b"small"}
    assert record == read_json(tmp_path / "manifest.json")
    assert record["files"] == {
        name: {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in here.items()
    }
    asked = len(hub.requests)
    assert download.fetch(SET, tmp_path, hub.address) == record
    assert len(hub.requests) == asked


def test_more_patterns_bring_what_lacks_alone(hub, tmp_path):
    download.fetch(SET, tmp_path, hub.address)
    more = Wanted(SET.repository, ("qqp/train-*.parquet",))
    assert set(download.fetch(more, tmp_path, hub.address)["files"]) == {*content(tmp_path)} - {"manifest.json"}
    assert len(hub.bodies("mnli/train-0.parquet")) == 1
    both = read_json(tmp_path / "manifest.json")
    assert fetched.complete(tmp_path, both, (*SET.patterns, *more.patterns))


def test_a_file_that_is_gone_or_cut_is_fetched_again(hub, tmp_path):
    download.fetch(SET, tmp_path, hub.address)
    (tmp_path / "mnli/train-1.parquet").write_bytes(b"sma")
    download.fetch(SET, tmp_path, hub.address)
    assert (tmp_path / "mnli/train-1.parquet").read_bytes() == b"small"
    assert len(hub.bodies("mnli/train-0.parquet")) == 1


DRIVER = """
import sys
import huggingface_hub.constants
huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 100  # so that parts of a small file are on the disk
from pathlib import Path
from stiltgrid.hub import download, repository, wanted
one = wanted.Wanted(repository.Repository("dataset", "them/set", sys.argv[3]), ("mnli/train-*.parquet",))
download.fetch(one, Path(sys.argv[2]), sys.argv[1])
"""


def test_a_fetch_that_is_killed_goes_on_where_it_was(hub, tmp_path):
    hub.stalls["mnli/train-0.parquet"] = 3000
    patient = os.environ | {"HF_HUB_OFFLINE": "0", "HF_HUB_DOWNLOAD_TIMEOUT": "600"}
    process = subprocess.Popen([sys.executable, "-c", DRIVER, hub.address, str(tmp_path), REVISION], env=patient)
    part = tmp_path / download.PARTIAL / hashlib.sha256(BODY).hexdigest()
    deadline = time.monotonic() + 300
    while not (part.is_file() and part.stat().st_size == 3000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(StiltgridError, match="is being fetched by another process"):
        download.fetch(SET, tmp_path, hub.address)
    process.kill()
    process.wait()
    assert part.read_bytes() == BODY[:3000]
    hub.released.set()
    download.fetch(SET, tmp_path, hub.address)
    assert [asked[2] for asked in hub.bodies("mnli/train-0.parquet")] == [None, "bytes=3000-"]
    assert (tmp_path / "mnli/train-0.parquet").read_bytes() == BODY
    assert not part.parent.exists()


def test_a_mirror_without_ranges_serves_too(hub, tmp_path):
    hub.ignores_ranges = True
    part = tmp_path / download.PARTIAL / hashlib.sha256(BODY).hexdigest()
    part.parent.mkdir()
    part.write_bytes(BODY[:1234])
    download.fetch(SET, tmp_path, hub.address)
    assert (tmp_path / "mnli/train-0.parquet").read_bytes() == BODY


@pytest.mark.parametrize("file", ["mnli/train-0.parquet", "mnli/train-1.parquet"])  # SHA-256; Git's hash
def test_other_bytes_than_announced_are_an_error_and_not_kept(hub, tmp_path, file):
    hub.corrupt.add(file)
    with pytest.raises(StiltgridError, match=f"dataset them/set at revision aaaaaaaa: {file} came with hash"):
        download.fetch(SET, tmp_path, hub.address)
    assert not (tmp_path / file).exists()
    with pytest.raises(StiltgridError, match="not fetched"):
        fetched.require(SET.repository, tmp_path, SET.patterns)
    hub.corrupt.clear()
    download.fetch(SET, tmp_path, hub.address)
    assert fetched.require(SET.repository, tmp_path, SET.patterns)["files"][file]


def test_a_token_goes_to_the_hub_alone(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_test")
    download.fetch(SET, tmp_path, hub.address)
    assert hub.bodies("mnli/train-0.parquet")[0][1].startswith("/store/")
    assert [path.split("/")[1] for path in hub.tokens] == ["api", "datasets", "datasets"]


def test_files_that_http_cannot_bring_come_by_the_clients_own_transfer(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LARGEST_BY_HTTP", 1000)
    download.fetch(SET, tmp_path, hub.address)
    assert {*content(tmp_path)} == {"manifest.json", "mnli/train-0.parquet", "mnli/train-1.parquet"}
    assert (tmp_path / "mnli/train-0.parquet").read_bytes() == BODY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "them/sett"}, "no such repository, or it is private"),
        ({"revision": OTHER}, "no such revision; mend it"),
    ],
)
def test_an_unknown_repository_or_revision_is_named(hub, tmp_path, change, message):
    one = Wanted(SET.repository._replace(**change), SET.patterns)
    with pytest.raises(StiltgridError, match=message):
        download.fetch(one, tmp_path, hub.address)


def test_a_pattern_without_a_file_says_what_there_is(hub, tmp_path):
    with pytest.raises(StiltgridError, match=r"no file sst2/train-\*; it holds: README.md, mnli/train-0.parquet"):
        download.fetch(Wanted(SET.repository, ("sst2/train-*",)), tmp_path, hub.address)


def test_where_there_is_no_hub_the_message_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between the client's own attempts
    server = HubServer()
    server.close()
    with pytest.raises(StiltgridError, match=r"its list of files was not to be had .*is there a network here"):
        download.fetch(SET, tmp_path, server.address)


def test_too_small_a_disk_is_found_before_anything_is_fetched(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(StiltgridError, match=r"to fetch, 0\.0 GB free in .*set `hub.folder`"):
        download.fetch(SET, tmp_path, hub.address)
    assert not hub.bodies("mnli/train-0.parquet")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here, whose disk is always full")
def test_a_disk_that_fills_up_is_not_taken_for_a_lost_network(hub, tmp_path):
    part = tmp_path / download.PARTIAL / hashlib.sha256(BODY).hexdigest()
    part.parent.mkdir()
    part.symlink_to("/dev/full")
    with pytest.raises(StiltgridError, match=r"train-0\.parquet was not to be had .*the disk or the quota") as found:
        download.fetch(SET, tmp_path, hub.address)
    assert "network" not in str(found.value)


FILES = [
    "config.json",
    "tokenizer.json",
    "spiece.model",
    "tokenizer_config.json",
    "onnx/model.safetensors",
    "README.md",
]
FILES += ["tf_model.h5", "flax_model.msgpack", "pytorch_model.bin"]


def test_weights_come_in_one_form_and_without_other_frameworks_copies():
    one = model_of("them/model", REVISION)
    kept = {"config.json", "tokenizer.json", "spiece.model", "tokenizer_config.json"}
    assert set(selected(one, FILES)) == kept | {"pytorch_model.bin"}
    assert set(selected(one, [*FILES, "model.safetensors"])) == kept | {"model.safetensors"}
    sharded = [
        f"{stem}-0000{i}-of-00002.{form}"
        for stem, form in (("model", "safetensors"), ("pytorch_model", "bin"))
        for i in (1, 2)
    ]
    sharded += ["model.safetensors.index.json", "pytorch_model.bin.index.json"]
    assert set(selected(one, [*FILES[:3], *sharded])) == {*FILES[:3], *sharded[:2], "model.safetensors.index.json"}


def config(**changes):
    raw = {
        "grid": "g",
        "models": {"m": {"source": "them/model", "revision": REVISION}, "own": {"source": "./model"}},
        "intermediates": {"none": {}, "mnli": {"tasks": ["mnli"]}},
        "targets": {"xnli": {"task": "xglue/xnli", "languages": ["en", "de"]}},
        "sources": {"intermediate/mnli": {"hub": True}, "xglue": {"path": "data"}},
        "training": {"selection": "last_step"},
    }
    return raw | changes


def test_a_grid_wants_its_hub_models_and_the_files_of_the_splits_that_it_reads():
    grid = Grid(validate(config()))
    assert wanted(grid) == [
        Wanted(Repository("model", "them/model", REVISION), MODEL),
        Wanted(
            Repository("dataset", "nyu-mll/glue", grid.source("intermediate/mnli").path.rsplit("/", 1)[1]),
            ("mnli/train-*.parquet", "mnli/validation_matched-*.parquet"),
        ),
    ]
    assert of_file(grid, DataFile("xglue/xnli", "test", "de")) is None


def test_the_place_of_fetched_files_is_no_part_of_a_recipe():
    here = Grid(validate(config()))
    there = Grid(validate(config(hub={"folder": "/elsewhere", "endpoint": "http://127.0.0.1:1"})))
    for split in ("train", "dev"):
        assert data_recipe(here, "intermediate/mnli", split) == data_recipe(there, "intermediate/mnli", split)
    assert pretrained_recipe(here, "m") == {"source": "them/model", "revision": REVISION, "family": "text2text"}
    assert there.source("intermediate/mnli").path.startswith("/elsewhere/datasets/nyu-mll--glue/")
    named = config(sources={"intermediate/mnli": {"hub": True, "revision": OTHER}})
    assert data_recipe(Grid(validate(named)), "intermediate/mnli", "train")["revision"] == OTHER
    local = config(sources={"intermediate/mnli": {"path": "data"}})
    assert data_recipe(Grid(validate(local)), "intermediate/mnli", "train") == {
        "version": 1,
        "path": "data",
        "layout": None,
        "file": None,
        "rows": None,
    }


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"intermediate/mnli": {}}, r"sources\.intermediate/mnli: expected `path: .*` or `hub: true`, found neither"),
        ({"intermediate/mnli": {"hub": True, "path": "x"}}, "found both"),
        ({"intermediate/mnli": {"path": "x", "revision": OTHER}}, "needs `hub: true`"),
        ({"intermediate": {"hub": True, "revision": OTHER}}, "a suite has several data sets"),
        (
            {"xglue/xnli": {"hub": True}},
            r"sources\.xglue/xnli \(targets\.xnli\): xglue/xnli: `hub: true`, but no data set",
        ),
        ({"intermediate/mnli": {"hub": True, "layout": "huub"}}, "reads layout 'huub', which the task lacks; did you"),
    ],
)
def test_a_source_that_cannot_be_fetched_is_refused_with_its_key(sources, message):
    with pytest.raises(StiltgridError, match=message):
        validate(config(sources=sources))


def test_a_data_set_without_a_known_revision_is_refused_and_the_message_says_how_to_pin_it(tmp_path):
    row = task("intermediate/snli").model_dump(mode="json", exclude={"name", "revision"}, exclude_none=True)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text(json.dumps({"mine/nli": row}), encoding="utf-8")
    raw = config(sources={"mine": {"hub": True}}, extensions=[str(tmp_path)])
    raw["intermediates"]["mnli"] = {"tasks": ["mine/nli"]}
    remedy = r"no revision of data set stanfordnlp/snli is pinned.*`sources: \{mine/nli: \{hub: true, revision: <40"
    with pytest.raises(StiltgridError, match=remedy):
        validate(raw)
    raw["sources"]["mine/nli"] = {"hub": True, "revision": OTHER}
    assert Grid(validate(raw)).source("mine/nli").path == f"data/hub/datasets/stanfordnlp--snli/{OTHER}"


def test_a_suite_from_the_hub_leaves_out_the_tasks_that_are_not_there():
    raw = config(sources={"intermediate": {"hub": True}})
    raw["intermediates"] |= {"ccg": {"tasks": ["ccg"]}}
    grid = Grid(validate(raw))
    assert grid.source("intermediate/ccg") is None and grid.source("xglue/xnli") is None
    assert grid.source("intermediate/mnli").hub
    raw["sources"]["intermediate/ccg"] = {"hub": True}
    with pytest.raises(
        StiltgridError, match=r"sources\.intermediate/ccg \(intermediates\.ccg\).*no data set of the hub"
    ):
        validate(raw)


def test_jobs_are_told_to_use_no_network():
    found = environment("/checkout", "snapshot.json")
    assert {found[f"{name}_OFFLINE"] for name in ("HF_HUB", "TRANSFORMERS", "HF_DATASETS")} == {"1"}


def test_a_model_that_is_not_fetched_or_was_changed_since_is_refused(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root = tmp_path / "hub"
    manifest = tmp_path / "results" / "manifest.json"
    with pytest.raises(StiltgridError, match=r"model them/model at revision a{8}: not fetched .*run `snakemake fetch`"):
        prepare("them/model", REVISION, "text2text", manifest, root)
    files = {"config.json": b"{}", "model.safetensors": BODY, "tokenizer.json": b"{ }", "README.md": b"x"}
    hub.add("model", "them/model", REVISION, files)
    one = model_of("them/model", REVISION)
    folder = Path(one.repository.folder(str(root)))
    download.fetch(one, folder, hub.address)
    record = prepare("them/model", REVISION, "text2text", manifest, root)
    assert Path(record["path"]) == folder and set(record["files"]) == set(files) - {"README.md"}
    (folder / "model.safetensors").write_bytes(bytes(len(BODY)))
    with pytest.raises(StiltgridError, match=r"model\.safetensors: SHA-256 .* when it was fetched"):
        prepare("them/model", REVISION, "text2text", manifest, root)


def test_a_model_that_is_whole_in_the_clients_own_cache_is_used_from_there(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    files = {"config.json": b"{}", "model.safetensors": BODY, "tokenizer.json": b"{ }"}
    hub.add("model", "them/model", REVISION, files | {"pytorch_model.bin": BODY})
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        with pytest.raises(StiltgridError, match="run `snakemake fetch`"):
            prepare("them/model", REVISION, "text2text", tmp_path / "manifest.json", tmp_path / "hub")
        hf_hub_download("them/model", name, revision=REVISION, endpoint=hub.address)
    record = prepare("them/model", REVISION, "text2text", tmp_path / "manifest.json", tmp_path / "hub")
    assert set(record["files"]) == set(files) and record["path"].startswith(str(tmp_path / "cache"))


def test_a_data_set_that_is_not_fetched_fails_its_job_with_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.json").write_text(json.dumps(config()), encoding="utf-8")
    arguments = ["--config", "config.json", "--task", "intermediate/mnli", "--split", "train", "--language", "en"]
    with pytest.raises(StiltgridError, match=r"dataset nyu-mll/glue at revision .*run `snakemake fetch`"):
        runpy.run_path(str(ROOT / "workflow/scripts/data.py"))["main"](arguments)


@pytest.mark.parametrize(
    ("name", "columns", "labels"),
    [
        (
            "xtreme/xnli",
            {"premise": "aab", "hypothesis": "xyz", "label": [0, 2, 1]},
            "entailment contradiction neutral",
        ),
        ("xtreme/pawsx", {"id": [7, 8], "sentence1": "ab", "sentence2": "xy", "label": [0, 1]}, "0 1"),
        (
            "intermediate/mnli",
            {"premise": "ab", "hypothesis": "xy", "label": [0, 1], "idx": [3, 4]},
            "entailment neutral",
        ),
        ("intermediate/snli", {"premise": "abc", "hypothesis": "xyz", "label": [0, -1, 2]}, "entailment contradiction"),
        ("intermediate/qqp", {"question1": "a", "question2": "x", "label": [1], "idx": [0]}, "duplicate"),
    ],
)
def test_rows_of_the_hub_become_examples(tmp_path, name, columns, labels):
    import pyarrow as pa
    import pyarrow.parquet as pq

    [pattern, *_] = filled_patterns(task(name), "hub", "train", "en")
    path = tmp_path / pattern.replace("*", "00000-of-00001")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({key: list(values) for key, values in columns.items()}), path)
    examples, about = read_source(task(name), "hub", tmp_path, "train", "en")
    assert [example.label for example in examples] == labels.split()
    assert about["source_files"][0]["file"] == path.relative_to(tmp_path).as_posix()


def test_the_script_fetches_what_it_can_and_fails_naming_the_rest(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # `hub.endpoint` goes before it
    glue = task("intermediate/mnli")
    hub.add(
        "dataset", glue.hub, glue.revision, {f"mnli/{name}-0.parquet": b"x" for name in ("train", "validation_matched")}
    )
    raw = config(hub={"folder": "here", "endpoint": hub.address})
    Path("config.json").write_text(json.dumps(raw), encoding="utf-8")
    main = runpy.run_path(str(ROOT / "workflow/scripts/fetch.py"))["main"]
    with pytest.raises(
        StiltgridError, match=r"1 of 2 repositories are not fetched:\nmodel them/model at .*no such repo"
    ):
        main(["--config", "config.json", "--out", "fetched.json"])
    [record] = read_json("fetched.json")
    assert (record["id"], record["folder"]) == (glue.hub, f"here/datasets/nyu-mll--glue/{glue.revision}")
    hub.add("model", "them/model", REVISION, {"config.json": b"{}", "model.safetensors": BODY})
    with pytest.raises(StiltgridError, match=r"a tokenizer not found; it holds: config\.json"):
        main(["--config", "config.json"])
    hub.add("model", "them/model", REVISION, {"config.json": b"{}", "model.safetensors": BODY, "tokenizer.json": b"{}"})
    (tmp_path / "here/models/them--model" / REVISION / "manifest.json").unlink()
    main(["--config", "config.json", "--out", "fetched.json"])
    assert len(read_json("fetched.json")) == 2
