"""Which class a picture belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesr.errors import ModelError
from edgesr.pipelines.activation import activated
from edgesr.pipelines.label_pipeline import LabelPipeline, Thresholds
from edgesr.pipelines.label_result import Classification
from edgesr.pipelines.prepare import Placement
from edgesr.types import Array


class Classifier(LabelPipeline[Classification]):
    """A classification network on a device; ``top_k`` is how many classes are shown."""

    task = "classify"
    options = ("top_k",)

    def _decode(self, outputs: dict[str, Array], placement: Placement, thresholds: Thresholds) -> dict[str, Any]:
        logits = outputs["logits"].reshape(-1).astype(np.float32)
        if self.names and len(logits) != len(self.names):
            raise ModelError(
                f"model {self.descriptor.name}: its network has {len(logits)} classes, its labels name "
                f"{len(self.names)}; correct the labels"
            )
        return {"scores": activated(logits, self.descriptor.prediction.activation, axis=0)}

    def _result(self, **values: Any) -> Classification:
        return Classification(**values)
