"""Band energies against noise and waves whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.image.bands import COUNT, EDGES, band_energies

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(0.5, 10 / 255, (300, 260, 1))


def energies(pixels: np.ndarray) -> np.ndarray:
    measured = band_energies(pixels)
    assert measured is not None and measured.shape == (COUNT,)
    return measured


def test_white_noise_has_its_variance_in_every_band():
    np.testing.assert_allclose(energies(NOISE)[: COUNT // 2], np.log(100), atol=0.15)


@pytest.mark.parametrize("band", range(len(EDGES) - 1))
def test_a_wave_shows_in_its_own_band(band):
    frequency = (EDGES[band] + EDGES[band + 1]) / 2
    wave = 0.5 + 0.2 * np.sin(2 * np.pi * frequency * np.arange(128)) * np.ones((128, 1))
    assert energies(wave[..., None])[: COUNT // 2].argmax() == band


def test_depth_and_colours_hardly_matter():
    eight = np.rint(NOISE.clip(0, 1) * 255).astype(np.uint8)
    sixteen = np.rint(NOISE.clip(0, 1) * 65535).astype(np.uint16)
    np.testing.assert_allclose(energies(eight), energies(sixteen), atol=0.02)
    np.testing.assert_allclose(energies(eight.repeat(3, axis=2)), energies(eight))
    alpha = np.concatenate([eight, RANDOM.integers(0, 256, eight.shape, dtype=np.uint8)], axis=2)
    np.testing.assert_allclose(energies(alpha), energies(eight))


def test_flat_parts_do_not_count():
    padded = np.full((600, 260, 1), 0.5)
    padded[288:588] = NOISE
    assert abs(energies(padded) - energies(NOISE)).max() < 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (31, 64, 3), (32, 32, 1), (5000, 40, 1)])
def test_small_and_flat_pictures_show_nothing(shape):
    assert band_energies(np.full(shape, 9, np.uint8)) is None
