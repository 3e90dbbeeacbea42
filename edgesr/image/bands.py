"""Energies of a picture in bands of spatial frequency: what tells aliased, averaged and antialiased pictures apart."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from edgesr.image.windows import SIDE, Float64, densities, grey_levels
from edgesr.types import Array

EDGES = (0.04, 0.08, 0.13, 0.19, 0.25, 0.31, 0.37, 0.43, 0.501)
"""Limits of the bands, in cycles per pixel, of the larger of the two components of the frequency."""
COUNT = 2 * (len(EDGES) - 1)

_FLOOR = 0.04
_FLAT = 0.3


def band_energies(pixels: Array) -> Float64 | None:
    """Return natural logarithms of the energy of each band: of the mean over windows, then means of the logarithm.

    ``pixels`` is ``(H, W, C)``, uint8, uint16 or float in [0, 1]; colours are averaged, an alpha channel is ignored.
    The densities are in squared grey levels of 255, with the rounding noise of 8 bits whatever the depth. None for a
    picture below 32 pixels per side or without texture.
    """
    grey, step = grey_levels(pixels)
    density = densities(grey)
    if density is None:
        return None
    density = density[density.mean(axis=(1, 2)) > _FLAT]
    if not len(density):
        return None
    energy = density.reshape(len(density), -1) @ _shares_of_bands()
    floor = _FLOOR + max(0.0, 1.0 - step**2) / 12
    joined: Float64 = np.concatenate([np.log(energy.mean(axis=0) + floor), np.log(energy + floor).mean(axis=0)])
    return joined


@cache
def _shares_of_bands() -> Float64:
    """Return what takes the mean of a window's density over each band, ``(32 * 17, bands)``."""
    frequency = np.maximum(np.abs(np.fft.fftfreq(SIDE))[:, None], np.fft.rfftfreq(SIDE)[None]).ravel()
    inside = np.stack([(low <= frequency) & (frequency < high) for low, high in pairwise(EDGES)], axis=1)
    shares: Float64 = inside / inside.sum(axis=0)
    return shares
