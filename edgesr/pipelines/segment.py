"""Which class each pixel of a picture belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesr.errors import ModelError
from edgesr.image.resize import sample_linear
from edgesr.pipelines.activation import activated
from edgesr.pipelines.label_pipeline import LabelPipeline, Thresholds
from edgesr.pipelines.label_result import Segmentation
from edgesr.pipelines.prepare import Placement
from edgesr.types import Array, FloatArray

_BAND = 1 << 22
"""Values of logits held at a time at the picture's own size."""


class Segmenter(LabelPipeline[Segmentation]):
    """A segmentation network on a device; ``score`` is the threshold of networks with one channel.

    Logits are interpolated linearly to the picture's size before the best class is taken, masks by the nearest pixel.
    """

    task = "segment"
    options = ("score",)

    def _decode(self, outputs: dict[str, Array], placement: Placement, thresholds: Thresholds) -> dict[str, Any]:
        if "mask" in outputs:
            return {"mask": self._from_mask(outputs["mask"], placement), "scores": None}
        logits = outputs["logits"]
        if logits.ndim == 4:
            logits = logits[0]
        if self.descriptor.input.layout == "NHWC":
            logits = logits.transpose(2, 0, 1)
        logits = np.ascontiguousarray(logits, np.float32)
        classes = max(2, len(logits))
        if self.names and classes != len(self.names):
            raise ModelError(
                f"model {self.descriptor.name}: its network has {classes} classes, its labels name "
                f"{len(self.names)}; correct the labels"
            )
        mask, scores = self._from_logits(logits, placement, thresholds.score)
        return {"mask": mask, "scores": scores}

    def _from_logits(self, logits: FloatArray, placement: Placement, score: float) -> tuple[Array, FloatArray]:
        h, w = placement.picture
        rows, columns = (_positions(placement, axis, logits.shape[axis + 1]) for axis in (0, 1))
        mask = np.empty((h, w), np.uint8 if len(logits) <= 256 else np.uint16)
        scores = np.empty((h, w), np.float32)
        step = max(1, _BAND // (len(logits) * w))
        activation = self.descriptor.prediction.activation
        for start in range(0, h, step):
            band = slice(start, min(start + step, h))
            values = sample_linear(sample_linear(logits, rows[band], 1), columns, 2)
            if len(logits) == 1:
                found = activated(values[0], activation, axis=0)
                mask[band] = found > score
                scores[band] = np.where(mask[band], found, 1 - found)
                continue
            best = values.argmax(axis=0)
            mask[band] = best
            scores[band] = np.take_along_axis(activated(values, activation, axis=0), best[np.newaxis], axis=0)[0]
        return mask, scores

    def _from_mask(self, mask: Array, placement: Placement) -> Array:
        mask = mask.reshape([n for n in mask.shape if n != 1] if mask.ndim > 2 else mask.shape)
        if mask.ndim != 2 or mask.dtype.kind not in "iu" or mask.min() < 0 or mask.max() > 65535:
            raise ModelError(
                f"model {self.descriptor.name}: a mask must hold class numbers as whole numbers (1, H, W), got "
                f"{mask.dtype} {mask.shape}"
            )
        if self.names and int(mask.max()) >= len(self.names):
            raise ModelError(
                f"model {self.descriptor.name}: its network found class {int(mask.max())}, its labels name "
                f"{len(self.names)}; correct the labels"
            )
        rows, columns = (_positions(placement, axis, mask.shape[axis]) for axis in (0, 1))
        near = [np.clip(np.rint(p), 0, n - 1).astype(np.intp) for p, n in zip((rows, columns), mask.shape, strict=True)]
        classes = len(self.names) or int(mask.max()) + 1
        return mask[near[0]][:, near[1]].astype(np.uint8 if classes <= 256 else np.uint16)

    def _result(self, **values: Any) -> Segmentation:
        return Segmentation(**values)


def _positions(placement: Placement, axis: int, n: int) -> FloatArray:
    """Return where the centres of the picture's pixels lie among the ``n`` of an output along one axis."""
    picture, resized = placement.picture[axis], placement.resized[axis]
    centres = (np.arange(picture, dtype=np.float64) + 0.5) * (resized / picture) + placement.offset[axis]
    return np.asarray(centres * (n / placement.canvas[axis]) - 0.5, np.float32)
