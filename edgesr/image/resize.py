"""Resize pictures to the size that a network takes, with the numbers of torchvision."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgesr.image.convert import to_float
from edgesr.image.pillow import resize_pixels, resize_plane
from edgesr.types import Array, FloatArray

Interpolation = Literal["nearest", "bilinear", "bicubic"]
_CUBIC = -0.75
"""The free parameter of the cubic without antialias, as in torch and OpenCV; Pillow's is -0.5."""


def resize(pixels: Array, h: int, w: int, *, interpolation: Interpolation, antialias: bool) -> FloatArray:
    """Resize uint8, uint16 or float32 ``(H, W, C)`` with 1 or 3 channels to float32 ``(h, w, C)`` in [0, 1].

    With ``antialias`` this is Pillow's filter, rounded to 8 bits for uint8, which torchvision uses for pictures in
    memory and imitates for tensors. Without it, this is ``torch.nn.functional.interpolate`` with ``align_corners``
    False, in float32 and without rounding. Where the size does not change, neither do the pixels.
    """
    if pixels.shape[:2] == (h, w):
        return to_float(pixels)
    if antialias:
        if pixels.dtype == np.uint8:
            return to_float(resize_pixels(pixels, h, w, interpolation))
        values = to_float(pixels)
        return np.stack([resize_plane(values[..., i], h, w, interpolation) for i in range(values.shape[2])], axis=2)
    rows, columns = (_positions(n, target) for n, target in zip(pixels.shape[:2], (h, w), strict=True))
    if interpolation == "nearest":
        near = [
            np.floor(_scaled(n, target)).astype(np.intp) for n, target in zip(pixels.shape[:2], (h, w), strict=True)
        ]
        return to_float(pixels[near[0]][:, near[1]])
    values = to_float(pixels)
    along = _cubic if interpolation == "bicubic" else sample_linear
    return along(along(values, rows, 0), columns, 1)


def sample_linear(values: FloatArray, positions: FloatArray, axis: int) -> FloatArray:
    """Interpolate float32 linearly at fractional ``positions`` along one axis; beyond the ends the last value holds."""
    n = values.shape[axis]
    inside = np.clip(positions, 0, n - 1)
    low = np.floor(inside).astype(np.intp)
    high = np.minimum(low + 1, n - 1)
    share = _along(inside - low, values.ndim, axis)
    mixed: FloatArray = np.take(values, low, axis) * (1 - share)
    mixed += np.take(values, high, axis) * share
    return mixed


def _cubic(values: FloatArray, positions: FloatArray, axis: int) -> FloatArray:
    n = values.shape[axis]
    low = np.floor(positions)
    share = positions - low
    total: FloatArray | None = None
    for tap, distance in enumerate((share + 1, share, 1 - share, 2 - share)):
        index = np.clip(low.astype(np.intp) + tap - 1, 0, n - 1)
        part = np.take(values, index, axis) * _along(_cubic_weight(distance), values.ndim, axis)
        total = part if total is None else total + part
    assert total is not None
    summed: FloatArray = total
    return summed


def _cubic_weight(x: FloatArray) -> FloatArray:
    a = np.float32(_CUBIC)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    weight: FloatArray = np.where(x <= 1, near, far).astype(np.float32)
    return weight


def _positions(n: int, target: int) -> FloatArray:
    """Return where the centres of ``target`` pixels lie among ``n``, in float32 as torch computes them."""
    scale = np.float32(n) / np.float32(target)
    positions: FloatArray = (np.arange(target, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    return positions


def _scaled(n: int, target: int) -> FloatArray:
    scale = np.float32(n) / np.float32(target)
    starts: FloatArray = np.minimum(np.arange(target, dtype=np.float32) * scale, np.float32(n - 1))
    return starts


def _along(weights: FloatArray, ndim: int, axis: int) -> FloatArray:
    shape = [-1 if i == axis else 1 for i in range(ndim)]
    return np.asarray(weights, np.float32).reshape(shape)
