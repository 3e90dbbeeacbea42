"""Resample float pictures by whole factors with the kernels that super-resolution networks are trained for."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from edgesr.errors import InputError
from edgesr.types import Array

Kernel: TypeAlias = Literal["cubic", "area", "antialiased"]
KERNELS: tuple[Kernel, ...] = get_args(Kernel)

OPENCV_A = -0.75
PILLOW_A = -0.5


def downscale(image: Array, scale: int, kernel: Kernel = "cubic") -> Array:
    """Return float ``(H, W, C)`` shrunk to a new ``(H / scale, W / scale, C)`` of the same dtype; not clipped.

    ``cubic`` is OpenCV's INTER_CUBIC (a = -0.75, no antialiasing), ``area`` the mean of each block, ``antialiased`` the
    bicubic of Pillow and MATLAB (a = -0.5, widened by the scale; borders as in Pillow).
    """
    _check(image, scale)
    height, width, channels = image.shape
    if height % scale or width % scale:
        raise InputError(f"{width} x {height} pixels cannot be divided by {scale}; crop to a multiple of {scale}")
    if kernel == "area":
        blocks = image.reshape(height // scale, scale, width // scale, scale, channels)
        return np.asarray(blocks.mean(axis=(1, 3), dtype=image.dtype))
    taps, first = _taps(scale, kernel)
    edge = kernel != "antialiased"
    shrunk = _shrink(_shrink(image, scale, taps, first, 0, edge=edge), scale, taps, first, 1, edge=edge)
    if not edge:
        shrunk /= _norm(height, width, scale, taps, first).astype(image.dtype)
    return shrunk


def downscale_transposed(image: Array, scale: int, kernel: Kernel = "cubic") -> Array:
    """Return the transpose of ``downscale`` applied to float ``(H, W, C)``: a new ``(H * scale, W * scale, C)``.

    ``(downscale(x) * y).sum() == (x * downscale_transposed(y)).sum()`` for any x and y.
    """
    _check(image, scale)
    if kernel == "area":
        enlarged = np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)
        return np.asarray(enlarged * image.dtype.type(1.0 / scale**2))
    taps, first = _taps(scale, kernel)
    edge = kernel != "antialiased"
    if not edge:
        height, width = (n * scale for n in image.shape[:2])
        image = image / _norm(height, width, scale, taps, first).astype(image.dtype)
    return _spread(_spread(image, scale, taps, first, 0, edge=edge), scale, taps, first, 1, edge=edge)


def upscale(image: Array, scale: int) -> Array:
    """Return float ``(H, W, C)`` enlarged to ``(H * scale, W * scale, C)`` as by OpenCV INTER_CUBIC; not clipped."""
    _check(image, scale)
    return _enlarge(_enlarge(image, scale, 0), scale, 1)


def upscale_window(image: Array, scale: int, rows: slice, columns: slice) -> Array:
    """Return rows and columns of ``upscale(image, scale)``, by their numbers there, without computing the rest."""
    near, starts = [], []
    for length, window in zip(image.shape[:2], (rows, columns), strict=True):
        first, last = max(window.start // scale - 3, 0), min(-(-window.stop // scale) + 3, length)
        near.append(slice(first, last))
        starts.append(slice(window.start - first * scale, window.stop - first * scale))
    return upscale(np.ascontiguousarray(image[near[0], near[1]]), scale)[starts[0], starts[1]]


def _check(image: Array, scale: int) -> None:
    if image.ndim != 3 or image.dtype not in (np.float32, np.float64) or image.size == 0:
        raise InputError(
            f"resampling needs float32 or float64 (H, W, C), got {image.dtype} {image.shape}; use to_float"
        )
    if scale < 1:
        raise InputError(f"scale must be a whole number of at least 1, got {scale}")


def _taps(scale: int, kernel: Kernel) -> tuple[Array, int]:
    """Return the weights of a kernel along one axis, and which pixel of a block of ``scale`` has the first."""
    if kernel == "cubic":
        centre = (scale - 1) / 2
        first = int(np.floor(centre)) - 1
        return _cubic(np.arange(first, first + 4) - centre, OPENCV_A), first
    if kernel == "antialiased":
        first = scale // 2 - 2 * scale
        return _cubic((np.arange(first, first + 4 * scale + 1) + 0.5) / scale - 0.5, PILLOW_A), first
    raise InputError(f"there is no kernel {kernel!r}; use cubic, area or antialiased")


def _norm(height: int, width: int, scale: int, taps: Array, first: int) -> Array:
    """Return what is left of the kernel's sum where it hangs over the border, float64 ``(H / scale, W / scale, 1)``."""
    rows, columns = (_shrink(np.ones((n, 1, 1)), scale, taps, first, 0, edge=False) for n in (height, width))
    return np.asarray(rows * columns.transpose(1, 0, 2))


