"""Sources that are archives: unpacked once, safely, whole or not at all; folders around a release."""

import gzip
import io
import json
import os
import stat
import tarfile
import zipfile
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_config import SMALL

from stiltgrid.config import validate
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.readers import read_source
from stiltgrid.readers.archive import (
    check_unpacked,
    contents_of,
    is_archive,
    manifest_of,
    unpack,
    unpacked_folder,
)
from stiltgrid.tasks.registry import task
from stiltgrid.wiring.originals import Originals, source_folder

FILES = {
    "xglue_full_dataset/POS/en.dev": "Birds NOUN\nsing VERB\n",
    "xglue_full_dataset/NER/en.dev": "Rhine I-LOC\n",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_tar(path, files=FILES, mode="w:gz", members=()):
    with tarfile.open(path, mode) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        for info in members:
            tar.addfile(info)
    return path


def make_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return path


def member(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refused(path, folder=Path("out")):
    with pytest.raises(StiltgridError) as caught:
        unpack(path, folder)
    assert not (folder / "manifest.json").exists()
    assert not (folder / "files").exists()
    assert not list(folder.glob(".unpacking-*"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("x.tar", "w"),
        ("x.tar.gz", "w:gz"),
        ("x.tgz", "w:gz"),
        ("x.tar.bz2", "w:bz2"),
        ("x.tar.xz", "w:xz"),
        ("x.zip", ""),
    ],
)
def test_an_archive_is_unpacked_with_a_manifest_that_says_what_it_was(here, name, mode):
    path = make_tar(here / name, mode=mode) if mode else make_zip(here / name)
    about = unpack(path, here / "out")
    for file, text in FILES.items():
        assert (here / "out/files" / file).read_text(encoding="utf-8") == text
    assert about == json.loads((here / "out/manifest.json").read_text(encoding="utf-8"))
    assert (about["archive"], about["bytes"], about["files"]) == (str(path), path.stat().st_size, 2)
    assert len(about["sha256"]) == 64
    assert sorted(entry.name for entry in (here / "out").iterdir()) == ["files", "manifest.json"]


def test_the_unpacked_files_are_open_to_the_group(here):
    old = os.umask(0o022)
    try:
        unpack(make_tar(here / "x.tgz"), here / "out")
    finally:
        os.umask(old)
    assert stat.S_IMODE((here / "out/files").stat().st_mode) == 0o755


def test_what_a_killed_unpacking_left_is_removed_and_an_older_whole_one_replaced(here):
    unpack(make_tar(here / "x.tgz", {"old": "1"}), here / "out")
    (here / "out/.unpacking-killed").mkdir()
    (here / "out/.unpacking-killed/half").write_text("half", encoding="utf-8")
    assert unpack(make_tar(here / "x.tgz"), here / "out")["files"] == 2
    assert not list((here / "out").glob(".unpacking-*"))
    assert not (here / "out/files/old").exists()


def test_the_same_archive_gives_the_same_manifest_whatever_its_time(here):
    path = make_tar(here / "x.tgz")
    first = unpack(path, here / "out")
    os.utime(path, (1, 1))
    assert unpack(path, here / "out") == first


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_tar_that_is_cut_off_is_refused(here, mode, share):
    path = make_tar(here / "x.tar", {f"f{i}": os.urandom(3000).hex() for i in range(9)}, mode)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    message = refused(path)
    assert message.startswith(f"{path}: not a whole archive (")
    assert message.endswith("fetch it again")


def test_a_tar_cut_between_two_members_is_refused(here):
    path = make_tar(here / "x.tar", {"one": "1" * 512, "two": "2" * 512}, "w")
    path.write_bytes(path.read_bytes()[:1024])  # the first member, whole
    assert "its end is missing" in refused(path)


def test_a_gzip_whose_checksum_is_wrong_is_refused(here):
    path = make_tar(here / "x.tar.gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    assert "not a whole archive (CRC check failed" in refused(path)


def test_a_cut_or_damaged_zip_is_refused(here):
    whole = make_zip(here / "x.zip", {"a": "text " * 400}).read_bytes()
    (here / "x.zip").write_bytes(whole[:-30])
    assert "not a whole archive" in refused(here / "x.zip")
    damaged = bytearray(whole)
    damaged[40] ^= 255
    (here / "x.zip").write_bytes(damaged)
    assert "not a whole archive" in refused(here / "x.zip")


def test_a_web_page_in_place_of_the_archive_is_shown(here):
    (here / "x.tar.gz").write_text("<!DOCTYPE html><html>gone</html>", encoding="utf-8")
    assert "begin with b'<!DOCTYPE html>" in refused(here / "x.tar.gz")


@pytest.mark.parametrize(
    ("files", "members", "seen"),
    [
        ({"/etc/evil": "x"}, [], "member '/etc/evil' is refused"),
        ({"../evil": "x"}, [], "member '../evil' is refused"),
        ({"a/../b": "x"}, [], "member 'a/../b' is refused"),
        (FILES, [member("up", tarfile.SYMTYPE, "../../evil")], "member 'up' is refused"),
        (FILES, [member("root", tarfile.SYMTYPE, "/etc/passwd")], "member 'root' is refused"),
        (FILES, [member("hard", tarfile.LNKTYPE, "../evil")], "member 'hard' is refused"),
        (FILES, [member("pipe", tarfile.FIFOTYPE)], "member 'pipe' is refused"),
    ],
)
def test_a_tar_member_that_leaves_the_folder_is_refused(here, files, members, seen):
    assert seen in refused(make_tar(here / "x.tgz", files, members=members))


def test_a_zip_member_that_leaves_the_folder_is_refused(here):
    assert "member '../evil' is refused" in refused(make_zip(here / "x.zip", {"../evil": "x"}))
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(here / "x.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    assert "member 'link' is refused (a link)" in refused(here / "x.zip")


def test_a_link_inside_is_kept(here):
    links = [member("xglue_full_dataset/NER/copy", tarfile.SYMTYPE, "en.dev")]
    unpack(make_tar(here / "x.tgz", members=links), here / "out")
    assert (here / "out/files/xglue_full_dataset/NER/copy").read_text(encoding="utf-8") == "Rhine I-LOC\n"


def test_an_empty_archive_and_a_missing_one_are_refused(here):
    assert "no file in the archive" in refused(make_tar(here / "x.tgz", {}))
    assert "no such archive" in refused(here / "gone.tgz")


def test_a_full_disk_is_no_damaged_archive(here, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = make_tar(here / "x.tgz")
    monkeypatch.setattr(tarfile.TarFile, "extract", full)
    message = refused(path)
    assert "No space left on device" in message and "fetch" not in message


def test_progress_is_shown(here, monkeypatch):
    seen = []
    monkeypatch.setattr("stiltgrid.readers.archive.reporter", lambda *names: lambda *at: seen.append((names, at)))
    monkeypatch.setattr("stiltgrid.readers.archive.MEGABYTE", 1000)
    path = make_tar(here / "x.tar", {f"f{i}": "x" * 5000 for i in range(20)}, "w")
    unpack(path, here / "out")
    done = [at[0] for _, at in seen]
    assert seen[0][0] == ("unpacking x.tar", "MB")
    assert done == sorted(done) and len(done) == 20 and seen[0][1][1] == path.stat().st_size // 1000 + 1


# --- names ------------------------------------------------------------------------------------------------


def test_archives_are_told_by_their_ending_and_a_folder_named_like_one_is_a_folder(here):
    (here / "folder.tar.gz").mkdir()
    assert not is_archive("folder.tar.gz") and not is_archive("data/xglue") and not is_archive("x.gz")
    assert is_archive("gone.tar.gz") and is_archive("a.tgz") and is_archive("a.zip") and is_archive("a.tar")


def test_two_spellings_of_a_path_share_a_folder_and_two_paths_do_not(here):
    folder = unpacked_folder("data/x.tar.gz")
    assert folder == unpacked_folder("./data//x.tar.gz") == unpacked_folder(str(here / "data/x.tar.gz"))
    assert folder.startswith("results/sources/x-") and len(folder.rpartition("-")[2]) == 8
    assert unpacked_folder("/else/x.tar.gz") != folder
    assert unpacked_folder("a (1).zip").startswith("results/sources/a__1_-")


# --- wiring -----------------------------------------------------------------------------------------------


def originals(path):
    return Originals(Grid(validate(deepcopy(SMALL) | {"sources": {"xglue": {"path": path}}})))


WANTED = SimpleNamespace(task="xglue/pos", split="dev", language="en")


def test_the_data_rule_waits_for_the_manifest_before_and_after_unpacking(here):
    path = make_tar(here / "x.tar.gz")
    w = originals("x.tar.gz")
    [manifest] = w.data_inputs(WANTED)
    assert manifest == manifest_of("x.tar.gz")
    name = SimpleNamespace(archive=Path(manifest).parent.name)
    assert w.archive(name) == "x.tar.gz" and w.archive_inputs(name) == ["x.tar.gz"]
    unpack(path, Path(unpacked_folder("x.tar.gz")))
    assert w.data_inputs(WANTED) == [manifest]
    assert source_folder(w.grid, "x.tar.gz") == contents_of("x.tar.gz")


def test_an_archive_that_was_moved_away_asks_for_nothing(here):
    path = make_tar(here / "x.tar.gz")
    unpack(path, Path(unpacked_folder("x.tar.gz")))
    path.unlink()
    w = originals("x.tar.gz")
    [manifest] = w.data_inputs(WANTED)
    assert Path(manifest).exists()
    assert w.archive_inputs(SimpleNamespace(archive=Path(manifest).parent.name)) == []
    Path(manifest).unlink()
    assert w.data_inputs(WANTED) == []


def test_an_archive_of_no_source_is_named(here):
    with pytest.raises(StiltgridError, match="y-00000000: no source of this config; allowed: x-"):
        originals("x.tar.gz").archive(SimpleNamespace(archive="y-00000000"))


def test_an_archive_behind_an_unset_variable_is_left_to_the_job(here, monkeypatch):
    monkeypatch.delenv("STILTGRID_NOWHERE", raising=False)
    w = originals("${STILTGRID_NOWHERE}/x.tar.gz")
    assert w.archives == {} and w.data_inputs(WANTED) == []


def test_an_archive_not_yet_unpacked_is_explained_with_the_command(here):
    make_tar(here / "x.tar.gz")
    with pytest.raises(StiltgridError) as caught:
        check_unpacked("./x.tar.gz")
    assert "not unpacked yet" in str(caught.value)
    assert str(caught.value).endswith("python workflow/scripts/unpack.py --archive x.tar.gz")
    with pytest.raises(StiltgridError, match="no such archive, and none unpacked before"):
        check_unpacked("gone.tar.gz")
    unpack(here / "x.tar.gz", Path(unpacked_folder("x.tar.gz")))
    check_unpacked("x.tar.gz")
    check_unpacked("some/folder")


# --- folders around a release -----------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "xglue_full_dataset", "xglue_full_dataset/POS"])
def test_the_source_may_be_the_folder_around_the_root_the_root_or_the_task_s_own(here, below):
    unpack(make_tar(here / "x.tgz"), here / "out")
    (here / "out/files/readme.txt").write_text("x", encoding="utf-8")
    (here / "out/files/__MACOSX").mkdir()
    [example], about = read_source(task("xglue/pos"), None, here / "out/files" / below, "dev", "en")
    assert example.words == ("Birds", "sing")
    assert (Path("out/files") / below / about["source_files"][0]["file"]).as_posix().endswith("POS/en.dev")


def test_with_two_folders_around_it_is_not_guessed_which(here):
    for name in ("one", "two"):
        (here / name / "POS").mkdir(parents=True)
        (here / name / "POS/en.dev").write_text("Birds NOUN\n", encoding="utf-8")
    with pytest.raises(StiltgridError, match=r"it is in .*one: set the source's `path` to that"):
        read_source(task("xglue/pos"), None, here, "dev", "en")


def test_gzip_of_one_file_is_no_archive_and_says_so(here):
    (here / "en.dev.gz").write_bytes(gzip.compress(b"Birds NOUN\n"))
    with pytest.raises(StiltgridError, match="is a file; unpack it"):
        read_source(task("xglue/pos"), None, here / "en.dev.gz", "dev", "en")
