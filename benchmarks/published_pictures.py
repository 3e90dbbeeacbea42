"""Pictures of the benchmark of published figures, and their quality as papers compute it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgesr.bench.metrics import luma
from export import metrics


@dataclass(frozen=True)
class Quality:
    """PSNR in decibels and SSIM of the luma, averaged over Set5."""

    psnr: float
    ssim: float


def measure_quality(picture: np.ndarray, truth: np.ndarray, scale: int) -> Quality:
    """Compare uint8 pictures as super-resolution papers do: BT.601 luma in float64 without ``scale`` border pixels.

    The truth is cut to the size of the picture where its sides are no multiples of the scale.
    """
    h, w = picture.shape[:2]
    a, b = _luma(picture), _luma(truth[:h, :w])
    return Quality(round(metrics.psnr(a, b, scale), 4), round(metrics.ssim(a, b, scale), 5))


def mean_quality(values: list[Quality]) -> Quality:
    """Average over pictures."""
    n = len(values)
    return Quality(round(sum(v.psnr for v in values) / n, 4), round(sum(v.ssim for v in values) / n, 5))


def to_grey(picture: np.ndarray) -> np.ndarray:
    """Return the luma of uint8 RGB, rounded, ``(H, W, 1)``."""
    return np.rint(_luma(picture)).astype(np.uint8)[..., None]


def read_picture(path: Path, channels: int = 3) -> np.ndarray:
    """Read a PNG as uint8 ``(H, W, channels)``, RGB or grey."""
    with Image.open(path) as image:
        return np.atleast_3d(np.asarray(image.convert("RGB" if channels == 3 else "L")))


def write_grey(path: Path, grey: np.ndarray) -> None:
    """Write uint8 ``(H, W, 1)``."""
    Image.fromarray(grey[..., 0]).save(path)


def _luma(picture: np.ndarray) -> np.ndarray:
    """Return Y of MATLAB's rgb2ycbcr, 16 to 235, unrounded; grey pictures as they are."""
    return luma(picture.astype(np.float64), 255)[..., 0]
