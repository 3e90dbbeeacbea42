"""Measure properties of an X-ray network that need its inside: receptive field and planted blobs."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.data.degradations import downscale
from export.evaluation import cases
from export.models.cxr import CxrSuperResolution

ON, CUBIC, EIGHT_BIT = torch.ones(1), torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1 / 255])


def receptive_field_radius(network: CxrSuperResolution, side: int = 161) -> int:
    """Return how many input pixels per side of an input pixel can change its 4 x 4 output pixels, consistency included.

    Measured by gradient on a copy whose convolutions are positive, so that no path vanishes in a ReLU,
    by clipping or by rounding.
    """
    random = torch.Generator().manual_seed(0)
    positive = copy.deepcopy(network).double()
    for module in positive.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = torch.rand(module.weight.shape, generator=random).double() / module.weight[0].numel()
            nn.init.constant_(module.bias, 0.01)
    for tail in (positive.tail, positive.detail.tail):
        tail.outputs.weight.data *= 0.01
    image = 0.4 + 0.2 * torch.rand(1, 1, side, side, generator=random, dtype=torch.float64)
    image.requires_grad_()
    dials = (value.double() for value in (torch.zeros(1), torch.full((3,), 1 / 3), 1e-2 * ON, 0 * ON))
    upscaled, scale = positive(image, *dials)
    centre = slice(4 * (side // 2), 4 * (side // 2) + 4)
    weights = torch.rand(4, 4, generator=random, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(((upscaled + scale)[0, 0, centre, centre] * weights).sum(), image)
    touched = gradient[0, 0].abs().sum(0).nonzero().ravel() - side // 2
    return int(touched.abs().max())


@torch.no_grad()
def effective_radius(network: CxrSuperResolution, low: np.ndarray, fidelity: float, tolerance: float) -> int:
    """Return the smallest overlap at which a tile's inner pixels equal the whole picture's within ``tolerance``.

    ``low`` is uint8; the tolerance is in grey levels of 255. The tile is the picture without its left part.
    """
    whole = _run(network, low, fidelity)
    middle = low.shape[1] // 2
    for radius in range(0, middle, 4):
        tile = _run(network, low[:, middle - radius :], fidelity)
        if np.abs(tile[:, 4 * radius :] - whole[:, 4 * middle :]).max() <= tolerance:
            return radius
    return middle


@torch.no_grad()
def blob_energy_left(
    network: CxrSuperResolution, data: Path, fidelity: float, sigma: float, pictures: int = 8
) -> float:
    """Plant a Gaussian blob of 20 grey levels before the consistency step of cubic pictures; return the energy left."""
    shares = []
    random = np.random.default_rng(0)
    for case in list(cases(data, "nih-256", 10))[:pictures]:
        image = _tensor(downscale(case.high, "cubic"))
        heads = network.heads(image, CUBIC[None])
        picture = network.filter(heads.mean + network.detail_gain * (1 - fidelity) * heads.detail, image)
        y, x = np.mgrid[: case.high.shape[0], : case.high.shape[1]]
        row, column = random.uniform(64, 192, 2)
        blob = torch.from_numpy(20 / 255 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))).float()
        weights = CUBIC.reshape(1, 3, 1, 1)
        clean, spoiled = (network.consistency(start, image, weights, EIGHT_BIT) for start in (picture, picture + blob))
        shares.append(float((spoiled - clean).square().sum() / blob.square().sum()))
    return float(np.mean(shares))


def _run(network: CxrSuperResolution, low: np.ndarray, fidelity: float) -> np.ndarray:
    return network(_tensor(low), torch.tensor([fidelity]), CUBIC, ON, EIGHT_BIT)[0][0, 0].numpy() * 255


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.astype(np.float32) / 255)[None, None]
