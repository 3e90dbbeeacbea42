"""Training losses; pictures are ``(N, 1, H, W)`` with grey range [0, 1]."""

import torch
from torch import Tensor
from torch.nn import functional

from export.models.resample import SCALE, Downscalers


def charbonnier(image: Tensor, target: Tensor, epsilon: float = 2 / 255) -> Tensor:
    """Return the mean of a smooth absolute error: quadratic below ``epsilon``, linear above."""
    return (torch.sqrt((image - target).square() + epsilon**2) - epsilon).mean()


def laplace_likelihood(error: Tensor, scale: Tensor) -> Tensor:
    """Return the mean negative log likelihood of absolute errors under Laplace scales, without its constant."""
    return (error / scale + scale.log()).mean()


def lattice(detail: Tensor) -> Tensor:
    """Return the share of the detail's power that repeats with a period of four pixels.

    True detail has no preferred phase: the mean of each of the 16 phases over a neighbourhood is nearly the same.
    """
    phases = functional.pixel_unshuffle(detail, SCALE)
    local = functional.avg_pool2d(phases, 8, stride=4)
    periodic = local - local.mean(dim=1, keepdim=True)
    return periodic.square().mean() / (detail.detach().square().mean() + 1e-6)


def measurement(downscalers: Downscalers, picture: Tensor, low: Tensor, kinds: Tensor) -> Tensor:
    """Return the mean absolute difference of the picture, shrunk by each crop's own downscaler, and its low resolution.

    The two outermost low-resolution pixels are left out: a crop's antialiased pixels there saw the crop's surroundings.
    """
    shrunk = functional.conv2d(picture, downscalers.kernel, stride=SCALE, padding=6)
    own = shrunk[torch.arange(len(kinds)), kinds][:, None]
    return (own - low)[..., 2:-2, 2:-2].abs().mean()
