"""Make a x4 picture agree with the measured pixels: choose the downscaler locally, then project back (oblique)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.resample import DEGRADATIONS, Downscalers, LanczosUpsampler


class DegradationSelector(nn.Module):
    """Weigh the three downscalers per pixel by how well each explains the measured picture in the neighbourhood.

    The evidence is the local mean of the squared residual of the mean prediction, one map per downscaler; its softmax
    is tempered by ``temperature`` times the mean of the three, plus ``floor`` (squared grey levels of 255).
    """

    def __init__(self, temperature: float = 0.05, floor: float = 0.05) -> None:
        super().__init__()
        self.temperature, self.floor = temperature, floor

    def forward(self, residuals: Tensor, degradation: Tensor) -> Tensor:
        """Take residuals ``(N, 3, H, W)`` and additive logits ``(3,)``; return weights ``(N, 3, H, W)`` that sum to 1."""
        levels = residuals * 255
        energy = levels * levels
        for _ in range(3):
            energy = functional.avg_pool2d(energy, 7, stride=1, padding=3, count_include_pad=False)
        spread = self.temperature * energy.mean(dim=1, keepdim=True) + self.floor
        return torch.softmax(degradation.reshape(1, len(DEGRADATIONS), 1, 1) - energy / spread, dim=1)


class DataConsistency(nn.Module):
    """Repeat ``x += strength * U(y - A x)`` with U Lanczos enlargement and A the weighted downscalers, clipped to [0, 1].

    Residuals inside the rounding interval of the input (``quantum`` wide) stay, and a saturated input pixel (exactly 0
    or 1) only bounds the result from one side: the true picture is never pushed away from.
    """

    def __init__(self, iterations: int = 4) -> None:
        super().__init__()
        self.iterations = iterations
        self.upsample = LanczosUpsampler()
        self.downscale = Downscalers()
        self.select = DegradationSelector()

    def forward(
        self, picture: Tensor, mean: Tensor, image: Tensor, degradation: Tensor, strength: Tensor, quantum: Tensor
    ) -> Tensor:
        weight_inside = self.downscale.weight_inside(mean)
        black, white = _is_zero(image), _is_zero(1 - image)
        half_step = quantum.reshape(1, 1, 1, 1) / 2
        weights = self.select(
            self._misfit(image - self.downscale(mean, weight_inside), half_step, black, white), degradation
        )
        weights = weights * strength.reshape(1, 1, 1, 1)
        picture = picture.clamp(0, 1)
        for _ in range(self.iterations):
            misfit = self._misfit(image - self.downscale(picture, weight_inside), half_step, black, white)
            picture = (picture + self.upsample((weights * misfit).sum(dim=1, keepdim=True))).clamp(0, 1)
        return picture

    @staticmethod
    def _misfit(residual: Tensor, half_step: Tensor, black: Tensor, white: Tensor) -> Tensor:
        """Return the part of the residual that rounding and saturation do not explain.

        Firm threshold: zero inside the half step, the whole residual from twice the half step on. Reflecting at the
        bound this way never moves farther from any value in the interval than the residual was.
        """
        lower, upper = -(half_step + 4 * white), half_step + 4 * black
        once = residual - torch.minimum(torch.maximum(residual, lower), upper)
        twice = residual - torch.minimum(torch.maximum(residual, 2 * lower), 2 * upper)
        return 2 * once - twice


def _is_zero(values: Tensor) -> Tensor:
    """Return 1 where non-negative values are 0 and 0 from 1/65535 on; both factors fit half precision."""
    return 1 - ((values * 30000).clamp(0, 1) * 4).clamp(0, 1)
