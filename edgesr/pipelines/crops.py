"""Parts of a picture that stand for the whole of it, in the size of one tile."""

from __future__ import annotations

import math

import numpy as np

from edgesr.types import Array

_PLACES = 8
"""Rows and columns of places that are looked at; more would find hardly another texture."""


def representative_crops(pixels: Array, size: tuple[int, int], count: int) -> list[tuple[str, Array]]:
    """Return at most ``count`` parts ``(h, w, c)`` of ``pixels`` ``(H, W, c)``, each with its place as ``x, y``.

    The first is the most textured one, by the mean step between neighbours; each further one lies farthest from those
    before it. A picture that is no larger than ``size``, ``(h, w)``, is returned as it is. The same picture gives the
    same parts.
    """
    rows, columns = (_starts(length, side) for length, side in zip(pixels.shape[:2], size, strict=True))
    places = [(y, x) for y in rows for x in columns]
    texture = [_texture(_cut(pixels, place, size)) for place in places]
    chosen = [places[int(np.argmax(texture))]]
    while len(chosen) < min(count, len(places)):
        distances = [min(math.dist(place, other) for other in chosen) for place in places]
        chosen.append(places[int(np.argmax(distances))])
    return [(f"{x}, {y}", np.ascontiguousarray(_cut(pixels, (y, x), size))) for y, x in chosen]


def middle_crop(pixels: Array, size: tuple[int, int]) -> Array:
    """Return the middle ``(h, w, c)`` of a picture, at most as large as it."""
    y, x = (max(length - side, 0) // 2 for length, side in zip(pixels.shape[:2], size, strict=True))
    return np.ascontiguousarray(_cut(pixels, (y, x), size))


def _starts(length: int, side: int) -> list[int]:
    """Return where parts of ``side`` start: evenly spread, the first and the last at the ends."""
    last = max(length - side, 0)
    count = min(_PLACES, math.ceil(length / side))
    return [last * index // max(count - 1, 1) for index in range(count)]


def _cut(pixels: Array, place: tuple[int, int], size: tuple[int, int]) -> Array:
    (y, x), (h, w) = place, size
    return pixels[y : y + h, x : x + w]


def _texture(pixels: Array) -> float:
    values = pixels.astype(np.float32)
    return sum(float(np.abs(np.diff(values, axis=axis)).mean()) for axis in (0, 1) if values.shape[axis] > 1)
