"""The chest X-ray x4 networks: a residual body on the measured grid, three heads, data consistency in the graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.consistency import DataConsistency
from export.models.heads import Heads
from export.models.lattice import LatticeFilter
from export.models.resample import DEGRADATIONS, SCALE, BicubicUpsampler


class CxrSuperResolution(nn.Module):
    """Enlarge a grey radiograph four times and say how far each pixel may be off.

    Every block is told how the input was made small by a bias and gains per degradation: one network that had to find
    out for itself from 3 x 3 windows sharpened antialiased pictures half as well. ``detail`` leaves the body after
    ``fork`` blocks and no gradient goes back: what makes a picture look sharp cannot cost the mean, which lost 0.1 dB
    where both shared all blocks. Without ``features`` the body's channels become the picture directly. ``forward`` is
    the exported graph; `heads` is what training differentiates. Every operation has a finite receptive field and none
    pools over the picture, so tiles with enough overlap equal the whole.
    """

    def __init__(
        self, channels: int, *, blocks: int, features: int, fork: int, detail: nn.Module, detail_gain: float = 1.5
    ) -> None:
        super().__init__()
        self.detail_gain = detail_gain
        self.fork = fork
        self.consistency = DataConsistency()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.stem_bias = DegradationTable(channels)
        self.body = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))
        self.tail: nn.Module = Tail(channels, features, 1) if features else Enlarge(channels)
        self.detail = detail
        with torch.no_grad():
            self.stem.weight -= self.stem.weight.mean((2, 3), keepdim=True)
            self.stem.weight *= 20
        self.upsample = BicubicUpsampler()
        self.filter = LatticeFilter()

    def heads(self, image: Tensor, degradation: Tensor) -> Heads:
        """Return what the convolutions predict, before consistency.

        ``image`` is ``(N, 1, H, W)`` in [0, 1], ``degradation`` ``(N, 3)`` or ``(1, 3)`` the shares of `DEGRADATIONS`.
        """
        mean, fork, stem = self._mean(image, degradation)
        detail, log_scale = self.detail(fork.detach(), stem.detach(), degradation).split(1, dim=1)
        return Heads(mean, detail, log_scale)

    def mean(self, image: Tensor, degradation: Tensor) -> Tensor:
        """Return the mean of `heads` alone: training it needs nothing of the detail."""
        return self._mean(image, degradation)[0]

    def _mean(self, image: Tensor, degradation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean, the features that the detail leaves the body with, and those of the stem."""
        body = fork = stem = self.stem(image - 0.5) + self.stem_bias(degradation)
        for index, block in enumerate(self.body):
            body = block(body, degradation)
            if index + 1 == self.fork:
                fork = body
        return self.upsample(image) + self.tail(body + stem), fork, stem

    def mean_parameters(self) -> list[nn.Parameter]:
        """Return what only the mean trains."""
        parts = (self.stem, self.stem_bias, self.body, self.tail)
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
    """Convolution, gain and bias of the degradation, ReLU, convolution around an identity; the last starts at zero."""

    def __init__(self, channels: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or channels
        self.first = nn.Conv2d(channels, inner, 3, padding=1)
        self.gain = DegradationTable(inner)
        self.bias = DegradationTable(inner)
        self.second = nn.Conv2d(inner, channels, 3, padding=1)
        self.share = DegradationTable(channels)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, features: Tensor, degradation: Tensor) -> Tensor:
        """Return as many channels as ``features`` has; ``degradation`` is ``(N, 3)``."""
        found = functional.relu(self.first(features) * (1 + self.gain(degradation)) + self.bias(degradation))
        return features + self.second(found) * (1 + self.share(degradation))


class Detail(nn.Module):
    """Detail and log-scale of the error by blocks like the body's, narrower within where ``inner`` says so."""

    def __init__(self, channels: int, *, blocks: int, features: int, kernel: int = 3, inner: int | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(channels, inner) for _ in range(blocks))
        self.tail = Tail(channels, features, 2, kernel)

    def forward(self, fork: Tensor, stem: Tensor, degradation: Tensor) -> Tensor:
        """Take ``(N, C, H, W)`` twice, return ``(N, 2, 4H, 4W)``."""
        for block in self.blocks:
            fork = block(fork, degradation)
        pictures: Tensor = self.tail(fork + stem)
        return pictures


class Tail(nn.Module):
    """Features of the measured grid to ``outputs`` pictures of four times its size; starts at zero."""

    def __init__(self, channels: int, features: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, features * SCALE**2, kernel, padding=kernel // 2)
        self.refine = nn.Conv2d(features, features + 4, 3, padding=1)
        self.outputs = nn.Conv2d(features + 4, outputs, 3, padding=1)
        nn.init.zeros_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, body: Tensor) -> Tensor:
        """Take ``(N, C, H, W)``, return ``(N, outputs, 4H, 4W)``."""
        expanded = functional.relu(functional.pixel_shuffle(self.expand(body), SCALE))
        pictures: Tensor = self.outputs(functional.relu(self.refine(expanded)))
        return pictures


class Enlarge(nn.Module):
    """Channels of the measured grid to one picture of four times its size by one convolution; starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.outputs = nn.Conv2d(channels, SCALE**2, 3, padding=1)
        nn.init.zeros_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, body: Tensor) -> Tensor:
        """Take ``(N, C, H, W)``, return ``(N, 1, 4H, 4W)``."""
        return functional.pixel_shuffle(self.outputs(body), SCALE)


class DegradationTable(nn.Module):
    """Turn shares of the degradations ``(N, 3)`` into a number per channel ``(N, C, 1, 1)``; starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(len(DEGRADATIONS), channels))

    def forward(self, degradation: Tensor) -> Tensor:
        """Mix the rows of the table."""
        return (degradation[:, :, None] * self.table).sum(dim=1)[:, :, None, None]


def cxr_x4() -> CxrSuperResolution:
    """Build the default network."""
    return CxrSuperResolution(48, blocks=12, features=12, fork=9, detail=Detail(48, blocks=3, features=12))


def cxr_x4_fast() -> CxrSuperResolution:
    """Build the network for small devices, with its fixed kernels at most 60,000 numbers."""
    detail = Detail(24, blocks=1, features=5, kernel=1, inner=18)
    return CxrSuperResolution(24, blocks=4, features=0, fork=4, detail=detail)


MODELS = {"cxr-x4": cxr_x4, "cxr-x4-fast": cxr_x4_fast}
