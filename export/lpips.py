"""LPIPS v0.1 (Zhang et al. 2018, BSD-2-Clause) in torch, from the plain state dicts of whole networks."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


class Lpips(nn.Module):
    """Measure the perceptual distance of two batches; the weights are frozen, the inputs may carry gradients.

    ``network`` is ``alex`` or ``squeeze``; ``folder`` holds ``lpips_NETWORK_state_dict.pt`` with the keys
    ``sl.I.J.weight`` (backbone slices), ``lin.I``, ``shift`` and ``scale``.
    """

    def __init__(self, network: str, folder: Path) -> None:
        super().__init__()
        state = torch.load(folder / f"lpips_{network}_state_dict.pt", weights_only=True)
        slices = NETWORKS[network]()
        slices.load_state_dict({k.removeprefix("sl."): v for k, v in state.items() if k.startswith("sl.")})
        self.slices = slices
        for name in ("shift", "scale"):
            self.register_buffer(name, state[name])
        self.heads = nn.ParameterList([state[f"lin.{i}"] for i in range(len(slices))])
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Take two batches ``(N, 3, H, W)`` RGB or ``(N, 1, H, W)`` grey in [0, 1]; return the distance ``(N,)``."""
        return self.distance(self.features(image), self.features(reference))

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the unit-length feature maps of a batch ``(N, 3 or 1, H, W)`` in [0, 1], one per slice."""
        x = (((2 * image - 1) - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)
        maps = []
        for stage in self.slices:
            x = stage(x)
            maps.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return maps

    def distance(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Return the weighted squared distance ``(N,)`` of two lists of `features`."""
        parts = [
            functional.conv2d((a - b).square(), w).mean((1, 2, 3))
            for a, b, w in zip(first, second, self.heads, strict=True)
        ]
        return torch.stack(parts).sum(0)


class Fire(nn.Module):
    """SqueezeNet 1.1's block: squeeze to few channels, expand by 1 x 1 and 3 x 3 side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``2 * expand`` channels."""
        x = functional.relu(self.squeeze(x))
        return functional.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


def _alex_slices() -> nn.Sequential:
    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, 2)

    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU()),
        nn.Sequential(pool(), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
        nn.Sequential(pool(), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )


def _squeeze_slices() -> nn.Sequential:
    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU()),
        nn.Sequential(pool(), Fire(64, 16, 64), Fire(128, 16, 64)),
        nn.Sequential(pool(), Fire(128, 32, 128), Fire(256, 32, 128)),
        nn.Sequential(pool(), Fire(256, 48, 192)),
        nn.Sequential(Fire(384, 48, 192)),
        nn.Sequential(Fire(384, 64, 256)),
        nn.Sequential(Fire(512, 64, 256)),
    )


NETWORKS = {"alex": _alex_slices, "squeeze": _squeeze_slices}
"""Backbones by the name of their weights."""
