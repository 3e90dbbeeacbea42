"""Checks on what files of a package hold: hashes, file kinds and references to other files."""

from __future__ import annotations

import hashlib
import posixpath
import re
import stat
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from edgesr.errors import ModelError
from edgesr.model.names import check_suffix
from edgesr.model.schema import show
from edgesr.model.storage import read_chunks

_MAGIC = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".npy": b"\x93NUMPY"}
_OBJECT_DTYPE = re.compile(rb"""['"][|<>=]?O\d*['"]""")
_NPY_HEADER = 1 << 16


def require_regular(path: Path) -> None:
    """Refuse pipes, devices and sockets, whose reading may never end; what cannot be found is left to its reader."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ModelError(f"{path}: is a device, pipe or socket; give a file")


def file_sha256(path: Path) -> str:
    """Hash a file on disk; a file that has not changed since is hashed once per process."""
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    return _file_sha256(str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=256)
def _file_sha256(path: str, size: int, modified: int, inode: int) -> str:
    return sha256(read_chunks(Path(path)))


def sha256(chunks: Iterable[bytes]) -> str:
    """Hash a stream of bytes; 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def check_sha256(file: str, found: str, declared: str, source: str) -> None:
    """Refuse a file whose content is not the one that model.json declares."""
    if found != declared:
        raise ModelError(
            f"{source}: {show(file)} has sha256 {found[:12]}..., model.json declares {declared[:12]}...; "
            "the file is damaged or was changed, get the package again"
        )


def check_kind(file: str, head: bytes, source: str) -> None:
    """Refuse a file whose first bytes do not fit its suffix, or an array that holds pickled objects."""
    check_suffix(file, source)
    magic = _MAGIC.get(posixpath.splitext(file)[1], b"")
    if not head.startswith(magic):
        raise ModelError(f"{source}: {show(file)} is not what its suffix says; write the package again")
    if file.endswith(".npy") and _OBJECT_DTYPE.search(head[:_NPY_HEADER].split(b"}", 1)[0]):
        raise ModelError(f"{source}: {show(file)} holds pickled objects, which can run code; save plain numbers")


def data_files(part: str, locations: Iterable[str], declared: Mapping[str, str], source: str) -> dict[str, str]:
    """Return package file and sha256 of every external data location of the ONNX file ``part``."""
    found: dict[str, str] = {}
    for location in sorted(locations):
        outside = location.startswith("/") or "\\" in location or ":" in location or ".." in location.split("/")
        if outside or not location.isprintable():
            raise ModelError(
                f"{source}: {show(part)} takes its weights from {show(location)}, outside the package; "
                "export it with the weights inside"
            )
        file = posixpath.normpath(posixpath.join(posixpath.dirname(part), location))
        if file not in declared:
            raise ModelError(
                f"{source}: {show(part)} takes its weights from {show(file)}, which model.json does not declare"
            )
        found[file] = declared[file]
    return found
