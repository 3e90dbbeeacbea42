from __future__ import annotations

import hashlib
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesr.errors import ModelError
from edgesr.model import open_package, verify
from tests.model.samples import minimal


def archive(path: Path, network: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """Write a valid package with more entries, none of them checked."""
    document = minimal(scale=2, input_channels=1, output_channels=1, input={"color": "grey"})
    document["parts"]["network"]["sha256"] = hashlib.sha256(network.read_bytes()).hexdigest()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("model.json", json.dumps(document))
        target.writestr("network.onnx", network.read_bytes())
        for entry, content in entries:
            target.writestr(entry, content)
    return path


def refused(path: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        verify(open_package(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.txt", "leaves the package"),
        ("a/../../evil.txt", "leaves the package"),
        ("/etc/evil.txt", "is absolute"),
        ("a\\..\\evil.txt", "has a backslash"),
        ("C:evil.txt", "has a drive letter"),
        ("a//b.txt", "has an empty folder name"),
        ("./a.txt", "has an empty folder name"),
        ("a\nb.txt", "has a control character"),
        ("a\u202etxt.exe", "has a control character"),
        ("Network.onnx", "differ only in capitals"),
        ("evil.pkl", "not declared"),
    ],
)
def test_unsafe_names_are_refused(tmp_path: Path, network: Path, name: str, message: str) -> None:
    refused(archive(tmp_path / "x.edgesr", network, (name, b"x")), message)


def test_a_name_with_a_nul_is_refused(tmp_path: Path, network: Path) -> None:
    path = archive(tmp_path / "x.edgesr", network, ("notes.txtQ.png", b"x"))
    path.write_bytes(path.read_bytes().replace(b"notes.txtQ.png", b"notes.txt\0.png"))
    refused(path, "has a control character")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_stored_twice_is_refused(tmp_path: Path, network: Path) -> None:
    refused(archive(tmp_path / "x.edgesr", network, ("network.onnx", b"other")), "'network.onnx' is stored twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_are_refused(tmp_path: Path, network: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("link.txt")
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    refused(archive(tmp_path / "x.edgesr", network, (entry, b"/etc/passwd")), "is a link or a special file")


def test_an_entry_that_grows_absurdly_is_refused(tmp_path: Path, network: Path) -> None:
    refused(archive(tmp_path / "x.edgesr", network, ("a.txt", bytes(20_000_000))), "would grow to 20000000 bytes")


def test_a_small_entry_that_compresses_well_is_fine(tmp_path: Path, network: Path) -> None:
    refused(archive(tmp_path / "x.edgesr", network, ("a.txt", bytes(1_000_000))), "not declared")


def test_an_archive_with_too_many_entries_is_refused(tmp_path: Path, network: Path) -> None:
    entries = [(f"{index}.txt", b"") for index in range(1025)]
    refused(archive(tmp_path / "x.edgesr", network, *entries), "holds 1027 entries, more than 1024")


def test_unusual_compression_is_refused(tmp_path: Path, network: Path) -> None:
    entry = zipfile.ZipInfo("a.txt")
    path = tmp_path / "x.edgesr"
    archive(path, network)
    with zipfile.ZipFile(path, "a") as target:
        target.writestr(entry, b"x", compress_type=zipfile.ZIP_LZMA)
    refused(path, "is compressed in an unusual way")


def patched(field: int, size: str, value: int) -> Callable[[bytes], bytes]:
    """Overwrite a field of the last entry in the central directory."""

    def patch(data: bytes) -> bytes:
        at = data.rindex(b"PK\x01\x02") + field
        return data[:at] + struct.pack("<" + size, value) + data[at + struct.calcsize(size) :]

    return patch


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (patched(8, "H", 1), "is encrypted"),
        (patched(24, "I", 0xFFFFFFF0), "would grow to 4294967280 bytes"),
        (patched(24, "I", 3), "is damaged"),
        (patched(16, "I", 0), "is damaged"),
        (patched(42, "I", 0x7FFFFFFF), "is damaged|cannot be read"),
        (lambda data: data[:-30], "is damaged"),
        (lambda data: data[: len(data) // 2], "is damaged"),
        (lambda data: b"", "is damaged"),
        (lambda data: b"not a zip", "is damaged"),
    ],
    ids=["encrypted", "huge", "declared too small", "checksum", "offset", "no end", "half", "empty", "text"],
)
def test_damaged_archives_are_refused(
    tmp_path: Path, network: Path, patch: Callable[[bytes], bytes], message: str
) -> None:
    path = archive(tmp_path / "x.edgesr", network)
    path.write_bytes(patch(path.read_bytes()))
    refused(path, message)


def test_the_sum_of_all_entries_is_limited(tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgesr.model.storage.MAX_BYTES", 500)
    refused(archive(tmp_path / "x.edgesr", network, ("a.txt", bytes(400))), "would grow to .* bytes, more than 500")


def test_folder_entries_are_allowed(tmp_path: Path, network: Path) -> None:
    path = archive(tmp_path / "x.edgesr", network, ("golden/", b""))
    verify(open_package(path))
