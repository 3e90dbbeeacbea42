"""Measure how sharp a picture is in its own pixels, and whether it shows the blocks of JPEG compression."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

import numpy as np
import numpy.typing as npt

from edgesr.types import Array

COARSE, MIDDLE, FINE = (0.06, 0.1), (0.2, 0.25), (0.4, 0.45)
"""Bands of spatial frequency, in cycles per pixel."""

LARGEST = 1024
"""A larger picture is measured in its middle, in pixels per side."""
SMALLEST_FOR_BLOCKS = 96
_SIDE = 32
_WINDOWS = 256
_JPEG = 8
_EDGE = 8.0
"""Differences count up to this many grey levels: single edges must not decide."""


@dataclass(frozen=True)
class Spectrum:
    """Mean spectral density of a picture in three bands, in squared grey levels of 255, without rounding noise."""

    coarse: float
    middle: float
    fine: float
    floor: float
    """What is below cannot be told from rounding noise."""

    def fine_step(self, limit: float) -> float | None:
        """Return how the density falls from the middle to the fine band, in decibels.

        None where a fall to ``limit`` would end in the rounding noise.
        """
        return _step(self.middle, self.fine, self.floor, limit)

    def coarse_step(self, limit: float) -> float | None:
        """Return how the density falls from the coarse to the middle band, as ``fine_step``."""
        return _step(self.coarse, self.middle, self.floor, limit)

    def overall_step(self, limit: float) -> float | None:
        """Return how the density falls from the coarse to the fine band, as ``fine_step``."""
        return _step(self.coarse, self.fine, self.floor, limit)


def spectrum(pixels: Array) -> Spectrum | None:
    """Measure uint8, uint16 or float ``(H, W, C)`` by windows of 32 pixels; None for smaller pictures."""
    grey, step = _grey_levels(pixels)
    if min(grey.shape) < _SIDE:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(grey, (_SIDE, _SIDE))[:: _SIDE // 2, :: _SIDE // 2]
    rows, columns = windows.shape[:2]
    chosen = np.unique(np.linspace(0, rows * columns - 1, _WINDOWS).round().astype(np.intp))
    cut = windows[chosen // columns, chosen % columns]
    taper = np.outer(_hann(), _hann())
    density = np.abs(np.fft.rfft2((cut - cut.mean(axis=(1, 2), keepdims=True)) * taper)) ** 2
    density = density.mean(axis=0) / (taper**2).sum()
    frequency = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None])
    noise = step**2 / 12
    coarse, middle, fine = (
        float(density[(low <= frequency) & (frequency < high)].mean()) - noise for low, high in (COARSE, MIDDLE, FINE)
    )
    return Spectrum(coarse, middle, fine, max(noise / 4, 1e-6))


def blockiness(pixels: Array) -> float | None:
    """Return how much rougher the seams of 8 x 8 blocks are than the lines beside them: about 1 without blocks.

    The median over the seams, of the direction that shows less. None below ``SMALLEST_FOR_BLOCKS`` pixels per side.
    """
    grey, _ = _grey_levels(pixels)
    if min(grey.shape) < SMALLEST_FOR_BLOCKS:
        return None
    ratios = []
    for axis in (0, 1):
        rough = np.minimum(np.abs(np.diff(grey, axis=axis)), _EDGE).mean(axis=1 - axis)
        seams = np.arange(_JPEG - 1, len(rough) - 1, _JPEG)
        ratios.append(float(np.median(rough[seams] / ((rough[seams - 1] + rough[seams + 1]) / 2 + 1e-3))))
    return min(ratios)


def _step(low: float, high: float, floor: float, limit: float) -> float | None:
    if low * 10 ** (limit / 10) <= floor:
        return None
    return 10 * log10(max(high, floor) / low)


def _grey_levels(pixels: Array) -> tuple[npt.NDArray[np.float64], float]:
    """Return the mean of the colours ``(H, W)`` in grey levels of 255, and the rounding step; blocks stay aligned."""
    h, w, channels = pixels.shape
    top, left = ((side - LARGEST) // 2 // _JPEG * _JPEG if side > LARGEST else 0 for side in (h, w))
    colors = channels - 1 if channels in (2, 4) else channels
    part = pixels[top : top + LARGEST, left : left + LARGEST, :colors]
    scale = 255.0 if part.dtype.kind == "f" else 255.0 / float(np.iinfo(part.dtype).max)
    grey: npt.NDArray[np.float64] = part.mean(axis=2, dtype=np.float64) * scale
    return grey, 0.0 if part.dtype.kind == "f" else scale


def _hann() -> npt.NDArray[np.float64]:
    return np.asarray(np.hanning(_SIDE + 1)[:_SIDE], np.float64)
