"""Features of regions, resampled to one size, with torchvision's numbers."""

from __future__ import annotations

import numpy as np

from edgesr.types import FloatArray

_REGIONS = 64
"""Regions whose features are held at a time between the two directions."""


def roi_align(features: FloatArray, boxes: FloatArray, *, stride: float, pooled: int, samples: int) -> FloatArray:
    """Return what lies under each box: float32 ``(n, C, pooled, pooled)`` of ``features`` ``(C, h, w)``.

    ``boxes`` are float32 ``(n, 4)``, x1, y1, x2, y2 in pixels of the picture, of which a feature covers ``stride``.
    Every cell is the mean of ``samples`` x ``samples`` points between features: ``torchvision.ops.roi_align`` with
    ``aligned=False`` (He et al., ICCV 2017, arXiv 1703.06870). The points are a grid, so that each direction is a
    matrix product of its own.
    """
    c, h, w = features.shape
    corners = boxes * np.float32(1 / stride)
    result = np.empty((len(boxes), c, pooled, pooled), np.float32)
    flat = np.ascontiguousarray(features.transpose(1, 0, 2), np.float32).reshape(h, c * w)
    for start in range(0, len(boxes), _REGIONS):
        these = corners[start : start + _REGIONS]
        n = len(these)
        rows = _weights(these[:, 1], these[:, 3], h, pooled, samples)
        columns = _weights(these[:, 0], these[:, 2], w, pooled, samples)
        across = (rows.reshape(n * pooled, h) @ flat).reshape(n, pooled * c, w)
        both = across @ columns.transpose(0, 2, 1)
        result[start : start + n] = both.reshape(n, pooled, c, pooled).transpose(0, 2, 1, 3)
    return result


def _weights(low: FloatArray, high: FloatArray, length: int, pooled: int, samples: int) -> FloatArray:
    """Return how much each of ``length`` features counts in each cell along one axis: ``(n, pooled, length)``."""
    cell = np.maximum(high - low, np.float32(1)) / np.float32(pooled)
    points = (np.arange(samples, dtype=np.float32) + np.float32(0.5)) / np.float32(samples)
    offsets = np.arange(pooled, dtype=np.float32)[:, np.newaxis] + points
    at = low[:, np.newaxis, np.newaxis] + offsets * cell[:, np.newaxis, np.newaxis]
    share = np.where((at < -1) | (at > length), np.float32(0), np.float32(1 / samples))
    at = np.clip(at, 0, length - 1)
    below = np.minimum(at.astype(np.intp), max(length - 2, 0))
    above = np.minimum(below + 1, length - 1)
    fraction = at - below.astype(np.float32)
    weights = np.zeros((len(low), pooled, length), np.float32)
    region, place = np.ogrid[: len(low), :pooled]
    for i in range(samples):
        weights[region, place, below[..., i]] += (1 - fraction[..., i]) * share[..., i]
        weights[region, place, above[..., i]] += fraction[..., i] * share[..., i]
    return weights
