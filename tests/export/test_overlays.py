"""The training mixture: film edges, markers and wires are drawn, and steep windows are chosen."""

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("torch")

from export.data.overlays import overlay
from export.data.xray import CropSampler, Mixture

FLAT = np.full((512, 512), 120, np.uint8)


def _steepest(picture: np.ndarray) -> int:
    return int(np.abs(np.diff(picture.astype(int), axis=1)).max())


def test_an_overlaid_picture_has_film_edges_and_keeps_what_is_beside_them() -> None:
    pictures = [overlay(FLAT, np.random.default_rng(seed)) for seed in range(12)]
    assert all(picture.shape == FLAT.shape and picture.dtype == np.uint8 for picture in pictures)
    assert np.median([_steepest(picture) for picture in pictures]) > 60
    assert 0.1 < np.mean([(picture == FLAT).mean() for picture in pictures]) < 0.98


def test_the_same_seed_draws_the_same_shapes() -> None:
    first, second, other = (overlay(FLAT, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert (first == second).all() and (first != other).any()


@pytest.mark.parametrize(("overlaid", "least", "most"), [(0.0, 0, 0), (1.0, 40, 255)])
def test_crops_come_from_overlaid_pictures_as_often_as_the_mixture_says(overlaid: float, least: int, most: int) -> None:
    sampler = CropSampler([FLAT] * 3, Mixture(overlaid=overlaid, chosen=1.0, noisy=0.0), seed=1)
    _, high, _ = sampler.batch(16, 32)
    steepest = max(_steepest((crop[0].numpy() * 255).round()) for crop in high)
    assert least <= steepest <= most


def test_a_chosen_crop_is_steeper_than_a_random_one() -> None:
    picture = FLAT.copy()
    picture[:, 200:205] = 255
    steep = {}
    for chosen in (0.0, 1.0):
        mixture = Mixture(cubic_256=0, area_256=0, native_512=1, overlaid=0.0, chosen=chosen, noisy=0.0)
        _, high, _ = CropSampler([picture], mixture, seed=2).batch(200, 32)
        steep[chosen] = float((high.amax((1, 2, 3)) > 0.9).float().mean())
    # A window of 144 pixels meets the line with probability 0.4; at least one of four does with 0.87.
    assert steep[0.0] < 0.55 and steep[1.0] > 0.75
