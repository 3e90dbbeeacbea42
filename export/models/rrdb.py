"""Residual-in-residual dense network: the generator of ESRGAN (Wang et al., ECCV Workshops 2018, arXiv 1809.00219).

Written from the paper; enlargement is nearest-neighbour, convolution and LeakyReLU, twice for x4. Parameter names
follow BasicSR's checkpoints.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAKY_SLOPE = 0.2
RESIDUAL = 0.2
"""By how much every dense block and every group of three is scaled before it is added."""


class Rrdb(nn.Module):
    """Enlarge ``(N, in_channels, H, W)`` in [0, 1] ``scale`` times: 1, 2, 4 or 8.

    At x2 and x1 with ``shuffle`` the picture enters with its pixels unshuffled, as Real-ESRGAN does.
    """

    def __init__(
        self,
        blocks: int,
        scale: int = 4,
        *,
        channels: int = 64,
        growth: int = 32,
        in_channels: int = 3,
        out_channels: int = 3,
        shuffle: int = 1,
    ) -> None:
        super().__init__()
        self.shuffle = shuffle
        self.steps = (scale * shuffle).bit_length() - 1
        self.conv_first = _convolution(in_channels * shuffle**2, channels)
        self.body = nn.Sequential(*(DenseGroup(channels, growth) for _ in range(blocks)))
        self.conv_body = _convolution(channels, channels)
        for i in range(self.steps):
            self.add_module(f"conv_up{i + 1}", _convolution(channels, channels))
        self.conv_hr = _convolution(channels, channels)
        self.conv_last = _convolution(channels, out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, out_channels, H * scale, W * scale)``."""
        if self.shuffle > 1:
            image = functional.pixel_unshuffle(image, self.shuffle)
        features = self.conv_first(image)
        features = features + self.conv_body(self.body(features))
        for i in range(self.steps):
            features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = _activate(self.get_submodule(f"conv_up{i + 1}")(features))
        return self.conv_last(_activate(self.conv_hr(features)))


class DenseGroup(nn.Module):
    """Three dense blocks inside a scaled identity."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth)
        self.rdb2 = DenseBlock(channels, growth)
        self.rdb3 = DenseBlock(channels, growth)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        return features + RESIDUAL * self.rdb3(self.rdb2(self.rdb1(features)))


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees what all before it saw and made."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for i in range(1, 6):
            self.add_module(f"conv{i}", _convolution(channels + (i - 1) * growth, growth if i < 5 else channels))

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        seen = features
        for i in range(1, 5):
            seen = torch.cat([seen, _activate(self.get_submodule(f"conv{i}")(seen))], 1)
        return features + RESIDUAL * self.get_submodule("conv5")(seen)


def _activate(features: Tensor) -> Tensor:
    return functional.leaky_relu(features, LEAKY_SLOPE)


def _convolution(fan_in: int, fan_out: int) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1)
