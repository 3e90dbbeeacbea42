"""What the shipped latent diffusion must do on pictures of any size and type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

import edgesr
from edgesr.image import read
from edgesr.image.provenance import read_provenance
from edgesr.image.resample import downscale, upscale
from edgesr.model import find, open_package, verify

NAME = "cxr-x4-diffusion"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def xray() -> np.ndarray:
    """The example X-ray: uint8 ``(256, 256)``."""
    return read(ROOT / "examples" / "chest_xray.png").pixels[..., 0]


@pytest.fixture(scope="module")
def small(xray: np.ndarray) -> np.ndarray:
    """uint8 ``(64, 64)``, made small as the model inverts it."""
    return np.rint(downscale(xray[..., None] / 255.0, 4, "cubic")[..., 0].clip(0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    with edgesr.load(NAME, device="cpu") as diffusion:
        yield diffusion


def test_the_package_is_intact_small_and_says_what_it_is() -> None:
    package = open_package(find(NAME))
    verify(package)
    descriptor = package.descriptor
    assert find(NAME).stat().st_size < 12_000_000
    assert (descriptor.task, descriptor.scale, descriptor.input_channels) == ("latent-diffusion", 4, 1)
    assert descriptor.degradation is not None and descriptor.degradation["kernel"] == "cubic"
    assert descriptor.uncertainty is not None and descriptor.uncertainty.link is not None
    assert descriptor.diffusion is not None and descriptor.diffusion.consistency == "final"
    assert "research" in descriptor.intended_use.lower() and "NIH" in descriptor.training_data
    assert descriptor.licence and descriptor.quality
    assert (ROOT / "docs" / "models" / f"{NAME}.md").exists()


def test_at_most_four_evaluations_are_the_default_and_others_can_be_asked_for(model, small) -> None:
    assert model.settings()["steps"] <= 4 and model.settings()["samples"] == 1
    pictures = [model(small, steps=steps) for steps in (1, 2, 4)]
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_it_beats_bicubic_on_a_picture_of_a_patient_outside_training(model, small, xray) -> None:
    bicubic = np.rint(upscale(small[..., None] / 255.0, 4)[..., 0].clip(0, 1) * 255).astype(np.uint8)
    assert peak_signal_noise_ratio(xray, model(small)) > peak_signal_noise_ratio(xray, bicubic)


def test_a_seed_is_a_picture(model, small) -> None:
    first = model(small, seed=3)
    np.testing.assert_array_equal(model(small, seed=3), first)
    with edgesr.load(NAME, device="cpu", threads=1) as other:
        assert np.abs(other(small, seed=3).astype(int) - first).max() <= 1
    assert (model(small, seed=4) != first).any()


@pytest.mark.parametrize("seed", [0, 5])
def test_the_result_made_small_again_is_the_input(model, small, seed) -> None:
    assert model.restore(small, seed=seed).residual <= 0.25


def test_no_seam_shows_between_tiles(model, xray) -> None:
    """Across the borders of the tiles the picture changes no more than beside them."""
    picture = xray[:112, :112]
    with edgesr.load(NAME, device="cpu", tile=64) as tiled:
        parts = tiled(picture).astype(float)
    with edgesr.load(NAME, device="cpu", tile=112) as untiled:
        whole = untiled(picture).astype(float)
    difference = np.abs(parts - whole)
    assert difference.mean() < 1.0
    for axis in (0, 1):
        jumps = np.abs(np.diff(parts - whole, axis=axis)).mean(axis=1 - axis)
        assert jumps.max() < 4 * np.median(jumps) + 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 6), (33, 18)])
def test_pictures_of_any_size_keep_their_size(model, xray, size) -> None:
    result = model.restore(xray[: size[0], : size[1]], uncertainty=True)
    assert result.image.shape == result.std.shape == (4 * size[0], 4 * size[1])


@pytest.mark.parametrize("samples", [1, 3])
def test_the_bound_covers_most_of_the_true_error(model, small, xray, samples) -> None:
    result = model.restore(small, uncertainty=True, samples=samples)
    error = np.abs(result.image.astype(float) - xray) / 255
    assert 0.8 < np.mean(error <= result.std) < 0.99
    blocks = [values.reshape(32, 8, 32, 8).mean((1, 3)).ravel() for values in (error, result.std)]
    ranks = [np.argsort(np.argsort(values)) for values in blocks]
    assert np.corrcoef(ranks)[0, 1] >= 0.65


@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_pictures_stay_nearly_constant(model, level) -> None:
    result = model(np.full((40, 48), level, np.uint8)).astype(int)
    assert np.abs(result - level).max() <= 6


def test_sixteen_bit_and_colour_pictures_pass(model, xray) -> None:
    deep = model(xray[:32, :32].astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257.0 - model(xray[:32, :32])).max() < 2.5
    assert model(np.repeat(xray[:24, :24, None], 3, axis=2)).shape == (96, 96, 3)


def test_a_saved_picture_says_what_made_it(model, small, tmp_path) -> None:
    result = model.restore(small, seed=9)
    record = read_provenance(result.save(tmp_path / "a.png"))
    assert (record["model"], record["settings"]["seed"]) == (NAME, 9)
    assert record["settings"]["steps"] == model.settings()["steps"]
    assert record["settings"]["sampler"] == "resshift"
    assert record["residual"] == pytest.approx(result.residual, abs=6e-4)
