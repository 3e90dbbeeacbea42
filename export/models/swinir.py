"""SwinIR: shifted-window attention for restoration (Liang et al., ICCV Workshops 2021, arXiv 2108.10257).

Written from the paper for export: windows have static shapes, and the mask of shifted windows is a constant of the
picture's size. Parameter names follow the authors' checkpoints. Lightweight: 929,628 parameters at x4; classical:
11,900,199.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.edsr import shuffle_stages

MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K in [0, 1], RGB."""
MASKED = -100.0
"""Added to the attention between places that a shift made neighbours."""
FEATURES = 64
"""Channels of the enlargement."""
Upsampler = Literal["pixelshuffle", "pixelshuffledirect", "nearest+conv", ""]


class SwinIr(nn.Module):
    """Enlarge ``(N, C, H, W)`` in [0, 1] ``scale`` times; H and W are multiples of ``window``."""

    def __init__(
        self,
        scale: int,
        width: int,
        depths: Sequence[int],
        heads: Sequence[int],
        *,
        window: int = 8,
        ratio: float = 2.0,
        upsampler: Upsampler = "pixelshuffle",
        channels: int = 3,
        has_three_convolutions: bool = False,
    ) -> None:
        super().__init__()
        self.upsampler, self.scale, self.window = upsampler, scale, window
        mean = torch.tensor(MEAN) if channels == 3 else torch.zeros(channels)
        self.register_buffer("mean", mean.reshape(1, channels, 1, 1), persistent=False)
        self.conv_first = _convolution(channels, width)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        self.layers = nn.ModuleList(
            TransformerGroup(width, depth, head, window, ratio, has_three_convolutions=has_three_convolutions)
            for depth, head in zip(depths, heads, strict=True)
        )
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = _joint(width, has_three_convolutions)
        if upsampler == "pixelshuffle":
            self.conv_before_upsample = nn.Sequential(_convolution(width, FEATURES), nn.LeakyReLU(0.01))
            self.upsample = shuffle_stages(scale, FEATURES)
            self.conv_last = _convolution(FEATURES, channels)
        elif upsampler == "pixelshuffledirect":
            self.upsample = nn.Sequential(_convolution(width, scale**2 * channels), nn.PixelShuffle(scale))
        elif upsampler == "nearest+conv":
            self.conv_before_upsample = nn.Sequential(_convolution(width, FEATURES), nn.LeakyReLU(0.01))
            for i in range(scale.bit_length() - 1):
                self.add_module(f"conv_up{i + 1}", _convolution(FEATURES, FEATURES))
            self.conv_hr = _convolution(FEATURES, FEATURES)
            self.conv_last = _convolution(FEATURES, channels)
        else:
            self.conv_last = _convolution(width, channels)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, C, H * scale, W * scale)``."""
        image = image - self.mean
        shallow = self.conv_first(image)
        features = self.patch_embed["norm"](shallow.permute(0, 2, 3, 1))
        mask = shift_mask(features.shape[1], features.shape[2], self.window, features)
        for layer in self.layers:
            features = layer(features, mask)
        features = self.norm(features).permute(0, 3, 1, 2)
        return self._enlarge(self.conv_after_body(features) + shallow, image) + self.mean

    def _enlarge(self, features: Tensor, image: Tensor) -> Tensor:
        if self.upsampler == "":
            return image + self.conv_last(features)
        if self.upsampler == "pixelshuffledirect":
            return self.upsample(features)
        features = self.conv_before_upsample(features)
        if self.upsampler == "pixelshuffle":
            return self.conv_last(self.upsample(features))
        for i in range(self.scale.bit_length() - 1):
            features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = functional.leaky_relu(self.get_submodule(f"conv_up{i + 1}")(features), 0.2)
        return self.conv_last(functional.leaky_relu(self.conv_hr(features), 0.2))


class TransformerGroup(nn.Module):
    """Transformer blocks with and without shift in turn, then a convolution, inside an identity."""

    def __init__(
        self, width: int, depth: int, heads: int, window: int, ratio: float, *, has_three_convolutions: bool
    ) -> None:
        super().__init__()
        blocks = [TransformerBlock(width, heads, window, window // 2 * (i % 2), ratio) for i in range(depth)]
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(blocks)})
        self.conv = _joint(width, has_three_convolutions)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Keep the shape ``(N, H, W, C)``."""
        result = features
        for block in self.residual_group["blocks"]:
            result = block(result, mask)
        return features + self.conv(result.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class TransformerBlock(nn.Module):
    """Window attention and a perceptron, each behind a layer norm and inside an identity."""

    def __init__(self, width: int, heads: int, window: int, shift: int, ratio: float) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        hidden = int(width * ratio)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Keep the shape ``(N, H, W, C)``."""
        rows, columns = features.shape[1] // self.window, features.shape[2] // self.window
        x = self.norm1(features)
        if self.shift:
            x = _rolled(x, self.shift)
        x = windows(x, rows, columns, self.window)
        x = self.attn(x, mask if self.shift else None)
        x = _joined(x, rows, columns, self.window)
        if self.shift:
            x = _rolled(x, -self.shift)
        features = features + x
        return features + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(features))))


class WindowAttention(nn.Module):
    """Self-attention among the pixels of a window with a learned bias for every relative position."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_positions(window), persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Keep the shape ``(N, windows, pixels, C)``; ``mask`` is ``(windows, 1, pixels, pixels)``."""
        n, count, pixels, width = x.shape
        qkv = self.qkv(x).reshape(n, count, pixels, 3, self.heads, width // self.heads).permute(3, 0, 1, 4, 2, 5)
        query, key, value = qkv.unbind(0)
        bias = self.relative_position_bias_table[self.relative_position_index.reshape(-1)]
        bias = bias.reshape(pixels, pixels, self.heads).permute(2, 0, 1)
        attention = query * (width // self.heads) ** -0.5 @ key.transpose(-2, -1) + bias
        if mask is not None:
            attention = attention + mask
        result = attention.softmax(-1) @ value
        return self.proj(result.transpose(2, 3).reshape(n, count, pixels, width))


def shift_mask(h: int, w: int, window: int, like: Tensor) -> Tensor:
    """Return ``(windows, 1, pixels, pixels)``: 0 between pixels that were near each other before the shift."""

    def bands(side: int) -> Tensor:
        place = torch.arange(side, device=like.device)
        return (place >= side - window).to(like.dtype) + (place >= side - window // 2).to(like.dtype)

    region = (3 * bands(h)[:, None] + bands(w)[None, :])[None, :, :, None]
    parts = windows(region, h // window, w // window, window)[0, :, :, 0]
    return (parts[:, None, :] != parts[:, :, None]).to(like.dtype)[:, None] * MASKED


def windows(x: Tensor, rows: int, columns: int, window: int) -> Tensor:
    """Cut ``(N, H, W, C)`` into ``(N, rows * columns, window * window, C)``."""
    n, _, _, width = x.shape
    x = x.reshape(n, rows, window, columns, window, width).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(n, rows * columns, window * window, width)


def relative_positions(window: int) -> Tensor:
    """Return the row of the bias table for every pair of pixels of a window, int64 ``(pixels, pixels)``."""
    place = torch.arange(window)
    row, column = (part.reshape(-1) for part in torch.meshgrid(place, place, indexing="ij"))
    distance = torch.stack([axis[:, None] - axis[None, :] + window - 1 for axis in (row, column)])
    return distance[0] * (2 * window - 1) + distance[1]


def _joined(x: Tensor, rows: int, columns: int, window: int) -> Tensor:
    n, _, _, width = x.shape
    x = x.reshape(n, rows, columns, window, window, width).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(n, rows * window, columns * window, width)


def _rolled(x: Tensor, shift: int) -> Tensor:
    """Move the pixels by ``shift`` up and to the left, around the border."""
    x = torch.cat([x[:, shift:], x[:, :shift]], 1)
    return torch.cat([x[:, :, shift:], x[:, :, :shift]], 2)


def _joint(width: int, has_three: bool) -> nn.Module:
    """Build the convolution at the end of a group: one, or the bottleneck of three of the large network."""
    if not has_three:
        return _convolution(width, width)
    return nn.Sequential(
        _convolution(width, width // 4),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width // 4, width // 4, 1),
        nn.LeakyReLU(0.2),
        _convolution(width // 4, width),
    )


def _convolution(fan_in: int, fan_out: int) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1)


def swinir_light(scale: int) -> SwinIr:
    """Build the lightweight network."""
    return SwinIr(scale, 60, (6,) * 4, (6,) * 4, upsampler="pixelshuffledirect")


def swinir_classical(scale: int) -> SwinIr:
    """Build the classical network."""
    return SwinIr(scale, 180, (6,) * 6, (6,) * 6)
