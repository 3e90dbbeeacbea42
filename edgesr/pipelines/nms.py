"""Non-maximum suppression with torchvision's numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgesr.types import Array, FloatArray

Indices = npt.NDArray[np.intp]


def nms(xyxy: FloatArray, conf: FloatArray, threshold: float) -> Indices:
    """Return the boxes to keep, best first: each whose overlap with no better one kept is above ``threshold``.

    ``xyxy`` is float32 ``(n, 4)`` as x1, y1, x2, y2, ``conf`` float32 ``(n,)``. Overlap is intersection over union in
    float32, as in ``torchvision.ops.nms`` on the CPU; of equal scores the first counts as better.
    """
    order = np.argsort(-conf, kind="stable")
    boxes = np.ascontiguousarray(xyxy[order], dtype=np.float32)
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    is_dropped = np.zeros(len(boxes), bool)
    kept = []
    for i in range(len(boxes)):
        if is_dropped[i]:
            continue
        kept.append(order[i])
        rest = slice(i + 1, None)
        width = np.maximum(np.float32(0), np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]))
        height = np.maximum(np.float32(0), np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]))
        shared = width * height
        with np.errstate(divide="ignore", invalid="ignore"):
            # Two boxes without area give NaN, which is above nothing.
            is_dropped[rest] |= shared / (areas[i] + areas[rest] - shared) > threshold
    return np.array(kept, np.intp)


def nms_by_class(xyxy: FloatArray, conf: FloatArray, cls: Array, threshold: float) -> Indices:
    """Return the boxes to keep, best first, where only boxes of the same class suppress each other.

    This is ``torchvision.ops.batched_nms`` in its form for many boxes; ``cls`` is ``(n,)``.
    """
    kept = [np.flatnonzero(cls == one) for one in np.unique(cls)]
    indices = np.concatenate(
        [where[nms(xyxy[where], conf[where], threshold)] for where in kept] or [np.empty(0, np.intp)]
    )
    indices = np.sort(indices)
    ordered: Indices = indices[np.argsort(-conf[indices], kind="stable")]
    return ordered
