"""Count right classes of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgesr.bench.label_quality import LabelledPicture, LabelQuality
from edgesr.bench.masks import Masks, resized
from edgesr.bench.metrics.groups import group_table
from edgesr.bench.metrics.intervals import interval
from edgesr.bench.metrics.labels import confusion, iou, mean_iou
from edgesr.types import Array

IGNORED = 255
"""The class of pixels that do not count, where there are fewer classes."""


class PixelCounter:
    """Counts pixels by true and found class over all pictures, as Pascal VOC does."""

    def __init__(self, names: Sequence[str], masks: Masks, classes: int) -> None:
        self._names = names
        self._masks = masks
        self._classes = classes
        self._counts: list[Array] = []
        self._pictures: list[LabelledPicture] = []

    def check(self, picture: LabelledPicture) -> Array:
        """Read the mask of a picture."""
        return self._masks.read(picture.path)

    def add(self, picture: LabelledPicture, truth: Array, result: Any, size: tuple[int, int]) -> None:
        """Count one picture; the mask of a chain's enlarged picture is compared at that size."""
        ignore = IGNORED if self._classes <= IGNORED else None
        truth = resized(truth[: size[0], : size[1]], *result.mask.shape)
        self._counts.append(confusion(truth, result.mask, self._classes, ignore))
        self._pictures.append(picture)

    def quality(self, model: str, failures: Mapping[str, str], options: Mapping[str, Any]) -> LabelQuality:
        """Return mIoU of all pixels, IoU per class, and the mean of the pictures' own mIoU per group."""
        pictures = self._pictures
        if not pictures:
            none = {"miou": "no picture could be counted"}
            return LabelQuality(model, "segment", {}, {}, {}, [], [], failures, none, options)
        counts = np.stack(self._counts)
        clusters = [picture.cluster or picture.name for picture in pictures]
        total = counts.sum(axis=0)
        each, own = iou(total), mean_iou(counts)
        values = {
            "miou": float(mean_iou(total)),
            "pixel_accuracy": float(np.trace(total) / max(total.sum(), 1)),
            "miou_per_picture": float(own.mean()),
        }
        found = {
            "miou": interval(counts, clusters, lambda sums, number: mean_iou(sums)),
            "miou_per_picture": interval(own, clusters),
        }
        classes = {self._name(k): {"iou": float(each[k])} for k in range(self._classes) if not np.isnan(each[k])}
        tables = []
        for by in dict.fromkeys(key for picture in pictures for key in picture.groups):
            at = [i for i, picture in enumerate(pictures) if by in picture.groups]
            names = [pictures[i].groups[by] for i in at]
            tables.append(group_table(by, "miou_per_picture", own[at], names, [clusters[i] for i in at]))
        rows = [
            {"name": picture.name, "miou": float(value), "groups": dict(picture.groups)}
            for picture, value in zip(pictures, own, strict=True)
        ]
        intervals = {name: value for name, value in found.items() if value is not None}
        return LabelQuality(model, "segment", values, intervals, classes, tables, rows, failures, {}, options)

    def _name(self, number: int) -> str:
        return self._names[number] if number < len(self._names) else f"class {number}"
