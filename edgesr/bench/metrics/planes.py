"""Two pictures brought to one scale, without alpha and border, as metrics take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from edgesr.errors import InputError, UsageError
from edgesr.types import Array

Channel: TypeAlias = Literal["rgb", "y"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
Doubles: TypeAlias = npt.NDArray[np.float64]

_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
_BLACK = 16 / 255


@dataclass(frozen=True, eq=False)
class Pair:
    """A picture and its reference, float64 ``(H, W, C)`` without alpha and border."""

    image: Doubles
    reference: Doubles
    data_range: float
    """Distance from black to white in the units of both."""

    @classmethod
    def of(
        cls,
        image: Array,
        reference: Array,
        *,
        border: int = 0,
        data_range: float | None = None,
        channel: Channel = "rgb",
    ) -> Pair:
        """Compare ``image`` with ``reference``, both ``(H, W)`` or ``(H, W, C)``, RGB order.

        Without ``data_range``, uint8 and uint16 are divided by their full scale and floats are taken to lie in [0, 1];
        with it, values are taken as they are. ``border`` pixels are left out on each side. ``channel`` ``"y"`` compares
        the luma of colour pictures.
        """
        first, second = (colors(p) for p in (image, reference))
        if first.shape != second.shape:
            raise InputError(f"the picture is {_size(first)}, its reference {_size(second)}; both must be alike")
        height, width = first.shape[:2]
        if border < 0 or 2 * border >= min(height, width):
            raise UsageError(f"a border of {border} pixels leaves nothing of {width} x {height}; make it smaller")
        if data_range is not None and not data_range > 0:
            raise UsageError(f"data_range must be above 0, got {data_range:g}")
        inner = (slice(border, height - border), slice(border, width - border))
        full = 1.0 if data_range is None else data_range
        a, b = (values_of(p[inner], data_range) for p in (first, second))
        if channel == "y":
            a, b = luma(a, full), luma(b, full)
        elif channel != "rgb":
            raise UsageError(f"channel must be rgb or y, got {channel!r}")
        return cls(a, b, full)


def colors(picture: Array) -> Array:
    """Return a picture as ``(H, W, 1)`` or ``(H, W, 3)`` without its alpha channel."""
    if picture.ndim == 2:
        return picture[..., np.newaxis]
    if picture.ndim != 3 or not 1 <= picture.shape[2] <= 4 or picture.size == 0:
        raise InputError(f"a picture must be (H, W) or (H, W, C) with 1 to 4 channels, got shape {picture.shape}")
    return picture[..., : picture.shape[2] - (picture.shape[2] in (2, 4))]


def values_of(picture: Array, data_range: float | None = None) -> Doubles:
    """Return a picture as float64: integers divided by their full scale unless ``data_range`` says their scale."""
    doubles: Doubles = picture.astype(np.float64)
    if data_range is not None or picture.dtype.kind == "f":
        return doubles
    if picture.dtype not in (np.uint8, np.uint16):
        raise InputError(f"a picture must be uint8, uint16 or float, got {picture.dtype}; or give data_range")
    doubles /= np.iinfo(picture.dtype).max
    return doubles


def luma(values: Doubles, data_range: float = 1.0) -> Doubles:
    """Return Y of ITU-R BT.601 as MATLAB's rgb2ycbcr, float64 ``(H, W, 1)``, black at 16/255 and white at 235/255.

    Not rounded, as in the literature of super-resolution. Grey pictures are returned as they are.
    """
    if values.shape[2] == 1:
        return values
    weighted: Doubles = values @ np.array(_LUMA)
    return (weighted + _BLACK * data_range)[..., np.newaxis]


def _size(picture: Array) -> str:
    height, width, channels = picture.shape
    return f"{width} x {height} with {channels} channel{'' if channels == 1 else 's'}"
