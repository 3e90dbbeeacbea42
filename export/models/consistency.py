"""Make a x4 picture agree with the measured pixels by oblique back-projection through the downscaler."""

import torch
from torch import Tensor, nn

from export.models.resample import Downscalers, LanczosUpsampler


class DataConsistency(nn.Module):
    """Repeat ``x += U(y - A x)``, clipped to [0, 1]: U enlarges by Lanczos, A is the weighted downscalers.

    Residuals inside the rounding interval of the input (``quantum`` wide) stay, and a saturated input pixel (exactly 0
    or 1) only bounds the result from one side: the true picture is never pushed away from.
    """

    def __init__(self, iterations: int = 4) -> None:
        super().__init__()
        self.iterations = iterations
        self.upsample = LanczosUpsampler()
        self.downscale = Downscalers()

    def forward(self, picture: Tensor, image: Tensor, weights: Tensor, quantum: Tensor) -> Tensor:
        """Take a picture ``(N, 1, 4H, 4W)``, the measured image, and weights of the downscalers ``(1, 3, 1, 1)``.

        The weights sum to the strength of the correction; ``quantum`` is ``(1,)``.
        """
        measure = Measurement(self.downscale, image, quantum)
        picture = picture.clamp(0, 1)
        for _ in range(self.iterations):
            correction = (weights * measure.misfit(picture)).sum(dim=1, keepdim=True)
            picture = (picture + self.upsample(correction)).clamp(0, 1)
        return picture


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
