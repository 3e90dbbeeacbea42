"""Which tiles a picture is cut into: the model's limits, the free memory, and what the user asked for."""

from __future__ import annotations

from dataclasses import dataclass

from edgesr.device import available_memory
from edgesr.errors import OutOfMemoryError, UsageError
from edgesr.model.descriptor import ModelDescriptor
from edgesr.pipelines.tiling import Span, balanced_tile, plan_axis, round_up, smallest_tile

DEFAULT_TILE = 512
SMALL_TILE = 256
SMALL_MEMORY = 3 << 30
"""Bytes of free memory below which tiles are small from the start."""
BUDGET = 900 << 20
"""Bytes for a picture, the rows of it in work and the network's activations; larger pictures get smaller tiles."""
ACTIVATIONS = 600 << 20
"""Bytes that the shipped networks' own tiles take at most, on a CPU."""
BLEND = 8
"""Pixels over which neighbouring tiles are mixed."""
UNKNOWN_RADIUS = 16
UNKNOWN_BLEND = 32
"""Context and blend for networks whose receptive field is unknown or unbounded."""


@dataclass(frozen=True)
class Tiles:
    """A picture cut into rows and columns of tiles."""

    rows: list[Span]
    columns: list[Span]
    tile: tuple[int, int]
    """``(height, width)`` asked for, in input pixels."""

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)


def tiles_for(descriptor: ModelDescriptor, h: int, w: int, tile: int | None, *, held: int = 0, pixel: int = 1) -> Tiles:
    """Cut an ``h`` x ``w`` picture for the model into tiles of the side that the user chose, None for automatic.

    ``held`` bytes of memory are the picture's, ``pixel`` bytes go into each pixel of the result.
    """
    size = descriptor.size
    if size.fixed is not None:
        if tile is not None and (tile, tile) != size.fixed:
            raise UsageError(f"model {descriptor.name} has fixed {_pair(size.fixed)} tiles; leave out --tile {tile}")
        return _cut(descriptor, h, w, size.fixed)
    if tile is not None:
        least = least_tile(descriptor)
        if tile < least:
            raise UsageError(f"tile must be at least {least} for model {descriptor.name}, got {tile}")
        return _cut(descriptor, h, w, (round_up(tile, size.multiple),) * 2)
    side = descriptor.tile or DEFAULT_TILE
    if available_memory() < SMALL_MEMORY:
        side = min(side, SMALL_TILE)
    side = _affordable(side, held, w * descriptor.scale**2 * pixel)
    side = round_up(max(side, least_tile(descriptor)), size.multiple)
    return _cut(descriptor, h, w, (side, side))


def _affordable(side: int, held: int, line: int) -> int:
    """Return the greatest tile side that keeps to the budget, not below `SMALL_TILE`; ``line`` bytes result of a row.

    A row of tiles is finished as a whole, so that wide pictures of many bytes a pixel hold much; the rest is the
    network's, which grows with the square of the side.
    """
    least, whole = min(side, SMALL_TILE), side
    while side > least and held + side * line + ACTIVATIONS * (side / whole) ** 2 > BUDGET:
        side -= 16
    return max(side, least)


def static_tile(descriptor: ModelDescriptor, tile: int | None) -> tuple[int, int]:
    """Return the ``(height, width)`` of tiles to compile a network for, whatever memory is free at the moment."""
    size = descriptor.size
    if size.fixed is not None or tile is not None:
        return tiles_for(descriptor, 1, 1, tile).tile
    return (round_up(max(descriptor.tile or DEFAULT_TILE, least_tile(descriptor)), size.multiple),) * 2


def tile_range(descriptor: ModelDescriptor, tile: int | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the least and the greatest ``(height, width)`` that pictures and tiles up to ``static_tile`` can have."""
    most = static_tile(descriptor, tile)
    side = round_up(max(descriptor.size.minimum, 1), descriptor.size.multiple)
    return descriptor.size.fixed or (side, side), most


def smaller(descriptor: ModelDescriptor, h: int, w: int, tiles: Tiles, error: BaseException) -> Tiles:
    """Return tiles of half the side after an out-of-memory error; raise OutOfMemoryError when they cannot shrink."""
    least = least_tile(descriptor)
    used = min(max(tiles.rows[0].size, tiles.columns[0].size), max(tiles.tile))
    side = max(round_up(used // 2, descriptor.size.multiple), least)
    if descriptor.size.fixed is not None or side >= used:
        raise OutOfMemoryError(
            f"model {descriptor.name} does not fit into memory with tiles of {used} pixels, the smallest possible; "
            "close other programs or use a smaller model"
        ) from error
    return _cut(descriptor, h, w, (side, side))


def least_tile(descriptor: ModelDescriptor) -> int:
    """Return the smallest tile side, in pixels, that the model can be cut into."""
    radius, blend = _context(descriptor)
    multiple = descriptor.size.multiple
    return max(
        smallest_tile(radius=radius, blend=blend, multiple=multiple), round_up(descriptor.size.minimum, multiple)
    )


def _cut(descriptor: ModelDescriptor, h: int, w: int, tile: tuple[int, int]) -> Tiles:
    size = descriptor.size
    spans = []
    for length, side in zip((h, w), tile, strict=True):
        radius, blend = _fitted(descriptor, side)
        padded = round_up(max(length, size.minimum), size.multiple)
        if padded <= side:
            side = side if size.fixed else padded
            spans.append([Span(0, side, 0, length, 0, 0)])
        else:
            if size.fixed is None:
                side = balanced_tile(length, side, radius=radius, blend=blend, multiple=size.multiple)
            spans.append(plan_axis(length, side, radius=radius, blend=blend, multiple=size.multiple))
    return Tiles(spans[0], spans[1], tile)


def has_full_context(descriptor: ModelDescriptor) -> bool:
    """Tell whether the network's tiles hold its whole receptive field, so that no seam can show."""
    sides = descriptor.size.fixed or ()
    return descriptor.receptive_field is not None and all(_fitted(descriptor, n) == _context(descriptor) for n in sides)


def _fitted(descriptor: ModelDescriptor, side: int) -> tuple[int, int]:
    """Return the context and blend for tiles of ``side``: the full ones, or where a fixed size is less, what fits."""
    radius, blend = _context(descriptor)
    multiple = descriptor.size.multiple
    if descriptor.size.fixed is None or side >= smallest_tile(radius=radius, blend=blend, multiple=multiple):
        return radius, blend
    blend = max(1, min(blend, (side - 2 * multiple) // 6))
    return max(0, min(radius, (side - 2 * multiple - 3 * blend) // 2)), blend


def _context(descriptor: ModelDescriptor) -> tuple[int, int]:
    if descriptor.receptive_field is None:
        return UNKNOWN_RADIUS, UNKNOWN_BLEND
    return descriptor.receptive_field, BLEND


def _pair(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
