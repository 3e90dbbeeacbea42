"""The overlay that shows an uncertainty as heat."""

from __future__ import annotations

import tracemalloc

import numpy as np

from edgesr.image.heat import BLOCK, FULL, heat_overlay


def test_what_is_certain_keeps_its_grey_and_what_is_not_turns_red():
    rows = np.full((1, 3, 1), 128, np.uint8)
    certain, likely, wild = heat_overlay(rows, np.array([[0.0, FULL / 2, 2 * FULL]], np.float32))[0]
    assert certain.tolist() == [128, 128, 128]
    assert likely[0] > likely[1] > likely[2]
    assert wild[0] > 2 * max(wild[1], wild[2])


def test_colour_and_alpha_are_shown_as_the_grey_of_their_colours():
    bound = np.zeros((2, 2), np.float32)
    for channels in (3, 4):
        rows = np.full((2, 2, channels), (30, 60, 90, 255)[:channels], np.uint8)
        assert np.unique(heat_overlay(rows, bound)).tolist() == [60]
    assert np.unique(heat_overlay(np.full((2, 2, 2), (77, 255), np.uint16) * 257, bound)).tolist() == [77]


def test_blocks_of_rows_give_what_rows_give_alone():
    random = np.random.default_rng(0)
    width = BLOCK // 3
    rows = random.integers(0, 256, (7, width, 1), np.uint8)
    bound = random.random((7, width), np.float32) * np.float32(FULL)
    alone = np.concatenate([heat_overlay(rows[i : i + 1], bound[i : i + 1]) for i in range(7)])
    np.testing.assert_array_equal(heat_overlay(rows, bound), alone)


def test_a_wide_band_takes_little_more_than_its_result():
    rows, bound = np.zeros((512, 8192, 1), np.uint8), np.zeros((512, 8192), np.float32)
    tracemalloc.start()
    try:
        result = heat_overlay(rows, bound)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - result.nbytes < 40 << 20
