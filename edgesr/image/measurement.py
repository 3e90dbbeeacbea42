"""What a small picture says about every large one that it may have been made of.

A stored pixel says where a value lay, not what it was: rounding leaves half a grey level on both sides, and black and
white stand for all that lay beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgesr.errors import InputError
from edgesr.image.convert import to_float
from edgesr.image.resample import Kernel, downscale
from edgesr.types import Array

_CONTEXT = 4
"""Small rows beyond which a row of a large picture does not change a small one."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """Between which values the pixels of a small picture lay, float32 ``(h, w, C)``; infinite where clipped."""

    low: Array
    high: Array

    @classmethod
    def of(cls, pixels: Array) -> Bounds:
        """Return the bounds of stored pixels ``(h, w, C)``: uint8, uint16, or floats in [0, 1], which are exact."""
        values = to_float(pixels)
        half = np.float32(0.0 if pixels.dtype.kind == "f" else 0.5 / np.iinfo(pixels.dtype).max)
        beyond = np.float32(np.inf)
        low, high = np.where(values <= 0.0, -beyond, values - half), np.where(values >= 1.0, beyond, values + half)
        return cls(low, high)

    def excess(self, values: Array) -> Array:
        """Return by how much ``values`` must rise (above 0) or fall (below 0) to come inside."""
        return np.asarray(np.maximum(self.low - values, 0.0) - np.maximum(values - self.high, 0.0))

    def rows(self, first: int, last: int) -> Bounds:
        """Return the bounds of the rows ``[first, last)``."""
        return Bounds(self.low[first:last], self.high[first:last])


class ResidualMeter:
    """Measures a large picture, given from top to bottom, against the small one that it was made of.

    ``kernels`` are the downscalers that may have made the small picture; the one that fits best counts.
    """

    def __init__(self, pixels: Array, scale: int, kernels: Sequence[Kernel]) -> None:
        if not kernels:
            raise InputError("a residual needs the name of a downscaler: cubic, area or antialiased")
        self._bounds = Bounds.of(pixels)
        self._scale = scale
        self._sums = dict.fromkeys(kernels, 0.0)
        self._window: Array = np.empty((0, pixels.shape[1] * scale, pixels.shape[2]), np.float32)
        self._top = 0
        self._done = 0

    def add(self, rows: Array) -> None:
        """Take the next rows ``(h, W, C)``, uint8, uint16 or float32 in [0, 1]."""
        self._window = np.concatenate([self._window, to_float(rows)])
        height = len(self._bounds.low)
        last = self._top + len(self._window) // self._scale
        ready = height if last == height else last - _CONTEXT
        if ready <= self._done:
            return
        whole = self._window[: (last - self._top) * self._scale]
        bounds = self._bounds.rows(self._done, ready)
        for kernel in self._sums:
            small = downscale(whole, self._scale, kernel)[self._done - self._top : ready - self._top]
            self._sums[kernel] += float(np.sum(np.square(bounds.excess(small), dtype=np.float64)))
        self._done = ready
        kept = max(ready - _CONTEXT, 0)
        self._window = self._window[(kept - self._top) * self._scale :].copy()
        self._top = kept

    @property
    def is_complete(self) -> bool:
        """Whether the whole picture was given."""
        return self._done == len(self._bounds.low)

    @property
    def residual(self) -> float:
        """Root mean square, in 8-bit grey levels, of what rounding and clipping do not explain."""
        if not self.is_complete:
            raise InputError(f"{self._done} of {len(self._bounds.low)} rows are measured; add the whole picture first")
        return float(np.sqrt(min(self._sums.values()) / self._bounds.low.size) * 255.0)


def colors_of(pixels: Array) -> int:
    """Return the number of channels of ``(H, W, C)`` that are not alpha."""
    channels: int = pixels.shape[2]
    return channels - (channels in (2, 4))


def residual(image: Array, pixels: Array, scale: int, kernels: Sequence[Kernel]) -> float:
    """Return the residual of a whole picture ``(H, W, C)`` against the small ``(h, w, C)``; see ResidualMeter."""
    meter = ResidualMeter(pixels, scale, kernels)
    meter.add(image)
    return meter.residual
