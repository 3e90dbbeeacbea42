"""Tiles shrink where the picture itself takes much of what a picture may take, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from edgesr.model import ModelDescriptor
from edgesr.pipelines import tilesize
from edgesr.pipelines.load import open_model
from edgesr.pipelines.tilesize import SMALL_TILE, Tiles, tiles_for

SIDE = 8192


@pytest.fixture(autouse=True)
def _much_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tilesize, "available_memory", lambda: 64 << 30)


@pytest.fixture(params=["cxr-x4", "cxr-x4-fast"])
def descriptor(request: pytest.FixtureRequest) -> ModelDescriptor:
    return open_model(request.param).descriptor


def _tiles(descriptor: ModelDescriptor, dtype: str, channels: int, tile: int | None = None) -> Tiles:
    pixel = np.dtype(dtype).itemsize * channels
    return tiles_for(descriptor, SIDE, SIDE, tile, held=SIDE * SIDE * pixel, pixel=pixel)


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint16", 1)])
def test_a_large_grey_picture_has_the_models_own_tiles(descriptor: ModelDescriptor, dtype: str, channels: int) -> None:
    assert _tiles(descriptor, dtype, channels).tile == (descriptor.tile, descriptor.tile)


@pytest.mark.parametrize(("dtype", "channels"), [("uint16", 3), ("uint16", 4), ("float32", 3)])
def test_tiles_of_a_large_picture_of_many_bytes_a_pixel_are_smaller(
    descriptor: ModelDescriptor, dtype: str, channels: int
) -> None:
    tiles = _tiles(descriptor, dtype, channels)
    assert SMALL_TILE <= tiles.tile[0] < (descriptor.tile or 0)
    assert tiles.columns[-1].high == SIDE


def test_more_bytes_a_pixel_never_give_larger_tiles(descriptor: ModelDescriptor) -> None:
    sides = [_tiles(descriptor, dtype, n).tile[0] for dtype, n in [("uint8", 1), ("uint8", 3), ("uint8", 4)]]
    sides += [_tiles(descriptor, "uint16", n).tile[0] for n in (3, 4)]
    assert sides == sorted(sides, reverse=True)


def test_the_tile_that_a_user_asks_for_is_kept(descriptor: ModelDescriptor) -> None:
    assert _tiles(descriptor, "uint16", 4, 400).tile == (400, 400)
