"""Keep a x4 network from drawing a lattice with the period of its pixel shuffle."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.resample import SCALE, BicubicUpsampler, Downscalers

LARGEST = 8 / 255
"""What a pixel counts for at most in the search for a lattice, grey range 1."""
LARGEST_DECODED = 2 * 24 / 255
"""The same for decoded pictures, grey range [-1, 1]: blocks of a latent leave stronger lattices."""


class LatticeFilter(nn.Module):
    """Take out of a x4 picture what repeats every four pixels over a neighbourhood and no true picture has.

    What is left after a Catmull-Rom enlargement, which draws slopes without a ripple, has no preferred phase: the
    local mean of each of its 16 phases is made equal to the local mean of all. A lattice is faint, a film edge along
    the grid is not: without the limit ``largest`` every such edge left a ghost of a seventh of itself beside it.
    """

    phases: Tensor

    def __init__(self, largest: float = LARGEST) -> None:
        super().__init__()
        self.largest = largest
        self.smooth = BicubicUpsampler(a=-0.5)
        self.register_buffer("phases", torch.eye(SCALE**2).reshape(-1, 1, SCALE, SCALE), persistent=False)

    def forward(self, picture: Tensor, image: Tensor) -> Tensor:
        """Take a picture ``(N, 1, 4H, 4W)`` and the image ``(N, 1, H, W)`` it enlarges; return the clean picture."""
        detail = functional.conv2d(picture - self.smooth(image), self.phases, stride=SCALE)
        local = functional.avg_pool2d(
            detail.clamp(-self.largest, self.largest), 7, stride=1, padding=3, count_include_pad=False
        )
        return picture - functional.pixel_shuffle(local - local.mean(dim=1, keepdim=True), SCALE)


class OwnLatticeFilter(nn.Module):
    """`LatticeFilter` where the image that was enlarged is not at hand: the picture in [-1, 1], shrunk by cv2 cubic."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.filter = LatticeFilter(LARGEST_DECODED)
        self.register_buffer("kernel", Downscalers().kernel[:1, :, 6:10, 6:10].clone(), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """Take and return ``(N, 1, 4H, 4W)``."""
        return self.filter(picture, functional.conv2d(picture, self.kernel, stride=SCALE))
