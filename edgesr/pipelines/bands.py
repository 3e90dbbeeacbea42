"""One picture through a restoration network, from top to bottom in bands of finished rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from edgesr.errors import OutOfMemoryError
from edgesr.image.convert import to_float
from edgesr.model.descriptor import ModelDescriptor
from edgesr.pipelines.ahead import run_ahead
from edgesr.pipelines.augment import self_ensemble
from edgesr.pipelines.network import RestoreNetwork, Settings, Workspace
from edgesr.pipelines.noisy import kernel_shares, unusual_noise, widen
from edgesr.pipelines.planes import run_planes
from edgesr.pipelines.reduce import Reduced, reduce_channels
from edgesr.pipelines.tilesize import Tiles, smaller, tiles_for
from edgesr.pipelines.tiling import Span, blend_tiles
from edgesr.pipelines.timings import Timings
from edgesr.types import Array, FloatArray

_BAND_BYTES = 32 << 20


@dataclass(frozen=True)
class Band:
    """Finished rows of a restored picture."""

    rows: Array
    """``(h, width * scale, C)`` in the input's dtype."""
    bound: FloatArray | None
    """Predicted bound of the absolute error, float32 ``(h, width * scale)``; None unless asked for."""
    extra: Mapping[str, FloatArray] = field(default_factory=dict)
    """Further outputs by role, float32 ``(h, width * scale, c)`` in the network's own range; none unless asked for."""


def restore_bands(
    network: RestoreNetwork,
    pixels: Array,
    settings: Settings,
    *,
    tile: int | None,
    tta: bool,
    timings: Timings,
    on_tile: Callable[[int, int], None] | None = None,
) -> Iterator[Band]:
    """Restore RGB pixels ``(H, W, C)``, uint8, uint16 or float32 in [0, 1], in memory that does not grow with H.

    ``tile`` is the tile side in pixels, None for automatic. ``on_tile`` is told the number of finished tiles and of
    all. When the device runs out of memory on the first tile, smaller tiles are tried.
    """
    descriptor = network.descriptor
    reduced = reduce_channels(pixels, to_grey=descriptor.input_channels == 1)
    h, w, channels = reduced.pixels.shape
    layers: list[tuple[slice, np.dtype[Any] | None]] = [(slice(0, channels), pixels.dtype)]
    if settings.with_scale:
        layers.append((slice(channels, channels + 1), np.dtype(np.float32)))
    for role in settings.further:
        start = layers[-1][0].stop
        layers.append((slice(start, start + network.channels_of(role)), None))
    behind = layers[-1][0].stop - channels
    to_bound = _bound_of(descriptor, reduced, settings)
    pixel = sum((layer.stop - layer.start) * np.dtype(dtype or np.float32).itemsize for layer, dtype in layers)
    tiles = tiles_for(descriptor, h, w, tile, held=pixels.nbytes, pixel=pixel)
    with ExitStack() as stack:
        workspaces = [stack.enter_context(network.workspace())]
        if tiles.count == 1 and not tta and not behind and _is_native(network, reduced.pixels):
            yield Band(reduced.expand(_run_native(workspaces[0], tiles, reduced.pixels, settings, timings)), None)
            return
        run = partial(
            _run_tile, pixels=reduced.pixels, settings=settings, tta=tta, further=behind - int(settings.with_scale)
        )
        while True:
            origin = (tiles.rows[0], tiles.columns[0])
            try:
                first = run(origin, workspace=workspaces[0], timings=timings)
                break
            except (OutOfMemoryError, MemoryError) as error:
                tiles = smaller(descriptor, h, w, tiles, error)
        if network.backend.is_asynchronous and tiles.count > 1:
            workspaces += _second(network, tiles, settings, stack)
        others = [(row, column) for row in tiles.rows for column in tiles.columns][1:]
        # Each tile counts its own times: two may be under way.
        spent = [Timings() for _ in workspaces]
        runs = [
            partial(run, workspace=workspace, timings=mine)
            for workspace, mine in zip(reversed(workspaces), spent, strict=True)
        ]
        finished = count(1)
        take = stack.enter_context(run_ahead(others, runs))

        def run_once(row: Span, column: Span) -> FloatArray:
            result = first if (row, column) == origin else take()
            if on_tile is not None:
                on_tile(next(finished), tiles.count)
            return result

        for finished_rows in blend_tiles(tiles.rows, tiles.columns, descriptor.scale, run_once, layers):
            yield from _pieces(finished_rows, reduced, settings, to_bound)
            del finished_rows  # or it would stay beside the next one
        for mine in spent:
            timings.add(mine)


