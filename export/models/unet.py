"""U-Net upscaler: an encoder of timm, a decoder with its features beside every step, and an enlargement.

U-Net after Ronneberger et al., MICCAI 2015, arXiv 1505.04597; encoders are ResNet (He et al., CVPR 2016) and FastViT
(Vasu et al., ICCV 2023, arXiv 2303.14189), or any of timm that gives features. Widths are chosen to come to the 42.8
million parameters of the network on ResNet50. There are no published checkpoints of it.
"""

from collections.abc import Sequence

import timm
import torch
from timm.utils.model import reparameterize_model
from torch import Tensor, nn
from torch.nn import functional

from export.models.edsr import shuffle_stages

WIDTHS = (480, 256, 128, 64)
"""Channels of the decoder's steps, deepest first."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, which encoders were trained on."""


class UNet(nn.Module):
    """Enlarge RGB ``(N, 3, H, W)`` in [0, 1] ``scale`` times: 1, 2, 4 or 8; any sides from 32 pixels."""

    def __init__(self, encoder: str, scale: int = 4, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).reshape(1, 3, 1, 1), persistent=False)
        self.encoder = timm.create_model(encoder, pretrained=False, features_only=True)
        *skips, deepest = self.encoder.feature_info.channels()
        widths = list(widths)[: len(skips)]
        before = [deepest, *widths[:-1]]
        self.decoder = nn.ModuleList(
            DecoderStep(a + skip, width) for a, skip, width in zip(before, reversed(skips), widths, strict=True)
        )
        self.whole = nn.Sequential(_convolution(widths[-1] + 3, widths[-1]), nn.ReLU())
        self.upsample = shuffle_stages(scale, widths[-1])
        self.conv_last = _convolution(widths[-1], 3)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, 3, H * scale, W * scale)``."""
        *skips, features = self.encoder((image - self.mean) / self.std)
        for step, skip in zip(self.decoder, reversed(skips), strict=True):
            features = step(torch.cat([_resized(features, skip), skip], 1))
        features = self.upsample(self.whole(torch.cat([_resized(features, image), image], 1)))
        base = image
        if self.scale > 1:
            base = functional.interpolate(image, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return base + self.conv_last(features)

    def reparameterize(self) -> None:
        """Merge the branches that an encoder has for training alone into one convolution each, in place."""
        self.encoder = reparameterize_model(self.encoder.eval())


class DecoderStep(nn.Sequential):
    """Two convolutions, each with batch norm and ReLU."""

    def __init__(self, fan_in: int, width: int) -> None:
        super().__init__(
            *(_convolution(fan_in, width, has_bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(_convolution(width, width, has_bias=False), nn.BatchNorm2d(width), nn.ReLU()),
        )


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(features, like.shape[2:], mode="nearest")


def _convolution(fan_in: int, fan_out: int, *, has_bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=has_bias)
