"""What was added to a picture: whether it is true, whether it repeats, whether its predicted error is right."""

from __future__ import annotations

import numpy as np

from edgesr.errors import InputError
from edgesr.types import Array

_NEAR = 4
"""Bins of the spectrum on each side of a harmonic that it is compared with."""


def detail_precision(image: Array, baseline: Array, reference: Array) -> float:
    """Return <a, t> / <a, a>: how much of the detail ``a`` added to ``baseline`` is part of the true detail ``t``.

    1 means all of it, 0 that it is invented. All of one shape and one scale; NaN where nothing was added.
    """
    added = image.astype(np.float64) - baseline
    true = reference.astype(np.float64) - baseline
    power = float((added * added).sum())
    return float((added * true).sum()) / power if power > 0 else float("nan")


def grid_index(image: Array, period: int = 4) -> float:
    """Return the power at the harmonics of a ``period``-pixel lattice over that of the bins around them.

    About 1 without a lattice; upscalers that leave one reach 10 to 1000. ``image`` is ``(H, W)`` on any scale. It is
    cut to a multiple of the period and windowed, so that its border does not leak onto the frequency axes.
    """
    height, width = (extent - extent % period for extent in image.shape)
    if period < 2 or min(height, width) < 2 * _NEAR * period:
        raise InputError(
            f"the grid index of period {period} needs a period of at least 2 and {2 * _NEAR * period} pixels on each "
            f"side, got {image.shape[1]} x {image.shape[0]}"
        )
    cut = image[:height, :width].astype(np.float64)
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((cut - (cut * window).sum() / window.sum()) * window)) ** 2
    ring = np.ones((2 * _NEAR + 1, 2 * _NEAR + 1), dtype=bool)
    ring[2:-2, 2:-2] = False
    at, around = 0.0, 0.0
    for i in range(period):
        for j in range(period):
            if i or j:
                y, x = i * height // period, j * width // period
                rows, columns = (
                    np.arange(centre - _NEAR, centre + _NEAR + 1) % extent
                    for centre, extent in ((y, height), (x, width))
                )
                patch = power[np.ix_(rows, columns)]
                at += float(patch[_NEAR, _NEAR])
                around += float(patch[ring].mean())
    return at / around if around > 0 else float("nan")


def block_rank_correlation(scale: Array, error: Array, block: int = 8) -> float:
    """Return Spearman's correlation of predicted scale and absolute error ``(H, W)``, both averaged over blocks.

    Ties share their mean rank; NaN where one of the two is the same everywhere.
    """
    first, second = (_ranks(_blocks(values, block)) for values in (scale, np.abs(error)))
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _blocks(values: Array, block: int) -> Array:
    height, width = (extent // block for extent in values.shape)
    cut = values[: height * block, : width * block].astype(np.float64)
    return np.asarray(cut.reshape(height, block, width, block).mean(axis=(1, 3)).ravel())


def _ranks(values: Array) -> Array:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places.reshape(-1)])
