"""Leave out what the network need not see: opaque alpha, and colour that is grey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesr.image.alpha import bleed
from edgesr.image.convert import is_grey
from edgesr.types import Array


@dataclass(frozen=True)
class Reduced:
    """A picture with only the channels that must be computed, and the way back."""

    pixels: Array
    """``(H, W, C)``; hidden colour under transparent pixels is replaced by that of their neighbours."""
    repeat: bool
    """Whether three equal colour channels were reduced to one."""
    opaque: int | float | None
    """The alpha value that was left out."""

    def expand(self, rows: Array) -> Array:
        """Give computed rows ``(h, W, C)`` the channels of the original picture back."""
        if not self.repeat and self.opaque is None:
            return rows
        colors = rows.shape[2] - (rows.shape[2] in (2, 4))
        parts = [np.repeat(rows[..., :1], 3, axis=2) if self.repeat else rows[..., :colors], rows[..., colors:]]
        if self.opaque is not None:
            parts.append(np.full((*rows.shape[:2], 1), self.opaque, rows.dtype))
        return np.concatenate(parts, axis=2)


def reduce_channels(pixels: Array, *, to_grey: bool) -> Reduced:
    """Drop an opaque alpha channel, and with ``to_grey`` two of three equal colour channels."""
    channels = pixels.shape[2]
    opaque: int | float | None = None
    if channels in (2, 4):
        top = 1.0 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
        alpha = pixels[..., -1]
        if alpha.min() == top:
            opaque, pixels = top, pixels[..., :-1]
        elif alpha.min() == 0:
            pixels = np.concatenate([bleed(pixels[..., :-1], alpha), alpha[..., None]], axis=2)
    repeat = to_grey and channels >= 3 and is_grey(pixels)
    if repeat:
        pixels = np.concatenate([pixels[..., :1], pixels[..., 3:]], axis=2) if pixels.shape[2] == 4 else pixels[..., :1]
    return Reduced(pixels, repeat, opaque)
