"""Residual Local Feature Network (Kong et al., CVPR Workshops 2022, arXiv 2205.07514), written from the paper.

Parameter names follow the checkpoints that its authors publish, so that these load with ``strict=True``.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAKY_SLOPE = 0.05


class Rlfn(nn.Module):
    """Enlarge RGB ``(N, 3, H, W)`` in [0, 255] ``scale`` times; H and W at least 15 pixels."""

    def __init__(self, channels: int, inner: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.conv_1 = _convolution(3, channels)
        self.block_names = [f"block_{i + 1}" for i in range(blocks)]
        for name in self.block_names:
            self.add_module(name, LocalFeatureBlock(channels, inner))
        self.conv_2 = _convolution(channels, channels)
        self.upsampler = nn.Sequential(_convolution(channels, 3 * scale**2), nn.PixelShuffle(scale))

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, 3, H * scale, W * scale)``."""
        shallow = self.conv_1(image)
        features = shallow
        for name in self.block_names:
            features = self.get_submodule(name)(features)
        return self.upsampler(self.conv_2(features) + shallow)


class LocalFeatureBlock(nn.Module):
    """Three activated convolutions around an identity, then a 1 x 1 convolution and spatial attention (figure 2)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.c1_r = _convolution(channels, inner)
        self.c2_r = _convolution(inner, inner)
        self.c3_r = _convolution(inner, channels)
        self.c5 = nn.Conv2d(channels, channels, 1)
        self.esa = SpatialAttention(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        local = features
        for convolution in (self.c1_r, self.c2_r, self.c3_r):
            local = functional.leaky_relu(convolution(local), LEAKY_SLOPE)
        return self.esa(self.c5(features + local))


class SpatialAttention(nn.Module):
    """Enhanced spatial attention (Liu et al., CVPR 2020) with the single convolution that RLFN leaves in its branch.

    The branch shrinks the map by an unpadded stride of 2 and a 7 x 7 maximum with stride 3, so that features of
    ``(H, W)`` need at least 15 pixels on each side, and its enlargement depends on H and W.
    """

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1)
        self.conv_f = nn.Conv2d(width, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride=2)
        self.conv3 = _convolution(width, width)
        self.conv4 = nn.Conv2d(width, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Scale every feature by its attention in (0, 1)."""
        narrow = self.conv1(features)
        context = self.conv3(functional.max_pool2d(self.conv2(narrow), 7, 3))
        context = functional.interpolate(context, features.shape[2:], mode="bilinear", align_corners=False)
        return features * torch.sigmoid(self.conv4(context + self.conv_f(narrow)))


def rlfn_ntire_x4() -> Rlfn:
    """Build the x4 network of the NTIRE 2022 challenge: 317,218 parameters."""
    return Rlfn(channels=46, inner=48, blocks=4, scale=4)


def rlfn_s(scale: int) -> Rlfn:
    """Build RLFN-S: 454,620 parameters at x2."""
    return Rlfn(channels=48, inner=48, blocks=6, scale=scale)


def _convolution(fan_in: int, fan_out: int) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1)
