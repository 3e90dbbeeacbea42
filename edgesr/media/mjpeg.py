"""Motion JPEG from standard input: pictures one after the other."""

from __future__ import annotations

import io
from fractions import Fraction
from time import monotonic

import numpy as np

from edgesr.errors import InputError
from edgesr.image.jpeg import read_jpeg
from edgesr.image.reader import MAX_PIXELS
from edgesr.media.address import Address
from edgesr.media.descriptor_io import ByteReader
from edgesr.media.frame import Color, Frame
from edgesr.types import Array

_LARGEST_JPEG = 1 << 26


class MjpegReader:
    """JPEG pictures one after the other; what stands between them, such as multipart headers, is skipped."""

    def __init__(self, data: ByteReader, address: Address, *, color: Color) -> None:
        self._data = data
        self._color = color
        self._fps = Fraction(address.number("fps", 0.001) or 30).limit_denominator(1001)
        self._count = 0

    @property
    def fps(self) -> Fraction | None:
        """Rate that was declared; Motion JPEG itself names none."""
        return self._fps

    @property
    def is_finite(self) -> bool:
        """Always: its end is the end."""
        return True

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame; see Reader."""
        deadline = monotonic() + timeout
        while self._data.peek(2, deadline - monotonic()) not in (b"\xff\xd8", b"", b"\xff"):
            self._data.read(1, deadline - monotonic())
        if len(self._data.peek(2, deadline - monotonic())) < 2:
            return None
        image = self._decoded(self._one(deadline))
        index, self._count = self._count, self._count + 1
        return Frame(image, float(index / self._fps), index, monotonic())

    def close(self) -> None:
        """Close the stream."""
        self._data.close()

    def _one(self, deadline: float) -> bytes:
        """Return one picture, found by its segments: pictures inside its EXIF block have ends of their own."""
        picture = bytearray(self._exactly(2, deadline))
        while len(picture) < _LARGEST_JPEG:
            marker = self._exactly(2, deadline)
            picture += marker
            if marker == b"\xff\xd9":
                return bytes(picture)
            if marker[0] != 0xFF:
                raise InputError(f"{self._data.name}: frame {self._count} is no JPEG (found {marker.hex(' ')})")
            if marker[1] in (0x01, *range(0xD0, 0xD8)):
                continue
            length = self._exactly(2, deadline)
            picture += length + self._exactly(max(0, int.from_bytes(length, "big") - 2), deadline)
            if marker[1] == 0xDA:
                picture += self._scan(deadline)
        raise InputError(f"{self._data.name}: frame {self._count} is larger than {_LARGEST_JPEG >> 20} MiB")

    def _scan(self, deadline: float) -> bytes:
        """Return the entropy-coded bytes before the next marker."""
        size = 4096
        start = 0
        while size <= _LARGEST_JPEG:
            ahead = self._data.peek(size, deadline - monotonic())
            found = ahead.find(b"\xff", start)
            while 0 <= found < len(ahead) - 1:
                following = ahead[found + 1]
                if following and not 0xD0 <= following <= 0xD7 and following != 0xFF:
                    return self._exactly(found, deadline)
                found = ahead.find(b"\xff", found + 1)
            start = max(0, len(ahead) - 1)
            if len(ahead) < size:
                break
            size *= 2
        raise InputError(f"{self._data.name}: ends in the middle of frame {self._count}")

    def _exactly(self, count: int, deadline: float) -> bytes:
        data = self._data.read(count, deadline - monotonic())
        if len(data) < count:
            raise InputError(f"{self._data.name}: ends in the middle of frame {self._count}")
        return data

    def _decoded(self, data: bytes) -> Array:
        try:
            image = read_jpeg(io.BytesIO(data), MAX_PIXELS).pixels
        except InputError as error:
            raise InputError(f"{self._data.name}: frame {self._count}: {error}") from None
        except Exception as error:  # decoders meet damage with exceptions of every type
            raise InputError(f"{self._data.name}: frame {self._count} is damaged ({type(error).__name__})") from None
        if self._color == "bgr" and image.shape[2] == 3:
            return np.ascontiguousarray(image[..., ::-1])
        return image
