"""The resampling kernels against the libraries they are named after."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from edgesr.errors import InputError
from edgesr.image.resample import downscale, upscale


def picture(height: int, width: int, channels: int, dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(1).random((height, width, channels)).astype(dtype)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("kernel", "flag"), [("cubic", cv2.INTER_CUBIC), ("area", cv2.INTER_AREA)])
def test_downscaling_equals_opencv(scale, kernel, flag):
    image = picture(5 * scale, 7 * scale, 3)
    ours = downscale(image, scale, kernel)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, cv2.resize(image, (7, 5), interpolation=flag), atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_antialiased_downscaling_equals_pillow(scale):
    image = picture(6 * scale, 9 * scale, 1)
    theirs = np.asarray(Image.fromarray(image[:, :, 0], "F").resize((9, 6), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(downscale(image, scale, "antialiased")[:, :, 0], theirs, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (6, 11)])
def test_upscaling_equals_opencv(scale, size):
    image = picture(*size, 3)
    theirs = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(upscale(image, scale), theirs.reshape(scale * size[0], scale * size[1], 3), atol=1e-5)


@pytest.mark.parametrize("kernel", ["cubic", "area", "antialiased"])
def test_double_precision_is_kept_and_constants_stay(kernel):
    flat = downscale(np.full((8, 12, 2), 0.3), 4, kernel)
    assert flat.dtype == np.float64
    np.testing.assert_allclose(flat, 0.3, atol=1e-12)


def test_sizes_that_do_not_divide_and_wrong_arrays_are_refused():
    with pytest.raises(InputError, match="multiple of 4"):
        downscale(picture(9, 8, 1), 4)
    with pytest.raises(InputError, match="uint8"):
        upscale(np.zeros((4, 4, 1), np.uint8), 2)
    with pytest.raises(InputError, match="lanczos"):
        downscale(picture(8, 8, 1), 4, "lanczos")
