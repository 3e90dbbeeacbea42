"""The families that label pictures, at the papers' sizes, with drawn weights and statistics of real pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.__main__ import main as export
from tests.export.seeded import decided, seeded, settled
from tests.support.pictures import crop_tensor
from tests.support.prove_labels import prove_labels
from tests.support.steps import Said, called, digest, write_weights

End = Callable[[nn.Module, nn.Module, Tensor], nn.Module]
"""Takes a network, its last layer and pictures."""
_MEAN, _STD = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@dataclass(frozen=True)
class LabelFamily:
    """One network: how it is made, and how it is exported."""

    words: tuple[str, ...]
    """Of ``python -m export``."""
    title: str
    files: tuple[str, ...]
    """Under ``export/``, of the architecture and its exporter."""
    make: Callable[[Tensor], nn.Module]
    """Draws the network, with the statistics that the normalised pictures ``(N, 3, H, W)`` give."""
    seen: int
    """Side of those pictures."""
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

    def package(self, path: Path, say: Said, pictures: Tensor | None = None) -> tuple[str, int]:
        """Export the network; return what went wrong, and the number of its parameters.

        ``pictures``, float32 ``(N, 3, H, W)`` in [0, 1], are those that it sees, crops of the examples where not given.
        """
        torch.manual_seed(0)
        values = normalised(crop_tensor(self.seen) if pictures is None else _middle(pictures, self.seen))
        count = write_weights(self.make(values), path.with_suffix(".pth"))
        say("export")
        words = [*self.words, "--weights", str(path.with_suffix(".pth")), "-o", str(path)]
        code, _, told = called(lambda: export(words))
        return told if code else "", count


def normalised(pictures: Tensor) -> Tensor:
    """Return pictures ``(N, 3, H, W)`` in [0, 1] as ImageNet's networks take them."""
    return (pictures - _MEAN) / _STD


def _middle(pictures: Tensor, side: int) -> Tensor:
    top, left = ((n - side) // 2 for n in pictures.shape[2:])
    return pictures[:, :, top : top + side, left : left + side]


def resnet(name: str, classes: int, values: Tensor, *, end: End = decided) -> nn.Module:
    """Return a ResNet of torchvision; ``end`` gives its last layer scores that differ."""
    import torchvision

    network = torchvision.models.get_model(name, weights=None, num_classes=classes)
    return end(settled(network, values), network.fc, values)


def _fastvit(name: str, classes: int, values: Tensor) -> nn.Module:
    import timm

    network = timm.create_model(name, num_classes=classes)
    return decided(settled(network, values), network.head.fc, values)


def deeplab(values: Tensor, *, end: End = decided) -> nn.Module:
    """Return DeepLabV3-MobileNetV3-Large of 21 classes whose masks have regions."""
    from torchvision.models import segmentation

    network = segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=False
    )
    return end(settled(network, values), network.classifier[4], values)


def detector(values: Tensor) -> nn.Module:
    """Return Faster R-CNN MobileNetV3-Large FPN of 21 classes that finds boxes."""
    from export.models.fasterrcnn import make_detector

    network = make_detector(21)
    seeded(network)
    settled(network.backbone, values)
    heads = network.roi_heads.box_predictor
    with torch.no_grad():
        heads.cls_score.weight.mul_(6)
        heads.bbox_pred.weight.mul_(0.5)
        network.rpn.head.cls_logits.weight.mul_(3)
    return network.eval()


_CLASSIFIER = ("families/classifier.py", "models/classifier.py")
LABELS = {
    "resnet50": LabelFamily(
        ("classifier",), "ResNet50, 7 groups", _CLASSIFIER, partial(resnet, "resnet50", 7), 224, 224
    ),
    "fastvit": LabelFamily(
        ("classifier",), "FastViT-MA36, 4 groups", _CLASSIFIER, partial(_fastvit, "fastvit_ma36", 4), 224, 224
    ),
    "resnet18": LabelFamily(
        ("resnet18",),
        "ResNet18, 200 classes",
        ("families/resnet18.py", *_CLASSIFIER),
        partial(resnet, "resnet18", 200),
        224,
        224,
    ),
    "deeplabv3": LabelFamily(
        ("deeplabv3", "--resize", "exact:520x520"),
        "DeepLabV3-MobileNetV3-Large, 21 classes",
        ("families/deeplab.py", "models/deeplab.py"),
        deeplab,
        128,
        256,
    ),
    "fasterrcnn": LabelFamily(
        ("fasterrcnn", "--resize", "exact:320x320"),
        "Faster R-CNN MobileNetV3-Large FPN, 21 classes",
        ("families/fasterrcnn.py", "models/fasterrcnn.py"),
        detector,
        160,
        320,
        agreement=0.5,
    ),
}
