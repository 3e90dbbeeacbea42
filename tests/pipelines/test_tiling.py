from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesr.errors import UsageError
from edgesr.pipelines.tiling import Span, blend_tiles, plan_axis, round_up, smallest_tile

RGB = [(slice(0, 3), np.dtype(np.float32))]


@settings(max_examples=300, deadline=None)
@given(
    radius=st.integers(0, 40),
    blend=st.integers(1, 12),
    multiple=st.sampled_from([1, 2, 4, 7, 8, 16]),
    spare=st.integers(0, 100),
    length=st.integers(1, 3000),
)
def test_a_plan_covers_every_pixel_once_with_enough_context(radius, blend, multiple, spare, length):
    tile = smallest_tile(radius=radius, blend=blend, multiple=multiple) + round_up(spare, multiple)
    if round_up(length, multiple) <= tile:
        return
    spans = plan_axis(length, tile, radius=radius, blend=blend, multiple=multiple)
    assert spans[0].start == spans[0].low == 0
    assert spans[-1].high == length
    assert spans[-1].start + spans[-1].size == round_up(length, multiple)
    assert spans[0].blend_before == spans[-1].blend_after == 0
    for span in spans:
        assert span.size == tile
        assert span.start % multiple == 0
        assert span.high - span.low >= max(span.blend_before, 1)
    for before, after in pairwise(spans):
        assert before.high == after.low
        assert before.blend_after == after.blend_before == blend
        assert after.low - after.start >= radius
        assert before.start + before.size - (before.high + blend) >= radius


def test_a_tile_too_small_for_the_context_is_refused_with_the_least_possible():
    with pytest.raises(UsageError, match="at least 106"):
        plan_axis(1000, 64, radius=40, blend=8)


def identity_tiles(picture: np.ndarray, rows: list[Span], columns: list[Span], scale: int) -> np.ndarray:
    def run(row: Span, column: Span) -> np.ndarray:
        tile = picture[row.start : row.start + row.size, column.start : column.start + column.size]
        return np.repeat(np.repeat(tile, scale, axis=0), scale, axis=1).copy()

    return np.concatenate([band[0] for band in blend_tiles(rows, columns, scale, run, RGB)])


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("size", [(100, 131), (97, 64), (64, 300), (65, 65)])
def test_blending_equal_values_gives_those_values(size, scale):
    picture = np.random.default_rng(0).random((*size, 3), np.float32)
    rows, columns = (plan_axis(n, 48, radius=5, blend=4) if n > 48 else [Span(0, n, 0, n, 0, 0)] for n in size)
    whole = np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1)
    np.testing.assert_allclose(identity_tiles(picture, rows, columns, scale), whole, atol=2e-7)


def test_tiles_that_disagree_fade_into_each_other_without_a_step():
    rows = [Span(0, 8, 0, 8, 0, 0)]
    columns = plan_axis(120, 56, radius=0, blend=16)
    values = iter(range(len(columns)))

    def run(row: Span, column: Span) -> np.ndarray:
        return np.full((row.size, column.size, 1), next(values) / (len(columns) - 1), np.float32)

    (band,) = (b[0] for b in blend_tiles(rows, columns, 1, run, [(slice(0, 1), np.dtype(np.float32))]))
    line = band[0, :, 0]
    assert line[0] == 0 and line[-1] == 1
    assert np.abs(np.diff(line)).max() < 0.11 / (len(columns) - 1)


def test_layers_are_delivered_in_their_own_types():
    picture = np.random.default_rng(1).random((20, 20, 3), np.float32)
    span = [Span(0, 20, 0, 20, 0, 0)]
    layers = [(slice(0, 2), np.dtype(np.uint8)), (slice(2, 3), np.dtype(np.float32))]
    ((first, second),) = blend_tiles(span, span, 1, lambda row, column: picture.copy(), layers)
    assert first.dtype == np.uint8 and first.shape == (20, 20, 2)
    np.testing.assert_array_equal(first, np.rint(picture[..., :2] * 255))
    np.testing.assert_array_equal(second, picture[..., 2:])
