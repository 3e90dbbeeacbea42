"""Detectors of two networks: one finds regions, the other says what is in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgesr.engines.base import Backend
from edgesr.errors import ModelError
from edgesr.model.label_rules import REGIONS
from edgesr.model.package import ModelPackage
from edgesr.pipelines.activation import activated
from edgesr.pipelines.detect import Detector
from edgesr.pipelines.label_network import PartNetwork
from edgesr.pipelines.label_pipeline import Thresholds
from edgesr.pipelines.prepare import Placement
from edgesr.pipelines.proposals import clipped, decoded, large_enough, nms_in_groups, propose
from edgesr.pipelines.roi_align import roi_align
from edgesr.pipelines.timings import Timings
from edgesr.types import Array, FloatArray

_WEIGHTS = (10.0, 5.0)
"""Of the deltas of the second network."""
_LEAST_SIDE = np.float32(1e-2)


class RegionDetector(Detector):
    """Faster R-CNN: both networks run on the backend, the choice of regions and their features between them on the CPU.

    ``regions`` is the second network in the backend's own form.
    """

    def __init__(
        self,
        package: ModelPackage,
        backend: Backend,
        *,
        color: Literal["rgb", "bgr"] = "rgb",
        network: Path | None = None,
        regions: Path | None = None,
        **thresholds: Any,
    ) -> None:
        super().__init__(package, backend, color=color, network=network, **thresholds)
        self._regions = PartNetwork(package, backend, REGIONS, regions)

    def close(self) -> None:
        """Finish submitted pictures and free both networks; closing twice is allowed."""
        super().close()
        self._regions.close()

    def _run(self, values: FloatArray, placement: Placement, timings: Timings) -> dict[str, Array]:
        outputs = super()._run(values, placement, timings)
        rules = self.descriptor.prediction.proposals
        assert rules is not None
        scale = self.descriptor.scale
        canvas = (placement.canvas[0] * scale, placement.canvas[1] * scale)
        boxes = propose(outputs, canvas, self._inside(placement), rules, name=self.descriptor.name)
        if not len(boxes):
            return {"boxes": boxes, "logits": np.empty((0, 1), np.float32), "deltas": np.empty((0, 4), np.float32)}
        features = outputs["features"]
        if features.ndim != 4 or features.shape[0] != 1:
            raise ModelError(f"model {self.descriptor.name}: features must be (1, C, h, w), got {features.shape}")
        crops = roi_align(features[0], boxes, stride=rules.stride, pooled=rules.pooled, samples=rules.samples)
        spec = self._regions.inputs["crops"]
        crops = crops if spec is None else crops.astype(spec.dtype, copy=False)
        return {"boxes": boxes, **self._regions.run({"crops": crops}, timings)}

    def _decode(self, outputs: dict[str, Array], placement: Placement, thresholds: Thresholds) -> dict[str, Any]:
        boxes, logits = outputs["boxes"], outputs["logits"].astype(np.float32)
        classes = logits.shape[1]
        if len(boxes) and self.names and classes != len(self.names):
            raise ModelError(
                f"model {self.descriptor.name}: its network has {classes} classes, its labels name {len(self.names)}; "
                "correct the labels, the background among them"
            )
        scores = activated(logits, self.descriptor.prediction.activation, axis=1)
        moved = clipped(decoded(outputs["deltas"].astype(np.float32), boxes, _WEIGHTS), self._inside(placement))
        background = self.descriptor.prediction.background
        is_object = np.ones(classes, bool)
        if background is not None:
            is_object[background] = False
        region, cls = np.nonzero((scores > thresholds.score) & is_object)
        xyxy, conf = moved[region, cls], scores[region, cls]
        large = large_enough(xyxy, _LEAST_SIDE)
        xyxy, conf, cls = xyxy[large], conf[large], cls[large].astype(np.int64)
        if thresholds.nms is None:
            kept = np.argsort(-conf, kind="stable")
        else:
            kept = nms_in_groups(xyxy, conf, cls, thresholds.nms)
        kept = kept[: self.descriptor.prediction.most]
        return {"xyxy": self._to_picture(xyxy[kept], placement), "conf": conf[kept], "cls": cls[kept]}

    def _inside(self, placement: Placement) -> FloatArray:
        """Return where the picture lies in the network's input: x1, y1, x2, y2."""
        top, left = placement.offset
        h, w = placement.resized
        corners: FloatArray = np.array([left, top, left + w, top + h], np.float32)
        corners *= np.float32(self.descriptor.scale)
        return corners
