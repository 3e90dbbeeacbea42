"""The scale of the error of a diffused picture, from its fine detail and from how much samples differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edgesr.model.uncertainty import ErrorLink
from edgesr.types import FloatArray

BLUR = 5
"""Side, in pixels, of the box that is run over a picture twice to take its fine detail away."""
Combined = tuple[FloatArray, FloatArray | None]


def linked_bands(bands: Iterable[Combined], link: ErrorLink) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the picture in bands ``(h, W, C)`` of other heights, each with the scale ``(h, W)`` of its error.

    ``bands`` hold rows of the picture and the deviation of its samples, None for one sample; all in [0, 1].
    """
    reach = 2 * (BLUR // 2) + link.window // 2
    rows: FloatArray | None = None
    spread: FloatArray | None = None
    top = 0
    for band, deviation in bands:
        rows = band if rows is None else np.concatenate([rows, band])
        if deviation is not None:
            spread = deviation if spread is None else np.concatenate([spread, deviation])
        ready = len(rows) - reach
        if ready > top:
            yield rows[top:ready], error_scale(rows, spread, link)[top:ready]
            kept = max(ready - reach, 0)
            rows, spread, top = rows[kept:], None if spread is None else spread[kept:], ready - kept
    if rows is not None and top < len(rows):
        yield rows[top:], error_scale(rows, spread, link)[top:]


def error_scale(picture: FloatArray, deviation: FloatArray | None, link: ErrorLink) -> FloatArray:
    """Return the scale of the error, float32 ``(H, W)``, of a picture ``(H, W, C)`` and the deviation ``(H, W)``."""
    detail = picture - _box(_box(picture, BLUR), BLUR)
    fine = np.sqrt(_box(np.square(detail).mean(axis=2, keepdims=True), link.window))[..., 0]
    squared = np.square(np.exp(np.float32(link.offset)) * (fine + np.float32(link.floor)) ** np.float32(link.exponent))
    if deviation is not None:
        squared = squared + _box(np.square(deviation)[..., None], link.window)[..., 0]
    return np.asarray(np.sqrt(squared), np.float32)


def _box(values: FloatArray, side: int) -> FloatArray:
    """Return the mean over ``side`` x ``side`` pixels, ``side`` odd, of ``(H, W, C)``; the border is repeated."""
    height, width, _ = values.shape
    half = side // 2
    padded = np.pad(values, ((half, half), (half, half), (0, 0)), mode="edge")
    columns = sum((padded[shift : shift + height] for shift in range(1, side)), padded[:height])
    total = sum((columns[:, shift : shift + width] for shift in range(1, side)), columns[:, :width])
    return np.asarray(total * np.float32(1.0 / side**2), np.float32)
