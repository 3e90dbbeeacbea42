"""Measure how sharp a picture is in its own pixels, and whether it shows the blocks of JPEG compression."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

import numpy as np

from edgesr.image.windows import JPEG, SIDE, densities, grey_levels
from edgesr.types import Array

COARSE, MIDDLE, FINE = (0.06, 0.1), (0.2, 0.25), (0.4, 0.45)
"""Bands of spatial frequency, in cycles per pixel."""

SMALLEST_FOR_BLOCKS = 96
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
    grey, step = grey_levels(pixels)
    windows = densities(grey)
    if windows is None:
        return None
    density = windows.mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    noise = step**2 / 12
    coarse, middle, fine = (
        float(density[(low <= frequency) & (frequency < high)].mean()) - noise for low, high in (COARSE, MIDDLE, FINE)
    )
    return Spectrum(coarse, middle, fine, max(noise / 4, 1e-6))


def blockiness(pixels: Array) -> float | None:
    """Return how much rougher the seams of 8 x 8 blocks are than the lines beside them: about 1 without blocks.

    The median over the seams, of the direction that shows less. None below ``SMALLEST_FOR_BLOCKS`` pixels per side.
    """
    grey, _ = grey_levels(pixels)
    if min(grey.shape) < SMALLEST_FOR_BLOCKS:
        return None
    ratios = []
    for axis in (0, 1):
        rough = np.minimum(np.abs(np.diff(grey, axis=axis)), _EDGE).mean(axis=1 - axis)
        seams = np.arange(JPEG - 1, len(rough) - 1, JPEG)
        ratios.append(float(np.median(rough[seams] / ((rough[seams - 1] + rough[seams + 1]) / 2 + 1e-3))))
    return min(ratios)


def _step(low: float, high: float, floor: float, limit: float) -> float | None:
    if low * 10 ** (limit / 10) <= floor:
        return None
    return 10 * log10(max(high, floor) / low)
