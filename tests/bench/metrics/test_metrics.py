"""Metrics equal other implementations and the published definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from edgesr.bench.metrics import (
    Pair,
    block_rank_correlation,
    detail_precision,
    gmsd,
    grid_index,
    luma,
    ms_ssim,
    psnr,
    ssim,
)
from edgesr.errors import InputError, UsageError
from tests.bench.metrics.golden import CASES, FILE, pictures

ANSWERS = json.loads(FILE.read_text())["answers"]


@pytest.mark.parametrize("name", CASES)
def test_ssim_and_ms_ssim_equal_pytorch_msssim(name):
    pair = Pair.of(*pictures(name))
    assert ssim(pair) == pytest.approx(ANSWERS[name]["ssim"], abs=1e-9)
    assert ms_ssim(pair) == pytest.approx(ANSWERS[name]["ms_ssim"], abs=1e-9)


@pytest.mark.parametrize("name", [name for name in CASES if "gmsd" in ANSWERS[name]])
def test_gmsd_equals_piq_but_for_the_published_deviation_with_n_minus_1(name):
    pair = Pair.of(*pictures(name))
    n = pair.image.shape[0] * pair.image.shape[1] // 4
    assert gmsd(pair) == pytest.approx(ANSWERS[name]["gmsd"] * math.sqrt(n / (n - 1)), abs=1e-9)


@pytest.mark.parametrize("border", [0, 3])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("depth", [8, 16])
def test_psnr_and_ssim_equal_scikit_image(name, border, depth):
    metrics = pytest.importorskip("skimage.metrics")
    image, reference = pictures(name)
    if depth == 16:
        image, reference = (p.astype(np.uint16) * 257 - 3 * (p > 9) for p in (image, reference))
    a, b = (p[border : len(p) - border, border : p.shape[1] - border].astype(float) for p in (image, reference))
    full = 2**depth - 1
    pair = Pair.of(image.astype(f"uint{depth}"), reference.astype(f"uint{depth}"), border=border)
    assert psnr(pair) == pytest.approx(metrics.peak_signal_noise_ratio(b, a, data_range=full), abs=1e-9)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": full}
    expected = metrics.structural_similarity(b, a, channel_axis=2, **options)
    assert ssim(pair) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("shape", [(161, 175), (177, 190)])
def test_ms_ssim_of_odd_sides_follows_the_published_low_pass_filter(shape):
    ndimage = pytest.importorskip("scipy.ndimage")
    metrics = pytest.importorskip("skimage.metrics")
    random = np.random.default_rng(3)
    b = ndimage.gaussian_filter(random.random(shape), 2) * 2
    a = b + random.normal(0, 0.02, shape)
    pair = Pair.of(a, b, data_range=1.0)
    expected = 1.0
    for level, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        _, similarity = metrics.structural_similarity(b, a, full=True, **options)
        means = [ndimage.gaussian_filter(p, 1.5, truncate=3.5) for p in (a, b)]
        brightness = (2 * means[0] * means[1] + 1e-4) / (means[0] ** 2 + means[1] ** 2 + 1e-4)
        term = similarity if level == 4 else similarity / brightness
        expected *= term[5:-5, 5:-5].mean() ** weight
        a, b = (ndimage.uniform_filter(p, 2, mode="reflect", origin=-1)[::2, ::2] for p in (a, b))
    assert ms_ssim(pair) == pytest.approx(expected, abs=1e-9)


def test_luma_is_that_of_matlab():
    # rgb2ycbcr of MATLAB's documentation: black 16, white 235; the coefficients are those of ITU-R BT.601.
    colors = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], float) / 255
    assert luma(colors)[0, :, 0] * 255 == pytest.approx([16, 235, 81.481, 144.553, 40.966])
    assert luma(colors * 255, 255)[0, :, 0] == pytest.approx([16, 235, 81.481, 144.553, 40.966])


def test_all_scales_of_numbers_give_one_answer():
    image, reference = pictures("color")
    expected = Pair.of(image, reference, channel="y")
    for pair in (
        Pair.of(image.astype(np.float32) / 255, reference.astype(np.float32) / 255, channel="y"),
        Pair.of(image.astype(np.uint16) * 257, reference.astype(np.uint16) * 257, channel="y"),
        Pair.of(image.astype(float), reference.astype(float), channel="y", data_range=255),
    ):
        for metric in (psnr, ssim, ms_ssim, gmsd):
            assert metric(pair) == pytest.approx(metric(expected), abs=1e-5)


def test_equal_pictures_are_perfect():
    image, _ = pictures("color")
    pair = Pair.of(image, image)
    assert (psnr(pair), ssim(pair), ms_ssim(pair), gmsd(pair)) == (math.inf, pytest.approx(1), pytest.approx(1), 0)


def test_alpha_is_left_out():
    image, reference = pictures("color")
    alpha = np.random.default_rng(0).integers(0, 255, (*image.shape[:2], 1)).astype(np.uint8)
    seen = Pair.of(np.concatenate([image, alpha], axis=2), reference)
    assert psnr(seen) == psnr(Pair.of(image, reference))


def test_psnr_is_computed_in_floating_point():
    image = np.full((32, 32), 10, np.uint8)
    assert psnr(Pair.of(image, image + np.uint8(200))) == pytest.approx(20 * np.log10(255 / 200))


def test_grid_index_is_one_on_noise_and_finds_a_lattice():
    plain = np.random.default_rng(0).normal(128, 20, (128, 128))
    lattice = np.tile(np.pad([[20.0]], ((0, 3), (0, 3))), (32, 32))
    assert grid_index(plain) == pytest.approx(1, abs=0.8)
    assert grid_index(plain + lattice) > 10 * grid_index(plain)


def test_detail_precision_of_true_and_of_invented_detail():
    baseline = np.zeros((64, 64))
    true = np.random.default_rng(0).normal(0, 20, (64, 64))
    assert detail_precision(true / 2, baseline, true) == pytest.approx(2)
    assert detail_precision(true.T - true, baseline, true + true.T) == pytest.approx(0, abs=1e-9)
    assert math.isnan(detail_precision(baseline, baseline, true))


@pytest.mark.parametrize("levels", [4, 1000])
def test_block_rank_correlation_equals_scipy_with_and_without_ties(levels):
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(1)
    scale = random.integers(0, levels, (20, 30)).repeat(8, 0).repeat(8, 1)
    error = scale + random.normal(0, levels / 3, scale.shape)
    blocks = [p.reshape(20, 8, 30, 8).mean((1, 3)).ravel() for p in (scale, np.abs(error))]
    assert block_rank_correlation(scale, error) == pytest.approx(stats.spearmanr(*blocks).statistic)
    assert math.isnan(block_rank_correlation(np.ones((16, 16)), np.ones((16, 16))))


def test_pictures_that_cannot_be_compared_are_refused_in_one_line():
    image, reference = pictures("color")
    with pytest.raises(InputError, match="the picture is 192 x 175 with 3 channels, its reference 192 x 176"):
        Pair.of(image[1:], reference)
    with pytest.raises(InputError, match="with 1 channel, its reference"):
        Pair.of(image[..., :1], reference)
    with pytest.raises(UsageError, match="a border of 88 pixels leaves nothing of 192 x 176"):
        Pair.of(image, reference, border=88)
    with pytest.raises(InputError, match="uint8, uint16 or float, got int32"):
        Pair.of(image.astype(np.int32), reference)
    with pytest.raises(UsageError, match="data_range must be above 0, got 0"):
        Pair.of(image, reference, data_range=0)
    with pytest.raises(InputError, match="SSIM needs 11 pixels on each side, got 10 x 176"):
        ssim(Pair.of(image[:, :10], reference[:, :10]))
    with pytest.raises(InputError, match="MS-SSIM needs 161 pixels"):
        ms_ssim(Pair.of(image[:160], reference[:160]))
