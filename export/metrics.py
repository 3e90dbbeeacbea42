"""Picture quality in float64; pictures are ``(H, W)`` on the scale 0 to 255 unless said."""

import numpy as np
from scipy.stats import spearmanr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def psnr(image: np.ndarray, target: np.ndarray, border: int = 4) -> float:
    """Return the peak signal-to-noise ratio in decibels without ``border`` pixels on each side."""
    a, b = _inner(image, border), _inner(target, border)
    return float(peak_signal_noise_ratio(b, a, data_range=255))


def ssim(image: np.ndarray, target: np.ndarray, border: int = 4) -> float:
    """Return Wang's structural similarity: Gaussian window, sigma 1.5, biased covariance."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return float(structural_similarity(_inner(target, border), _inner(image, border), **options))


def detail_precision(image: np.ndarray, bicubic: np.ndarray, target: np.ndarray) -> float:
    """Return <a, t> / <a, a>: how much of the added detail ``a`` is part of the true detail ``t``; 1 = all of it."""
    added = image.astype(np.float64) - bicubic
    true = target.astype(np.float64) - bicubic
    return float((added * true).sum() / max((added * added).sum(), 1e-12))


def grid_index(image: np.ndarray, period: int = 4) -> float:
    """Return the power at the harmonics of a ``period``-pixel lattice over that of the bins around them.

    About 1 without a lattice. The picture is cut to a multiple of the period and windowed, so that its border does not
    leak onto the frequency axes.
    """
    height, width = (extent - extent % period for extent in image.shape)
    cut = image[:height, :width].astype(np.float64)
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((cut - (cut * window).sum() / window.sum()) * window)) ** 2
    at, around = 0.0, 0.0
    for i in range(period):
        for j in range(period):
            if i or j:
                y, x = i * height // period, j * width // period
                rows, columns = np.arange(y - 4, y + 5) % height, np.arange(x - 4, x + 5) % width
                patch = power[np.ix_(rows, columns)]
                ring = np.ones_like(patch, dtype=bool)
                ring[2:7, 2:7] = False
                at += patch[4, 4]
                around += patch[ring].mean()
    return float(at / around)


def block_rank_correlation(scale: np.ndarray, error: np.ndarray, block: int = 8) -> float:
    """Return Spearman's correlation of predicted scale and absolute error, both averaged over blocks."""
    return float(spearmanr(_blocks(scale, block), _blocks(np.abs(error), block)).statistic)


def _blocks(values: np.ndarray, block: int) -> np.ndarray:
    height, width = (extent // block for extent in values.shape)
    return values[: height * block, : width * block].reshape(height, block, width, block).mean((1, 3)).ravel()


def _inner(image: np.ndarray, border: int) -> np.ndarray:
    height, width = image.shape
    return image[border : height - border, border : width - border].astype(np.float64)
