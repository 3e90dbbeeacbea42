"""The spectra of small windows of a picture, the material of every measure of sharpness."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from edgesr.types import Array

SIDE = 32
LARGEST = 1024
"""A larger picture is measured in its middle, in pixels per side."""
JPEG = 8
_WINDOWS = 64

Float64 = npt.NDArray[np.float64]


def grey_levels(pixels: Array) -> tuple[Float64, float]:
    """Return the mean of the colours ``(H, W)`` in grey levels of 255, and the rounding step; JPEG blocks stay aligned.

    ``pixels`` is uint8, uint16 or float in [0, 1], ``(H, W, C)``; an alpha channel is ignored.
    """
    h, w, channels = pixels.shape
    top, left = ((side - LARGEST) // 2 // JPEG * JPEG if side > LARGEST else 0 for side in (h, w))
    colors = channels - 1 if channels in (2, 4) else channels
    part = pixels[top : top + LARGEST, left : left + LARGEST, :colors]
    scale = 255.0 if part.dtype.kind == "f" else 255.0 / float(np.iinfo(part.dtype).max)
    grey: Float64 = part.mean(axis=2, dtype=np.float64) * scale
    return grey, 0.0 if part.dtype.kind == "f" else scale


def densities(grey: Float64) -> Float64 | None:
    """Return spectral densities ``(n, 32, 17)`` of at most 64 tapered windows; None for a smaller picture.

    In squared grey levels: white noise has its variance everywhere. The last two axes are those of ``numpy.fft.rfft2``.
    """
    if min(grey.shape) < SIDE:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(grey, (SIDE, SIDE))[:: SIDE // 2, :: SIDE // 2]
    rows, columns = windows.shape[:2]
    # No numpy.unique, which imports numpy.ma: 15 ms of a start.
    places = np.linspace(0, rows * columns - 1, _WINDOWS).round().astype(np.intp)
    chosen = places[np.diff(places, prepend=-1) > 0]
    cut = windows[chosen // columns, chosen % columns]
    cut -= cut.mean(axis=(1, 2), keepdims=True)
    cut *= _taper()
    spectra = np.fft.rfft2(cut)
    density: Float64 = np.square(spectra.real)
    density += np.square(spectra.imag)
    return density


@cache
def _taper() -> Float64:
    """Return a window of unit energy, so that white noise keeps its variance."""
    hann = np.hanning(SIDE + 1)[:SIDE]
    taper = np.outer(hann, hann)
    unit: Float64 = taper / np.linalg.norm(taper)
    return unit
