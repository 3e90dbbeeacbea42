"""Enhanced deep residual network (Lim et al., CVPR Workshops 2017, arXiv 1707.02921), written from the paper.

EDSR-baseline has 16 blocks of 64 channels: 1,517,571 parameters at x4. Parameter names follow BasicSR's checkpoints.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K in [0, 1], RGB."""
RANGE = 255.0
"""Inside, pixels go up to this."""


class Edsr(nn.Module):
    """Enlarge RGB ``(N, 3, H, W)`` in [0, 1] ``scale`` times: 2, 3, 4 or 8."""

    def __init__(self, scale: int, blocks: int = 16, channels: int = 64, residual_scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.range = RANGE
        self.conv_first = _convolution(3, channels)
        self.body = nn.Sequential(*(ResidualBlock(channels, residual_scale) for _ in range(blocks)))
        self.conv_after_body = _convolution(channels, channels)
        self.upsample = shuffle_stages(scale, channels)
        self.conv_last = _convolution(channels, 3)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, 3, H * scale, W * scale)``."""
        features = self.conv_first((image - self.mean) * self.range)
        features = features + self.conv_after_body(self.body(features))
        return self.conv_last(self.upsample(features)) / self.range + self.mean

    def bring_to_one(self) -> None:
        """Let features be 255 times smaller, for FP16, with the same result: convolutions and ReLU pass a factor on."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Conv2d) and module.bias is not None:
                    module.bias.div_(self.range)
        self.range = 1.0


class ResidualBlock(nn.Module):
    """Two convolutions around a ReLU inside an identity, without batch norm."""

    def __init__(self, channels: int, residual_scale: float) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.conv1 = _convolution(channels, channels)
        self.conv2 = _convolution(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        change = self.conv2(functional.relu(self.conv1(features)))
        return features + (change if self.residual_scale == 1 else change * self.residual_scale)


def shuffle_stages(scale: int, channels: int) -> nn.Sequential:
    """Build the enlargement: a convolution and a pixel shuffle for every factor of 2, or one for 3."""
    factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
    return nn.Sequential(
        *(layer for f in factors for layer in (_convolution(channels, f**2 * channels), nn.PixelShuffle(f)))
    )


def _convolution(fan_in: int, fan_out: int) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1)
