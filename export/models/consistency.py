"""Make a x4 picture agree with the measured pixels: choose the downscaler locally, then project back (oblique)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.resample import DEGRADATIONS, Downscalers, LanczosUpsampler

CONFIDENCE = 4.0
"""Neighbouring logits agree more than chance: their mean counts this often."""


class DataConsistency(nn.Module):
    """Repeat ``x += U(y - A x)``, clipped to [0, 1]: U enlarges by Lanczos, A is the weighted downscalers.

    Residuals inside the rounding interval of the input (``quantum`` wide) stay, and a saturated input pixel (exactly 0
    or 1) only bounds the result from one side: the true picture is never pushed away from.
    """

    def __init__(self, cubic_logit: float = 0.0, iterations: int = 4) -> None:
        super().__init__()
        self.cubic_logit, self.iterations = cubic_logit, iterations
        self.upsample = LanczosUpsampler()
        self.downscale = Downscalers()

    def forward(self, picture: Tensor, image: Tensor, weights: Tensor, quantum: Tensor) -> Tensor:
        """Take a picture ``(N, 1, 4H, 4W)``, the measured image, and weights of the downscalers ``(N, 3, H, W)``.

        The weights sum to the strength of the correction; ``quantum`` is ``(1,)``.
        """
        measure = Measurement(self.downscale, image, quantum)
        picture = picture.clamp(0, 1)
        for _ in range(self.iterations):
            correction = (weights * measure.misfit(picture)).sum(dim=1, keepdim=True)
            picture = (picture + self.upsample(correction)).clamp(0, 1)
        return picture

    def weights(self, logits: Tensor, degradation: Tensor) -> Tensor:
        """Return weights of the downscalers ``(N, 3, H, W)`` that sum to 1.

        ``logits`` ``(N, 3, H, W)`` are the network's opinion, averaged over a smooth window of 6 pixels radius by
        small windows in a row (the DLA has no larger ones). ``degradation`` ``(3,)`` adds the user's; ``cubic_logit``
        keeps a small network with its most frequent case where it is unsure.
        """
        for _ in range(2):
            logits = functional.avg_pool2d(logits, 7, stride=1, padding=3, count_include_pad=False)
        prior = degradation + torch.tensor([self.cubic_logit, 0.0, 0.0]).to(degradation)
        return torch.softmax(CONFIDENCE * logits + prior.reshape(1, len(DEGRADATIONS), 1, 1), dim=1)


class Measurement:
    """What the measured image says about a picture: rounded to ``quantum``, cut off at 0 and 1."""

    def __init__(self, downscale: Downscalers, image: Tensor, quantum: Tensor) -> None:
        self._downscale, self._image = downscale, image
        half_step = quantum.reshape(1, 1, 1, 1) / 2
        self._inside = downscale.inside(image)
        self._lower, self._upper = -(half_step + 4 * _is_zero(1 - image)), half_step + 4 * _is_zero(image)

    def misfit(self, picture: Tensor) -> Tensor:
        """Return what rounding and saturation leave unexplained of each residual, ``(N, 3, H, W)``."""
        return firm_threshold(self._image - self._downscale(picture) / self._inside, self._lower, self._upper)


def firm_threshold(residual: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return zero inside the bounds, the whole residual beyond twice the bounds, and twice the excess between.

    Subtracting it reflects at the bound: the residual never gets farther from any value inside the bounds.
    """
    once = residual - torch.minimum(torch.maximum(residual, lower), upper)
    twice = residual - torch.minimum(torch.maximum(residual, 2 * lower), 2 * upper)
    return 2 * once - twice


def _is_zero(values: Tensor) -> Tensor:
    """Return 1 where non-negative values are 0 and 0 from 1/65535 on; both factors fit half precision."""
    return 1 - ((values * 30000).clamp(0, 1) * 4).clamp(0, 1)