def _bound_of(descriptor: ModelDescriptor, reduced: Reduced, settings: Settings) -> Callable[[FloatArray], FloatArray]:
    """Return what makes the error scale of this picture, in rows, its bound."""
    factor, excess = np.float32(descriptor.uncertainty.factor if descriptor.uncertainty else 1.0), 0.0
    if settings.with_scale:
        channels = reduced.pixels.shape[2]
        colored = reduced.pixels[..., : channels - (channels in (2, 4))]
        excess = unusual_noise(descriptor, kernel_shares(descriptor, settings.controls), colored)

    def to_bound(scale: FloatArray) -> FloatArray:
        wide = widen(scale, excess, out=scale)  # a wide picture's rows are large
        np.multiply(wide, factor, out=wide)
        return wide

    return to_bound


def _pieces(
    finished: tuple[Array, ...], reduced: Reduced, settings: Settings, to_bound: Callable[[FloatArray], FloatArray]
) -> Iterator[Band]:
    """Cut finished rows, by layer, into bands of which copies are cheap."""
    rows, *rest = finished
    bound = to_bound(rest.pop(0)[..., 0]) if settings.with_scale else None
    height = max(1, _BAND_BYTES // rows[0].nbytes)
    for top in range(0, len(rows), height):
        part = slice(top, top + height)
        extra = {role: values[part] for role, values in zip(settings.further, rest, strict=True)}
        yield Band(reduced.expand(rows[part]), None if bound is None else bound[part], extra)


def _is_native(network: RestoreNetwork, pixels: Array) -> bool:
    """Tell whether a network that takes pictures itself takes these as they are."""
    descriptor = network.descriptor
    same = pixels.dtype == descriptor.embedded_io and pixels.shape[2] == descriptor.input_channels
    return same and descriptor.input.color != "bgr"


def _run_native(workspace: Workspace, tiles: Tiles, pixels: Array, settings: Settings, timings: Timings) -> Array:
    (row,), (column,), scale = tiles.rows, tiles.columns, workspace.network.descriptor.scale
    h, w = pixels.shape[:2]
    padded = _padded(pixels, row.size, column.size)
    result: Array = workspace.run_embedded(padded, settings, timings)[: h * scale, : w * scale].copy()
    return result


def _padded(tile: Array, h: int, w: int) -> Array:
    missing = (h - tile.shape[0], w - tile.shape[1])
    return np.pad(tile, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if any(missing) else tile


def _second(network: RestoreNetwork, tiles: Tiles, settings: Settings, stack: ExitStack) -> list[Workspace]:
    """Return buffers for a second tile at a time, none where the device has no room for them."""
    workspace = stack.enter_context(network.workspace())
    try:
        workspace.prepare(tiles.rows[0].size, tiles.columns[0].size, settings.further)
    except OutOfMemoryError:
        return []
    return [workspace]


def _run_tile(
    place: tuple[Span, Span],
    *,
    workspace: Workspace,
    pixels: Array,
    settings: Settings,
    tta: bool,
    further: int,
    timings: Timings,
) -> FloatArray:
    row, column = place
    descriptor = workspace.network.descriptor
    tile = to_float(pixels[row.start : row.start + row.size, column.start : column.start + column.size])
    tile = _padded(tile, row.size, column.size)
    run = partial(workspace.run, settings=settings, timings=timings)
    if tta:
        run = partial(self_ensemble, run=run, rotate=descriptor.size.fixed is None)
    return run_planes(tile, run, descriptor, with_scale=settings.with_scale, further=further)
