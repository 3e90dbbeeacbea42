"""Pictures to process: files, folders, globs, arrays, or lists of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edgesr.errors import InputError
from edgesr.image import Metadata, read
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
    """List the pictures that a file, a folder or a glob pattern names, sorted; raise InputError when there are none."""
    path = Path(source)
    if path.is_dir():
        found = path.rglob("*") if recursive else path.iterdir()
        pictures = sorted(
            p for p in found if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
        )
        if not pictures:
            deeper = "" if recursive else "; pictures in subfolders are taken with --recursive"
            raise InputError(f"{path}: the folder holds no pictures{deeper}")
        return pictures
    if glob.has_magic(str(source)) and not path.exists():
        matches = sorted(Path(p) for p in glob.glob(str(source), recursive=True) if Path(p).is_file())
        if not matches:
            raise InputError(f"{source}: no file matches this pattern")
        return matches
    return [path]
