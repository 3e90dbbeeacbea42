"""Tiles over a picture of any size, blended so that they cannot be seen, in constant memory.

Each tile is run with at least ``radius`` pixels of context on every side that is not the picture's own border. Where
``radius`` is the network's receptive field, what is kept of a tile equals the run over the whole picture, and blending
only mixes equal values. Where the receptive field is unknown, the cosine blend hides what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgesr.errors import UsageError
from edgesr.image.convert import from_float
from edgesr.types import Array, FloatArray


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in input pixels: the network reads ``[start, start + size)``, ``[low, high)`` is kept.

    ``blend`` pixels from ``low`` on are mixed with the tile before, and as many from ``high`` on with the tile after.
    """

    start: int
    size: int
    low: int
    high: int
    blend_before: int
    blend_after: int


def plan_axis(length: int, tile: int, *, radius: int, blend: int, multiple: int = 1) -> list[Span]:
    """Cut ``length`` pixels, more than one tile holds, into tiles of ``tile`` pixels.

    Tiles start at multiples of ``multiple``, so ``tile`` must be one too; the last ends where the picture does, padded
    to ``multiple``. Raises UsageError when a tile is too small for its context.
    """
    padded = round_up(length, multiple)
    smallest = smallest_tile(radius=radius, blend=blend, multiple=multiple)
    if tile < smallest or tile % multiple:
        raise UsageError(
            f"tile {tile} is too small or no multiple of {multiple} for this model: its context of {radius} pixels "
            f"on each side needs tiles of at least {smallest}"
        )
    step = (tile - 2 * radius - blend) // multiple * multiple
    gaps = -(-(padded - tile) // step)
    starts = [(i * (padded - tile) // gaps) // multiple * multiple for i in range(gaps)] + [padded - tile]
    seams = [(after + before + tile - blend) // 2 for before, after in pairwise(starts)]
    return [
        Span(start, tile, low, high, blend if i else 0, blend if i < gaps else 0)
        for i, (start, low, high) in enumerate(zip(starts, [0, *seams], [*seams, length], strict=True))
    ]


def balanced_tile(length: int, tile: int, *, radius: int, blend: int, multiple: int = 1) -> int:
    """Return the least tile side that cuts ``length`` into as many tiles as ``tile`` does: less work."""
    padded = round_up(length, multiple)
    count = len(plan_axis(length, tile, radius=radius, blend=blend, multiple=multiple))
    side = round_up(-(-(padded + (count - 1) * (2 * radius + blend)) // count), multiple)
    side = max(side, smallest_tile(radius=radius, blend=blend, multiple=multiple))
    while len(plan_axis(length, side, radius=radius, blend=blend, multiple=multiple)) > count:
        side += multiple
    return min(side, tile)


def smallest_tile(*, radius: int, blend: int, multiple: int = 1) -> int:
    """Return the least tile side that leaves a core of twice the blend between its two contexts."""
    return round_up(2 * radius + 3 * blend + 2 * multiple, multiple)


def span_weights(span: Span) -> FloatArray:
    """Return the share of a tile in the blend of all, float32 ``(size,)``; at every place the shares sum to one."""
    weights = np.zeros(span.size, np.float32)
    low, high = span.low - span.start, span.high - span.start
    weights[low:high] = 1.0
    weights[low : low + span.blend_before] = _rising(span.blend_before)
    weights[high : high + span.blend_after] = 1.0 - _rising(span.blend_after)
    return weights


def round_up(value: int, multiple: int) -> int:
    """Return the least multiple of ``multiple`` that is not below ``value``."""
    return -(-value // multiple) * multiple


def blend_tiles(
    rows: Sequence[Span],
    columns: Sequence[Span],
    scale: int,
    run: Callable[[Span, Span], FloatArray],
    layers: Sequence[tuple[slice, np.dtype[np.generic] | None]],
) -> Iterator[tuple[Array, ...]]:
    """Run every tile and yield the picture from top to bottom as bands of finished rows.

    ``run`` maps a row span and a column span to float32 ``(row.size * scale, column.size * scale, C)``; its result may
    be overwritten by the next call. Each of ``layers`` is a slice of the C channels and the dtype that it is delivered
    in: integers scaled from [0, 1], float32 clipped to it, None for float32 as it is. A band is a tuple of arrays
    ``(h, width * scale, c)``, one for each layer, fresh for each band.
    """
    width = columns[-1].high * scale
    above: FloatArray | None = None
    for row in rows:
        band = tuple(
            np.empty(((row.high - row.low) * scale, width, layer.stop - layer.start), dtype or np.float32)
            for layer, dtype in layers
        )
        below: FloatArray | None = None
        left: FloatArray | None = None
        for column in columns:
            tile = run(row, column)
            part = tile[_kept(row, scale), _kept(column, scale)]
            if left is not None:
                _mix(part[:, : column.blend_before * scale], left, axis=1)
            core = (column.high - column.low) * scale
            left = part[:, core:].copy() if column.blend_after else None
            part = part[:, :core]
            x = slice(column.low * scale, column.high * scale)
            if above is not None:
                _mix(part[: row.blend_before * scale], above[:, x], axis=0)
            height = (row.high - row.low) * scale
            if row.blend_after:
                if below is None:
                    below = np.empty((row.blend_after * scale, width, part.shape[2]), np.float32)
                below[:, x] = part[height:]
            for target, (layer, dtype) in zip(band, layers, strict=True):
                if dtype is None:
                    target[:, x] = part[:height, :, layer]
                else:
                    from_float(part[:height, :, layer], dtype, out=target[:, x])
        above = below
        yield band
        del band, target  # or it would stay beside the next one


def _kept(span: Span, scale: int) -> slice:
    return slice((span.low - span.start) * scale, (span.high + span.blend_after - span.start) * scale)


def _mix(new: FloatArray, old: FloatArray, *, axis: int) -> None:
    """Fade ``new`` in over ``old`` along ``axis`` with half a cosine, in place; the two weights add to one."""
    n = new.shape[axis]
    weight = _rising(n)
    weight = weight.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    new *= weight
    new += old * (1 - weight)


def _rising(n: int) -> FloatArray:
    """Return half a cosine from 0 to 1, float32 ``(n,)``."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))).astype(np.float32)
