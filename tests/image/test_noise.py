"""The noise of a picture is that of its smoothest parts, whatever else it shows."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.image.noise import noise_level


def ramp(height: int = 120, width: int = 170) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (0.2 + 0.5 * x / width + 0.2 * y / height).astype(np.float32)[..., None]


@pytest.mark.parametrize("deviation", [0.002, 0.02])
def test_white_noise_on_a_ramp_is_found(deviation: float) -> None:
    picture = ramp() + np.random.default_rng(1).normal(0, deviation, (120, 170, 1)).astype(np.float32)
    assert noise_level(picture) == pytest.approx(0.7 * deviation, rel=0.1)


def test_structure_on_a_third_of_the_picture_does_not_count() -> None:
    random = np.random.default_rng(2)
    picture = ramp() + random.normal(0, 0.004, (120, 170, 1)).astype(np.float32)
    before = noise_level(picture)
    picture[:40] = 0.1 + 0.8 * random.random((40, 170, 1), np.float32)
    assert noise_level(picture) == pytest.approx(before, rel=0.1)


def test_black_borders_are_left_out() -> None:
    picture = ramp() + np.random.default_rng(3).normal(0, 0.01, (120, 170, 1)).astype(np.float32)
    before = noise_level(picture)
    picture[:, :80] = 0.0
    assert noise_level(picture) == pytest.approx(before, rel=0.15)


def test_the_noisiest_channel_counts() -> None:
    picture = np.repeat(ramp(), 3, axis=2)
    picture[..., 1:2] += np.random.default_rng(4).normal(0, 0.01, (120, 170, 1)).astype(np.float32)
    assert noise_level(picture) == pytest.approx(noise_level(picture[..., 1:2]))


def test_strips_do_not_show() -> None:
    picture = 0.1 + 0.8 * np.random.default_rng(5).random((480, 30, 1), np.float32)
    parts = [noise_level(picture[:162]), noise_level(picture[160:322]), noise_level(picture[320:])]
    assert min(parts) <= noise_level(picture) <= max(parts)


@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 40, 1), (6, 6, 3)])
def test_pictures_without_a_block_have_none(shape: tuple[int, int, int]) -> None:
    assert noise_level(np.full(shape, 0.5, np.float32)) == 0.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_numbers_are_taken_as_they_are_read(dtype: type[np.generic]) -> None:
    """Of a fraction of their range, in strips: no float copy of a large picture is made."""
    noisy = ramp(400, 90) + np.random.default_rng(6).normal(0, 0.03, (400, 90, 1)).astype(np.float32)
    stored = np.rint(noisy.clip(0, 1) * np.iinfo(dtype).max).astype(dtype)
    assert noise_level(stored) == pytest.approx(noise_level(stored / np.float32(np.iinfo(dtype).max)), rel=1e-6)
    assert noise_level(stored) == pytest.approx(noise_level(noisy), rel=0.01)


def test_black_pictures_have_none() -> None:
    assert noise_level(np.zeros((40, 40, 1), np.float32)) == 0.0
