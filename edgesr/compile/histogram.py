"""Histograms of magnitudes that grow with the data, and the clipping thresholds that calibrators read from them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edgesr.types import Array

CALIBRATORS = ("minmax", "entropy", "percentile")
PERCENTILE = 99.99
"""Percent of the values that the percentile calibrator leaves unclipped."""
_BINS = 2048
_LEVELS = 128
"""Magnitudes that an int8 can hold."""
_STRIDE = 16

Counts = npt.NDArray[np.int64]


class Histogram:
    """Counts of ``|x|`` in 2048 equal bins from 0 to a power of two, which doubles when larger values come.

    Powers of two make the result independent of how the values are cut into arrays.
    """

    def __init__(self) -> None:
        self.counts: Counts = np.zeros(_BINS, np.int64)
        self.limit = 0.0
        self.absmax = 0.0

    def add(self, values: Array) -> None:
        """Count finite values."""
        magnitudes = np.abs(values.ravel().astype(np.float32, copy=False))
        largest = float(magnitudes.max(initial=0.0))
        if largest > self.limit:
            self._widen(2.0 ** math.ceil(math.log2(largest)))
        self.absmax = max(self.absmax, largest)
        if self.limit == 0.0:
            self.counts[0] += magnitudes.size
            return
        bins = np.minimum(magnitudes * np.float32(_BINS / self.limit), _BINS - 1).astype(np.int64)
        self.counts += np.bincount(bins, minlength=_BINS)

    def threshold(self, calibrator: str) -> float:
        """Return the magnitude at which a calibrator clips."""
        if calibrator == "minmax" or self.absmax == 0.0:
            return self.absmax
        width = self.limit / _BINS
        edge = _entropy_bin(self.counts) if calibrator == "entropy" else _percentile_bin(self.counts)
        return min(edge * width, self.absmax)

    def _widen(self, limit: float) -> None:
        if self.limit > 0.0:
            merge = round(limit / self.limit)
            old = self.counts
            self.counts = np.zeros(_BINS, np.int64)
            if merge >= _BINS:
                self.counts[0] = old.sum()
            else:
                self.counts[: _BINS // merge] = old.reshape(-1, merge).sum(axis=1)
        elif self.counts[0]:
            zeros = self.counts[0]
            self.counts = np.zeros(_BINS, np.int64)
            self.counts[0] = zeros
        self.limit = limit


def _percentile_bin(counts: Counts) -> int:
    """Return the number of bins that hold the wanted share of the values."""
    needed = counts.sum() * (PERCENTILE / 100.0)
    return int(np.searchsorted(np.cumsum(counts), needed)) + 1


def _entropy_bin(counts: Counts) -> int:
    """Return the number of bins whose int8 form loses least information: the smallest Kullback-Leibler divergence.

    Migacz, 8-bit Inference with TensorRT, GTC 2017. Zeros are left out, as they are exact in every scale.
    """
    counts = counts.copy()
    counts[0] = counts[1]
    last = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else _BINS
    best, least = last, math.inf
    for edge in range(_LEVELS, last + _STRIDE, _STRIDE):
        kept = counts[: min(edge, last)].astype(np.float64)
        full = np.pad(kept, (0, edge - kept.size))
        reference = full.copy()
        reference[-1] += counts[edge:].sum()
        groups = np.arange(edge) * _LEVELS // edge
        filled = full > 0
        sums = np.bincount(groups, full, _LEVELS)
        used = np.bincount(groups, filled, _LEVELS)
        quantized = np.where(filled, (sums / np.maximum(used, 1))[groups], 0.0)
        divergence = _divergence(reference, quantized)
        if divergence < least:
            best, least = edge, divergence
    return best


def _divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """Return KL(p || q) of two histograms; mass of p where q has none costs as much as a rare value would."""
    if not p.any() or not q.any():
        return math.inf
    p, q = p / p.sum(), q / q.sum()
    q = np.where((q == 0) & (p > 0), 1e-9, q)
    inside = p > 0
    return float(np.sum(p[inside] * np.log(p[inside] / q[inside])))
