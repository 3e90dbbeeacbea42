"""Raw video without headers, from standard input."""

from __future__ import annotations

from fractions import Fraction
from time import monotonic

import numpy as np

from edgesr.errors import InputError, UsageError
from edgesr.media.address import Address
from edgesr.media.descriptor_io import ByteReader
from edgesr.media.frame import Color, Frame, matrix_of
from edgesr.media.yuv import Matrix, Range, to_rgb
from edgesr.types import Array

FORMATS = ("rgb24", "bgr24", "gray8", "gray16le", "yuv420p", "nv12")
"""Pixel formats by FFmpeg's names."""


class RawReader:
    """Frames of one size without any header between them."""

    def __init__(self, data: ByteReader, address: Address, *, color: Color) -> None:
        pixels = address.choice("format", FORMATS)
        width, height = address.whole("width"), address.whole("height")
        if pixels is None or width is None or height is None:
            raise UsageError(f"{address}: raw video needs its caps, as in '-?format=rgb24&width=640&height=480&fps=30'")
        self._data = data
        self._color = color
        self._pixels = pixels
        self._size = (height, width)
        self._matrix: Matrix = address.choice("matrix", ("bt601", "bt709")) or matrix_of(height)  # type: ignore[assignment]
        self._levels: Range = address.choice("range", ("limited", "full")) or "limited"  # type: ignore[assignment]
        self._fps = Fraction(address.number("fps", 0.001) or 30).limit_denominator(1001)
        self._count = 0

    @property
    def fps(self) -> Fraction | None:
        """Rate that was declared."""
        return self._fps

    @property
    def is_finite(self) -> bool:
        """Always: its end is the end."""
        return True

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame; see Reader."""
        wanted = self._bytes()
        data = self._data.read(wanted, timeout)
        if not data:
            return None
        if len(data) < wanted:
            raise InputError(
                f"{self._data.name}: ends with {len(data)} of the {wanted} bytes of a frame; are format, width and "
                "height right?"
            )
        image = self._decode(np.frombuffer(data, np.uint8))
        index, self._count = self._count, self._count + 1
        return Frame(image, float(index / self._fps), index, monotonic())

    def close(self) -> None:
        """Close the stream."""
        self._data.close()

    def _bytes(self) -> int:
        height, width = self._size
        chroma = 2 * (-(-height // 2)) * (-(-width // 2))
        per_pixel = {"rgb24": 3, "bgr24": 3, "gray8": 1, "gray16le": 2}.get(self._pixels)
        return height * width * per_pixel if per_pixel else height * width + chroma

    def _decode(self, samples: Array) -> Array:
        height, width = self._size
        if self._pixels == "gray16le":
            return samples.view("<u2").astype(np.uint16).reshape(height, width, 1)
        if self._pixels == "gray8":
            return samples.reshape(height, width, 1)
        if self._pixels in ("rgb24", "bgr24"):
            image = samples.reshape(height, width, 3)
            same = self._pixels.startswith(self._color)
            return image if same else np.ascontiguousarray(image[..., ::-1])
        luma = samples[: height * width].reshape(height, width)
        rows, columns = -(-height // 2), -(-width // 2)
        if self._pixels == "nv12":
            both = samples[luma.size :].reshape(rows, columns, 2)
            u, v = both[..., 0], both[..., 1]
        else:
            u, v = samples[luma.size :].reshape(2, rows, columns)
        rgb = to_rgb(luma, u, v, self._matrix, self._levels)
        return rgb if self._color == "rgb" else np.ascontiguousarray(rgb[..., ::-1])
