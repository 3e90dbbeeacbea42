"""The fixed resampling operators of a x4 model as plain convolutions: the bicubic upsampler and three downscalers."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE = 4
DEGRADATIONS = ("cubic", "area", "antialiased")


class BicubicUpsampler(nn.Module):
    """Enlarge ``(N, 1, H, W)`` four times by Keys' cubic convolution: half-pixel centres, replicated edges.

    ``a`` = -0.75 is exactly ``cv2.INTER_CUBIC``; -0.5 is Catmull-Rom, which draws slopes and parabolas without error.
    """

    kernel: Tensor

    def __init__(self, a: float = -0.75) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.from_numpy(_bicubic_phases(a)), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, 1, 4H, 4W)``."""
        padded = functional.pad(image, (2, 2, 2, 2), mode="replicate")
        return functional.pixel_shuffle(functional.conv2d(padded, self.kernel), SCALE)


class LanczosUpsampler(nn.Module):
    """Enlarge ``(N, 1, H, W)`` four times with Lanczos-3: as back-projection it leaves little of a false blob."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.from_numpy(_lanczos_phases()), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(N, 1, 4H, 4W)``."""
        padded = functional.pad(image, (3, 3, 3, 3), mode="replicate")
        return functional.pixel_shuffle(functional.conv2d(padded, self.kernel), SCALE)


class Downscalers(nn.Module):
    """Shrink ``(N, 1, 4H, 4W)`` by all of ``DEGRADATIONS`` at once: ``(N, 3, H, W)``, one channel per degradation.

    cubic: ``cv2.INTER_CUBIC``, a = -0.75, 4 taps, no antialiasing; area: mean of 4 x 4 pixels (``cv2.INTER_AREA``);
    antialiased: ``PIL.Image.BICUBIC``, a = -0.5, 16 taps, renormalised where the kernel leaves the picture.
    """

    kernel: Tensor
    reach: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernel = _downscaling_kernels()
        reach = np.pad(kernel, ((0, 0), (0, 0), (2, 2), (2, 2))).reshape(3, 1, 5, SCALE, 5, SCALE).sum((3, 5))
        self.register_buffer("kernel", torch.from_numpy(kernel), persistent=False)
        self.register_buffer("reach", torch.from_numpy(reach), persistent=False)

    def inside(self, low: Tensor) -> Tensor:
        """Return the share of each kernel inside a picture of low resolution ``(N, 1, H, W)``, to divide by."""
        return functional.conv2d(low * 0 + 1, self.reach, padding=2)

    def forward(self, image: Tensor) -> Tensor:
        """Return the weighted sums, not yet divided by `inside`."""
        return functional.conv2d(image, self.kernel, stride=SCALE, padding=6)


def cubic_weight(distance: np.ndarray, a: float) -> np.ndarray:
    """Evaluate Keys' cubic convolution kernel with parameter ``a`` (1981, eq. 4)."""
    x = np.abs(distance)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def lanczos_weight(distance: np.ndarray) -> np.ndarray:
    """Evaluate the Lanczos kernel with three lobes."""
    return np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)


def _bicubic_phases(a: float) -> np.ndarray:
    """Return float32 ``(16, 1, 5, 5)``: the kernel of each 4 x 4 output phase, in PixelShuffle's order."""
    return _outer_phases(cubic_weight(_phase_distances(2), a))


def _lanczos_phases() -> np.ndarray:
    """Return float32 ``(16, 1, 7, 7)``, laid out as `_bicubic_phases`."""
    return _outer_phases(lanczos_weight(_phase_distances(3)))


def _phase_distances(reach: int) -> np.ndarray:
    """Return ``(4, 2 reach + 1)``: low-resolution pixels from each output phase to the input pixels around it."""
    phases = (np.arange(SCALE) + 0.5) / SCALE - 0.5
    return np.arange(-reach, reach + 1) - phases[:, None]


def _outer_phases(taps: np.ndarray) -> np.ndarray:
    taps = taps / taps.sum(axis=1, keepdims=True)
    side = taps.shape[1]
    return np.einsum("iy,jx->ijyx", taps, taps).reshape(SCALE**2, 1, side, side).astype(np.float32)


def _downscaling_kernels() -> np.ndarray:
    """Return float32 ``(3, 1, 16, 16)``; pixel 6 of the window is the first of the 4 pixels under the output pixel."""
    offsets = np.arange(16) - 7.5
    cubic = cubic_weight(offsets, -0.75)
    area = (np.abs(offsets) < 2).astype(np.float64)
    antialiased = cubic_weight(offsets / SCALE, -0.5)
    rows = [taps / taps.sum() for taps in (cubic, area, antialiased)]
    return np.stack([np.outer(taps, taps) for taps in rows])[:, None].astype(np.float32)
