"""The error scale of a diffused picture is the formula of its link, however the picture is cut into bands."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from edgesr.model import ErrorLink
from edgesr.pipelines.linked import error_scale, linked_bands

RNG = np.random.default_rng(5)
LINK = ErrorLink(-0.9, 0.76)


def picture(height: int, width: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    shape = (height, width, channels)
    return RNG.random(shape, np.float32), 0.1 * RNG.random((height, width), np.float32)


@pytest.mark.parametrize("window", [1, 5, 9])
def test_the_scale_is_the_formula(window: int) -> None:
    """Against scipy's box filter."""
    image, deviation = picture(40, 33)
    link = ErrorLink(-1.2, 0.6, window, 0.002)
    plane = image[..., 0].astype(np.float64)
    blurred = uniform_filter(uniform_filter(plane, 5, mode="nearest"), 5, mode="nearest")
    fine = np.sqrt(uniform_filter((plane - blurred) ** 2, window, mode="nearest").clip(0))
    spread = uniform_filter(deviation.astype(np.float64) ** 2, window, mode="nearest")
    expected = np.sqrt(np.exp(-2.4) * (fine + 0.002) ** 1.2 + spread)
    np.testing.assert_allclose(error_scale(image, deviation, link), expected, rtol=1e-5)


def test_one_sample_has_the_scale_of_its_detail_alone() -> None:
    image, deviation = picture(20, 20)
    alone = error_scale(image, None, LINK)
    np.testing.assert_allclose(alone, error_scale(image, np.zeros_like(deviation), LINK))
    assert (error_scale(image, deviation, LINK) > alone).all()


def test_fine_detail_raises_the_scale_and_a_flat_picture_has_the_least() -> None:
    flat = np.full((32, 32, 1), 0.4, np.float32)
    np.testing.assert_allclose(error_scale(flat, None, LINK), np.exp(-0.9) * 0.001**0.76, rtol=1e-3)
    half = flat.copy()
    half[:, 16:] += 0.1 * (np.indices((32, 16)).sum(0)[..., None] % 2).astype(np.float32)
    scale = error_scale(half, None, LINK)
    assert scale[:, 24:].min() > 5 * scale[:, :8].max()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("heights", [[64], [1] * 64, [7, 30, 2, 1, 24], [3, 61]])
@pytest.mark.parametrize("has_samples", [True, False])
def test_bands_do_not_show(channels: int, heights: list[int], has_samples: bool) -> None:
    image, deviation = picture(64, 24, channels)
    ends = np.cumsum([0, *heights])
    bands = ((image[a:b], deviation[a:b] if has_samples else None) for a, b in pairwise(ends))
    found = list(linked_bands(bands, LINK))
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in found]), image)
    whole = error_scale(image, deviation if has_samples else None, LINK)
    np.testing.assert_allclose(np.concatenate([scale for _, scale in found]), whole, rtol=1e-5)
    assert all(rows.shape[:2] == scale.shape for rows, scale in found)
