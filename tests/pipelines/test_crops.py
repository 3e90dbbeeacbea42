from __future__ import annotations

import numpy as np
import pytest

from edgesr.pipelines.crops import middle_crop, representative_crops


def test_the_most_textured_part_comes_first_and_the_next_lies_farthest_from_it():
    pixels = np.full((64, 96, 3), 100, np.uint8)
    pixels[:16, 80:] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    crops = representative_crops(pixels, (16, 16), 2)
    assert [place for place, _ in crops] == ["80, 0", "0, 48"]
    assert crops[0][1].std() > 50
    assert crops[1][1].std() == 0


@pytest.mark.parametrize("shape", [(16, 16, 1), (17, 90, 3), (700, 500, 4)])
def test_parts_have_their_size_lie_inside_and_are_different_places(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    crops = representative_crops(pixels, (16, 12), 4)
    assert len({place for place, _ in crops}) == len(crops) <= 4
    for place, crop in crops:
        x, y = map(int, place.split(", "))
        np.testing.assert_array_equal(crop, pixels[y : y + 16, x : x + 12])
        assert crop.shape == (16, 12, shape[2])
    again = representative_crops(pixels, (16, 12), 4)
    assert [place for place, _ in again] == [place for place, _ in crops]


def test_a_picture_smaller_than_the_part_stays_as_it_is():
    pixels = np.arange(30, dtype=np.uint8).reshape(5, 6, 1)
    ((place, crop),) = representative_crops(pixels, (16, 16), 4)
    assert place == "0, 0"
    np.testing.assert_array_equal(crop, pixels)
    np.testing.assert_array_equal(middle_crop(pixels, (16, 16)), pixels)


def test_the_middle_is_the_middle():
    pixels = np.arange(100, dtype=np.uint8).reshape(10, 10, 1)
    np.testing.assert_array_equal(middle_crop(pixels, (4, 2)), pixels[3:7, 4:6])
