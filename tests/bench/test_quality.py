"""Quality of a restoration over a folder: pairing, failures, missing figures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from edgesr.bench.metrics import METRICS, measure_scores, psnr, score
from edgesr.bench.metrics.planes import Pair
from edgesr.bench.pairs import find_pairs
from edgesr.bench.quality import QualityOptions, bicubic, measure_quality
from edgesr.errors import BackendError, InputError, UsageError
from edgesr.image import Metadata, Picture, write


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, Picture((np.atleast_3d(pixels),), Metadata(format="PNG")))
    return path


def texture(height, width, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def blocks(pixels):
    return pixels.repeat(2, 0).repeat(2, 1)


@pytest.fixture
def folders(tmp_path):
    for number, name in enumerate(("baby", "bird", "head")):
        low = texture(40, 48, seed=number)
        save(tmp_path / "lr" / f"{name}x2.png", low)
        save(tmp_path / "hr" / f"{name}.png", np.pad(blocks(low), ((0, 1), (0, 0), (0, 0))))
    return tmp_path


def test_pairs_are_matched_by_name_whatever_their_endings(folders):
    save(folders / "lr" / "lamp_LRBI_x2.png", texture(40, 40))
    save(folders / "hr" / "lamp_HR.png", texture(80, 80))
    pairs = find_pairs(low=folders / "lr", high=folders / "hr")
    assert [(p.low.name, p.high.name) for p in pairs] == [
        ("babyx2.png", "baby.png"),
        ("birdx2.png", "bird.png"),
        ("headx2.png", "head.png"),
        ("lamp_LRBI_x2.png", "lamp_HR.png"),
    ]
    assert [p.name for p in find_pairs(low=folders / "lr", high=folders / "hr", limit=2)] == ["babyx2", "headx2"]


def test_pairs_that_cannot_be_told_apart_or_matched_are_refused(folders):
    save(folders / "lr" / "baby_x2.png", texture(40, 48))
    with pytest.raises(InputError, match=r"baby_x2.png and .*babyx2.png count as one picture"):
        find_pairs(low=folders / "lr", high=folders / "hr")
    save(folders / "others" / "dog.png", texture(40, 48))
    with pytest.raises(InputError, match=r"no picture of .*others has a reference of its name in .*hr"):
        find_pairs(low=folders / "others", high=folders / "hr")
    (folders / "none").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        find_pairs(high=folders / "none")
    with pytest.raises(UsageError, match="there are no pictures"):
        find_pairs()


def test_the_right_picture_is_perfect_and_its_consistency_is_exact(folders):
    pairs = find_pairs(low=folders / "lr", high=folders / "hr")
    quality = measure_quality("blocks", blocks, 2, pairs, QualityOptions(kernels=("area",)))
    assert quality.mean["psnr"] == math.inf
    assert quality.mean["residual"] == 0
    assert quality.document()["mean"]["psnr"] is None
    json.dumps(quality.document(), allow_nan=False)


def test_low_resolution_is_made_by_the_named_downscaler(tmp_path):
    high = texture(99, 130, 3)
    save(tmp_path / "a.png", high)
    (pair,) = find_pairs(high=tmp_path, kernel="area")
    low, reference = pair.read(4)
    assert low.shape == (24, 32, 3) and reference.shape == (96, 128, 3)
    assert np.abs(low - reference.reshape(24, 4, 32, 4, 3).mean((1, 3))).max() < 0.5001


def test_color_pictures_get_luma_beside_rgb_and_16_bits_stay(tmp_path):
    high = texture(64, 64, 3).astype(np.uint16) * 257
    save(tmp_path / "a.png", high)
    seen = []
    quality = measure_quality("bicubic", bicubic(2), 2, find_pairs(high=tmp_path), on_picture=seen.append)
    (shown,) = seen
    assert shown.restored.dtype == np.uint16
    assert quality.mean["psnr"] == psnr(Pair.of(shown.restored, high, border=2))
    assert quality.mean["psnr_y"] == psnr(Pair.of(shown.restored, high, border=2, channel="y"))
    assert "MS-SSIM needs 161 pixels" in quality.missing["ms_ssim"]["reason"]
    assert "needs an LPIPS network" in quality.missing["lpips"]["reason"]


def test_a_model_that_fails_on_one_picture_leaves_the_others(folders):
    calls = []

    def restore(low):
        calls.append(low)
        if len(calls) == 3:
            raise BackendError("the device is gone; start again")
        return blocks(low)

    notes = []
    pairs = find_pairs(low=folders / "lr", high=folders / "hr")
    quality = measure_quality("m", restore, 2, pairs, note=notes.append)
    assert [row.name for row in quality.rows] == ["babyx2", "birdx2"]
    assert quality.failures == {"headx2": "the device is gone; start again"}
    assert notes == ["headx2: the device is gone; start again"]


def test_a_model_that_fails_at_once_is_an_error(folders):
    def restore(low):
        raise BackendError("there is no device")

    with pytest.raises(BackendError, match="no device"):
        measure_quality("m", restore, 2, find_pairs(low=folders / "lr"))


def test_pairs_of_wrong_size_and_broken_files_are_named(folders):
    save(folders / "hr" / "bird.png", texture(90, 96))
    (folders / "hr" / "head.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    quality = measure_quality("m", blocks, 2, find_pairs(low=folders / "lr", high=folders / "hr"))
    assert [row.name for row in quality.rows] == ["babyx2"]
    assert "the reference is 96 x 90, the picture 48 x 40; times 2 that should be 96 x 80" in quality.failures["birdx2"]
    assert "headx2" in quality.failures


def test_without_references_what_needs_none_is_measured(folders):
    quality = measure_quality("m", blocks, 2, find_pairs(low=folders / "lr"), QualityOptions(kernels=("area",)))
    assert set(quality.mean) == {"grid_index", "residual"}
    assert quality.missing["psnr"] == {"pictures": 3, "reason": "needs a reference picture"}


def test_the_distance_to_fp32_is_measured_on_the_same_pictures(folders):
    def rounded(low):
        return (blocks(low) // 2) * 2

    pairs = find_pairs(low=folders / "lr")
    quality = measure_quality("m", rounded, 2, pairs, fp32=blocks)
    expected = np.mean([10 * np.log10(255**2 / np.mean((pair.read(2)[0] % 2.0) ** 2)) for pair in pairs])
    assert quality.mean["psnr_fp32"] == pytest.approx(expected)


def test_score_knows_its_metrics_by_name():
    image, reference = texture(64, 64), texture(64, 64, seed=1)
    assert set(score(image, reference, metrics=["psnr"])) == {"psnr"}
    with pytest.raises(UsageError, match=r"there is no metric 'psrn'.*did you mean 'psnr'"):
        score(image, reference, metrics=["psrn"])
    found = measure_scores(image, reference, image[::4, ::4])
    assert set(found.values) | set(found.missing) == set(METRICS) - {"psnr_y", "ssim_y", "psnr_fp32"}
