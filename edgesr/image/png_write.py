"""Write PNG files row by row in constant memory, with profile, EXIF, resolution and text.

Pillow and OpenCV write PNG from a whole picture only, and neither writes 16-bit colour together with its metadata; a
32768 x 32768 RGB result would need 3 GB and its encoder's copy. The format itself is small: filtered rows, one zlib
stream, chunks with checksums.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np

from edgesr.image import exif, icc
from edgesr.image.layout import Layout
from edgesr.image.ordered import OrderedPool
from edgesr.image.picture import Metadata
from edgesr.image.png import COLOUR_CHUNKS, SIGNATURE, chunk
from edgesr.image.png_filter import filter_rows
from edgesr.image.png_text import text_chunks
from edgesr.types import Array

LEVEL = 3
BAND_BYTES = 1 << 20
RUN_SHARE = 0.25
ZLIB_HEADER = b"\x78\x01"
EMPTY_LAST_BLOCK = b"\x03\x00"
_COLOUR_TYPES = (0, 4, 2, 6)


class PngEncoder:
    """Write the header at once, then uint8 or uint16 rows ``(h, W, C)`` as they come.

    ``level`` 1 to 9 trades speed for size as in zlib; below 6 the matcher looks for runs at most, which loses little
    on filtered photographs and is several times faster. Bands are filtered and deflated on threads as independent
    blocks of one zlib stream.
    """

    def __init__(self, file: BinaryIO, layout: Layout, metadata: Metadata, level: int = LEVEL) -> None:
        self._file = file
        self._level = level
        self._step = layout.channels * layout.dtype.itemsize
        self._stored = layout.dtype.newbyteorder(">")
        self._above = np.zeros(layout.width * self._step, np.uint8)
        self._checksum = 1
        self._text: dict[str, str] = {}
        self._pool = OrderedPool(self._append)
        file.write(SIGNATURE)
        depth, colour = 8 * layout.dtype.itemsize, _COLOUR_TYPES[layout.channels - 1]
        file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", layout.width, layout.height, depth, colour, 0, 0, 0)))
        for kind, data in _metadata_chunks(layout, metadata):
            file.write(chunk(kind, data))
        file.write(chunk(b"IDAT", ZLIB_HEADER))

    def write(self, rows: Array) -> None:
        """Append rows below those written so far."""
        band = max(1, BAND_BYTES // len(self._above))
        for top in range(0, len(rows), band):
            part = np.array(rows[top : top + band], self._stored, order="C")
            flat = part.view(np.uint8).reshape(len(part), -1)
            self._pool.submit(partial(_deflate, flat, self._above, self._step, self._level))
            self._above = flat[-1]

    def describe(self, text: Mapping[str, str]) -> None:
        """Add text, which is written behind the pixels."""
        self._text.update(text)

    def finish(self) -> None:
        """Write what is left of the image data, the text that came last, and the end chunk."""
        self._pool.close()
        self._file.write(chunk(b"IDAT", EMPTY_LAST_BLOCK + self._checksum.to_bytes(4, "big")))
        for kind, data in text_chunks(self._text):
            self._file.write(chunk(kind, data))
        self._file.write(chunk(b"IEND", b""))

    def _append(self, block: _Block) -> None:
        self._file.write(chunk(b"IDAT", block.data))
        self._checksum = _joined_adler32(self._checksum, block.checksum, block.size)


class _Block(NamedTuple):
    """A band as whole deflate blocks, with the Adler-32 checksum and the size of what it inflates to."""

    data: bytes
    checksum: int
    size: int


def _deflate(rows: Array, above: Array, step: int, level: int) -> _Block:
    filtered = filter_rows(rows, above, step).reshape(-1)
    strategy = zlib.Z_FILTERED if level >= 6 else _fast_strategy(filtered)
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    data = deflater.compress(filtered.data) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return _Block(data, zlib.adler32(filtered.data), len(filtered))


def _fast_strategy(filtered: Array) -> int:
    """Look for runs only where there are some: a photograph has none, a drawing consists of them."""
    sample = filtered[: 1 << 16]
    has_runs = np.count_nonzero(sample[1:] == sample[:-1]) > len(sample) * RUN_SHARE
    return zlib.Z_RLE if has_runs else zlib.Z_HUFFMAN_ONLY


def _joined_adler32(first: int, second: int, second_size: int) -> int:
    """Return the checksum of two byte strings put together, from theirs (RFC 1950, section 8.2)."""
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + second_size * ((first & 0xFFFF) - 1)
    return high % 65521 << 16 | low % 65521


def _metadata_chunks(layout: Layout, metadata: Metadata) -> list[tuple[bytes, bytes]]:
    chunks = []
    profile = icc.fitting(metadata.icc, layout.channels)
    for name in COLOUR_CHUNKS:
        if name in metadata.colour and not (profile and name == "sRGB"):
            chunks.append((name.encode(), metadata.colour[name]))
    if profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if metadata.dpi:
        x, y = (round(value / 0.0254) for value in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", x, y, 1)))
    block = exif.fit(metadata.exif, layout.height, layout.width) if metadata.exif else None
    if block:
        chunks.append((b"eXIf", block))
    return chunks + list(text_chunks(metadata.text))
