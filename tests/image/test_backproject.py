from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgesr.errors import InputError
from edgesr.image import read
from edgesr.image.backproject import PROJECTIONS, REACH, back_project
from edgesr.image.measurement import Bounds, ResidualMeter, residual
from edgesr.image.resample import KERNELS, downscale, downscale_transposed, upscale

XRAY = Path(__file__).parents[2] / "examples/chest_xray.png"
RNG = np.random.default_rng(3)


def truth(scale: int) -> np.ndarray:
    """A real X-ray with burnt-in markers, float32 ``(H, W, 1)``."""
    pixels = read(XRAY).pixels[:160, :160]
    h, w = (n // scale * scale for n in pixels.shape[:2])
    return pixels[:h, :w].astype(np.float32) / 255


def measured(picture: np.ndarray, scale: int, kernel: str) -> np.ndarray:
    return np.rint(np.clip(downscale(picture, scale, kernel), 0, 1) * 255).astype(np.uint8)


def guesses(small: np.ndarray, scale: int) -> dict[str, np.ndarray]:
    """Enlargements whose errors are noise, smooth waves, and one false blob."""
    large = upscale(small.astype(np.float32) / 255, scale)
    y, x = np.mgrid[: large.shape[0], : large.shape[1]]
    waves = np.sin(x / 9) * np.cos(y / 11)
    blob = np.exp(-((x - 90) ** 2 + (y - 100) ** 2) / 128.0)
    return {
        "noise": large + 0.02 * RNG.standard_normal(large.shape),
        "waves": large + 0.06 * waves[..., None],
        "blob": large + 0.08 * blob[..., None],
    }


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(np.square(np.clip(a, 0, 1) - b, dtype=np.float64))))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_transpose_is_the_adjoint_of_the_downscaler(scale, kernel):
    large, small = RNG.standard_normal((5 * scale, 3 * scale, 2)), RNG.standard_normal((5, 3, 2))
    left = (downscale(large, scale, kernel) * small).sum()
    assert left == pytest.approx((large * downscale_transposed(small, scale, kernel)).sum(), abs=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_truth_has_no_residual_and_is_not_moved(scale, kernel):
    picture = truth(scale)
    small = measured(picture, scale, kernel)
    assert residual(picture, small, scale, [kernel]) < 1e-3
    for projection in PROJECTIONS:
        moved = back_project(picture, Bounds.of(small), scale, kernel, projection=projection)
        np.testing.assert_array_equal(moved, picture)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_projected_pictures_agree_with_the_measurement_also_when_they_are_rounded(scale, kernel):
    picture = truth(scale)
    small = measured(picture, scale, kernel)
    for guess in guesses(small, scale).values():
        for projection in PROJECTIONS:
            result = back_project(guess, Bounds.of(small), scale, kernel, projection=projection)
            stored = np.rint(result * 255).astype(np.uint8)
            assert residual(stored, small, scale, [kernel]) <= 0.25
            assert residual(stored, small, scale, [kernel]) < 0.5 * residual(
                np.clip(guess, 0, 1), small, scale, [kernel]
            )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_orthogonal_projection_is_never_further_from_the_truth(scale, kernel):
    picture = truth(scale)
    small = measured(picture, scale, kernel)
    for guess in guesses(small, scale).values():
        for strength in (0.3, 1.0):
            result = back_project(guess, Bounds.of(small), scale, kernel, projection="orthogonal", strength=strength)
            assert psnr(result, picture) >= psnr(guess, picture) - 0.001


def test_the_oblique_projection_removes_a_false_blob_that_the_orthogonal_one_keeps():
    picture = truth(4)
    small = measured(picture, 4, "cubic")
    blob = np.clip(guesses(small, 4)["blob"], 0, 1)[96:104, 86:94]
    plain = upscale(small.astype(np.float32) / 255, 4)
    left = {}
    for projection in PROJECTIONS:
        with_blob = back_project(guesses(small, 4)["blob"], Bounds.of(small), 4, "cubic", projection=projection)
        left[projection] = float(np.mean((with_blob - plain)[96:104, 86:94])) / float(
            np.mean(blob - plain[96:104, 86:94])
        )
    assert left["oblique"] < 0.1 < 0.6 < left["orthogonal"]


def test_a_weaker_projection_leaves_part_of_the_residual():
    picture = truth(4)
    small = measured(picture, 4, "cubic")
    guess = guesses(small, 4)["waves"]
    before = residual(np.clip(guess, 0, 1), small, 4, ["cubic"])
    half = back_project(guess, Bounds.of(small), 4, "cubic", projection="orthogonal", strength=0.5)
    assert residual(half, small, 4, ["cubic"]) == pytest.approx(0.5 * before, rel=0.1)
    none = back_project(guess, Bounds.of(small), 4, "cubic", projection="orthogonal", strength=0.0)
    np.testing.assert_array_equal(none, np.clip(guess, 0, 1).astype(np.float32))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_part_with_context_is_projected_as_the_whole_is(kernel):
    tall = np.concatenate([truth(4), truth(4)[::-1]])
    small = measured(tall, 4, kernel)
    guess = guesses(small, 4)["noise"]
    for projection in PROJECTIONS:
        whole = back_project(guess, Bounds.of(small), 4, kernel, projection=projection)
        first, last = 36 - REACH, 44 + REACH
        bounds = Bounds.of(small).rows(first, last)
        part = back_project(guess[first * 4 : last * 4], bounds, 4, kernel, projection=projection)
        difference = np.abs(part[REACH * 4 : -REACH * 4] - whole[144:176])
        assert difference.max() * 255 < 0.1


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("heights", [[64], [1] * 64, [7, 3, 30, 24], [63, 1]])
def test_bands_are_measured_as_the_whole_picture_is(kernel, heights):
    large = RNG.random((64, 20, 3)).astype(np.float32)
    small = (RNG.random((16, 5, 3)) * 255).astype(np.uint8)
    meter, top = ResidualMeter(small, 4, [kernel]), 0
    for height in heights:
        with pytest.raises(InputError, match="of 16 rows are measured"):
            _ = meter.residual
        meter.add(large[top : top + height])
        top += height
    values = downscale(large.astype(np.float64), 4, kernel) * 255
    inside = np.maximum(np.abs(values - small) - 0.5, 0)
    inside[(small == 0) & (values < 0)] = 0
    inside[(small == 255) & (values > 255)] = 0
    assert meter.residual == pytest.approx(np.sqrt(np.mean(inside**2)), rel=1e-4)


def test_wrong_settings_are_refused():
    bounds = Bounds.of(np.zeros((2, 2, 1), np.uint8))
    with pytest.raises(InputError, match="oblique or orthogonal"):
        back_project(np.zeros((4, 4, 1)), bounds, 2, "area", projection="slanted")
    with pytest.raises(InputError, match="0 to 1, got 2"):
        back_project(np.zeros((4, 4, 1)), bounds, 2, "area", projection="oblique", strength=2)
    with pytest.raises(InputError, match="name of a downscaler"):
        ResidualMeter(np.zeros((2, 2, 1), np.uint8), 2, [])
