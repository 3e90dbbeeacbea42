from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelPackage, open_package, verify, write_package
from tests.model.samples import claiming_data_at, descriptor, enlarge, minimal, probe, trained, with_external_data

import numpy as np  # isort: skip

PNG = b"\x89PNG\r\n\x1a\n and more"


def written(path: Path, network: Path, **files: bytes) -> ModelPackage:
    contents = {"network.onnx": network, **{name.replace("__", "."): data for name, data in files.items()}}
    return open_package(write_package(path, descriptor(), contents))


@pytest.fixture(params=["tiny.edgesr", "tiny"], ids=["archive", "folder"])
def package(request: pytest.FixtureRequest, tmp_path: Path, network: Path) -> ModelPackage:
    return written(tmp_path / request.param, network, notes__txt=b"hello")


def test_a_written_package_reads_back(package: ModelPackage, network: Path) -> None:
    sha256 = hashlib.sha256(network.read_bytes()).hexdigest()
    assert package.descriptor.parts["network"].sha256 == sha256
    assert package.part_path("network").read_bytes() == network.read_bytes()
    assert package.part_digest("network") == sha256
    assert package.read("notes.txt") == b"hello"
    assert package.read("network.onnx") == network.read_bytes()
    assert not package.is_bare
    verify(package)


def test_folder_and_archive_have_the_same_digest(tmp_path: Path, network: Path) -> None:
    first = written(tmp_path / "a", network, notes__txt=b"x")
    second = written(tmp_path / "b.edgesr", network, notes__txt=b"x")
    other = written(tmp_path / "c.edgesr", network, notes__txt=b"y")
    assert first.digest == second.digest != other.digest


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, network: Path) -> None:
    files = {"b.txt": b"b", "a.txt": b"a", "network.onnx": network}
    first = write_package(tmp_path / "a.edgesr", descriptor(), files)
    os.utime(network, (1e9, 1e9))
    second = write_package(tmp_path / "b.edgesr", descriptor(), dict(reversed(files.items())))
    assert first.read_bytes() == second.read_bytes()
    names = zipfile.ZipFile(first).namelist()
    assert names == ["model.json", "a.txt", "b.txt", "network.onnx"]


def test_the_part_of_an_archive_is_extracted_once(tmp_path: Path, network: Path) -> None:
    package = written(tmp_path / "tiny.edgesr", network)
    path = package.part_path("network")
    sha256 = package.descriptor.parts["network"].sha256
    assert path == Path(os.environ["XDG_CACHE_HOME"], "edgesr", "parts", f"{sha256}.onnx")
    before = path.stat().st_ino
    assert open_package(package.path).part_path("network").stat().st_ino == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", [b"", b"short", None], ids=["empty", "other", "same size"])
def test_a_damaged_extracted_part_is_rebuilt(tmp_path: Path, network: Path, damage: bytes | None) -> None:
    package = written(tmp_path / "tiny.edgesr", network)
    path = package.part_path("network")
    path.write_bytes(bytes(path.stat().st_size) if damage is None else damage)
    assert package.part_path("network").read_bytes() == network.read_bytes()


def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_folder(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    path = written(tmp_path / "tiny.edgesr", network).part_path("network")
    assert path.read_bytes() == network.read_bytes()


def test_a_disk_without_room_for_parts_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = written(tmp_path / "tiny.edgesr", enlarge(tmp_path / "another.onnx", scale=3))
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ModelError, match=r"cannot be extracted: No space left on device; free space or set XDG_CACHE"):
        package.part_path("network")


