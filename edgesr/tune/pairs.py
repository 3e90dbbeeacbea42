"""Small pictures and the large ones that a perfect model would make of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesr.errors import InputError, UsageError
from edgesr.image.convert import from_float, to_float
from edgesr.image.resample import KERNELS, Kernel, downscale
from edgesr.model import ModelDescriptor
from edgesr.pipelines.sources import find_pictures, read_sources
from edgesr.types import Array

Folder = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Pair:
    """One picture in both sizes, uint8 or uint16 ``(H, W, C)`` without alpha."""

    name: str
    small: Array
    large: Array


def made_pairs(descriptor: ModelDescriptor, images: Folder, *, count: int, side: int) -> list[Pair]:
    """Take the middle of ``count`` large pictures, ``side`` small pixels of it, and make it small as the package says.

    The small picture is rounded to the type of the large one, as a file would be.
    """
    kernel = degradation_of(descriptor)
    pairs = []
    for name, pixels in _spread(find_pictures(images), count):
        large = _middle(pixels, side * descriptor.scale, descriptor.scale)
        small = from_float(downscale(to_float(large), descriptor.scale, kernel), large.dtype)
        pairs.append(Pair(name, small, large))
    return pairs


def given_pairs(descriptor: ModelDescriptor, low: Folder, high: Folder, *, count: int, side: int) -> list[Pair]:
    """Take pictures that lie in two folders in the same order, and of both the middle."""
    smalls, larges = find_pictures(low), find_pictures(high)
    if len(smalls) != len(larges):
        raise UsageError(f"{low} has {len(smalls)} pictures and {high} has {len(larges)}; give one to one")
    pairs = []
    scale = descriptor.scale
    for (name, small), (other, large) in zip(_spread(smalls, count), _spread(larges, count), strict=True):
        if large.shape != (small.shape[0] * scale, small.shape[1] * scale, small.shape[2]):
            raise InputError(f"{other}: is {_size(large)}, not {scale} times {name} of {_size(small)}")
        top, left = (max(n - side, 0) // 2 for n in small.shape[:2])
        at = np.s_[top : top + side, left : left + side]
        over = np.s_[top * scale : (top + side) * scale, left * scale : (left + side) * scale]
        pairs.append(Pair(name, np.ascontiguousarray(small[at]), np.ascontiguousarray(large[over])))
    return pairs


def degradation_of(descriptor: ModelDescriptor) -> Kernel:
    """Return the downscaler that the package names; raise UsageError where it names none."""
    name = (descriptor.degradation or {}).get("kernel")
    for kernel in KERNELS:
        if kernel == name:
            return kernel
    raise UsageError(
        f"model {descriptor.name} does not say how its small pictures were made; give pairs with --lr and --hr, or "
        "pack it again with --degradation"
    )


def digest(pairs: Sequence[Pair]) -> str:
    """Return the sha256 of all pixels."""
    found = hashlib.sha256()
    for pair in pairs:
        for pixels in (pair.small, pair.large):
            found.update(repr((pixels.shape, str(pixels.dtype))).encode() + pixels.tobytes())
    return found.hexdigest()


def _spread(paths: Sequence[Path], count: int) -> Iterator[tuple[str, Array]]:
    """Read ``count`` pictures, evenly over all of them, without alpha."""
    taken = min(count, len(paths))
    chosen = [paths[i * len(paths) // taken] for i in range(taken)]
    for item in read_sources(chosen):
        channels = item.pixels.shape[2]
        yield Path(item.name).name, item.pixels[..., : channels - (channels in (2, 4))]


def _middle(pixels: Array, side: int, scale: int) -> Array:
    h, w = (min(n, side) // scale * scale for n in pixels.shape[:2])
    if not h or not w:
        raise InputError(f"a picture of {_size(pixels)} is too small to be made {scale} times smaller")
    top, left = (pixels.shape[0] - h) // 2, (pixels.shape[1] - w) // 2
    return np.ascontiguousarray(pixels[top : top + h, left : left + w])


def _size(pixels: Array) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"
