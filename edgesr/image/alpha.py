"""Prepare colour under transparency, so that colour and alpha can be upscaled separately without halos."""

from __future__ import annotations

import numpy as np

from edgesr.types import Array, FloatArray

BAND_ROWS = 256


def bleed(rgb: Array, alpha: Array) -> Array:
    """Give fully transparent pixels the colour of their visible neighbours; nothing else changes.

    ``rgb`` is uint8, uint16 or float32 ``(H, W, C)``, ``alpha`` ``(H, W)`` of the same dtype and range. Returns a new
    array, or ``rgb`` itself where no pixel, or every pixel, is fully transparent. Colours spread from coarse to fine
    over a pyramid whose cells are means weighted by alpha ("pull-push", Gortler et al. 1996, section 3.4).
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return rgb
    levels = [_first_level(rgb, alpha)]
    while levels[-1][1].min() == 0:
        levels.append(_coarser(*levels[-1]))
    fill = _mean(*levels.pop())
    while levels:
        total, weight = levels.pop()
        finer = _finer(fill, 0, *weight.shape)
        np.copyto(finer, _mean(total, weight), where=weight[:, :, np.newaxis] > 0)
        fill = finer
    bled: Array = rgb.copy()
    height, width, _ = rgb.shape
    for top in range(0, height, BAND_ROWS):
        rows = slice(top, min(top + BAND_ROWS, height))
        colours = _finer(fill, rows.start, rows.stop, width)
        if rgb.dtype.kind == "u":
            np.rint(colours, out=colours)
        np.copyto(bled[rows], colours, where=hidden[rows, :, np.newaxis], casting="unsafe")
    return bled


def _first_level(rgb: Array, alpha: Array) -> tuple[FloatArray, FloatArray]:
    """Return the weighted sums of colour, ``(h, w, C)``, and the weights, ``(h, w)``, of 2 x 2 pixels, band by band."""
    height, width, channels = rgb.shape
    total = np.empty((-(-height // 2), -(-width // 2), channels), np.float32)
    weight = np.empty(total.shape[:2], np.float32)
    full = np.float32(1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max)
    for top in range(0, height, BAND_ROWS):
        opacity = np.divide(alpha[top : top + BAND_ROWS], full, dtype=np.float32)
        colour = rgb[top : top + BAND_ROWS] * opacity[:, :, np.newaxis]
        rows = slice(top // 2, top // 2 + -(-len(opacity) // 2))
        total[rows], weight[rows] = _coarser(colour, opacity)
    return total, weight


def _coarser(total: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    return _sum_pairs(_sum_pairs(total, 0), 1), _sum_pairs(_sum_pairs(weight, 0), 1)


def _sum_pairs(values: FloatArray, axis: int) -> FloatArray:
    along = np.moveaxis(values, axis, 0)
    summed = along[::2].copy()
    summed[: len(along) // 2] += along[1::2]
    return np.asarray(np.moveaxis(summed, 0, axis))


def _mean(total: FloatArray, weight: FloatArray) -> FloatArray:
    return np.asarray(total / np.where(weight > 0, weight, 1)[:, :, np.newaxis], np.float32)


def _finer(coarse: FloatArray, start: int, stop: int, width: int) -> FloatArray:
    """Return rows ``start`` to ``stop`` of the next finer level, ``width`` columns, interpolated linearly."""
    rows = _weigh(coarse, np.arange(start, stop), 0)
    return _weigh(rows, np.arange(width), 1)


def _weigh(values: FloatArray, places: Array, axis: int) -> FloatArray:
    near = places // 2
    far = np.clip(near + np.where(places % 2, 1, -1), 0, values.shape[axis] - 1)
    mixed = np.take(values, near, axis)
    mixed *= np.float32(0.75)
    mixed += np.float32(0.25) * np.take(values, far, axis)
    return mixed
