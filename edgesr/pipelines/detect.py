"""Where objects are in a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesr.errors import ModelError
from edgesr.pipelines.activation import activated
from edgesr.pipelines.label_pipeline import LabelPipeline, Thresholds
from edgesr.pipelines.label_result import Detections
from edgesr.pipelines.nms import Indices, nms_by_class
from edgesr.pipelines.prepare import Placement
from edgesr.types import Array, FloatArray

_CANDIDATES = 30000
"""Boxes that are compared with each other at most, the best ones."""


class Detector(LabelPipeline[Detections]):
    """A detection network on a device; ``score`` and ``nms`` are its thresholds.

    Boxes with ``labels`` are taken as they are. Of ``boxes`` with ``scores`` of all classes, each class above the
    threshold counts; of ``predictions``, as YOLO gives them, the best class of each box.
    """

    task = "detect"
    options = ("score", "nms")

    def _decode(self, outputs: dict[str, Array], placement: Placement, thresholds: Thresholds) -> dict[str, Any]:
        if "predictions" in outputs:
            boxes, conf, cls = self._from_predictions(outputs["predictions"], thresholds.score)
        elif "labels" in outputs:
            boxes, conf, cls = self._decoded(outputs, thresholds.score)
        else:
            boxes, conf, cls = self._from_scores(outputs, thresholds.score)
        self._check_classes(cls)
        best = np.argsort(-conf, kind="stable")[:_CANDIDATES]
        boxes, conf, cls = self._corners(boxes[best]), conf[best], cls[best]
        kept: Indices = np.arange(len(conf), dtype=np.intp)
        if thresholds.nms is not None:
            kept = nms_by_class(boxes, conf, cls, thresholds.nms)
        kept = kept[: self.descriptor.prediction.most]
        return {"xyxy": self._to_picture(boxes[kept], placement), "conf": conf[kept], "cls": cls[kept]}

    def _check_classes(self, cls: Array) -> None:
        if self.names and len(cls) and not 0 <= cls.min() <= cls.max() < len(self.names):
            raise ModelError(
                f"model {self.descriptor.name}: its network found class {cls.max()}, its labels name "
                f"{len(self.names)}; correct the labels"
            )

    def _from_predictions(self, output: Array, score: float) -> tuple[FloatArray, FloatArray, Array]:
        height, width = output.shape[-2:]
        rows = output.reshape(height, width).astype(np.float32)
        extra = 5 if self.descriptor.prediction.objectness else 4
        if self.names:
            if height == extra + len(self.names):
                rows = rows.T
            elif width != extra + len(self.names):
                raise ModelError(
                    f"model {self.descriptor.name}: predictions of shape {output.shape} have no side of {extra} + "
                    f"{len(self.names)} labels; correct the labels or prediction.objectness"
                )
        elif height < width:
            rows = rows.T
        scores = activated(rows[:, extra:], self.descriptor.prediction.activation, axis=1)
        if extra == 5:
            scores = scores * activated(rows[:, 4:5], self.descriptor.prediction.activation, axis=1)
        cls = scores.argmax(axis=1)
        conf = scores[np.arange(len(cls)), cls]
        chosen = conf > score
        return rows[chosen, :4], conf[chosen], cls[chosen].astype(np.int64)

    def _from_scores(self, outputs: dict[str, Array], score: float) -> tuple[FloatArray, FloatArray, Array]:
        boxes = outputs["boxes"].reshape(-1, 4).astype(np.float32)
        scores = outputs["scores"].astype(np.float32)
        if scores.size % len(boxes) or (self.names and scores.size != len(boxes) * len(self.names)):
            raise ModelError(
                f"model {self.descriptor.name}: scores of shape {scores.shape} do not hold {len(self.names) or 'all'} "
                f"classes for {len(boxes)} boxes; correct the labels"
            )
        scores = activated(scores.reshape(len(boxes), -1), self.descriptor.prediction.activation, axis=1)
        is_object = np.ones(scores.shape[1], bool)
        if self.descriptor.prediction.background is not None:
            is_object[self.descriptor.prediction.background] = False
        index, cls = np.nonzero((scores > score) & is_object)
        return boxes[index], scores[index, cls], cls.astype(np.int64)

    def _decoded(self, outputs: dict[str, Array], score: float) -> tuple[FloatArray, FloatArray, Array]:
        boxes = outputs["boxes"].reshape(-1, 4).astype(np.float32)
        conf = outputs["scores"].reshape(-1).astype(np.float32)
        cls = outputs["labels"].reshape(-1).astype(np.int64)
        if not len(boxes) == len(conf) == len(cls):
            raise ModelError(
                f"model {self.descriptor.name}: {len(boxes)} boxes, {len(conf)} scores and {len(cls)} labels do not "
                "belong together; correct the roles of its outputs"
            )
        chosen = conf > score
        if self.descriptor.prediction.background is not None:
            chosen &= cls != self.descriptor.prediction.background
        return boxes[chosen], conf[chosen], cls[chosen]

    def _corners(self, boxes: FloatArray) -> FloatArray:
        """Return boxes as x1, y1, x2, y2 in the network's unit."""
        if self.descriptor.prediction.boxes == "xyxy":
            return boxes
        half = boxes[:, 2:] / 2
        return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)

    def _to_picture(self, boxes: FloatArray, placement: Placement) -> FloatArray:
        """Return x1, y1, x2, y2 in pixels of the picture, cut at its borders."""
        if self.descriptor.prediction.unit == "relative":
            boxes = boxes * np.array(placement.canvas[::-1] * 2, np.float32)
        elif self.descriptor.scale > 1:
            boxes = boxes / np.float32(self.descriptor.scale)
        moved = boxes - np.array(placement.offset[::-1] * 2, np.float32)
        h, w = placement.picture
        factors = np.array([w / placement.resized[1], h / placement.resized[0]] * 2, np.float32)
        inside: FloatArray = np.clip(moved * factors, np.float32(0), np.array([w, h, w, h], np.float32))
        return inside

    def _result(self, **values: Any) -> Detections:
        return Detections(**values)
