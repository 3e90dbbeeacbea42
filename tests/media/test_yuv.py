"""Colour: the bars of the recommendations, in both ranges, there and back."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.media.yuv import Matrix, from_rgb, to_rgb

BARS = [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)]
# Y, Cb, Cr of 100 % colour bars in limited range, as tabulated for BT.601 and BT.709.
TABLES: dict[Matrix, list[tuple[int, int, int]]] = {
    "bt601": [(235, 128, 128), (210, 16, 146), (170, 166, 16), (145, 54, 34), (106, 202, 222), (81, 90, 240),
              (41, 240, 110), (16, 128, 128)],
    "bt709": [(235, 128, 128), (219, 16, 138), (188, 154, 16), (173, 42, 26), (78, 214, 230), (63, 102, 240),
              (32, 240, 118), (16, 128, 128)],
}  # fmt: skip


@pytest.mark.parametrize("matrix", TABLES)
def test_colour_bars_have_the_values_of_the_recommendations(matrix: Matrix) -> None:
    image = np.array([BARS], np.uint8)
    planes = from_rgb(image, matrix, "limited", is_subsampled=False)
    found = np.stack(planes, axis=2)[0].astype(int)
    assert np.abs(found - TABLES[matrix]).max() <= 1  # tables truncate some values


@pytest.mark.parametrize("matrix", TABLES)
def test_the_values_of_the_recommendations_give_the_colour_bars(matrix: Matrix) -> None:
    y, u, v = (np.array([[row[i] for row in TABLES[matrix]]], np.uint8) for i in range(3))
    assert np.abs(to_rgb(y, u, v, matrix, "limited")[0].astype(int) - BARS).max() <= 2


def test_jpeg_colours_are_pillows() -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    theirs = np.asarray(Image.fromarray(pixels).convert("YCbCr")).astype(int)
    ours = np.stack(from_rgb(pixels, "bt601", "full", is_subsampled=False), axis=2).astype(int)
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("matrix", TABLES)
@pytest.mark.parametrize("levels", ["limited", "full"])
def test_there_and_back_is_close(matrix: Matrix, levels: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    planes = from_rgb(pixels, matrix, levels, is_subsampled=False)  # type: ignore[arg-type]
    back = to_rgb(*planes, matrix, levels)  # type: ignore[arg-type]
    assert np.abs(back.astype(int) - pixels).max() <= (3 if levels == "limited" else 2)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (5, 2)])
def test_odd_sizes_keep_flat_colour(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), (200, 30, 60), np.uint8)
    y, u, v = from_rgb(pixels, "bt601", "limited", is_subsampled=True)
    assert u.shape == v.shape == ((size[0] + 1) // 2, (size[1] + 1) // 2)
    assert np.abs(to_rgb(y, u, v, "bt601", "limited").astype(int) - pixels).max() <= 2