@pytest.mark.parametrize("name", ["tiny.edgesr", "tiny"])
def test_a_full_disk_leaves_the_old_package(
    tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = written(tmp_path / name, network, notes__txt=b"old").digest
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(ModelError, match=r"cannot be written: No space left on device; free space"):
            written(tmp_path / name, network, notes__txt=b"new")
    assert open_package(tmp_path / name).digest == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_older_package_is_replaced_but_nothing_else(tmp_path: Path, network: Path) -> None:
    written(tmp_path / "tiny", network, notes__txt=b"old")
    assert written(tmp_path / "tiny", network).descriptor.files == {}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_bytes(PNG)
    with pytest.raises(UsageError, match=r"is not a model package; choose another name"):
        written(tmp_path / "photos", network)
    with pytest.raises(UsageError, match=r"is a folder; choose another name"):
        (tmp_path / "x.edgesr").mkdir()
        written(tmp_path / "x.edgesr", network)


def test_a_changed_part_is_refused_when_it_is_used(package: ModelPackage, network: Path) -> None:
    changed = network.read_bytes()[:-1] + b"\0"
    rewrite(package.path, "network.onnx", changed)
    package = open_package(package.path)
    for use in (lambda: package.part_path("network"), lambda: verify(package), lambda: package.read("network.onnx")):
        with pytest.raises(ModelError, match=r"'network.onnx' has sha256 .* the file is damaged or was changed"):
            use()


def test_missing_and_undeclared_files_are_refused(package: ModelPackage) -> None:
    rewrite(package.path, "more.txt", b"undeclared")
    with pytest.raises(ModelError, match=r"'more.txt' is not declared in model.json"):
        verify(open_package(package.path))
    rewrite(package.path, "notes.txt", None)
    with pytest.raises(ModelError, match=r"model.json declares 'notes.txt', which is missing"):
        open_package(package.path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe{}", "model.json is not UTF-8 at byte 0"),
        (b"{", "is not valid JSON"),
        (b'{"a":' * 5000, "is nested too deeply|is not valid JSON"),
        (b" " * 1_100_000, "model.json has 1100000 bytes, more than 1048576"),
        (None, r"has no model.json; this is no model package"),
    ],
    ids=["encoding", "syntax", "nesting", "size", "missing"],
)
def test_a_broken_descriptor_is_refused(package: ModelPackage, content: bytes | None, message: str) -> None:
    rewrite(package.path, "model.json", content)
    with pytest.raises(ModelError, match=message):
        open_package(package.path)


def test_a_package_inside_a_folder_of_the_archive_is_explained(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.edgesr", "w") as archive:
        archive.writestr("tiny/model.json", json.dumps(minimal()))
    with pytest.raises(ModelError, match=r"it lies in 'tiny/model.json', pack the folder's content instead"):
        open_package(tmp_path / "x.edgesr")


@pytest.mark.parametrize("name", ["no\0where", "nowhere.edgesr", "x" * 5000], ids=["nul", "missing", "long"])
def test_a_path_without_a_package_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"does not exist|is not a usable path"):
        open_package(tmp_path / name)


def test_a_bare_onnx_file_is_not_a_package(network: Path) -> None:
    with pytest.raises(ModelError, match=r"is a bare ONNX file, not a package"):
        open_package(network)


def test_unknown_parts_and_files_are_named(package: ModelPackage) -> None:
    with pytest.raises(ModelError, match=r"has no part 'netwrok'; its parts are network"):
        package.part_path("netwrok")
    with pytest.raises(ModelError, match=r"declares no file 'note.txt'; did you mean 'notes.txt'\?"):
        package.read("note.txt")


