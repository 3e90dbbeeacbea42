"""Regions that may hold an object, chosen between the two networks of Faster R-CNN, with torchvision's numbers.

Ren et al., NeurIPS 2015, arXiv 1506.01497.
"""

from __future__ import annotations

import math

import numpy as np

from edgesr.errors import ModelError
from edgesr.model.prediction import Proposals
from edgesr.pipelines.activation import activated
from edgesr.pipelines.nms import Indices, nms, nms_by_class
from edgesr.types import Array, FloatArray

_LARGEST = np.float32(math.log(1000 / 16))
"""Logarithm of how much larger than its anchor a box may be."""
_LEAST_SIDE = np.float32(1e-3)
_MANY = 1000
"""Boxes up to which torchvision compares all of them at once, groups set apart by their coordinates."""


def propose(
    outputs: dict[str, Array], canvas: tuple[int, int], inside: FloatArray, rules: Proposals, *, name: str
) -> FloatArray:
    """Return regions, best first: float32 ``(n, 4)``, x1, y1, x2, y2 in pixels of the network's input.

    ``outputs`` are those of the first network, ``canvas`` the ``(height, width)`` of its input, and ``inside``, x1, y1,
    x2, y2, where the picture lies in it. ``name`` is the model's, for errors.
    """
    objectness = outputs["objectness"].reshape(-1).astype(np.float32)
    deltas = outputs["deltas"].reshape(-1, 4).astype(np.float32)
    levels = [anchors(level, canvas, stride) for level, stride in zip(rules.anchors, rules.strides, strict=True)]
    if not len(objectness) == len(deltas) == sum(map(len, levels)):
        raise ModelError(
            f"model {name}: {sum(map(len, levels))} anchors stand in model.json for a picture of {canvas[1]} x "
            f"{canvas[0]}, its network has {len(objectness)} scores and {len(deltas)} boxes; correct "
            "prediction.proposals"
        )
    chosen, groups, first = [], [], 0
    for number, level in enumerate(levels):
        part = objectness[first : first + len(level)]
        best = np.argsort(-part, kind="stable")[: rules.before]
        chosen.append(first + best)
        groups.append(np.full(len(best), number))
        first += len(level)
    index, group = np.concatenate(chosen), np.concatenate(groups)
    boxes = clipped(decoded(deltas[index], np.concatenate(levels)[index])[:, 0], inside)
    scores = activated(objectness[index], "sigmoid", axis=0)
    keep = np.flatnonzero(large_enough(boxes, _LEAST_SIDE) & (scores >= rules.score))
    boxes, scores, group = boxes[keep], scores[keep], group[keep]
    kept: FloatArray = boxes[nms_in_groups(boxes, scores, group, rules.nms)[: rules.most]]
    return kept


def anchors(cell: tuple[tuple[float, ...], ...], canvas: tuple[int, int], stride: int) -> FloatArray:
    """Return the boxes of one level, row by row: float32 ``(rows * columns * len(cell), 4)``."""
    rows, columns = (-(-side // stride) for side in canvas)
    y = np.arange(rows, dtype=np.float32) * np.float32(canvas[0] // rows)
    x = np.arange(columns, dtype=np.float32) * np.float32(canvas[1] // columns)
    shifts = np.empty((rows, columns, 1, 4), np.float32)
    shifts[..., 0::2], shifts[..., 1::2] = x[None, :, None, None], y[:, None, None, None]
    boxes: FloatArray = (shifts + np.array(cell, np.float32)).reshape(-1, 4)
    return boxes


def decoded(deltas: FloatArray, boxes: FloatArray, weights: tuple[float, float] = (1.0, 1.0)) -> FloatArray:
    """Move and stretch ``boxes`` ``(n, 4)`` by ``deltas`` ``(n, 4 * classes)``: float32 ``(n, classes, 4)``.

    ``weights`` divide the shifts of centres and the logarithms of sides.
    """
    moves = deltas.reshape(len(boxes), deltas.shape[1] // 4, 2, 2) / np.array(weights, np.float32)[:, np.newaxis]
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + np.float32(0.5) * sides
    middle = moves[:, :, 0] * sides[:, np.newaxis] + centres[:, np.newaxis]
    half = np.float32(0.5) * (np.exp(np.minimum(moves[:, :, 1], _LARGEST)) * sides[:, np.newaxis])
    return np.concatenate([middle - half, middle + half], axis=2)


def clipped(boxes: FloatArray, inside: FloatArray) -> FloatArray:
    """Cut boxes ``(..., 4)`` at the borders of ``inside``, x1, y1, x2, y2."""
    low, high = np.tile(inside[:2], 2), np.tile(inside[2:], 2)
    cut: FloatArray = np.clip(boxes, low, high)
    return cut


def large_enough(boxes: FloatArray, least: np.float32) -> Array:
    """Tell which boxes ``(n, 4)`` have sides of at least ``least`` pixels."""
    return np.asarray(((boxes[:, 2:] - boxes[:, :2]) >= least).all(axis=1))


def nms_in_groups(boxes: FloatArray, scores: FloatArray, groups: Array, threshold: float) -> Indices:
    """Return the boxes to keep, best first, where only those of one group suppress each other.

    This is ``torchvision.ops.batched_nms`` on the CPU in both its forms: few boxes are set apart by their coordinates,
    which rounds them.
    """
    if len(boxes) > _MANY or not len(boxes):
        return nms_by_class(boxes, scores, groups, threshold)
    apart = groups.astype(np.float32) * (boxes.max() + np.float32(1))
    return nms(boxes + apart[:, np.newaxis], scores, threshold)
