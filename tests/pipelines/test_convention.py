"""The shipped models tell pictures that they were not made for, on the shipped X-ray and the three downscalers."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgesr.model import open_package
from edgesr.model.registry import find
from edgesr.pipelines.convention import check_convention

EXAMPLE = cv2.imread(str(Path(__file__).parents[2] / "examples" / "chest_xray.png"), cv2.IMREAD_GRAYSCALE)
NAMES = ("cxr-x4", "cxr-x4-fast")


def problem(pixels: np.ndarray, name: str = "cxr-x4") -> str | None:
    checked = check_convention(open_package(find(name)).descriptor, pixels[..., None])
    assert checked is not None
    return checked.problem


@pytest.mark.parametrize("name", NAMES)
def test_the_example_and_what_the_downscalers_make_of_it_fit(name):
    assert problem(EXAMPLE, name) is None
    for kind in (cv2.INTER_CUBIC, cv2.INTER_AREA):
        assert problem(cv2.resize(EXAMPLE, (64, 64), interpolation=kind), name) is None
    assert problem(np.asarray(Image.fromarray(EXAMPLE).resize((64, 64), Image.Resampling.BICUBIC)), name) is None


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("kind", [cv2.INTER_CUBIC, cv2.INTER_LANCZOS4])
def test_an_enlarged_picture_does_not_fit(factor, kind):
    assert "softer" in str(problem(cv2.resize(EXAMPLE, None, fx=factor, fy=factor, interpolation=kind)))


@pytest.mark.parametrize("sigma", [1, 2, 4, 8])
def test_a_blurred_picture_does_not_fit(sigma):
    assert "softer" in str(problem(cv2.GaussianBlur(EXAMPLE, (0, 0), sigma)))
    sixteen = (cv2.GaussianBlur(EXAMPLE.astype(np.float32), (0, 0), sigma) * 257).astype(np.uint16)
    assert "softer" in str(problem(sixteen))


def test_a_jpeg_does_not_fit():
    file = io.BytesIO()
    Image.fromarray(EXAMPLE).save(file, "JPEG", quality=60)
    assert "8 x 8 blocks" in str(problem(np.asarray(Image.open(file))))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (40, 33), (97, 4000)])
def test_any_shape_and_flat_pictures_are_answered(shape):
    for value in (0, 255):
        assert problem(np.full(shape, value, np.uint8)) is None


def test_a_package_that_declares_no_sharpness_is_not_checked():
    descriptor = replace(open_package(find("cxr-x4")).descriptor, degradation={"kernel": "cubic"})
    assert check_convention(descriptor, EXAMPLE[..., None]) is None
    assert check_convention(replace(descriptor, degradation=None), EXAMPLE[..., None]) is None
