"""A source that is a tarball, through real Snakemake: planned before it is unpacked, unpacked once, then not needed."""

import shutil
import subprocess
import sys
import tarfile

import pytest
from miniature import CHECKOUT, ROOT, Miniature

pytestmark = pytest.mark.slow

DATA = [f"results/mini/data/xglue/xnli/{split}.en.parquet" for split in ("dev", "test")]
ROW = "It rains.\tIt is wet.\tentailment\n"


@pytest.fixture
def packed(tmp_path) -> Miniature:
    """A grid, never run, whose source is a tarball with one leading folder."""
    release = tmp_path / "release" / "xglue_full_dataset" / "XNLI"
    release.mkdir(parents=True)
    for split in ("dev", "test"):
        (release / f"en.{split}").write_text(ROW * 3, encoding="utf-8")
    (tmp_path / "checkout").mkdir()
    for name in CHECKOUT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / "checkout" / name)
    with tarfile.open(tmp_path / "xglue.tar.gz", "w:gz") as tar:
        tar.add(release.parent, "xglue_full_dataset")
    shutil.rmtree(tmp_path / "release")
    mini = Miniature(tmp_path)
    mini.config["sources"]["xglue"]["path"] = "xglue.tar.gz"
    return mini


def test_a_tarball_is_unpacked_once_and_may_then_be_moved_away(packed):
    assert packed.planned(*DATA) == {"unpack": 1, "data": 2}
    packed.run(*DATA)
    [manifest] = packed.folder.glob("results/sources/xglue-*/manifest.json")
    assert packed.planned(*DATA) == {}
    packed.config["grid"] = "other"
    other = [path.replace("/mini/", "/other/") for path in DATA]
    assert packed.planned(*other) == {"data": 2}  # unpacked for all grids
    packed.config["grid"] = "mini"
    (packed.folder / "xglue.tar.gz").unlink()
    assert packed.planned(*DATA) == {}
    shutil.rmtree(manifest.parent)
    assert packed.planned(*DATA) == {}


def test_a_tarball_that_is_cut_off_fails_with_its_name_and_leaves_nothing(packed):
    archive = packed.folder / "xglue.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-40])
    text = packed.run(*DATA, fails=True)
    assert "xglue.tar.gz: not a whole archive" in text and "fetch it again" in text
    assert not list(packed.folder.glob("results/sources/*/manifest.json"))
    assert not list(packed.folder.glob("results/sources/*/files"))


def test_the_data_script_by_hand_names_the_command_that_unpacks(packed):
    packed.command()  # writes the config
    script = packed.folder / "checkout" / "workflow" / "scripts"
    by_hand = [sys.executable, script / "data.py", "--config", "config.yaml", "--task", "xglue/xnli"]
    by_hand += ["--split", "dev", "--language", "en"]

    def run(*command):
        return subprocess.run(
            [str(part) for part in command],
            cwd=packed.folder,
            env=packed.environment() | {"PYTHONPATH": str(packed.folder / "checkout")},
            text=True,
            capture_output=True,
            check=False,
        )

    done = run(*by_hand)
    assert done.returncode == 1
    assert "python workflow/scripts/unpack.py --archive xglue.tar.gz" in done.stderr
    assert run(sys.executable, script / "unpack.py", "--archive", "xglue.tar.gz").returncode == 0
    assert run(*by_hand).returncode == 0
