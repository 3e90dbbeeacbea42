"""Classifiers: ResNet of torchvision, whose layout timm shares, and whatever timm has, FastViT before all.

ResNet after He et al., CVPR 2016; FastViT after Vasu et al., ICCV 2023, arXiv 2303.14189.
"""

from torch import nn
from torchvision import models

RESNETS = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
"""Whether blocks are bottlenecks, and how many each of the four layers has."""


def make_classifier(name: str, classes: int) -> nn.Module:
    """Return the network as it begins, RGB ``(N, 3, H, W)`` to logits ``(N, classes)``; raise where no name fits."""
    if name in RESNETS.values():
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes)
        return network
    import timm

    made: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes)
    return made


def reparameterized(network: nn.Module) -> nn.Module:
    """Merge the branches that a network has for training alone into one convolution each."""
    from timm.utils.model import reparameterize_model

    merged: nn.Module = reparameterize_model(network.eval())
    return merged
