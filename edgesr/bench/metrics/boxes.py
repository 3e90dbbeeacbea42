"""Average precision of detected boxes as COCO defines it, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesr.errors import BackendError
from edgesr.types import Array

NAMES = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """The objects of one picture."""

    xyxy: Array
    """float ``(n, 4)`` in pixels."""
    cls: Array
    """int ``(n,)``."""
    ignored: Array
    """bool ``(n,)``: finding them neither counts nor costs (COCO's crowds, VOC's difficult objects)."""
    area: Array | None = None
    """float ``(n,)`` in pixels, by which COCO parts small, medium and large; None or NaN for that of the box."""


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """What a detector found in one picture."""

    xyxy: Array
    conf: Array
    cls: Array


@dataclass(frozen=True)
class Precision:
    """Average precision of one set of pictures."""

    values: dict[str, float]
    """COCO's figures by `NAMES`, without those that no true box has the size for."""
    classes: dict[int, float]
    """AP over IoU 0.50 to 0.95 of each class that occurs."""


def coco_precision(truth: Sequence[TrueBoxes], found: Sequence[FoundBoxes], classes: int) -> Precision:
    """Return COCO's average precision: IoU 0.50:0.05:0.95, 101 recalls, 100 boxes per picture.

    Raise BackendError without pycocotools.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise BackendError("mAP needs pycocotools; pip install 'edgesr[bench]'") from None
    dataset = COCO()
    dataset.dataset = {
        "images": [{"id": i + 1} for i in range(len(truth))],
        "categories": [{"id": i + 1, "name": str(i)} for i in range(classes)],
        "annotations": list(_annotations(truth)),
    }
    rows = [
        [i + 1, x1, y1, x2 - x1, y2 - y1, conf, int(cls) + 1]
        for i, boxes in enumerate(found)
        for (x1, y1, x2, y2), conf, cls in zip(boxes.xyxy, boxes.conf, boxes.cls, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        dataset.createIndex()
        results = dataset.loadRes(np.array(rows)) if rows else _nothing(COCO, dataset)
        evaluation = COCOeval(dataset, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = {name: float(value) for name, value in zip(NAMES, evaluation.stats, strict=False) if value >= 0}
    each = evaluation.eval["precision"][:, :, :, 0, 2]  # IoU, recall, class; all areas, 100 boxes
    known = {k: each[:, :, k][each[:, :, k] > -1] for k in range(classes)}
    return Precision(values, {k: float(v.mean()) for k, v in known.items() if v.size})


def _annotations(truth: Sequence[TrueBoxes]) -> Any:
    number = 0
    for i, boxes in enumerate(truth):
        areas = np.full(len(boxes.cls), np.nan) if boxes.area is None else boxes.area
        for (x1, y1, x2, y2), cls, ignored, area in zip(boxes.xyxy, boxes.cls, boxes.ignored, areas, strict=True):
            number += 1
            width, height = float(x2 - x1), float(y2 - y1)
            yield {
                "id": number,
                "image_id": i + 1,
                "category_id": int(cls) + 1,
                "bbox": [float(x1), float(y1), width, height],
                "area": width * height if np.isnan(area) else float(area),
                "iscrowd": int(ignored),
            }


def _nothing(coco: Any, dataset: Any) -> Any:
    empty = coco()
    empty.dataset = {**dataset.dataset, "annotations": []}
    empty.createIndex()
    return empty
