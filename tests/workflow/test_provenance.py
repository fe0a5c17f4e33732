"""Provenance and report of a grid that real Snakemake made: every link holds, and a broken one is named."""

import json
import shutil
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stiltgrid.artifacts import read_json, write_json
from stiltgrid.commit import code
from stiltgrid.config import load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.provenance.records import Records, parquet_record
from stiltgrid.provenance.trace import Tracer
from stiltgrid.provenance.view import trace_page, whole_grid

pytestmark = pytest.mark.slow
RUN = "tiny/mnli/xnli/seed1"


@pytest.fixture
def here(mini, monkeypatch):
    """The finished grid's folder as working folder, with its config written."""
    mini.command()
    monkeypatch.chdir(mini.folder)
    return mini


def tracer() -> Tracer:
    return Tracer(Records(Grid(load("config.yaml"))))


def test_every_link_holds_and_a_broken_one_is_named(here):
    links, cells = whole_grid(tracer(), deep=True)
    assert len(cells) == 8 and len(links) > 200
    assert [link for link in links if link.broken] == []

    def edit(path: Path, change) -> None:
        record = read_json(path)
        change(record)
        write_json(path, record)

    def set_to(key, value):
        return lambda record: record.update({key: value})

    def relearn(path: Path) -> None:
        weights = bytearray(path.read_bytes())
        weights[-1] ^= 1
        path.write_bytes(weights)

    def swap(path: Path) -> None:
        shutil.copy(path.with_name("en.parquet"), path)

    root = here.path("")
    score, checkpoint = root / f"scores/{RUN}/de.json", root / f"checkpoints/{RUN}/manifest.json"
    numbers, arm = root / "tables/numbers.tex", root / "checkpoints/tiny/mnli/seed1/manifest.json"
    tampered = [
        (score, lambda p: edit(p, lambda r: r["metrics"].update(accuracy=99.0)), "accuracy from statistics"),
        (score, lambda p: edit(p, set_to("model_digest", "f" * 64)), "checkpoint"),
        (score, lambda p: edit(p, set_to("data_fingerprint", "f" * 64)), "test rows"),
        (root / f"predictions/{RUN}/de.parquet", swap, "predictions"),
        (checkpoint, lambda p: edit(p, lambda r: r["identity"]["recipe"].update(seed=2)), "recipe hash"),
        (checkpoint, lambda p: edit(p, lambda r: r["identity"].update(parent="f" * 64)), "parent checkpoint"),
        (arm, lambda p: edit(p, set_to("digest", "f" * 64)), "digest of the checkpoint"),
        (root / f"checkpoints/{RUN}/weights/model.safetensors", relearn, "weights"),
        (here.folder / "model/model.safetensors", relearn, "pretrained file"),
        (root / "models/tiny/manifest.json", lambda p: edit(p, set_to("source", "other")), "source"),
        (root / "data/xglue/xnli/train.en.json", lambda p: edit(p, set_to("fingerprint", "f" * 64)), "train rows of"),
        (numbers, lambda p: p.write_text(p.read_text().replace("33.33", "43.33")), "printed file"),
    ]
    for path, tamper, what in tampered:
        kept = path.read_bytes()
        tamper(path)
        assert path.read_bytes() != kept, path
        broken = [link for link in whole_grid(tracer(), deep=True)[0] if link.broken]
        assert any(link.what.startswith(what) for link in broken), (path, broken)
        path.unlink()
        path.write_bytes(kept)
    Path(root / "scores" / RUN / "de.json").unlink()
    broken = [link for link in whole_grid(tracer())[0] if link.broken]
    assert any("de.json: no such file" in link.broken for link in broken)


def test_one_number_is_traced_to_weights_rows_and_commits(here):
    found = tracer()
    numbers = {"gain/tiny/mnli/xnli/zero-shot": 2, "main/tiny/none/avg": 4, "languages_pos/tiny/mnli/fr": 1}
    numbers |= {"answer_table/mnli/tiny": 4, "seeds/tiny/mnli/xnli": 2, "diagnostics/tiny": 8}
    for name, cells in numbers.items():
        trace = found.trace(name)
        assert trace.broken == [] and len(trace.cells) == cells, name
    text = trace_page(found, found.trace("languages_xnli/tiny/mnli/de"))
    commit = code()["commit"]
    for part in (
        f"scores/{RUN}/de.json",
        f"checkpoints/{RUN}/manifest.json",
        "checkpoints/tiny/mnli/seed1/manifest.json",
        "data/xglue/xnli/test.de.parquet",
        "XNLI/multinli.train.en.tsv",
        "./model",
        read_json(here.path(f"checkpoints/{RUN}/manifest.json"))["recipe_hash"][:12],
    ):
        assert part in text, part
    # the miniature's checkout is a copy and no repository
    assert commit is None or commit[:12] not in text
    assert "commit not known" in text
    with pytest.raises(StiltgridError, match=r"did you mean 'gain/tiny/mnli/xnli/zero-shot'"):
        found.trace("gain/tiny/mnli/xnli/zeroshot")
    with pytest.raises(StiltgridError, match=r"no column 'nli'; did you mean 'xnli'"):
        found.trace("main/tiny/mnli/nli")


def test_every_artifact_names_its_code_and_no_hash_holds_it(here):
    named = here.path("")
    manifests = [*named.glob("checkpoints/**/manifest.json"), *named.glob("scores/**/*.json")]
    assert len(manifests) == 5 + 8
    for path in [*manifests, named / "tables/manifest.json"]:
        assert set(read_json(path)["code"]) == {"version", "commit", "dirty"}, path
    assert set(read_json(named / "models/tiny/code.json")) == {"version", "commit", "dirty"}
    parquet = [
        *named.glob("data/**/*.parquet"),
        *named.glob("predictions/**/*.parquet"),
        *named.glob("analysis/*.parquet"),
    ]
    assert len(parquet) >= 10 + 8 + 2
    for path in parquet:
        assert "code" in parquet_record(path), path
    assert "code" not in read_json(here.path(f"checkpoints/{RUN}/manifest.json"))["identity"]
    assert pq.read_metadata(here.path("analysis/scores.parquet")).num_rows > 0
    assert "code" not in json.dumps(read_json(here.path("models/tiny/manifest.json")))


def test_the_report_holds_tables_explorer_and_checklists_and_provenance_is_a_target(here):
    here.run("provenance")
    assert "links hold" in here.path("provenance.md").read_text(encoding="utf-8")
    here.run("--report", "report.zip")
    with zipfile.ZipFile(here.folder / "report.zip") as file:
        names = {Path(name).name: name for name in file.namelist()}
        page = file.read(names["report.html"]).decode()
    assert {"explorer.html", "main.html", "seeds.html", "reproducibility.md", "data_card.md"} <= set(names)
    for caption in (
        "Every cell on one page that needs no network",
        "Parameters, budget, infrastructure",
        "Gains are in points over",
    ):
        assert caption in page, caption
    card = here.path("report/data_card.md").read_text(encoding="utf-8")
    assert "## XNLI (`xglue/xnli`)" in card and "392,702" in card and "CC BY-NC" in card
    checklist = here.path("report/reproducibility.md").read_text(encoding="utf-8")
    assert "learning_rate 0.001" in checklist and "max_steps 6" in checklist and "transformers" in checklist
    main = here.path("report/tables/main.html").read_text(encoding="utf-8")
    assert '<th scope="row">mnli</th>' in main and "http" not in main
