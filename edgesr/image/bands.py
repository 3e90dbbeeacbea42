"""Energies of a picture in bands of spatial frequency: what tells aliased, averaged and antialiased pictures apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgesr.types import Array

EDGES = (0.04, 0.08, 0.13, 0.19, 0.25, 0.31, 0.37, 0.43, 0.501)
"""Limits of the bands, in cycles per pixel, of the larger of the two components of the frequency."""
COUNT = 2 * (len(EDGES) - 1)

_SIDE = 32
_WINDOWS = 256
_LARGEST = 1024
_FLOOR = 0.04
_FLAT = 1.0


def band_energies(pixels: Array) -> npt.NDArray[np.float64] | None:
    """Return natural logarithms of the energy of each band: of the mean over windows, then means of the logarithm.

    ``pixels`` is ``(H, W, C)``, uint8, uint16 or float in [0, 1]; colours are averaged, an alpha channel is ignored. The
    densities are in squared grey levels of 255, with the rounding noise of 8 bits whatever the depth. A picture above
    1024 pixels per side is measured in its middle. None for a picture below 32 pixels per side or without texture.
    """
    grey, step = _grey_levels(pixels)
    if min(grey.shape) < _SIDE:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(grey, (_SIDE, _SIDE))[:: _SIDE // 2, :: _SIDE // 2]
    rows, columns = windows.shape[:2]
    chosen = np.unique(np.linspace(0, rows * columns - 1, _WINDOWS).round().astype(np.intp))
    cut = windows[chosen // columns, chosen % columns]
    cut = cut - cut.mean(axis=(1, 2), keepdims=True)
    cut = cut[np.square(cut).mean(axis=(1, 2)) > _FLAT]
    if not len(cut):
        return None
    hann = np.hanning(_SIDE + 1)[:_SIDE]
    taper = np.outer(hann, hann)
    density = np.square(np.abs(np.fft.rfft2(cut * taper))) / np.square(taper).sum()
    frequency = np.maximum(np.abs(np.fft.fftfreq(_SIDE))[:, None], np.fft.rfftfreq(_SIDE)[None])
    energy = np.stack(
        [
            density[:, (low <= frequency) & (frequency < high)].mean(axis=1)
            for low, high in zip(EDGES[:-1], EDGES[1:], strict=True)
        ]
    )
    floor = _FLOOR + max(0.0, 1.0 - step**2) / 12
    return np.concatenate([np.log(energy.mean(axis=1) + floor), np.log(energy + floor).mean(axis=1)])


def _grey_levels(pixels: Array) -> tuple[npt.NDArray[np.float64], float]:
    """Return the mean of the colours ``(H, W)`` in grey levels of 255, and the rounding step."""
    h, w, channels = pixels.shape
    top, left = (max(side - _LARGEST, 0) // 2 for side in (h, w))
    part = pixels[top : top + _LARGEST, left : left + _LARGEST, : channels - 1 if channels in (2, 4) else channels]
    scale = 255.0 if part.dtype.kind == "f" else 255.0 / float(np.iinfo(part.dtype).max)
    grey: npt.NDArray[np.float64] = part.mean(axis=2, dtype=np.float64) * scale
    return grey, 0.0 if part.dtype.kind == "f" else scale
