"""Faster R-CNN on MobileNetV3-Large with a feature pyramid, as torchvision has it, split where boxes are chosen.

Ren et al., NeurIPS 2015, arXiv 1506.01497; Lin et al., CVPR 2017, arXiv 1612.03144.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection import FasterRCNN

STRIDES = (32, 32, 64)
"""Of the three levels, in pixels. Crops come from the first: torchvision's rule for levels takes no other."""


def make_detector(classes: int) -> FasterRCNN:
    """Return torchvision's detector as it begins, with plain batch norm, whose result equals that of the frozen one."""
    return detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, num_classes=classes)


class RegionNetwork(nn.Module):
    """Normalised RGB ``(N, 3, H, W)``, sides multiples of 32, to features, objectness and deltas of all anchors."""

    def __init__(self, whole: FasterRCNN) -> None:
        super().__init__()
        self.backbone, self.head = whole.backbone, whole.rpn.head

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(N, 256, H / 32, W / 32)``, ``(N, anchors)`` and ``(N, anchors, 4)``."""
        levels = list(self.backbone(image).values())
        objectness, deltas = self.head(levels)
        scores = [level.permute(0, 2, 3, 1).flatten(1) for level in objectness]
        moves = [level.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)) for level in deltas]
        return levels[0], torch.cat(scores, 1), torch.cat(moves, 1)


class RegionHead(nn.Module):
    """Crops ``(K, 256, 7, 7)`` to logits ``(K, classes)`` and deltas ``(K, 4 * classes)``."""

    def __init__(self, whole: FasterRCNN) -> None:
        super().__init__()
        self.head, self.predictor = whole.roi_heads.box_head, whole.roi_heads.box_predictor

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two."""
        logits, deltas = self.predictor(self.head(crops))
        return logits, deltas


def prediction(whole: FasterRCNN) -> dict[str, Any]:
    """Return ``prediction`` of model.json, with torchvision's own thresholds."""
    rpn, heads = whole.rpn, whole.roi_heads
    cells = rpn.anchor_generator.cell_anchors
    return {
        "activation": "softmax",
        "background": 0,
        "score": heads.score_thresh,
        "nms": heads.nms_thresh,
        "most": heads.detections_per_img,
        "proposals": {
            "anchors": [cell.tolist() for cell in cells],
            "strides": list(STRIDES),
            "stride": STRIDES[0],
            "pooled": heads.box_roi_pool.output_size[0],
            "samples": heads.box_roi_pool.sampling_ratio,
            "score": rpn.score_thresh,
            "nms": rpn.nms_thresh,
            "before": rpn._pre_nms_top_n["testing"],
            "most": rpn._post_nms_top_n["testing"],
        },
    }
