"""From a picture to what a network that labels pictures takes, and where its pixels went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesr.errors import InputError
from edgesr.image.convert import to_float
from edgesr.image.resize import resize
from edgesr.model.descriptor import ModelDescriptor, Preprocessing
from edgesr.model.prediction import Resize
from edgesr.types import Array, FloatArray

_LUMA = (19595, 38470, 7471)
"""ITU-R BT.601 in 1/65536, as Pillow's conversion to grey."""


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in a network's input, both in pixels as ``(height, width)``."""

    picture: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    """Of the resized picture's upper left corner in the input; negative where it was cropped."""
    canvas: tuple[int, int]


def place(descriptor: ModelDescriptor, h: int, w: int) -> Placement:
    """Say where a picture of ``h`` x ``w`` goes; raise InputError for one that is too small for the network."""
    expects, size = descriptor.input, descriptor.size
    resized = (h, w) if expects.resize is None else resized_size(expects.resize, h, w)
    offset, canvas = (0, 0), resized
    if expects.resize is not None and expects.resize.rule == "letterbox":
        canvas = (expects.resize.size[0], expects.resize.size[1])
        if expects.resize.align == "center":
            offset = (_margin(canvas[0], resized[0]), _margin(canvas[1], resized[1]))
    elif expects.crop is not None:
        canvas = expects.crop
        offset = (-round((resized[0] - canvas[0]) / 2), -round((resized[1] - canvas[1]) / 2))
    least = expects.crop or (size.minimum, size.minimum)
    if resized[0] < least[0] or resized[1] < least[1]:
        shown = f"{w} x {h}" if resized == (h, w) else f"{w} x {h}, {resized[1]} x {resized[0]} when resized,"
        raise InputError(
            f"a picture of {shown} is too small for model {descriptor.name}, which needs "
            f"{least[1]} x {least[0]} (width x height); enlarge it"
        )
    m = size.multiple
    canvas = (-(-canvas[0] // m) * m, -(-canvas[1] // m) * m)
    return Placement((h, w), resized, offset, canvas)


def resized_size(resize: Resize, h: int, w: int) -> tuple[int, int]:
    """Return the ``(height, width)`` that a picture gets."""
    short, long = min(h, w), max(h, w)
    if resize.rule == "exact":
        return resize.size[0], resize.size[1]
    if resize.rule == "short-side":
        side = resize.size[0]
        other = max(1, int(side * long / short))
        return (side, other) if h <= w else (other, side)
    if resize.rule == "fit":
        factor = min(resize.size[0] / short, (resize.longest or long) / long)
        return max(1, int(h * factor)), max(1, int(w * factor))
    factor = min(resize.size[0] / h, resize.size[1] / w)
    return max(1, round(h * factor)), max(1, round(w * factor))


def prepare(descriptor: ModelDescriptor, pixels: Array) -> tuple[FloatArray, Placement]:
    """Return the network's input, float32 ``(height, width, C)`` in its own range, for RGB pixels ``(H, W, C)``.

    ``pixels`` are uint8, uint16 or float32 in [0, 1] with 1 to 4 channels; transparency is ignored.
    """
    expects = descriptor.input
    placement = place(descriptor, pixels.shape[0], pixels.shape[1])
    colors = _colors(pixels, expects)
    if expects.resize is None:
        values = to_float(colors)
    else:
        rule = expects.resize
        values = resize(colors, *placement.resized, interpolation=rule.interpolation, antialias=rule.antialias)
    top, left = (max(0, -n) for n in placement.offset)
    values = values[top : top + placement.canvas[0], left : left + placement.canvas[1]]
    h, w = values.shape[:2]
    if (h, w) == placement.canvas:
        return normalised(values, expects), placement
    c = descriptor.input_channels
    filled = np.zeros((*placement.canvas, c), np.float32)
    if expects.fill is not None:
        filled[:] = normalised(np.full((1, 1, c), expects.fill, np.float32), expects)
    y, x = (max(0, n) for n in placement.offset)
    filled[y : y + h, x : x + w] = normalised(values, expects)
    return filled, placement


def normalised(values: FloatArray, expects: Preprocessing) -> FloatArray:
    """Bring pixels in [0, 1] to the range, mean and standard deviation that the network was trained with."""
    low, high = expects.range
    if (low, high) != (0.0, 1.0):
        values = values * np.float32(high - low) + np.float32(low)
    if expects.mean:
        values = values - np.asarray(expects.mean, np.float32)
    if expects.std:
        values = np.asarray(values / np.asarray(expects.std, np.float32), np.float32)
    return values


def _colors(pixels: Array, expects: Preprocessing) -> Array:
    """Return ``(H, W, C)`` in the network's channels: grey repeated or colours weighed, alpha left out."""
    colors = pixels[..., : 1 if pixels.shape[2] < 3 else 3]
    if expects.color in ("grey", "y"):
        return colors if colors.shape[2] == 1 else _grey(colors)
    if colors.shape[2] == 1:
        return np.repeat(colors, 3, axis=2)
    return colors[..., ::-1] if expects.color == "bgr" else colors


def _grey(colors: Array) -> Array:
    if colors.dtype == np.uint8:
        total = colors.astype(np.uint32) @ np.array(_LUMA, np.uint32)
        return ((total + 0x8000) >> 16).astype(np.uint8)[..., np.newaxis]
    weights = np.array(_LUMA, np.float32) / np.float32(65536)
    grey: FloatArray = to_float(colors) @ weights
    return grey[..., np.newaxis]


def _margin(whole: int, part: int) -> int:
    """Split what is left evenly, an odd pixel to the far side, as YOLO's letterbox does."""
    return (whole - part) // 2
