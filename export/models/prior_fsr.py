"""Prior-guided face super-resolution, 16 x 16 to 128 x 128, with maps of the parts of the face as a second result.

A branch of 16 residual blocks with channel attention (Zhang et al., ECCV 2018, arXiv 1807.02758) enlarges; an hourglass
(Newell et al., ECCV 2016, arXiv 1603.06937) estimates parsing maps from the enlarged input; a fusion of both makes the
picture, as FSRNet (Chen et al., CVPR 2018, arXiv 1711.10703) introduced it. Written from these papers; widths are
chosen to come to the 3.94 million parameters of the 16-block network. There are no published checkpoints of it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.edsr import shuffle_stages

PARTS = 11
"""Maps of the parsing branch."""


class PriorFsr(nn.Module):
    """Enlarge RGB faces ``(N, 3, H, W)`` in [0, 1]; H and W are multiples of 4, 16 in training."""

    def __init__(self, channels: int = 64, blocks: int = 16, prior: int = 128, fusion: int = 8, scale: int = 8) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = _convolution(3, channels)
        self.body = nn.Sequential(*(AttentionBlock(channels) for _ in range(blocks)))
        self.conv_after_body = _convolution(channels, channels)
        self.upsample = shuffle_stages(scale, channels)
        self.parsing = ParsingBranch(prior)
        self.fuse = _convolution(channels + prior + PARTS, channels)
        self.refine = nn.Sequential(*(AttentionBlock(channels) for _ in range(fusion)))
        self.conv_last = _convolution(channels, 3)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the picture ``(N, 3, H * scale, W * scale)`` and the shares of the parts ``(N, 11, ...)`` as large."""
        shallow = self.conv_first(image)
        features = self.upsample(shallow + self.conv_after_body(self.body(shallow)))
        coarse = functional.interpolate(image, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        prior, maps = self.parsing(coarse)
        fused = self.refine(self.fuse(torch.cat([features, prior, maps], 1)))
        return coarse + self.conv_last(fused), maps.softmax(1)


class AttentionBlock(nn.Module):
    """Two convolutions, scaled per channel by what the whole picture shows, inside an identity."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, channels)
        self.conv2 = _convolution(channels, channels)
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        change = self.conv2(functional.relu(self.conv1(features)))
        mean = change.mean((2, 3), keepdim=True)
        return features + change * torch.sigmoid(self.excite(functional.relu(self.squeeze(mean))))


class ParsingBranch(nn.Module):
    """Two hourglasses at half resolution; returns features and the logits of the parts, as large as its input."""

    def __init__(self, width: int, depth: int = 4, stacks: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width // 2, 7, 2, 3), nn.BatchNorm2d(width // 2), nn.ReLU())
        self.widen = Bottleneck(width // 2, width)
        self.hourglasses = nn.Sequential(*(Hourglass(width, depth) for _ in range(stacks)))
        self.after = nn.Sequential(Bottleneck(width, width), nn.Conv2d(width, width, 1), nn.BatchNorm2d(width))
        self.maps = nn.Conv2d(width, PARTS, 1)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Take a picture whose sides are multiples of 32."""
        features = functional.relu(self.after(self.hourglasses(self.widen(self.stem(picture)))))
        both = torch.cat([features, self.maps(features)], 1)
        both = functional.interpolate(both, scale_factor=2.0, mode="bilinear", align_corners=False)
        return both[:, :-PARTS], both[:, -PARTS:]


class Hourglass(nn.Module):
    """Halve the map ``depth`` times and come back, with a bottleneck beside every step."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.beside = Bottleneck(width, width)
        self.down = Bottleneck(width, width)
        self.inner = Hourglass(width, depth - 1) if depth > 1 else Bottleneck(width, width)
        self.up = Bottleneck(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        low = self.up(self.inner(self.down(functional.max_pool2d(features, 2))))
        return self.beside(features) + functional.interpolate(low, scale_factor=2.0, mode="nearest")


class Bottleneck(nn.Module):
    """Norm and ReLU before each of three convolutions, the middle one 3 x 3 at half the width, inside an identity."""

    def __init__(self, fan_in: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.change = nn.Sequential(
            *(nn.BatchNorm2d(fan_in), nn.ReLU(), nn.Conv2d(fan_in, half, 1)),
            *(nn.BatchNorm2d(half), nn.ReLU(), _convolution(half, half)),
            *(nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, width, 1)),
        )
        self.identity = nn.Identity() if fan_in == width else nn.Conv2d(fan_in, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``width`` channels."""
        return self.identity(features) + self.change(features)


def _convolution(fan_in: int, fan_out: int) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, padding=1)
