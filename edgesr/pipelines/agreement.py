"""How far two forms of a network that labels pictures say the same: in the metric of their task, FP32 as the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgesr.compile.gate import Agreement
from edgesr.pipelines.label_result import Classification, Detections, LabelResult, Segmentation
from edgesr.types import Array, FloatArray

OVERLAP = 0.5
"""Intersection over union from which two boxes of one class are the same."""


class AgreementCounter:
    """Compares results picture by picture, for sets of any size.

    Classes: the share of pictures with the same best class. Masks: the intersection over union of every class in all
    pictures together, averaged over the classes that occur. Boxes: twice the pairs of one class and an overlap of
    at least ``OVERLAP``, over the boxes of both.
    """

    def __init__(self) -> None:
        self._kind = ""
        self._least, self._worst = math.inf, ""
        self._same: Array = np.zeros(1)
        self._both: Array = np.zeros(1)

    def add(self, name: str, found: LabelResult, expected: LabelResult) -> None:
        """Count the two results of one picture."""
        if isinstance(found, Classification) and isinstance(expected, Classification):
            is_same = found.top(1)[0][0] == expected.top(1)[0][0]
            self._count("top-1", name, np.array([is_same]), np.array([1]))
        elif isinstance(found, Segmentation) and isinstance(expected, Segmentation):
            self._count_masks(name, found.mask, expected.mask)
        elif isinstance(found, Detections) and isinstance(expected, Detections):
            both = np.array([len(found) + len(expected)])
            self._count("box", name, np.array([2 * len(matched(found, expected)[0])]), both)
        else:
            raise TypeError(f"results of two kinds: {type(found).__name__} and {type(expected).__name__}")

    def agreement(self) -> Agreement | None:
        """Return the agreement of all pictures; None where there is nothing to agree on, as without boxes."""
        occurs = self._both > 0
        if not occurs.any():
            return None
        value = float(np.mean(self._same[occurs] / self._both[occurs]))
        return Agreement(f"{self._kind} agreement", value, self._worst)

    def _count_masks(self, name: str, found: Array, expected: Array) -> None:
        classes = 1 + int(max(found.max(), expected.max()))
        is_same = found == expected
        same = np.bincount(found[is_same], minlength=classes)
        sizes = sum(np.bincount(mask.reshape(-1), minlength=classes) for mask in (found, expected))
        self._count("mIoU", name, same, sizes - same, share=float(is_same.mean()))

    def _count(self, kind: str, name: str, same: Array, both: Array, share: float | None = None) -> None:
        if share is None:
            share = float(same[0] / both[0]) if both[0] else 1.0
        if share < self._least:
            self._least, self._worst = share, name
        self._kind = kind
        self._same, self._both = _added(self._same, same), _added(self._both, both)


def agreement(names: Sequence[str], found: Sequence[LabelResult], expected: Sequence[LabelResult]) -> Agreement | None:
    """Compare the results for pictures called ``names``; None where there is nothing to agree on, as without boxes."""
    counter = AgreementCounter()
    for results in zip(names, found, expected, strict=True):
        counter.add(*results)
    return counter.agreement()


def matched(found: Detections, expected: Detections) -> tuple[Array, Array]:
    """Return the indices of the boxes that are the same, best of ``expected`` first, each box in one pair at most."""
    overlaps = overlap(expected.xyxy, found.xyxy) * (expected.cls[:, np.newaxis] == found.cls[np.newaxis])
    pairs = []
    for i in np.argsort(-expected.conf, kind="stable"):
        j = int(overlaps[i].argmax()) if overlaps.shape[1] else -1
        if j >= 0 and overlaps[i, j] >= OVERLAP:
            pairs.append((j, int(i)))
            overlaps[:, j] = 0.0
    taken = np.array(pairs, np.intp).reshape(-1, 2)
    return taken[:, 0], taken[:, 1]


def overlap(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the intersection over union of boxes ``(n, 4)`` and ``(m, 4)`` as x1, y1, x2, y2: float32 ``(n, m)``."""
    low = np.maximum(a[:, np.newaxis, :2], b[np.newaxis, :, :2])
    high = np.minimum(a[:, np.newaxis, 2:], b[np.newaxis, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b)]
    union = areas[0][:, np.newaxis] + areas[1][np.newaxis] - shared
    ratio: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def _added(one: Array, other: Array) -> Array:
    """Return the sum of two vectors, of which the shorter one goes on with zeros."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    total: Array = longer + np.pad(shorter, (0, len(longer) - len(shorter)))
    return total