def _cubic(distance: Array, a: float) -> Array:
    """Evaluate the cubic convolution kernel of Keys (1981) with its free parameter a."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.asarray(np.where(x < 1, near, np.where(x < 2, far, 0.0)))


def _shrink(image: Array, scale: int, taps: Array, first: int, axis: int, *, edge: bool = True) -> Array:
    """Return ``sum_k taps[k] * image[scale * i + first + k]``; outside lies the edge pixel, or 0."""
    number = image.shape[axis] // scale
    after = (number - 1) * scale + first + len(taps) - image.shape[axis]
    padded = _pad(image, max(0, -first), max(0, after), axis, edge)
    start = max(0, first)
    parts = [start + k for k in range(len(taps))]
    span = (number - 1) * scale + 1
    return _weighted_sum([_along(padded, at, at + span, scale, axis) for at in parts], taps, image.dtype)


def _spread(image: Array, scale: int, taps: Array, first: int, axis: int, *, edge: bool) -> Array:
    """Return the transpose of ``_shrink``: what fell on the edge pixel from outside is added to it, or dropped."""
    number = image.shape[axis]
    length = number * scale
    before, after = max(0, -first), max(0, (number - 1) * scale + first + len(taps) - length)
    shape = list(image.shape)
    shape[axis] = before + length + after
    padded = np.zeros(shape, image.dtype)
    start, span = max(0, first), (number - 1) * scale + 1
    for k, tap in enumerate(taps.astype(image.dtype)):
        if tap:
            _along(padded, start + k, start + k + span, scale, axis)[...] += tap * image
    if edge:
        for outside, at in ((slice(0, before), before), (slice(before + length, None), before + length - 1)):
            beyond = padded[outside] if axis == 0 else padded[:, outside]
            _along(padded, at, at + 1, 1, axis)[...] += beyond.sum(axis=axis, keepdims=True)
    return _along(padded, before, before + length, 1, axis)


def _enlarge(image: Array, scale: int, axis: int) -> Array:
    number = image.shape[axis]
    padded = _pad(image, 2, 2, axis, True)
    shape = list(image.shape)
    shape[axis] *= scale
    enlarged = np.empty(shape, image.dtype)
    for phase in range(scale):
        centre = (phase + 0.5) / scale - 0.5
        first = int(np.floor(centre)) - 1
        taps = _cubic(np.arange(first, first + 4) - centre, OPENCV_A)
        parts = [_along(padded, 2 + first + k, 2 + first + k + number, 1, axis) for k in range(4)]
        _along(enlarged, phase, shape[axis], scale, axis)[...] = _weighted_sum(parts, taps, image.dtype)
    return enlarged


def _pad(image: Array, before: int, after: int, axis: int, edge: bool) -> Array:
    widths = [(before, after) if at == axis else (0, 0) for at in range(3)]
    return np.pad(image, widths, mode="edge") if edge else np.pad(image, widths)


def _along(image: Array, start: int, stop: int, step: int, axis: int) -> Array:
    return image[start:stop:step] if axis == 0 else image[:, start:stop:step]


def _weighted_sum(parts: list[Array], taps: Array, dtype: np.dtype[np.generic]) -> Array:
    total = np.zeros(parts[0].shape, dtype)
    term = np.empty_like(total)
    for part, tap in zip(parts, taps.astype(dtype), strict=True):
        if tap:
            total += np.multiply(part, tap, out=term)
    return total
