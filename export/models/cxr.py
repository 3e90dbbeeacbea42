"""The chest X-ray x4 networks: one residual body on the measured grid, three heads, data consistency in the graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.consistency import DataConsistency
from export.models.heads import Heads
from export.models.lattice import LatticeFilter
from export.models.resample import DEGRADATIONS, SCALE, BicubicUpsampler


class CxrSuperResolution(nn.Module):
    """Enlarge a grey radiograph four times and say how far each pixel may be off.

    Every block is told how the input was made small by a bias per degradation: one network that had to find out for
    itself from 3 x 3 windows sharpened antialiased pictures half as well. With ``branch`` blocks of its own, the detail
    leaves the body before its last ``branch`` blocks and no gradient goes back: what makes a picture look sharp cannot
    cost the mean, which lost 0.1 dB where both shared all blocks. ``forward`` is the exported graph; `heads` is
    what training differentiates. Every operation has a finite receptive field and none pools over the picture, so
    tiles with enough overlap equal the whole.
    """

    def __init__(self, channels: int, blocks: int, features: int, branch: int = 0, detail_gain: float = 1.5) -> None:
        super().__init__()
        self.detail_gain = detail_gain
        self.consistency = DataConsistency()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.stem_bias = DegradationBias(channels)
        self.body = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))
        self.branch = nn.ModuleList(ResidualBlock(channels) for _ in range(branch))
        self.tails = nn.ModuleList(Tail(channels, features, n) for n in ((1, 2) if branch else (3,)))
        with torch.no_grad():
            self.stem.weight -= self.stem.weight.mean((2, 3), keepdim=True)
            self.stem.weight *= 20
        self.upsample = BicubicUpsampler()
        self.filter = LatticeFilter()

    def heads(self, image: Tensor, degradation: Tensor) -> Heads:
        """Return what the convolutions predict, before consistency.

        ``image`` is ``(N, 1, H, W)`` in [0, 1], ``degradation`` ``(N, 3)`` or ``(1, 3)`` the shares of `DEGRADATIONS`.
        """
        stem, fork, body = self._bodies(image, degradation)
        correction, *rest = self.tails[0](body + stem).split(1, dim=1)
        if self.branch:
            fork = fork.detach()
            for block in self.branch:
                fork = block(fork, degradation)
            rest = self.tails[1](fork + stem.detach()).split(1, dim=1)
        detail, log_scale = rest
        return Heads(self.upsample(image) + correction, detail, log_scale)

    def mean(self, image: Tensor, degradation: Tensor) -> Tensor:
        """Return the mean of `heads` alone: training it needs nothing of the branch."""
        stem, _, body = self._bodies(image, degradation)
        return self.upsample(image) + self.tails[0](body + stem)[:, :1]

    def _bodies(self, image: Tensor, degradation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features of the stem, those that the branch leaves with, and those of the whole body."""
        stem = self.stem(image - 0.5) + self.stem_bias(degradation)
        body, fork = stem, stem
        for index, block in enumerate(self.body):
            if index == len(self.body) - len(self.branch):
                fork = body
            body = block(body, degradation)
        return stem, fork, body

    def mean_parameters(self) -> list[nn.Parameter]:
        """Return what only the mean trains: nothing where the detail shares all blocks."""
        if not self.branch:
            return []
        parts = (self.stem, self.stem_bias, self.body, self.tails[0])
        return [parameter for part in parts for parameter in part.parameters()]

    @staticmethod
    def laplace_scale(log_scale: Tensor) -> Tensor:
        """Return the Laplace scale b > 0 of the absolute error, grey range 1."""
        return 0.02 * torch.exp(log_scale.clamp(-5, 3))

    def forward(
        self, image: Tensor, fidelity: Tensor, degradation: Tensor, consistency: Tensor, quantum: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return ``upscaled`` in [0, 1] and ``scale``, both ``(N, 1, 4H, 4W)``.

        ``fidelity`` ``(1,)``: 1 = the mean, 0 = sharpest. ``degradation`` ``(3,)``: shares of `DEGRADATIONS`, sum 1.
        ``consistency`` ``(1,)``: 0 = off, 1 = full. ``quantum`` ``(1,)``: grey step of the input, grey range 1.
        """
        heads = self.heads(image, degradation.reshape(1, -1))
        picture = heads.mean + self.detail_gain * (1 - fidelity).reshape(1, 1, 1, 1) * heads.detail
        picture = self.filter(picture, image)
        weights = degradation.reshape(1, -1, 1, 1) * consistency.reshape(1, 1, 1, 1)
        upscaled = self.consistency(picture, image, weights, quantum)
        return upscaled, self.laplace_scale(heads.log_scale)


class ResidualBlock(nn.Module):
    """Convolution, bias of the degradation, ReLU, convolution around an identity; the last one starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.bias = DegradationBias(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, features: Tensor, degradation: Tensor) -> Tensor:
        """Return as many channels as ``features`` has; ``degradation`` is ``(N, 3)``."""
        return features + self.second(functional.relu(self.first(features) + self.bias(degradation)))


class Tail(nn.Module):
    """Features of the measured grid to ``outputs`` pictures of four times its size; starts at zero."""

    def __init__(self, channels: int, features: int, outputs: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, features * SCALE**2, 3, padding=1)
        self.refine = nn.Conv2d(features, features + 4, 3, padding=1)
        self.outputs = nn.Conv2d(features + 4, outputs, 3, padding=1)
        nn.init.zeros_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, body: Tensor) -> Tensor:
        """Take ``(N, C, H, W)``, return ``(N, outputs, 4H, 4W)``."""
        expanded = functional.relu(functional.pixel_shuffle(self.expand(body), SCALE))
        pictures: Tensor = self.outputs(functional.relu(self.refine(expanded)))
        return pictures


class DegradationBias(nn.Module):
    """Turn shares of the degradations ``(N, 3)`` into a bias of the channels ``(N, C, 1, 1)``; starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(len(DEGRADATIONS), channels))

    def forward(self, degradation: Tensor) -> Tensor:
        """Mix the rows of the table."""
        return (degradation[:, :, None] * self.table).sum(dim=1)[:, :, None, None]


def cxr_x4() -> CxrSuperResolution:
    """Build the default network."""
    return CxrSuperResolution(channels=48, blocks=12, features=12, branch=3)


def cxr_x4_fast() -> CxrSuperResolution:
    """Build the network for small devices, at most 60,000 parameters."""
    return CxrSuperResolution(channels=24, blocks=4, features=4)


MODELS = {"cxr-x4": cxr_x4, "cxr-x4-fast": cxr_x4_fast}