@pytest.mark.parametrize("name", ["tiny.edgesr", "tiny"])
def test_declared_external_weights_stay_beside_their_part(tmp_path: Path, name: str) -> None:
    source = with_external_data(
        trained(tmp_path / "trained.onnx", 0, 1), tmp_path / "source" / "network.onnx", "weights.data"
    )
    files = {"nets/network.onnx": source, "nets/weights.data": source.with_name("weights.data")}
    part = {**minimal()["parts"]["network"], "file": "nets/network.onnx"}
    package = open_package(write_package(tmp_path / name, descriptor(parts={"network": part}), files))
    verify(package)
    path = package.part_path("network")
    assert path.with_name("weights.data").read_bytes() == source.with_name("weights.data").read_bytes()
    run = probe(path)
    assert run({"image": np.ones((1, 1, 3, 4), np.float32)})["upscaled"].shape == (1, 1, 6, 8)
    first = package.part_digest("network")
    assert first != package.descriptor.parts["network"].sha256
    rewrite(package.path, "nets/weights.data", b"other weights!!!")
    with pytest.raises(ModelError, match=r"'nets/weights.data' has sha256"):
        verify(open_package(package.path))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/etc/passwd", "outside the package"),
        ("../network.data", "outside the package"),
        ("a/../../network.data", "outside the package"),
        ("..\\network.data", "outside the package"),
        ("C:network.data", "outside the package"),
        ("*/_ORT_MEM_ADDR_/*", "does not declare"),
        ("missing.data", "takes its weights from 'missing.data', which model.json does not declare"),
        ("", "does not declare"),
    ],
)
def test_external_weights_elsewhere_are_refused(tmp_path: Path, network: Path, location: str, message: str) -> None:
    part = claiming_data_at(tmp_path / "part.onnx", network, location)
    with pytest.raises(ModelError, match=message):
        write_package(tmp_path / "tiny.edgesr", descriptor(), {"network.onnx": part})
    package = written(tmp_path / "tiny", network)
    forge(package.path, part.read_bytes())
    with pytest.raises(ModelError, match=message):
        open_package(package.path).part_path("network")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no content given for 'network.onnx'"),
        ({"network.onnx": b"x", "weights.pkl": b""}, "'weights.pkl' may be a pickle"),
        ({"network.onnx": b"x", "run.sh": b""}, "'run.sh' is not a file for a package"),
        ({"network.onnx": b"x", "../a.txt": b""}, "leaves the package"),
        ({"network.onnx": b"x", "A.txt": b"", "a.txt": b""}, "differ only in capitals"),
        (
            {"network.onnx": b"x", "model.json": b"{}"},
            "declared twice, with other capitals, another sha256 or as model.json",
        ),
        ({"network.onnx": b"not onnx"}, "network.onnx: is truncated or not an ONNX file"),
        ({"network.onnx": b""}, "network.onnx: is empty|not an ONNX"),
        ({"network.onnx": Path("/nowhere/network.onnx")}, "network.onnx: cannot be read: No such file"),
        ({"network.onnx": b"x", "a.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'shape': (1,)}"}, "pickled objects"),
        ({"network.onnx": b"x", "a.npy": b"\x80\x04 pickle"}, "'a.npy' is not what its suffix says"),
        ({"network.onnx": b"x", "a.png": b"GIF89a"}, "'a.png' is not what its suffix says"),
    ],
    ids=range(12),
)
def test_unfit_content_is_not_written(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        write_package(tmp_path / "tiny.edgesr", descriptor(), files)
    assert not list(tmp_path.iterdir())


def test_an_invalid_descriptor_is_not_written(tmp_path: Path, network: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny.edgesr: scale: must be at least 1, got 0"):
        write_package(tmp_path / "tiny.edgesr", replace(descriptor(), scale=0), {"network.onnx": network})


def full_disk(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def rewrite(package: Path, file: str, content: bytes | None) -> None:
    """Replace or delete one file of a package without touching its model.json."""
    if package.is_dir():
        if content is None:
            (package / file).unlink()
        else:
            (package / file).write_bytes(content)
        return
    with zipfile.ZipFile(package) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents.pop(file, None)
    if content is not None:
        contents[file] = content
    with zipfile.ZipFile(package, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def forge(folder: Path, network: bytes) -> None:
    """Replace the network of a package folder with a correct hash, as an attacker would."""
    document = json.loads((folder / "model.json").read_text())
    document["parts"]["network"]["sha256"] = hashlib.sha256(network).hexdigest()
    (folder / "model.json").write_text(json.dumps(document))
    (folder / "network.onnx").write_bytes(network)


def test_linked_files_may_not_leave_the_folder(tmp_path: Path, network: Path) -> None:
    package = written(tmp_path / "tiny", network, notes__txt=b"hello")
    secret = tmp_path / "secret.txt"
    secret.write_text("hello")
    (package.path / "notes.txt").unlink()
    (package.path / "notes.txt").symlink_to(secret)
    with pytest.raises(ModelError, match=r"'notes.txt' links to a place outside the package"):
        open_package(package.path)
    with pytest.raises(ModelError, match=r"'notes.txt' links to a place outside the package"):
        package.read("notes.txt")


def test_linked_folders_and_special_files_are_refused(tmp_path: Path, network: Path) -> None:
    package = written(tmp_path / "tiny", network)
    (package.path / "elsewhere").symlink_to(tmp_path)
    with pytest.raises(ModelError, match=r"'elsewhere' links to a place outside"):
        open_package(package.path)
    (package.path / "elsewhere").unlink()
    os.mkfifo(package.path / "pipe.txt")
    with pytest.raises(ModelError, match=r"'pipe.txt' is not a readable file"):
        open_package(package.path)


def test_a_package_may_itself_be_reached_through_a_link(tmp_path: Path, network: Path) -> None:
    package = written(tmp_path / "tiny", network)
    (tmp_path / "link").symlink_to(package.path)
    verify(open_package(tmp_path / "link"))


def test_a_folder_with_thousands_of_files_is_no_package(tmp_path: Path, network: Path) -> None:
    package = written(tmp_path / "tiny", network)
    for index in range(1030):
        (package.path / f"{index}.txt").touch()
    with pytest.raises(ModelError, match=r"holds more than 1024 files"):
        open_package(package.path)
    shutil.rmtree(package.path)


def test_a_folder_that_is_no_package_is_refused_before_it_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep" / "x").mkdir(parents=True)
    (tmp_path / "linked").symlink_to("deep")
    monkeypatch.setattr("edgesr.model.storage.FolderStorage.sizes", lambda self: pytest.fail("searched"))
    with pytest.raises(ModelError, match=r"has no model.json; this is no model package"):
        open_package(tmp_path)
    (tmp_path / "deep" / "model.json").write_text("{}")
    with pytest.raises(ModelError, match=r"it lies in 'deep/model.json', pack the folder's content instead"):
        open_package(tmp_path)
