"""How far two forms of a network that labels pictures say the same: in the metric of their task, FP32 as the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from edgesr.compile.gate import Agreement
from edgesr.pipelines.label_result import Classification, Detections, LabelResult, Segmentation
from edgesr.types import Array, FloatArray

R = TypeVar("R", bound=LabelResult)

OVERLAP = 0.5
"""Intersection over union from which two boxes of one class are the same."""


def agreement(names: Sequence[str], found: Sequence[LabelResult], expected: Sequence[LabelResult]) -> Agreement | None:
    """Compare the results for pictures called ``names``; None where there is nothing to agree on, as without boxes.

    Classes: the share of pictures with the same best class. Masks: the intersection over union of every class in all
    pictures together, averaged over the classes that occur. Boxes: twice the pairs of one class and an overlap of
    at least ``OVERLAP``, over the boxes of both.
    """
    if isinstance(expected[0], Classification):
        return _top1(names, found, expected)
    if isinstance(expected[0], Segmentation):
        return _miou(names, found, expected)
    return _boxes(names, found, expected)


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


def _top1(names: Sequence[str], found: Sequence[LabelResult], expected: Sequence[LabelResult]) -> Agreement:
    same = [a.top(1)[0][0] == b.top(1)[0][0] for a, b in _pairs(found, expected, Classification)]
    return Agreement("top-1 agreement", float(np.mean(same)), names[same.index(min(same))])


def _miou(names: Sequence[str], found: Sequence[LabelResult], expected: Sequence[LabelResult]) -> Agreement:
    pairs = _pairs(found, expected, Segmentation)
    classes = 1 + max(int(max(a.mask.max(), b.mask.max())) for a, b in pairs)
    shared, either = np.zeros(classes), np.zeros(classes)
    same = []
    for a, b in pairs:
        equal = np.bincount(a.mask[a.mask == b.mask], minlength=classes)
        shared += equal
        either += sum(np.bincount(mask.reshape(-1), minlength=classes) for mask in (a.mask, b.mask)) - equal
        same.append(float(equal.sum() / a.mask.size))
    occurs = either > 0
    return Agreement("mIoU agreement", float(np.mean(shared[occurs] / either[occurs])), names[int(np.argmin(same))])


def _boxes(names: Sequence[str], found: Sequence[LabelResult], expected: Sequence[LabelResult]) -> Agreement | None:
    same, both = [], []
    for a, b in _pairs(found, expected, Detections):
        same.append(2 * len(matched(a, b)[0]))
        both.append(len(a) + len(b))
    if not sum(both):
        return None
    shares = [equal / count if count else 1.0 for equal, count in zip(same, both, strict=True)]
    return Agreement("box agreement", sum(same) / sum(both), names[int(np.argmin(shares))])


def _pairs(found: Sequence[LabelResult], expected: Sequence[LabelResult], kind: type[R]) -> list[tuple[R, R]]:
    return [(a, b) for a, b in zip(found, expected, strict=True) if isinstance(a, kind) and isinstance(b, kind)]
