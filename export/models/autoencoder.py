"""A small autoencoder of grey pictures with a latent four times smaller, begun from the block KLT of the pictures."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.lattice import OwnLatticeFilter

BLOCK = 4
POSTERIOR_DEVIATION = 0.004
"""Of every latent element, in grey range 1 and the orthonormal basis of the blocks: about 0.7 grey levels of 255."""


class GreyAutoencoder(nn.Module):
    """Encode ``(N, 1, H, W)`` in [-1, 1] to ``(N, channels, H/4, W/4)`` of unit variance per channel, and back.

    The linear path is the Karhunen-Loeve transform of 4 x 4 blocks (`klt`), convolutions add to it from zero on. The
    posterior is normal with one fixed deviation, so its mean alone is a network, and the KL term would only fix the
    scale, which the transform fixes already.
    """

    deviation: Tensor

    def __init__(self, channels: int = 8, width: int = 48, features: int = 12) -> None:
        super().__init__()
        self.channels = channels
        self.encoder = Encoder(channels, width)
        self.decoder = Decoder(channels, width, features)
        self.filter = OwnLatticeFilter()
        self.register_buffer("deviation", torch.ones(1, channels, 1, 1))

    def begin(self, mean: np.ndarray, basis: np.ndarray, deviations: np.ndarray) -> None:
        """Become the linear transform of `klt`; ``basis`` may have more vectors than there are channels."""
        vectors = torch.from_numpy(basis[: self.channels].astype(np.float32))
        spread = torch.from_numpy(deviations[: self.channels].astype(np.float32))[:, None]
        with torch.no_grad():
            analysis = vectors / spread
            # Pictures are 2 p - 1 of the grey p that the transform was fitted on.
            self.encoder.linear.weight.copy_((analysis / 2)[:, :, None, None])
            self.encoder.linear.bias.copy_(analysis @ torch.from_numpy(0.5 - mean).float())
            self.decoder.linear.weight.copy_((2 * spread * vectors).T[:, :, None, None])
            self.decoder.linear.bias.copy_(torch.from_numpy(2 * mean - 1))
            self.deviation.copy_((POSTERIOR_DEVIATION / spread).reshape(1, -1, 1, 1))

    def encode(self, picture: Tensor) -> Tensor:
        """Return the mean of the posterior."""
        return self.encoder(picture)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the picture, not clipped, without a lattice of the blocks."""
        return self.filter(self.decoder(latent))


class Encoder(nn.Module):
    """Blocks of 4 x 4 pixels to channels."""

    phases: Tensor

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        # PixelUnshuffle with a dynamic size becomes shape arithmetic in ONNX.
        phases = torch.eye(BLOCK**2).reshape(-1, 1, BLOCK, BLOCK)
        self.register_buffer("phases", phases, persistent=False)
        self.linear = nn.Conv2d(BLOCK**2, channels, 1)
        self.stem = nn.Conv2d(BLOCK**2, width, 3, padding=1)
        self.block = PlainBlock(width)
        self.head = _silent(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Take ``(N, 1, H, W)`` with sides that are multiples of 4."""
        blocks = functional.conv2d(image, self.phases, stride=BLOCK)
        return self.linear(blocks) + self.head(functional.silu(self.block(self.stem(blocks))))


class Decoder(nn.Module):
    """Channels to blocks of 4 x 4 pixels, with a last convolution across the blocks' borders."""

    def __init__(self, channels: int, width: int, features: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(channels, BLOCK**2, 1)
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(PlainBlock(width), PlainBlock(width))
        self.expand = nn.Conv2d(width, features * BLOCK**2, 3, padding=1)
        self.refine = nn.Conv2d(features + 1, features, 3, padding=1)
        self.head = _silent(nn.Conv2d(features, 1, 3, padding=1))

    def forward(self, latent: Tensor) -> Tensor:
        """Return ``(N, 1, 4h, 4w)``."""
        linear = functional.pixel_shuffle(self.linear(latent), BLOCK)
        wide = functional.pixel_shuffle(self.expand(functional.silu(self.blocks(self.stem(latent)))), BLOCK)
        inner = self.refine(torch.cat((functional.silu(wide), linear), dim=1))
        return linear + self.head(functional.silu(inner))


class PlainBlock(nn.Module):
    """Activation and convolution, twice, around an identity; the second convolution starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = _silent(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        return features + self.second(functional.silu(self.first(functional.silu(features))))


def klt(pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit the Karhunen-Loeve transform of 4 x 4 blocks to uint8 pictures; grey range 1.

    Returns the mean block ``(16,)``, the basis as rows ``(16, 16)`` from the largest deviation down, the deviations.
    """
    count, total, product = 0, np.zeros(BLOCK**2), np.zeros((BLOCK**2, BLOCK**2))
    for picture in pictures:
        height, width = (side // BLOCK for side in picture.shape)
        cut = picture[: height * BLOCK, : width * BLOCK].astype(np.float64) / 255
        blocks = cut.reshape(height, BLOCK, width, BLOCK).transpose(0, 2, 1, 3).reshape(-1, BLOCK**2)
        count, total, product = count + len(blocks), total + blocks.sum(0), product + blocks.T @ blocks
    mean = total / count
    powers, vectors = np.linalg.eigh(product / count - np.outer(mean, mean))
    return mean, vectors.T[::-1].copy(), np.sqrt(np.maximum(powers[::-1], 1e-12))


def _silent(convolution: nn.Conv2d) -> nn.Conv2d:
    """Let a convolution start at zero."""
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution
