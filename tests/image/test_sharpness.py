"""Sharpness against spectra that are known, and blocks against Pillow's JPEG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, signal

from edgesr.image.sharpness import FINE, MIDDLE, blockiness, spectrum


def noise(side: int = 256, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 0.1, (side, side, 1)).clip(0, 1)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))[..., None]


def test_white_noise_is_flat_and_has_its_own_variance():
    measured = spectrum(noise())
    for density in (measured.coarse, measured.middle, measured.fine):
        assert density == pytest.approx((0.1 * 255) ** 2, rel=0.1)


def test_a_filter_shows_as_its_squared_gain():
    kernel = signal.firwin(9, 0.6)
    filtered = ndimage.convolve(noise()[..., 0], np.outer(kernel, kernel))[..., None]
    gain = np.abs(np.fft.fft2(np.outer(kernel, kernel), (256, 256))) ** 2
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    means = [gain[(low <= radius) & (radius < high)].mean() for low, high in (MIDDLE, FINE)]
    assert spectrum(filtered).fine_step(-40) == pytest.approx(10 * np.log10(means[1] / means[0]), abs=1)


def test_rounding_noise_is_no_sharpness():
    smooth = ndimage.gaussian_filter(noise()[..., 0], 1)[..., None]
    rounded = np.rint(smooth * 255).astype(np.uint8)
    assert spectrum(rounded).fine_step(-20) == pytest.approx(spectrum(smooth).fine_step(-20), abs=1.5)
    very_smooth = np.rint(ndimage.gaussian_filter(smooth, (3, 3, 0)) * 255).astype(np.uint8)
    assert spectrum(very_smooth).fine_step(-15) is None, "the middle band itself is lost in rounding"
    assert spectrum(very_smooth).coarse_step(-25) < -25


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_tells_nothing(value):
    flat = np.full((128, 128, 1), value, np.uint8)
    assert spectrum(flat).fine_step(-15) is None
    assert spectrum(flat).coarse_step(-25) is None
    assert blockiness(flat) < 1.1


def test_small_pictures_tell_nothing():
    assert spectrum(noise(31)) is None
    assert blockiness(noise(95)) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_kind_and_channels_do_not_matter(dtype, channels):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    grey = np.rint(noise() * 255) / 255
    pixels = (np.repeat(grey, channels, axis=2) * top).astype(dtype)
    if channels in (2, 4):
        pixels[..., -1] = np.random.default_rng(1).integers(0, top + 1, pixels.shape[:2])
    assert spectrum(pixels).fine_step(-15) == pytest.approx(spectrum(grey).fine_step(-15), abs=0.05)


def test_jpeg_blocks_are_seen_also_in_the_middle_of_large_pictures():
    textured = ndimage.gaussian_filter(noise(1500)[..., 0], 1.5)
    textured = (255 * (textured - textured.min()) / np.ptp(textured)).astype(np.uint8)[..., None]
    for part in (textured, textured[:200, :200]):
        assert 0.9 < blockiness(part) < 1.1
        assert blockiness(jpeg(part, 40)) > 1.1
