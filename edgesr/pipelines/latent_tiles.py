"""Which tiles the latents of a picture are cut into, and how the picture is padded to whole latents."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, lcm

from edgesr.errors import ModelError, UsageError
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.diffusion import Diffusion
from edgesr.pipelines.tiling import Span, plan_axis, round_up, smallest_tile

BLEND = 4
"""Latents over which neighbouring tiles are mixed where the receptive field is known."""
UNKNOWN_SHARE = 8
"""Of a tile, context and blend of networks whose receptive field is unknown are one part each."""
_TRAINED = 64
"""Tile side, in pixels of the small picture, of packages that do not say what they were trained with."""


@dataclass(frozen=True)
class LatentTiles:
    """The latents of one picture, cut into rows and columns of tiles; all sizes in latents but ``picture``."""

    rows: list[Span]
    columns: list[Span]
    picture: tuple[int, int]
    """Height and width of the small picture when it is padded to whole latents, in its pixels."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows[-1].high, self.columns[-1].high

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.rows) * len(self.columns)


def around_of(descriptor: ModelDescriptor) -> Diffusion:
    """Return what stands around the steps; raise ModelError for a descriptor of another task."""
    if descriptor.diffusion is None:
        raise ModelError(f"model {descriptor.name} is no latent diffusion: model.json has no field 'diffusion'")
    return descriptor.diffusion


def latent_tiles(descriptor: ModelDescriptor, h: int, w: int, tile: int | None) -> LatentTiles:
    """Cut the latents of an ``h`` x ``w`` picture into tiles; ``tile`` is their side in pixels of that picture."""
    scale, factor = descriptor.scale, around_of(descriptor).latent_factor
    multiple = lcm(descriptor.size.multiple, factor // gcd(factor, scale))
    fixed = descriptor.size.fixed
    if fixed is not None and tile is not None and (tile, tile) != fixed:
        raise UsageError(f"model {descriptor.name} has fixed {fixed[0]} x {fixed[1]} tiles; leave out --tile {tile}")
    spans, padded = [], []
    for length, side in zip((h, w), fixed or (tile, tile), strict=True):
        chosen = side if fixed is not None and side is not None else _side(descriptor, side, multiple)
        whole = round_up(max(length, descriptor.size.minimum), multiple)
        whole = max(whole, chosen) if fixed is not None else whole
        padded.append(whole)
        spans.append(_spans(descriptor, whole * scale // factor, chosen * scale // factor, multiple * scale // factor))
    return LatentTiles(spans[0], spans[1], (padded[0], padded[1]))


def tile_sizes(descriptor: ModelDescriptor, tile: int | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the smallest and the largest height and width of a tile, in latents."""
    small = latent_tiles(descriptor, 1, 1, tile)
    scale, factor = descriptor.scale, around_of(descriptor).latent_factor
    fixed = descriptor.size.fixed
    multiple = lcm(descriptor.size.multiple, factor // gcd(factor, scale))
    sides = fixed or (_side(descriptor, tile, multiple),) * 2
    return small.size, (sides[0] * scale // factor, sides[1] * scale // factor)


def _side(descriptor: ModelDescriptor, tile: int | None, multiple: int) -> int:
    """Return the tile side in pixels: the trained one where the receptive field is unknown."""
    scale, factor = descriptor.scale, around_of(descriptor).latent_factor
    side = round_up(tile or descriptor.tile or _TRAINED, multiple)
    radius = _radius(descriptor)
    least = 5 * multiple
    if radius is not None:
        latents = smallest_tile(radius=radius, blend=BLEND, multiple=multiple * scale // factor)
        least = round_up(-(-latents * factor // scale), multiple)
    least = max(least, round_up(descriptor.size.minimum, multiple))
    if tile is not None and side < least:
        raise UsageError(f"tile must be at least {least} for model {descriptor.name}, got {tile}")
    return max(side, least)


def _spans(descriptor: ModelDescriptor, length: int, tile: int, multiple: int) -> list[Span]:
    if length <= tile:
        return [Span(0, length, 0, length, 0, 0)]
    radius = _radius(descriptor)
    blend = BLEND
    if radius is None or tile < smallest_tile(radius=radius, blend=blend, multiple=multiple):
        blend = max(1, min(tile // UNKNOWN_SHARE, (tile - 2 * multiple) // 6))
        radius = max(0, min(tile // UNKNOWN_SHARE, (tile - 2 * multiple - 3 * blend) // 2))
    return plan_axis(length, tile, radius=radius, blend=blend, multiple=multiple)


def _radius(descriptor: ModelDescriptor) -> int | None:
    field = descriptor.receptive_field
    return None if field is None else -(-field * descriptor.scale // around_of(descriptor).latent_factor)
