"""Write TIFF files row by row in constant memory: deflated strips, then one directory for each frame.

tifffile writes from a whole array or pulls from an iterator that it drives itself; rows that are pushed as tiles finish
would need a thread between the two. It also cannot write EXIF directories. Both are a few lines here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import numpy as np

from edgesr.image import exif, icc
from edgesr.image.ifd import ASCII, LONG, LONG8, RATIONAL, SHORT, UNDEFINED, Entry, build_directory, entry
from edgesr.image.layout import Layout
from edgesr.image.ordered import OrderedPool
from edgesr.image.picture import Metadata
from edgesr.image.tiff_exif import Directories, split_exif
from edgesr.types import Array

LEVEL = 3
STRIP_BYTES = 1 << 18
CLASSIC_BYTES = 3_900_000_000
DESCRIPTION = 270
DEFLATE, NO_PREDICTOR, HORIZONTAL = 8, 1, 2


class TiffEncoder:
    """Write uint8, uint16 or float32 rows ``(h, W, C)`` as they come; BigTIFF where 4 GB might not hold them."""

    def __init__(self, file: BinaryIO, layout: Layout, metadata: Metadata, level: int = LEVEL) -> None:
        self._file = file
        self._layout = layout
        self._metadata = metadata
        self._level = level
        self._big = layout.frame_bytes * layout.frames > CLASSIC_BYTES
        row_bytes = layout.width * layout.channels * layout.dtype.itemsize
        self._strip_rows = max(1, min(layout.height, STRIP_BYTES // row_bytes))
        self._strip = np.empty((self._strip_rows, layout.width, layout.channels), layout.dtype)
        self._filled = 0
        self._rows_left = layout.height
        self._strips: list[tuple[int, int]] = []
        self._pool = OrderedPool(self._append)
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if self._big else struct.pack("<2sHI", b"II", 42, 0))
        self._link = 8 if self._big else 4

    def write(self, rows: Array) -> None:
        """Append rows below those written so far."""
        while len(rows):
            room = min(self._strip_rows, self._rows_left) - self._filled
            taken, rows = rows[:room], rows[room:]
            self._strip[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            if self._filled == min(self._strip_rows, self._rows_left):
                self._end_strip()

    def describe(self, text: Mapping[str, str]) -> None:
        """Add text to the description of the present frame and those behind it."""
        self._metadata = replace(self._metadata, text={**self._metadata.text, **text})

    def finish(self) -> None:
        """End the threads; each directory was written with the last row of its frame."""
        self._pool.close()

    def _end_strip(self) -> None:
        self._pool.submit(partial(_deflate, self._strip[: self._filled].copy(), self._level))
        self._rows_left -= self._filled
        self._filled = 0
        if not self._rows_left:
            self._pool.drain()
            self._end_frame()

    def _append(self, data: bytes) -> None:
        self._strips.append((self._file.tell(), len(data)))
        self._file.write(data)

    def _end_frame(self) -> None:
        self._align()
        entries = self._entries()
        details = split_exif(self._metadata.exif, self._layout.height, self._layout.width)
        entries += self._write_details(details)
        offset = self._align()
        self._file.write(build_directory(entries, offset, big=self._big))
        end = self._file.tell()
        self._file.seek(self._link)
        self._file.write(struct.pack("<Q" if self._big else "<I", offset))
        self._file.seek(end)
        self._link = offset + (8 + 20 * len(entries) if self._big else 2 + 12 * len(entries))
        self._strips, self._rows_left = [], self._layout.height

    def _entries(self) -> list[Entry]:
        layout = self._layout
        kind = LONG8 if self._big else LONG
        alpha = layout.channels in (2, 4)
        entries = [
            entry(exif.IMAGE_WIDTH, LONG, layout.width),
            entry(exif.IMAGE_LENGTH, LONG, layout.height),
            entry(258, SHORT, *[8 * layout.dtype.itemsize] * layout.channels),
            entry(259, SHORT, DEFLATE),
            entry(262, SHORT, 1 if layout.channels <= 2 else 2),
            entry(273, kind, *[offset for offset, _ in self._strips]),
            entry(exif.ORIENTATION, SHORT, 1),
            entry(277, SHORT, layout.channels),
            entry(278, LONG, self._strip_rows),
            entry(279, kind, *[size for _, size in self._strips]),
            entry(284, SHORT, 1),
            entry(317, SHORT, HORIZONTAL if layout.dtype.kind == "u" else NO_PREDICTOR),
            entry(339, SHORT, *[3 if layout.dtype.kind == "f" else 1] * layout.channels),
        ]
        if alpha:
            entries.append(entry(338, SHORT, 2))
        if self._metadata.dpi:
            x, y = (round(min(value, 4e5) * 10000) for value in self._metadata.dpi)
            entries += [entry(exif.X_RESOLUTION, RATIONAL, x, 10000), entry(exif.Y_RESOLUTION, RATIONAL, y, 10000)]
            entries.append(entry(exif.RESOLUTION_UNIT, SHORT, 2))
        profile = icc.fitting(self._metadata.icc, layout.channels)
        if profile:
            entries.append(Entry(34675, UNDEFINED, profile))
        return entries

    def _write_details(self, details: Directories) -> list[Entry]:
        """Write the EXIF and GPS directories and return the tags of the main one that EXIF contributes."""
        entries = list(details.main)
        for tag, directory in ((exif.EXIF_DIRECTORY, details.exif), (exif.GPS_DIRECTORY, details.gps)):
            if directory:
                offset = self._align()
                self._file.write(build_directory(directory, offset, big=self._big))
                entries.append(entry(tag, LONG8 if self._big else LONG, offset))
        if self._metadata.text:
            text = "; ".join(f"{key}: {value}" for key, value in self._metadata.text.items())
            ours = text.encode("ascii", "replace").replace(b"\0", b" ")
            known = [one.data.rstrip(b"\0") for one in entries if one.tag == DESCRIPTION]
            entries = [one for one in entries if one.tag != DESCRIPTION]
            entries.append(Entry(DESCRIPTION, ASCII, b"; ".join([*filter(None, known), ours]) + b"\0"))
        return entries

    def _align(self) -> int:
        if self._file.tell() & 1:
            self._file.write(b"\0")
        return self._file.tell()


def _deflate(strip: Array, level: int) -> bytes:
    """Return a strip ``(h, W, C)`` deflated, integers as differences of neighbouring pixels."""
    if strip.dtype.kind == "u":
        strip[:, 1:] -= strip[:, :-1].copy()
    strategy = zlib.Z_RLE if level < 6 else zlib.Z_DEFAULT_STRATEGY
    deflater = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
    return deflater.compress(strip.tobytes()) + deflater.flush()
