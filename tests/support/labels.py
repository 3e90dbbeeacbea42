"""The families that label pictures, at the papers' sizes, with drawn weights and statistics of real pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.__main__ import main as export
from tests.export.seeded import decided, seeded, settled
from tests.support.pictures import crops
from tests.support.prove_labels import prove_labels
from tests.support.steps import Said, called, digest, write_weights

_MEAN, _STD = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@dataclass(frozen=True)
class LabelFamily:
    """One network: how it is made, and how it is exported."""

    words: tuple[str, ...]
    """Of ``python -m export``."""
    title: str
    files: tuple[str, ...]
    """Under ``export/``, of the architecture and its exporter."""
    make: Callable[[], nn.Module]
    side: int
    """Of the pictures that its lower precisions are calibrated on and compared by."""
    agreement: float | None = None
    """What lower precisions have to reach in place of the usual limit."""

    def sources(self) -> str:
        """Return the sha256 of the architecture and its exporter."""
        return digest(self.files)

    def prove(self, folder: Path, *, is_small: bool = False, say: Said = lambda text: None) -> dict[str, Any]:
        """Export the network and measure it; there is no small one."""
        rows: dict[str, Any] = {"title": self.title, "sources": self.sources()}
        why, rows["parameters"] = self.package(folder / "fp32.edgesr", say)
        if why:
            return {**rows, "export": {"ok": False, "why": why}}
        return prove_labels(rows, folder / "fp32.edgesr", folder, side=self.side, agreement=self.agreement, say=say)

    def package(self, path: Path, say: Said) -> tuple[str, int]:
        """Export the network; return what went wrong, and the number of its parameters."""
        torch.manual_seed(0)
        count = write_weights(self.make(), path.with_suffix(".pth"))
        say("export")
        words = [*self.words, "--weights", str(path.with_suffix(".pth")), "-o", str(path)]
        code, _, told = called(lambda: export(words))
        return told if code else "", count


def normalised(side: int) -> Tensor:
    """Return crops of the example pictures as ImageNet's networks take them, float32 ``(8, 3, side, side)``."""
    values = torch.from_numpy(np.stack(crops(side))).permute(0, 3, 1, 2) / 255
    return (values - _MEAN) / _STD


def _resnet(name: str, classes: int) -> nn.Module:
    import torchvision

    network = torchvision.models.get_model(name, weights=None, num_classes=classes)
    values = normalised(224)
    return decided(settled(network, values), network.fc, values)


def _fastvit(name: str, classes: int) -> nn.Module:
    import timm

    network = timm.create_model(name, num_classes=classes)
    values = normalised(224)
    return decided(settled(network, values), network.head.fc, values)


def deeplab(side: int = 128) -> nn.Module:
    """Return DeepLabV3-MobileNetV3-Large of 21 classes whose masks have regions."""
    from torchvision.models import segmentation

    network = segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=False
    )
    values = normalised(side)
    return decided(settled(network, values), network.classifier[4], values)


def detector(side: int = 160) -> nn.Module:
    """Return Faster R-CNN MobileNetV3-Large FPN of 21 classes that finds boxes."""
    from export.models.fasterrcnn import make_detector

    network = make_detector(21)
    seeded(network)
    settled(network.backbone, normalised(side))
    heads = network.roi_heads.box_predictor
    with torch.no_grad():
        heads.cls_score.weight.mul_(6)
        heads.bbox_pred.weight.mul_(0.5)
        network.rpn.head.cls_logits.weight.mul_(3)
    return network.eval()


_CLASSIFIER = ("families/classifier.py", "models/classifier.py")
LABELS = {
    "resnet50": LabelFamily(("classifier",), "ResNet50, 7 groups", _CLASSIFIER, lambda: _resnet("resnet50", 7), 224),
    "fastvit": LabelFamily(
        ("classifier",), "FastViT-MA36, 4 groups", _CLASSIFIER, lambda: _fastvit("fastvit_ma36", 4), 224
    ),
    "resnet18": LabelFamily(
        ("resnet18",),
        "ResNet18, 200 classes",
        ("families/resnet18.py", *_CLASSIFIER),
        lambda: _resnet("resnet18", 200),
        224,
    ),
    "deeplabv3": LabelFamily(
        ("deeplabv3", "--resize", "exact:520x520"),
        "DeepLabV3-MobileNetV3-Large, 21 classes",
        ("families/deeplab.py", "models/deeplab.py"),
        deeplab,
        256,
    ),
    "fasterrcnn": LabelFamily(
        ("fasterrcnn", "--resize", "exact:320x320"),
        "Faster R-CNN MobileNetV3-Large FPN, 21 classes",
        ("families/fasterrcnn.py", "models/fasterrcnn.py"),
        detector,
        320,
        agreement=0.5,
    ),
}
