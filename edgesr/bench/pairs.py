"""Pictures of low resolution beside their references: read from two folders, or made from one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgesr.errors import InputError, UsageError
from edgesr.image import from_float, read, to_float
from edgesr.image.resample import Kernel, downscale
from edgesr.image.source import shown
from edgesr.pipelines.sources import find_pictures
from edgesr.types import Array

T = TypeVar("T")
_SUFFIX = re.compile(r"(?:[ ._-]*(?:lr|hr|gt|lrbi|lrbicubic|[x×]\d+))+$", re.IGNORECASE)


@dataclass(frozen=True)
class PicturePair:
    """Where one picture and its reference lie; read when asked."""

    name: str
    """Name of the picture's file without suffix."""
    low: Path | None
    """None where the low resolution is made from the reference."""
    high: Path | None
    """None where there is no reference."""
    kernel: Kernel | None = None
    """The downscaler that makes the low resolution."""

    def read(self, scale: int) -> tuple[Array, Array | None]:
        """Return the low resolution ``(h, w, C)`` and the reference ``(h * scale, w * scale, C)``, RGB, as stored.

        A reference that is larger by less than ``scale`` pixels is cut at its right and bottom. What is made keeps
        the depth of its reference.
        """
        high = None if self.high is None else read_picture(self.high)
        if self.low is not None:
            low = read_picture(self.low)
            return low, None if high is None else _cut(high, low, scale, self.name)
        if high is None or self.kernel is None:
            raise UsageError(f"{self.name}: a pair needs a picture, or a reference and the downscaler that makes one")
        height, width = (side // scale * scale for side in high.shape[:2])
        if not height or not width:
            raise InputError(f"{self.high}: {high.shape[1]} x {high.shape[0]} pixels cannot be made {scale} x smaller")
        high = high[:height, :width]
        return from_float(downscale(to_float(high), scale, self.kernel), high.dtype), high


def find_pairs(
    *,
    low: str | Path | None = None,
    high: str | Path | None = None,
    kernel: Kernel | None = None,
    limit: int | None = None,
    recursive: bool = False,
) -> list[PicturePair]:
    """List the pictures of files, folders or globs.

    ``low`` and ``high``: matched by name, where endings such as ``x4``, ``_LR`` and ``_HR`` do not count; ``high`` and
    ``kernel``: low resolution is made; ``low`` alone: no references. ``limit`` takes so many, spread evenly.
    ``recursive`` takes subfolders of a single folder too.
    """
    if low is None and high is None:
        raise UsageError("there are no pictures: give a folder of references, or one of low resolution")
    if low is not None and kernel is not None:
        raise UsageError("a downscaler makes the low resolution from references; leave out either it or the folder")
    if high is None:
        pairs = [PicturePair(path.stem, path, None) for path in find_pictures(str(low), recursive=recursive)]
    elif low is None:
        pairs = [
            PicturePair(path.stem, None, path, kernel or "cubic") for path in find_pictures(high, recursive=recursive)
        ]
    else:
        pairs = _matched(find_pictures(low), find_pictures(high))
    return pairs if limit is None else evenly(pairs, limit)


def evenly(items: Sequence[T], limit: int) -> list[T]:
    """Return at most ``limit`` of the items, evenly spread over the list."""
    if limit < 1:
        raise UsageError(f"the number of pictures must be at least 1, got {limit}")
    count = min(limit, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def read_picture(path: Path) -> Array:
    """Read the one frame of a file, ``(H, W, C)`` as stored, RGB order."""
    frames = read(path).frames
    if len(frames) != 1:
        raise InputError(f"{shown(path)}: has {len(frames)} frames; quality is measured on files with one picture")
    return frames[0]


def _matched(low: Sequence[Path], high: Sequence[Path]) -> list[PicturePair]:
    references = dict(_named(high))
    pairs = [PicturePair(path.stem, path, references.get(name)) for name, path in _named(low)]
    if not any(pair.high for pair in pairs):
        raise InputError(
            f"no picture of {shown(low[0].parent)} has a reference of its name in {shown(high[0].parent)}, such as "
            f"{low[0].stem} for {high[0].stem}; endings like x4, _LR and _HR do not count"
        )
    return pairs


def _named(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    seen: dict[str, Path] = {}
    for path in paths:
        name = _SUFFIX.sub("", path.stem) or path.stem
        if name in seen:
            raise InputError(
                f"{shown(seen[name])} and {shown(path)} count as one picture; keep one of them in a folder of its own"
            )
        seen[name] = path
        yield name, path


def _cut(high: Array, low: Array, scale: int, name: str) -> Array:
    height, width = low.shape[0] * scale, low.shape[1] * scale
    over = (high.shape[0] - height, high.shape[1] - width)
    if not all(0 <= extra < scale for extra in over):
        raise InputError(
            f"{name}: the reference is {high.shape[1]} x {high.shape[0]}, the picture {low.shape[1]} x {low.shape[0]}; "
            f"times {scale} that should be {width} x {height}"
        )
    return high[:height, :width]
