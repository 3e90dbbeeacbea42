"""Numbered pictures, folders and globs as a sequence of frames, in and out, without loss."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from time import monotonic

import numpy as np

from edgesr.errors import InputError, UsageError
from edgesr.image import Metadata, Picture, read, write
from edgesr.image.formats import SUFFIXES as WRITABLE
from edgesr.media.address import Address, closest
from edgesr.media.frame import Color, Frame, VideoFormat
from edgesr.pipelines.sources import find_pictures
from edgesr.types import Array

USUAL_FPS = Fraction(25)
_NUMBER = re.compile(r"%0?(\d*)d")


class PictureReader:
    """Picture files in order, each as one frame, at ``fps`` frames per second (default: 25)."""

    def __init__(self, address: Address, *, color: Color) -> None:
        self._paths = _numbered(address) if address.kind == "sequence" else find_pictures(address.target)
        self._color = color
        self._fps = Fraction(address.number("fps", 0.001) or USUAL_FPS).limit_denominator(1001)
        self._count = 0

    @property
    def fps(self) -> Fraction | None:
        """Rate that was declared."""
        return self._fps

    @property
    def is_finite(self) -> bool:
        """Always: the last file is the end."""
        return True

    def read(self, timeout: float) -> Frame | None:
        """Return the next picture, uint8, uint16 or float32 ``(H, W, C)``."""
        if self._count >= len(self._paths):
            return None
        index, self._count = self._count, self._count + 1
        path = self._paths[index]
        frames = read(path).frames
        if len(frames) > 1:
            raise InputError(f"{path}: has {len(frames)} frames; save each as a picture of its own")
        image = frames[0]
        if self._color == "bgr" and image.shape[2] >= 3:
            image = np.concatenate([image[..., 2::-1], image[..., 3:]], axis=2)
        return Frame(image, float(index / self._fps), index, monotonic(), str(path))

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""


class PictureWriter:
    """Every frame as a file of its own: ``frames/%05d.png``, or ``000000.png`` and so on in a folder."""

    def __init__(self, address: Address, video: VideoFormat) -> None:
        self._pattern = address.target if _NUMBER.search(address.target) else str(Path(address.target) / "%06d.png")
        self._next = address.whole("start", 0) or 0
        suffix = Path(self._pattern).suffix.lower()
        if suffix not in WRITABLE:
            known = tuple(WRITABLE)
            raise UsageError(f"{address}: edgesr cannot write {suffix or 'such'} files{closest(suffix, known)}")
        folder = Path(self._pattern).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot make this folder: {error.strerror}; choose another -o") from None

    def write(self, image: Array, time: float) -> None:
        """Write one picture, uint8, uint16 or float32 ``(H, W, C)`` RGB."""
        write(_filled(self._pattern, self._next), Picture((image,), Metadata(format="PNG")))
        self._next += 1

    def close(self) -> None:
        """Do nothing: every file is finished when it is written."""

    def abandon(self) -> None:
        """Do nothing."""


def _numbered(address: Address) -> list[Path]:
    """List the files of a pattern such as ``%05d.png`` by their numbers, from ``start`` on."""
    pattern = Path(address.target)
    found = _NUMBER.findall(pattern.name)
    if len(found) != 1 or _NUMBER.search(str(pattern.parent)):
        raise UsageError(f"{address}: needs one number in the name of the file, such as frame%05d.png")
    head, tail = _NUMBER.split(pattern.name)[0], _NUMBER.split(pattern.name)[-1]
    digits = rf"\d{{{int(found[0])},}}" if found[0] else r"\d+"
    name = re.compile(rf"{re.escape(head)}({digits}){re.escape(tail)}")
    start = address.whole("start", 0) or 0
    try:
        matches = [(int(match[1]), path) for path in pattern.parent.iterdir() if (match := name.fullmatch(path.name))]
    except OSError as error:
        raise InputError(f"{pattern.parent}: cannot be read ({error.strerror}); check the path") from None
    paths = [path for number, path in sorted(matches) if number >= start]
    if not paths:
        raise InputError(f"{address}: no file has such a name{f' from {start} on' if start else ''}")
    return paths


def _filled(pattern: str, number: int) -> Path:
    match = _NUMBER.search(pattern)
    assert match is not None
    width = int(match[1] or 0)
    return Path(f"{pattern[: match.start()]}{number:0{width}d}{pattern[match.end() :]}")
