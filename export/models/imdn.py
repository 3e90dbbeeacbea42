"""Information multi-distillation network (Hui et al., ACM MM 2019, arXiv 1909.11856), as simplified for challenges.

This is the form without contrast-aware attention that won AIM 2019 and is the baseline of NTIRE 2022, written from the
papers. Parameter names follow the published checkpoint, so that it loads with ``strict=True``.
"""

import torch
from torch import Tensor, nn

LEAKY_SLOPE = 0.05


class Imdn(nn.Module):
    """Enlarge RGB ``(N, 3, H, W)`` in [0, 1] ``scale`` times."""

    def __init__(self, channels: int = 64, blocks: int = 8, scale: int = 4) -> None:
        super().__init__()
        body = [DistillationBlock(channels) for _ in range(blocks)]
        self.model = nn.Sequential(
            _convolution(3, channels),
            Shortcut(*body, _convolution(channels, channels)),
            _convolution(channels, 3 * scale**2),
            nn.PixelShuffle(scale),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, 3, H * scale, W * scale)``."""
        return self.model(image)


class Shortcut(nn.Module):
    """Layers around an identity."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.sub = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        return features + self.sub(features)


class DistillationBlock(nn.Module):
    """Three times keep a quarter of the channels and refine the rest; fuse what was kept with the last refinement."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kept, rest = channels // 4, channels - channels // 4
        self.widths = [kept, rest]
        self.conv1 = _activated(channels, channels)
        self.conv2 = _activated(rest, channels)
        self.conv3 = _activated(rest, channels)
        self.conv4 = _convolution(rest, kept)
        self.conv1x1 = nn.Conv2d(4 * kept, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        kept, rest = [], features
        for convolution in (self.conv1, self.conv2, self.conv3):
            distilled, rest = convolution(rest).split(self.widths, dim=1)
            kept.append(distilled)
        return features + self.conv1x1(torch.cat([*kept, self.conv4(rest)], dim=1))


def _convolution(fan_in: int, fan_out: int) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1)


def _activated(fan_in: int, fan_out: int) -> nn.Sequential:
    return nn.Sequential(_convolution(fan_in, fan_out), nn.LeakyReLU(LEAKY_SLOPE))
