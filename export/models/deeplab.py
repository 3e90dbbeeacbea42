"""DeepLabV3 on MobileNetV3-Large, as torchvision has it (Chen et al., 2017, arXiv 1706.05587)."""

from torch import Tensor, nn
from torchvision.models import segmentation


class DeepLab(nn.Module):
    """Normalised RGB ``(N, 3, H, W)`` to logits ``(N, classes, ceil(H / 16), ceil(W / 16))``.

    They are torchvision's before it enlarges them to the picture's size, which a Segmenter does by the same rule.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        whole = segmentation.deeplabv3_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=classes, aux_loss=False
        )
        self.backbone, self.classifier = whole.backbone, whole.classifier

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.classifier(self.backbone(image)["out"])
        return logits
