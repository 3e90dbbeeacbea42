"""How much two pictures differ: PSNR, SSIM and the largest difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesr.types import Array

_WINDOW = 7
_K1, _K2 = 0.01, 0.03
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How far a picture is from its reference, for values in [0, 1]."""

    psnr: float
    """Decibels; infinite for equal pictures."""
    ssim: float
    max_abs: float
    """Largest absolute difference, as a fraction of the full range."""


def compare(picture: Array, reference: Array) -> Difference:
    """Compare two float pictures ``(H, W)`` or ``(H, W, C)`` in [0, 1]."""
    difference = picture.astype(np.float64) - reference.astype(np.float64)
    error = float(np.mean(np.square(difference)))
    psnr = math.inf if error == 0.0 else -10.0 * math.log10(error) if math.isfinite(error) else -math.inf
    return Difference(psnr, ssim(picture, reference), float(np.max(np.abs(difference))))


def ssim(picture: Array, reference: Array) -> float:
    """Return the mean structural similarity of two pictures in [0, 1], averaged over channels.

    Wang et al. 2004 with a uniform 7 x 7 window and the unbiased covariance, without borders, as scikit-image does.
    Pictures smaller than the window use the largest odd window that fits.
    """
    x, y = (np.atleast_3d(p).astype(np.float64) for p in (picture, reference))
    window = min(_WINDOW, (min(x.shape[:2]) - 1) | 1)
    if window > min(x.shape[:2]):
        window -= 2
    if window < 2:
        return 1.0 if np.array_equal(x, y) else 0.0
    n = window * window
    mean_x, mean_y = _mean(x, window), _mean(y, window)
    unbiased = n / (n - 1)
    variance_x = unbiased * (_mean(x * x, window) - mean_x * mean_x)
    variance_y = unbiased * (_mean(y * y, window) - mean_y * mean_y)
    covariance = unbiased * (_mean(x * y, window) - mean_x * mean_y)
    c1, c2 = _K1**2, _K2**2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    below = (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    return float(np.mean(above / below))


def _mean(values: Doubles, window: int) -> Doubles:
    """Return the mean of every ``window x window`` square that lies inside ``(H, W, C)``."""
    total = np.pad(values, ((1, 0), (1, 0), (0, 0))).cumsum(axis=0).cumsum(axis=1)
    square = total[window:, window:] - total[:-window, window:] - total[window:, :-window] + total[:-window, :-window]
    result: Doubles = square / (window * window)
    return result
