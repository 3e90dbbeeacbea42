"""The metrics of edgesr on the scale 0 to 255, as training, gates and model cards use them; pictures are ``(H, W)``."""

import numpy as np

from edgesr.bench.metrics import Pair, block_rank_correlation, detail_precision, grid_index
from edgesr.bench.metrics import psnr as psnr_of
from edgesr.bench.metrics import ssim as ssim_of

__all__ = ["block_rank_correlation", "detail_precision", "grid_index", "psnr", "ssim"]


def psnr(image: np.ndarray, target: np.ndarray, border: int = 4) -> float:
    """Return the peak signal-to-noise ratio in decibels without ``border`` pixels on each side."""
    return psnr_of(Pair.of(image, target, border=border, data_range=255))


def ssim(image: np.ndarray, target: np.ndarray, border: int = 4) -> float:
    """Return Wang's structural similarity without ``border`` pixels on each side."""
    return ssim_of(Pair.of(image, target, border=border, data_range=255))
