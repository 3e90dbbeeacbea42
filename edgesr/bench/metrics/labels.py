"""How often classes are right: of whole pictures, and of pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgesr.errors import InputError
from edgesr.types import Array

Counts = npt.NDArray[np.int64]


def in_top(scores: Array, truth: int, k: int) -> bool:
    """Tell whether class ``truth`` is among the ``k`` best of scores ``(classes,)``; of equal ones the first counts."""
    best = np.argsort(-scores, kind="stable")[:k]
    return bool((best == truth).any())


def confusion(truth: Array, found: Array, classes: int, ignore: int | None = None) -> Counts:
    """Count pixels by true and found class: int64 ``(classes, classes)``; pixels of class ``ignore`` are left out."""
    if truth.shape != found.shape:
        raise InputError(
            f"the mask is {found.shape[1]} x {found.shape[0]} pixels, the true one {truth.shape[1]} x {truth.shape[0]}"
        )
    counted = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    pairs = truth[counted].astype(np.int64) * classes + found[counted]
    for mask, whose in ((truth, "true mask"), (found, "mask")):
        highest = int(mask[counted].max(initial=0))
        if highest >= classes:
            raise InputError(f"the {whose} holds class {highest}, of {classes} classes from 0")
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def iou(counts: Array) -> npt.NDArray[np.float64]:
    """Return intersection over union per class of ``(..., classes, classes)``; NaN for a class that never occurs."""
    inside = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    union = counts.sum(axis=-1) + counts.sum(axis=-2) - inside
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(inside / union)


def mean_iou(counts: Array) -> npt.NDArray[np.float64]:
    """Return the mean over the classes that occur, ``(...)`` of ``(..., classes, classes)``."""
    each = iou(counts)
    known = ~np.isnan(each)
    return np.asarray(np.where(known, each, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1))
