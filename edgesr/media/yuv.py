"""Colour between RGB and Y'CbCr: BT.601 and BT.709, limited and full range.

The coefficients are those of Rec. ITU-R BT.601-7 and BT.709-6, the ranges of 8 bits those of BT.601, section 2.5.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np

from edgesr.types import Array, FloatArray

Matrix: TypeAlias = Literal["bt601", "bt709"]
Range: TypeAlias = Literal["limited", "full"]

_LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Weights of red and blue."""


def to_rgb(y: Array, u: Array, v: Array, matrix: Matrix, levels: Range) -> Array:
    """Return uint8 RGB ``(H, W, 3)`` of uint8 planes; chroma of half size is repeated."""
    height, width = y.shape
    weights, offset = _decoding(matrix, levels)
    planes = np.empty((height, width, 3), np.float32)
    planes[..., 0] = y
    for channel, plane in ((1, u), (2, v)):
        if plane.shape[0] < height:
            plane = plane.repeat(2, 0)[:height]
        if plane.shape[1] < width:
            plane = plane.repeat(2, 1)[:, :width]
        planes[..., channel] = plane
    rgb = planes.reshape(-1, 3) @ weights + offset
    return _rounded(rgb).reshape(height, width, 3)


def from_rgb(image: Array, matrix: Matrix, levels: Range, *, is_subsampled: bool) -> tuple[Array, Array, Array]:
    """Return the uint8 planes Y, Cb, Cr of uint8 RGB ``(H, W, 3)``.

    With ``is_subsampled`` chroma is the mean of 2 x 2 pixels, at odd edges of those that are there.
    """
    height, width, _ = image.shape
    weights, offset = _encoding(matrix, levels)
    planes: FloatArray = (image.reshape(-1, 3).astype(np.float32) @ weights + offset).reshape(height, width, 3)
    luma, chroma = planes[..., 0], planes[..., 1:]
    if is_subsampled:
        chroma = np.pad(chroma, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        chroma = chroma.reshape(chroma.shape[0] // 2, 2, chroma.shape[1] // 2, 2, 2).mean((1, 3))
    rounded = _rounded(chroma)
    return _rounded(luma), np.ascontiguousarray(rounded[..., 0]), np.ascontiguousarray(rounded[..., 1])


def grey_levels(y: Array, levels: Range) -> Array:
    """Return full-range uint8 grey of a luma plane."""
    return y if levels == "full" else _rounded((y.astype(np.float32) - 16) * np.float32(255 / 219))


def _rounded(values: FloatArray) -> Array:
    rounded: Array = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


@lru_cache(maxsize=4)
def _encoding(matrix: Matrix, levels: Range) -> tuple[FloatArray, FloatArray]:
    red, blue = _LUMA[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    rows = np.stack([luma, (np.array([0, 0, 1]) - luma) / (2 - 2 * blue), (np.array([1, 0, 0]) - luma) / (2 - 2 * red)])
    scale = np.array([219, 224, 224]) / 255 if levels == "limited" else np.ones(3)
    offset = np.array([16 if levels == "limited" else 0, 128, 128])
    return (rows * scale[:, None]).T.astype(np.float32), offset.astype(np.float32)


@lru_cache(maxsize=4)
def _decoding(matrix: Matrix, levels: Range) -> tuple[FloatArray, FloatArray]:
    weights, offset = _encoding(matrix, levels)
    inverse = np.linalg.inv(weights.astype(np.float64))
    return inverse.astype(np.float32), (-offset.astype(np.float64) @ inverse).astype(np.float32)
