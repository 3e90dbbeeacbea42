"""Convert between stored pixels and floats in [0, 1], and check pixels given to the API."""

from __future__ import annotations

import os

import numpy as np

from edgesr.errors import InputError
from edgesr.types import Array, FloatArray

BLOCK = 1 << 15
ROUNDING = 1e-6
"""How far arithmetic in float32 may leave [0, 1]; far less than a step of 16 bits."""


def to_float(pixels: Array) -> FloatArray:
    """Convert uint8, uint16 or float pixels of any shape to a new float32 array in [0, 1]."""
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"pixels must be uint8, uint16 or a float type, got {pixels.dtype}; convert them first")
    scaled: FloatArray = np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)
    return scaled


def from_float(array: Array, dtype: np.dtype[np.generic] | type[np.generic] | str, out: Array | None = None) -> Array:
    """Convert floats of any shape to ``dtype`` (uint8, uint16 or float32): clip to [0, 1], round half to even.

    Returns ``out`` when given, which must have the shape of ``array``, else a new array. NaN is an InputError.
    """
    target = np.dtype(dtype)
    if target not in (np.uint8, np.uint16, np.float32):
        raise InputError(f"pixels can become uint8, uint16 or float32, not {target}; choose one of these")
    if array.dtype.kind != "f":
        raise InputError(f"from_float needs a float array, got {array.dtype}; pass model output in [0, 1]")
    result = np.empty(array.shape, target) if out is None else out
    if result.shape != array.shape or result.dtype != target:
        raise InputError(f"out must be {target} {array.shape}, got {result.dtype} {result.shape}; allocate it so")
    if array.size == 0:
        return result
    for source, sink in _planes(array, result):
        _convert(source, sink)
    return result


def _convert(array: Array, result: Array) -> None:
    """Clip, round and cast ``array`` into ``result`` block by block, so that the work stays in the cache."""
    top = 1 if result.dtype == np.float32 else int(np.iinfo(result.dtype).max)
    source, sink = _flat(array, result)
    step = max(1, BLOCK // max(1, source[0].size))
    work = np.float64 if array.dtype == np.float64 else np.float32
    buffer = np.empty((min(step, len(source)), *source.shape[1:]), work)
    for start in range(0, len(source), step):
        block = source[start : start + step]
        values = np.multiply(block, work(top), out=buffer[: len(block)])
        low, high = values.min(), values.max()
        if np.isnan(low):
            raise InputError("the pixels hold NaN: the model overflowed or its input did; run it in FP32")
        if low < 0 or high > top:
            np.clip(values, 0, top, out=values)
        if top > 1:
            np.rint(values, out=values)
        np.copyto(sink[start : start + step], values, casting="unsafe")


def _planes(array: Array, result: Array) -> list[tuple[Array, Array]]:
    """Split ``(H, W, C)`` whose channels lie apart in memory, as networks return them, into its channels."""
    if array.ndim == 3 and 1 < array.shape[2] <= 4 and abs(array.strides[2]) > abs(array.strides[1]):
        return [(array[..., channel], result[..., channel]) for channel in range(array.shape[2])]
    return [(array, result)]


def is_grey(colors: Array) -> bool:
    """Tell whether three-channel pixels or palette entries ``(..., 3)`` are all grey."""
    red = colors[..., 0]
    return np.array_equal(red, colors[..., 1]) and np.array_equal(red, colors[..., 2])


def check_pixels(array: object) -> Array:
    """Return an image given to the API as uint8, uint16 or float32 ``(H, W, C)``, a view wherever no cast is needed.

    Accepts ``(H, W)`` and ``(H, W, C)`` of uint8, uint16, float16, float32 or float64; floats must be in [0, 1], from
    which rounding errors are clipped.
    """
    if isinstance(array, (str, os.PathLike)):
        raise InputError(
            f"an image must be a numpy array (H, W, C), got the path {os.fspath(array)}; pass it to predict()"
        )
    if not isinstance(array, np.ndarray):
        raise InputError(f"an image must be a numpy array (H, W, C), got {type(array).__name__}; use numpy.asarray")
    if array.ndim not in (2, 3):
        raise InputError(f"an image must be (H, W) or (H, W, C), got shape {array.shape}; pass one image at a time")
    if isinstance(array, np.ma.MaskedArray):
        raise InputError("a masked array hides pixels that the network would see; give it their values with filled()")
    pixels = array[:, :, np.newaxis] if array.ndim == 2 else array
    if pixels.size == 0:
        raise InputError(f"the image is empty, its shape is {array.shape}; pass at least one pixel")
    if not 1 <= pixels.shape[2] <= 4:
        raise InputError(
            f"an image must have 1 to 4 channels last, got shape {array.shape}; "
            "pass (H, W, C), for example array.transpose(1, 2, 0)"
        )
    if pixels.dtype.name in ("uint8", "uint16"):
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.name not in ("float16", "float32", "float64"):
        raise InputError(
            f"an image must be uint8, uint16, float16, float32 or float64, got {array.dtype}; "
            "convert it, for example with astype(numpy.uint8)"
        )
    low, high = float(pixels.min()), float(pixels.max())
    if np.isnan(low) or np.isnan(high):
        raise InputError(f"the {array.dtype} image holds NaN; replace it, for example with numpy.nan_to_num")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            f"a {array.dtype} image must lie in [0, 1], got {low:.7g} to {high:.7g}; divide it by its full scale"
        )
    return pixels.astype(np.float32, copy=False) if low >= 0 and high <= 1 else np.clip(pixels, 0, 1, dtype=np.float32)


def _flat(array: Array, result: Array) -> tuple[Array, Array]:
    if array.flags.c_contiguous and result.flags.c_contiguous:
        return array.reshape(-1), result.reshape(-1)
    return np.atleast_1d(array), np.atleast_1d(result)
