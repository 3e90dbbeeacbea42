"""Pairs for the latent diffusion: patients stay apart, and low and high resolution stay aligned."""

import numpy as np
import pytest

pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

from export.data.degradations import downscale  # noqa: E402
from export.data.pairing import SHARES, Augmentation, PairSampler, split  # noqa: E402

NAMES = [f"{patient:08d}_{study:03d}.png" for patient in range(700) for study in range(1 + patient % 3)]


def _pictures(count: int = 2, side: int = 128) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    fields = [cv2.GaussianBlur(random.normal(0, 1, (side, side)), (0, 0), 2) for _ in range(count)]
    return [np.clip(np.rint(128 + 300 * field), 40, 215).astype(np.uint8) for field in fields]


def _sampler(seed: int = 3, **chances: float) -> PairSampler:
    off = {"share": 1.0, "flip": 0.0, "turn": 0.0, "resized": 0.0, "cutout": 0.0}
    return PairSampler(_pictures(), seed, extent=64, augmentation=Augmentation(**{**off, **chances}))


def test_no_patient_is_in_two_sets_and_every_picture_is_in_one() -> None:
    sets = split(NAMES)
    patients = [{name.split("_")[0] for name in part} for part in sets]
    assert sorted(name for part in sets for name in part) == sorted(NAMES)
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])


def test_sets_have_70_20_and_10_per_cent_of_the_pictures() -> None:
    shares = [len(part) / len(NAMES) for part in split(NAMES)]
    np.testing.assert_allclose(shares, SHARES, atol=0.04)


def test_a_new_picture_moves_no_other() -> None:
    before, after = split(NAMES[:500]), split(NAMES)
    for old, new in zip(before, after, strict=True):
        assert set(old) <= set(new)


@pytest.mark.parametrize("kind", ["flip", "turn", "resized"])
def test_low_resolution_is_the_downscaled_high_resolution_after_every_augmentation(kind: str) -> None:
    sampler = _sampler(**{kind: 1.0})
    for _ in range(8):
        low, high = sampler.pair(12)
        assert low.shape == (12, 12) and high.shape == (48, 48)
        np.testing.assert_array_equal(downscale(high, "cubic"), low)


def test_cutout_takes_the_same_rectangle_from_both() -> None:
    sampler = _sampler(cutout=1.0)
    for _ in range(8):
        low, high = sampler.pair(12)
        hole = (high.reshape(12, 4, 12, 4) == 0).all((1, 3))
        assert 0 < hole.sum() < 36
        np.testing.assert_array_equal(low[hole], 0)
        assert (high != 0).sum() == 48 * 48 - 16 * hole.sum()


def test_crops_without_augmentation_are_parts_of_the_whole_pictures_pair() -> None:
    sampler = _sampler(share=0.0)
    wholes = [downscale(picture, "cubic") for picture in sampler.pictures]
    for _ in range(8):
        low, _ = sampler.pair(12)
        windows = [np.lib.stride_tricks.sliding_window_view(whole, (12, 12)) for whole in wholes]
        assert any((window == low).all((2, 3)).any() for window in windows)


def test_seven_in_ten_pairs_are_changed() -> None:
    sampler = PairSampler(
        _pictures(1, 64), 0, extent=64, augmentation=Augmentation(flip=1, turn=0, resized=0, cutout=0)
    )
    whole = sampler.pictures[0]
    changed = sum(not np.array_equal(sampler.pair(16)[1], whole) for _ in range(400))
    assert abs(changed / 400 - 0.7) < 0.07


def test_the_state_brings_the_same_pairs_again() -> None:
    sampler = PairSampler(_pictures(), 5, extent=64)
    state = sampler.state
    first = sampler.batch(4, 12)
    sampler.state = state
    for a, b in zip(first, sampler.batch(4, 12), strict=True):
        np.testing.assert_array_equal(a, b)
