"""Statistics of raw samples: one summary for every table, and whether two sets of samples differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Samples in figures, all but ``count`` and ``cv`` in the samples' unit.

    Percentiles interpolate linearly between the neighbouring samples. ``std`` divides by n - 1 and is 0 for one sample.
    """

    count: int
    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float
    std: float
    cv: float
    """Coefficient of variation: ``std / mean``, 0 where the mean is 0."""

    @classmethod
    def of(cls, samples: Sequence[float]) -> Summary:
        """Summarise at least one sample."""
        if not samples:
            raise ValueError("a summary needs at least one sample")
        values = np.asarray(samples, np.float64)
        median, p90, p95, p99 = (float(value) for value in np.percentile(values, [50, 90, 95, 99]))
        mean = float(values.mean())
        std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        cv = std / mean if mean else 0.0
        low, high = float(values.min()), float(values.max())
        return cls(len(values), low, mean, median, p90, p95, p99, high, std, cv)


@dataclass(frozen=True)
class Change:
    """How the median moved from old to new samples."""

    ratio: float
    """New median divided by the old one; below 1 is faster."""
    low: float
    high: float
    """Ends of the confidence interval of ``ratio``."""
    confidence: float
    verdict: str
    """``faster``, ``slower`` or ``noise``."""


def compare_samples(
    old: Sequence[float],
    new: Sequence[float],
    *,
    confidence: float = 0.95,
    margin: float = 0.01,
    resamples: int = 4000,
    seed: int = 0,
) -> Change:
    """Compare two sets of latencies by a bootstrap of the ratio of their medians.

    Samples that follow each other are alike (heat, clocks, other processes), so blocks of consecutive samples are drawn
    (Kuensch 1989), as long as the cube root of their number. It is noise when the interval holds 1, or when the ratio
    is within ``margin`` of it.
    """
    if min(len(old), len(new)) < 2:
        raise ValueError(f"a comparison needs at least two samples of each, got {len(old)} and {len(new)}")
    generator = np.random.default_rng(seed)
    first = _medians(np.asarray(old, np.float64), resamples, generator)
    second = _medians(np.asarray(new, np.float64), resamples, generator)
    tail = 50 * (1 - confidence)
    low, high = (float(value) for value in np.percentile(second / first, [tail, 100 - tail]))
    ratio = float(np.median(new) / np.median(old))
    is_noise = low <= 1 <= high or abs(ratio - 1) < margin
    return Change(ratio, low, high, confidence, "noise" if is_noise else "faster" if ratio < 1 else "slower")


def _medians(
    samples: np.ndarray[tuple[int, ...], np.dtype[np.float64]], resamples: int, generator: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    count = len(samples)
    block = max(1, round(count ** (1 / 3)))
    blocks = math.ceil(count / block)
    medians = np.empty(resamples)
    # In portions, so that memory does not grow with the number of samples.
    portion = max(1, 4_000_000 // (blocks * block))
    for start in range(0, resamples, portion):
        rows = min(portion, resamples - start)
        first = generator.integers(0, count - block + 1, (rows, blocks, 1))
        drawn = (first + np.arange(block)).reshape(rows, -1)[:, :count]
        medians[start : start + rows] = np.median(samples[drawn], axis=1)
    return medians
