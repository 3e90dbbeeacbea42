"""Structural similarity of one and of several scales, and gradient magnitude similarity, as published."""

from __future__ import annotations

import numpy as np

from edgesr.bench.metrics.planes import Doubles, Pair, luma
from edgesr.errors import InputError

WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST = (WINDOW - 1) * 2 ** (len(WEIGHTS) - 1) + 1
"""Pixels that a side needs for `ms_ssim`."""
_GMSD_C = 170 / 255**2


def ssim(pair: Pair) -> float:
    """Return the mean structural similarity, averaged over channels; 1 for equal pictures.

    Wang et al. 2004: Gaussian window of 11 x 11 with sigma 1.5, K = (0.01, 0.03), only where the window lies inside.
    Equal to scikit-image with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``.
    """
    _check(pair, WINDOW, "SSIM")
    return float(np.mean(_similarity(pair.image, pair.reference, pair.data_range)[0]))


def ms_ssim(pair: Pair) -> float:
    """Return the structural similarity of five scales, averaged over channels (Wang, Simoncelli and Bovik 2003).

    Contrast-structure terms below 0 count as 0, as their fractional powers are not real. Between scales, 2 x 2 pixels
    are averaged; odd sides repeat their last pixel.
    """
    _check(pair, SMALLEST, "MS-SSIM")
    a, b = pair.image, pair.reference
    total = np.ones(a.shape[2])
    for level, weight in enumerate(WEIGHTS):
        similarity, contrast = _similarity(a, b, pair.data_range)
        is_last = level == len(WEIGHTS) - 1
        total *= np.maximum((similarity if is_last else contrast).mean(axis=(0, 1)), 0.0) ** weight
        if not is_last:
            a, b = _halved(a, "symmetric"), _halved(b, "symmetric")
    return float(total.mean())


def gmsd(pair: Pair) -> float:
    """Return the gradient magnitude similarity deviation of the luma; 0 for equal pictures, lower is better.

    Xue et al. 2014: 2 x 2 pixels averaged, Prewitt gradients, c = 170 on the scale 0 to 255, zeros outside.
    """
    _check(pair, 6, "GMSD")
    a, b = (_halved(luma(p / pair.data_range), "constant")[..., 0] for p in (pair.image, pair.reference))
    first, second = _gradient(a), _gradient(b)
    similarity = (2 * first * second + _GMSD_C) / (first**2 + second**2 + _GMSD_C)
    return float(similarity.std(ddof=1))


def _similarity(a: Doubles, b: Doubles, data_range: float) -> tuple[Doubles, Doubles]:
    """Return the maps of similarity and of its contrast-structure term, ``(H - 10, W - 10, C)``."""
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    mean_a, mean_b = _blurred(a), _blurred(b)
    both, squares_a, squares_b = mean_a * mean_b, mean_a * mean_a, mean_b * mean_b
    covariance = _blurred(a * b) - both
    variances = _blurred(a * a) - squares_a + (_blurred(b * b) - squares_b)
    contrast = (2 * covariance + c2) / (variances + c2)
    return (2 * both + c1) / (squares_a + squares_b + c1) * contrast, contrast


def _blurred(values: Doubles) -> Doubles:
    distance = np.arange(WINDOW) - WINDOW // 2
    taps = np.exp(-0.5 * (distance / _SIGMA) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        number = values.shape[axis] - WINDOW + 1
        along = [values[k : k + number] if axis == 0 else values[:, k : k + number] for k in range(WINDOW)]
        total = along[0] * taps[0]
        for part, tap in zip(along[1:], taps[1:], strict=True):
            total += part * tap
        values = total
    return values


def _halved(values: Doubles, beyond: str) -> Doubles:
    height, width = values.shape[:2]
    widths = [(0, height % 2), (0, width % 2), (0, 0)]
    padded = np.pad(values, widths, mode="symmetric") if beyond == "symmetric" else np.pad(values, widths)
    halved: Doubles = (padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]) / 4
    return halved


def _gradient(plane: Doubles) -> Doubles:
    padded = np.pad(plane, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    columns = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    magnitude: Doubles = np.hypot(rows[:, 2:] - rows[:, :-2], columns[2:] - columns[:-2]) / 3
    return magnitude


def _check(pair: Pair, smallest: int, name: str) -> None:
    height, width = pair.image.shape[:2]
    if min(height, width) < smallest:
        raise InputError(f"{name} needs {smallest} pixels on each side, got {width} x {height} without borders")
