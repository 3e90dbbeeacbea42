"""Colour under transparent pixels."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.image.alpha import bleed


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_only_fully_transparent_pixels_change(dtype):
    rng = np.random.default_rng(0)
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    rgb = (rng.random((301, 77, 3)) * full).astype(dtype)
    alpha = (rng.random((301, 77)) * full).astype(dtype)
    alpha[20:250, 5:40] = 0
    before = rgb.copy()
    bled = bleed(rgb, alpha)
    assert bled.dtype == dtype
    np.testing.assert_array_equal(rgb, before)
    np.testing.assert_array_equal(bled[alpha > 0], rgb[alpha > 0])
    assert (bled[alpha == 0] != rgb[alpha == 0]).mean() > 0.9


def test_a_flat_visible_colour_fills_everything_hidden():
    rgb = np.zeros((130, 65, 3), np.uint8)
    alpha = np.zeros((130, 65), np.uint8)
    rgb[40:60, 20:30] = (200, 100, 50)
    alpha[40:60, 20:30] = 255
    assert (bleed(rgb, alpha) == (200, 100, 50)).all()


def test_hidden_pixels_take_the_colour_of_the_nearer_side():
    rgb = np.zeros((32, 64, 1), np.float32)
    alpha = np.zeros((32, 64), np.float32)
    rgb[:, :8], alpha[:, :8] = 1.0, 1.0
    alpha[:, 56:] = 1.0
    row = bleed(rgb, alpha)[16, :, 0]
    assert row[9] > 0.8
    assert row[54] < 0.2
    assert (np.diff(row) <= 1e-6).all()


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_to_do_returns_the_picture_itself(value):
    rgb = np.ones((5, 5, 3), np.uint8)
    assert bleed(rgb, np.full((5, 5), value, np.uint8)) is rgb


def test_one_row_and_one_column_work():
    rgb = np.array([[[9], [0], [0], [0]]], np.uint8)
    alpha = np.array([[255, 0, 0, 0]], np.uint8)
    assert (bleed(rgb, alpha) == 9).all()
    assert (bleed(rgb.transpose(1, 0, 2), alpha.T) == 9).all()
