"""Find frames that show nothing new."""

from __future__ import annotations

import numpy as np

from edgesr.image.convert import to_float
from edgesr.types import Array, FloatArray

_SAMPLES = 256
"""Samples taken along the longer side at most."""
_BLOCK = 8


class Similarity:
    """Compares each frame with the last one that was different enough.

    The measure is the largest mean absolute difference of any block of 8 x 8 samples, in grey levels from 0 to 255, so
    that something small that moves counts as much as a change of everything.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._kept: FloatArray | None = None

    def is_similar(self, image: Array) -> bool:
        """Tell whether ``image`` ``(H, W, C)`` differs by less than the threshold; else compare with it from now on."""
        step = max(1, max(image.shape[:2]) // _SAMPLES)
        samples = to_float(np.ascontiguousarray(image[::step, ::step])) * np.float32(255)
        kept = self._kept
        if kept is not None and kept.shape == samples.shape and difference(kept, samples) < self._threshold:
            return True
        self._kept = samples
        return False


def difference(first: FloatArray, second: FloatArray) -> float:
    """Return the largest mean absolute difference of any 8 x 8 block of two pictures ``(H, W, C)``."""
    distance = np.abs(first - second).mean(axis=2)
    rows = np.add.reduceat(distance, np.arange(0, distance.shape[0], _BLOCK), axis=0)
    blocks = np.add.reduceat(rows, np.arange(0, distance.shape[1], _BLOCK), axis=1)
    tall, wide = (np.diff([*range(0, size, _BLOCK), size]) for size in distance.shape)
    return float((blocks / np.outer(tall, wide)).max())
