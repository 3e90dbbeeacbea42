"""Pixels to floats and back."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.errors import InputError
from edgesr.image.convert import check_pixels, from_float, to_float


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_stored_value_survives_the_round_trip(dtype):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 64, 1)
    floats = to_float(values)
    assert floats.dtype == np.float32
    assert floats.min() == 0
    assert floats.max() == 1
    np.testing.assert_array_equal(from_float(floats, dtype), values)
    np.testing.assert_array_equal(from_float(floats.astype(np.float64), dtype), values)


def test_halves_round_to_even_and_values_outside_are_clipped():
    values = np.array([0.5, 1.5, 2.5, 254.5, -3, 300, np.inf, -np.inf]) / 255
    assert from_float(values, np.uint8).tolist() == [0, 2, 2, 254, 0, 255, 255, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_layout_gives_the_same_as_a_contiguous_array(dtype):
    rng = np.random.default_rng(0)
    values = rng.random((50, 40, 6)) * 1.4 - 0.2
    view = values.transpose(1, 0, 2)[::-1, ::2, ::2]
    out = np.empty((60, 30, 4), dtype)[:40, 1:26, :3]
    assert from_float(view, dtype, out) is out
    np.testing.assert_array_equal(out, from_float(np.ascontiguousarray(view), dtype))
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    np.testing.assert_allclose(out, np.clip(view, 0, 1) * full, atol=0.5 if full > 1 else 1e-7)


def test_half_floats_are_converted():
    np.testing.assert_array_equal(from_float(np.array([0, 0.5, 1], np.float16), "uint16"), [0, 32768, 65535])


def test_nan_from_a_model_is_named():
    with pytest.raises(InputError, match="NaN"):
        from_float(np.array([[0.1, np.nan]], np.float32), np.uint8)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([[1]], "list"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        (np.zeros((1, 3, 8, 8), np.uint8), "one image at a time"),
        (np.zeros((3, 8, 8), np.uint8), "channels last"),
        (np.zeros((0, 8, 3), np.uint8), "empty"),
        (np.zeros((8, 8), np.int32), "int32"),
        (np.zeros((8, 8), bool), "bool"),
        (np.full((8, 8), np.nan, np.float32), "NaN"),
        (np.full((8, 8), np.inf, np.float32), r"\[0, 1\]"),
        (np.full((8, 8), 255.0), "to 255"),
        (np.full((8, 8), -0.1), "-0.1"),
    ],
)
def test_unusable_arrays_are_refused_by_name(array, message):
    with pytest.raises(InputError, match=message):
        check_pixels(array)


def test_usable_arrays_become_three_axes_without_a_copy():
    grey = np.zeros((4, 5), np.uint16)
    assert check_pixels(grey).shape == (4, 5, 1)
    assert np.shares_memory(check_pixels(grey), grey)
    assert check_pixels(np.zeros((4, 5, 3), ">u2")).dtype == np.uint16
    for dtype in (np.float16, np.float32, np.float64):
        assert check_pixels(np.ones((4, 5, 4), dtype)).dtype == np.float32
