"""Pictures to process: files, folders, globs, arrays, or lists of them."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edgesr.errors import InputError
from edgesr.image import Metadata, read
from edgesr.image.source import identify, open_source
from edgesr.types import Array

Sources: TypeAlias = "str | os.PathLike[str] | Array | Iterable[str | os.PathLike[str] | Array]"

SUFFIXES = frozenset(
    (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".gif", ".dcm",
     ".dicom", ".pgm", ".ppm", ".pnm")
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One picture, or one frame of a file with several."""

    name: str
    pixels: Array
    """``(H, W, C)`` in RGB order when it was read from ``path``, else as it was passed in."""
    path: Path | None
    metadata: Metadata | None


def read_sources(sources: Sources) -> Iterator[Item]:
    """Yield every picture of ``sources`` in order; files are read when their turn comes."""
    if isinstance(sources, np.ndarray):
        yield Item("array", sources, None, None)
        return
    if not isinstance(sources, str | os.PathLike):
        for source in sources:
            yield from read_sources(source)
        return
    for path in find_pictures(sources):
        picture = read(path)
        for index, frame in enumerate(picture.frames):
            name = str(path) if len(picture.frames) == 1 else f"{path}#{index}"
            yield Item(name, frame, path, picture.metadata)


def find_pictures(source: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """List the pictures that a file, a folder or a glob pattern names, sorted; raise InputError when there are none.

    In folders, files are taken by their suffix, and DICOM files also without one.
    """
    path = Path(source)
    if is_folder(path):
        pictures = sorted(p for p in _files(path, recursive=recursive) if _is_picture(p))
        if not pictures:
            raise InputError(f"{path}: the folder holds no pictures" + ("" if recursive else ", subfolders left out"))
        return pictures
    if is_pattern(source):
        matches = sorted(Path(p) for p in glob.glob(os.fspath(source), recursive=True) if stat.S_ISREG(_mode(p)))
        if not matches:
            raise InputError(f"{source}: no file matches this pattern")
        return matches
    return [path]


def is_pattern(source: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a glob pattern; a file or folder whose name looks like one is not."""
    return glob.has_magic(os.fspath(source)) and not _mode(source)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path leads to a folder; one that cannot exist, such as a name that is too long, does not."""
    return stat.S_ISDIR(_mode(path))


def is_dicom(path: Path) -> bool:
    """Tell by its content whether a file is DICOM."""
    try:
        with open_source(path) as file:
            return identify(file) == "DICOM"
    except (InputError, OSError):
        return False


def _files(folder: Path, *, recursive: bool) -> Iterator[Path]:
    def give_up(error: OSError) -> None:
        raise InputError(f"{error.filename}: the folder cannot be read: {error.strerror}; check its permissions")

    for place, folders, names in os.walk(folder, onerror=give_up):
        folders[:] = [name for name in folders if not name.startswith(".")] if recursive else []
        yield from (Path(place, name) for name in names)


def _is_picture(path: Path) -> bool:
    if path.name.startswith(".") or not stat.S_ISREG(_mode(path)):
        return False
    suffix = path.suffix.lower()
    has_none = not suffix or suffix[1:].isdigit()
    return suffix in SUFFIXES or (has_none and path.name != "DICOMDIR" and is_dicom(path))


def _mode(path: str | os.PathLike[str]) -> int:
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):
        return 0
