"""Draw what was found in a picture on it: boxes, tinted regions, lines of text."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgesr.image.convert import from_float, to_float
from edgesr.types import Array, FloatArray

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

Pixels = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

LEAST_SIDE = 320
"""Smaller pictures are enlarged by a whole factor until text on them can be read."""
_TINT = 0.55
_NAMED = 12
"""Entries of a legend at most."""


def draw_boxes(pixels: Array, xyxy: FloatArray, classes: Sequence[int], texts: Sequence[str]) -> Pixels:
    """Return uint8 RGB with boxes ``(n, 4)`` in pixels of the picture, coloured by class, the first one on top."""
    canvas = _Canvas(_enlarged(_displayed(pixels)))
    factor = canvas.height / pixels.shape[0]
    for box, index, text in reversed(list(zip(xyxy.tolist(), classes, texts, strict=True))):
        canvas.box([value * factor for value in box], color_of(index))
        canvas.label(box[0] * factor, box[1] * factor, text, color_of(index))
    return canvas.pixels()


def draw_mask(pixels: Array, mask: Array, name: Callable[[int], str]) -> Pixels:
    """Return uint8 RGB with each region of ``mask`` ``(H, W)`` but class 0 tinted and outlined, and a legend."""
    shown = _displayed(pixels)
    counts = np.bincount(mask.reshape(-1))
    classes = [int(i) for i in np.argsort(-counts, kind="stable") if counts[i] and i]
    colors = np.zeros((len(counts), 3), np.float32)
    for index in classes:
        colors[index] = color_of(index)
    shown = _enlarged(shown)
    factor = shown.shape[0] // mask.shape[0]
    large = mask.repeat(factor, 0).repeat(factor, 1)
    inside = large > 0
    tinted = shown * np.float32(1 - _TINT) + colors[large] * np.float32(_TINT)
    tinted[_edges(large)] = 255
    canvas = _Canvas(np.where(inside[..., np.newaxis], np.rint(tinted), shown).astype(np.uint8))
    canvas.legend([(name(index), color_of(index)) for index in classes[:_NAMED]])
    return canvas.pixels()


def draw_lines(pixels: Array, lines: Sequence[str]) -> Pixels:
    """Return uint8 RGB with lines of text in the upper left corner."""
    canvas = _Canvas(_enlarged(_displayed(pixels)))
    canvas.legend([(line, None) for line in lines])
    return canvas.pixels()


def color_of(index: int) -> Color:
    """Return a bright colour for a class: twelve hues, neighbours in number far apart, in three shades."""
    shade = index // 12 % 3
    hue = (index * 5 % 12 + shade / 3) / 12
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.8, 0.5, 0.95)[shade], (1.0, 1.0, 0.75)[shade])
    return round(red * 255), round(green * 255), round(blue * 255)


class _Canvas:
    """A picture that is drawn on, with lines and text in proportion to its size."""

    def __init__(self, pixels: Pixels) -> None:
        from PIL import Image, ImageDraw, ImageFont

        self._image: Image.Image = Image.fromarray(np.ascontiguousarray(pixels))
        self._draw: ImageDraw.ImageDraw = ImageDraw.Draw(self._image)
        self.height, self.width = pixels.shape[:2]
        side = min(self.height, self.width)
        self._size = max(12, round(side / 32))
        self._line = max(2, round(side / 220))
        self._font: Any = ImageFont.load_default(self._size)

    def box(self, box: Sequence[float], color: Color) -> None:
        x1, y1 = (min(max(0, round(v)), n - 1) for v, n in zip(box[:2], (self.width, self.height), strict=True))
        x2, y2 = (min(max(0, round(v) - 1), n - 1) for v, n in zip(box[2:], (self.width, self.height), strict=True))
        self._draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=color, width=self._line)

    def label(self, x: float, y: float, text: str, color: Color) -> None:
        """Write on a filled plate above the corner (x, y), or below it at the picture's edge."""
        width, height = self._extent(text)
        left = min(max(0, round(x)), max(0, self.width - width))
        top = round(y) - height + self._line
        top = top if top >= 0 else min(max(0, round(y)), self.height - height)
        self._draw.rectangle((left, top, left + width - 1, top + height - 1), fill=color)
        self._text(left, top, text, _readable_on(color))

    def legend(self, entries: Sequence[tuple[str, Color | None]]) -> None:
        """Write lines on a dark plate in the upper left corner, each after a patch of its colour."""
        if not entries:
            return
        pad, height = self._size // 2, self._extent("X")[1]
        patch = self._size if any(color for _, color in entries) else 0
        width = max(self._extent(text)[0] for text, _ in entries) + (patch + pad if patch else 0) + 2 * pad
        area = (0, 0, min(width, self.width), min(2 * pad + height * len(entries), self.height))
        dark = self._image.crop(area).point([round(value * 0.3) for value in range(256)] * 3)
        self._image.paste(dark, area)
        for row, (text, color) in enumerate(entries):
            top = pad + row * height
            if color is not None:
                inset = (height - patch) // 2
                self._draw.rectangle((pad, top + inset, pad + patch - 1, top + inset + patch - 1), fill=color)
            self._text(pad + (patch + pad // 2 if patch else 0), top, text, (255, 255, 255))

    def pixels(self) -> Pixels:
        return np.asarray(self._image)

    def _extent(self, text: str) -> tuple[int, int]:
        return round(self._draw.textlength(text, font=self._font)) + self._size // 2, round(self._size * 1.5)

    def _text(self, left: int, top: int, text: str, color: Color) -> None:
        self._draw.text((left + self._size // 4, top + round(self._size * 0.18)), text, fill=color, font=self._font)


def _displayed(pixels: Array) -> Pixels:
    """Return ``(H, W, C)`` of any dtype as uint8 RGB without alpha."""
    colors = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    return colors if colors.dtype == np.uint8 else from_float(to_float(colors), np.uint8)


def _enlarged(pixels: Pixels) -> Pixels:
    factor = -(-LEAST_SIDE // min(pixels.shape[:2])) if min(pixels.shape[:2]) < LEAST_SIDE else 1
    return pixels.repeat(factor, 0).repeat(factor, 1)


def _edges(mask: Array) -> npt.NDArray[np.bool_]:
    """Return where a pixel's class differs from that of its right or lower neighbour."""
    edges = np.zeros(mask.shape, bool)
    edges[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edges[:-1] |= mask[:-1] != mask[1:]
    return edges


def _readable_on(color: Color) -> Color:
    red, green, blue = color
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
