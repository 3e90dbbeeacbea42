"""What every shipped restoration model must do on pictures of any size and type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import edgesr
from edgesr.image import read
from edgesr.image.resample import Kernel, downscale, upscale
from edgesr.model import find, list_models, open_package, verify

ROOT = Path(__file__).parents[1]
SHIPPED = sorted(path.stem for path in (ROOT / "edgesr" / "models").glob("*.edgesr"))
RESTORERS = [name for name in SHIPPED if not name.endswith("-diffusion")]
RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def xray() -> np.ndarray:
    """The example X-ray: uint8 ``(256, 256)``."""
    return read(ROOT / "examples" / "chest_xray.png").pixels[..., 0]


@pytest.fixture(scope="module", params=RESTORERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name):
    with edgesr.load(name, device="cpu") as restorer:
        yield restorer


def small(picture: np.ndarray, scale: int = 4, kernel: Kernel = "cubic") -> np.ndarray:
    """uint8 ``(H, W)`` made small, with OpenCV's bicubic convention unless another is named."""
    reduced = downscale(picture[..., None] / 255.0, scale, kernel)[..., 0]
    return np.rint(reduced.clip(0, 1) * 255).astype(np.uint8)


def test_the_shipped_models_are_listed():
    assert SHIPPED == ["cxr-x4", "cxr-x4-diffusion", "cxr-x4-fast"]
    assert {m.name for m in list_models() if m.origin == "shipped"} == set(SHIPPED)


def test_the_package_is_intact_small_and_says_what_it_is(name):
    package = open_package(find(name))
    verify(package)
    descriptor = package.descriptor
    assert find(name).stat().st_size < 4_000_000
    assert descriptor.scale == 4 and descriptor.input_channels == 1
    assert descriptor.degradation is not None and descriptor.degradation["kernel"] == "cubic"
    assert descriptor.receptive_field and descriptor.uncertainty and descriptor.quality
    assert "research" in descriptor.intended_use.lower()
    assert "NIH" in descriptor.training_data
    assert descriptor.licence


def test_the_number_of_parameters_is_what_the_name_promises(name):
    import onnx

    graph = onnx.load(open_package(find(name)).part_path("network")).graph
    count = sum(int(np.prod(t.dims)) for t in graph.initializer)
    assert count <= 60_000 if name == "cxr-x4-fast" else 400_000 <= count <= 1_500_000


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (2, 3), (7, 5), (41, 1), (33, 250), (251, 130), (256, 256)])
def test_tiled_equals_whole_everywhere(model, name, xray, size):
    picture = (xray[: size[0], : size[1]] / np.float32(255)).astype(np.float32)
    least = model.descriptor.receptive_field * 2 + 32
    with edgesr.load(name, device="cpu", tile=least) as tiled:
        whole, parts = model.restore(picture, uncertainty=True), tiled.restore(picture, uncertainty=True)
    np.testing.assert_allclose(parts.image, whole.image, atol=2e-6)
    np.testing.assert_allclose(parts.std, whole.std, atol=2e-5)


def test_one_changed_pixel_reaches_no_further_than_the_receptive_field(model, xray):
    """With a given degradation; an estimated one depends on the whole picture, hence on every pixel."""
    picture = (xray[:128, :128] / np.float32(255)).astype(np.float32)
    changed = picture.copy()
    changed[64, 64] = 1.0 - changed[64, 64]
    moved = np.abs(model(picture, degradation="cubic") - model(changed, degradation="cubic")) > 1e-7
    rows, columns = (np.nonzero(moved.any(axis=axis))[0] // 4 for axis in (1, 0))
    reach = max(abs(rows - 64).max(), abs(columns - 64).max())
    assert 0 < reach <= model.descriptor.receptive_field


@pytest.mark.parametrize("fidelity", [None, 0.0, 1.0])
def test_the_result_made_small_again_is_the_input(model, xray, fidelity):
    """At most 0.25 grey level RMS beyond what clipping and rounding of the input explain."""
    assert model.restore(small(xray), fidelity=fidelity).residual <= 0.25


def test_fidelity_one_beats_bicubic_in_psnr_and_ssim(model, xray):
    picture = small(xray)
    bicubic = np.rint(upscale(picture[..., None] / 255.0, 4)[..., 0].clip(0, 1) * 255).astype(np.uint8)
    truest = model(picture, fidelity=1.0)
    assert peak_signal_noise_ratio(xray, truest) > peak_signal_noise_ratio(xray, bicubic) + 0.3
    assert structural_similarity(xray, truest) > structural_similarity(xray, bicubic)


def test_the_fidelity_dial_moves_the_picture_steadily(model, xray):
    picture = small(xray)
    results = [model(picture, fidelity=f).astype(float) for f in (0.0, 0.5, 1.0)]
    assert np.abs(results[0] - results[2]).mean() > np.abs(results[1] - results[2]).mean() > 0


def test_the_error_bound_covers_most_of_the_true_error(model, xray):
    result = model.restore(small(xray), uncertainty=True, fidelity=1.0)
    error = np.abs(result.image.astype(float) - xray) / 255
    assert np.mean(error <= result.std) > 0.8
    assert result.std.min() >= 0


@pytest.mark.parametrize("kernel", ["cubic", "area", "antialiased"])
@pytest.mark.parametrize("deviation", [0, 4, 8])
def test_noise_is_in_the_error_bound(model, xray, kernel, deviation):
    """White noise of the true picture, in grey levels, that the downscaler leaves a part of."""
    noise = np.random.default_rng(2).normal(0, deviation, xray.shape)
    true = np.rint((xray + noise).clip(0, 255)).astype(np.uint8)
    picture = small(true, kernel=kernel)
    result = model.restore(picture, uncertainty=True)
    covered = np.mean(np.abs(result.image.astype(float) - true) / 255 <= result.std)
    assert 0.85 < covered < 0.985


@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_pictures_stay_constant(model, level):
    """Zero padding at the border may move it by a few levels; everything else stays."""
    result = model(np.full((130, 140), level, np.uint8)).astype(int)
    assert np.abs(result - level).max() <= 4
    reach = 4 * model.descriptor.receptive_field
    assert (result[reach:-reach, reach:-reach] == level).all()


def test_sixteen_bit_input_agrees_with_eight_bit_input(model, xray):
    deep = model(xray[:64, :64].astype(np.uint16) * 257)
    shallow = model(xray[:64, :64])
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257.0 - shallow).max() < 2.5


def test_noise_and_constant_colour_pass_through_without_nan(model):
    for picture in (RNG.integers(0, 256, (50, 50), np.uint8), RNG.integers(0, 65536, (20, 20, 4), np.uint16)):
        assert model(picture).shape[:2] == (picture.shape[0] * 4, picture.shape[1] * 4)


@pytest.mark.parametrize("kernel", ["cubic", "area", "antialiased"])
def test_the_degradation_is_estimated_and_may_be_given(model, xray, kernel):
    picture = np.rint(downscale(xray[..., None] / 255.0, 4, kernel)[..., 0].clip(0, 1) * 255).astype(np.uint8)
    shares = model.restore(picture).convention.shares
    assert shares is not None and shares[kernel] > 0.5
    assert np.abs(model(picture).astype(int) - model(picture, degradation=kernel)).mean() < 1
    other = "cubic" if kernel == "antialiased" else "antialiased"
    right, wrong = (peak_signal_noise_ratio(xray, model(picture, degradation=k, fidelity=1.0)) for k in (kernel, other))
    assert right > wrong
