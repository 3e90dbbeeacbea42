"""Keep EXIF blocks true: apply the orientation to the pixels, drop thumbnails, set the pixel dimensions.

A block is the TIFF structure without its ``Exif`` prefix. It is changed in place, so that maker notes, which point into
the block by absolute offsets, stay readable. A block that cannot be parsed is dropped rather than passed on.
"""

from __future__ import annotations

import struct

import numpy as np

from edgesr.errors import InputError
from edgesr.image.ifd import LONG, SHORT, Entry, Header, bytes_reader, parse_directory, parse_header
from edgesr.types import Array

PREFIX = b"Exif\0\0"
IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 256, 257, 274, 282, 283, 296
THUMBNAIL_OFFSET, THUMBNAIL_BYTES = 513, 514
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROP_DIRECTORY = 34665, 34853, 40965
PIXEL_X, PIXEL_Y = 40962, 40963


def orient(pixels: Array, orientation: int) -> Array:
    """Return ``(H, W, C)`` pixels turned upright from an EXIF orientation 1 to 8; a view for 1, else a copy."""
    if orientation not in range(2, 9):
        return pixels
    upright = pixels.transpose(1, 0, 2) if orientation >= 5 else pixels
    if orientation in (3, 4, 7, 8):
        upright = upright[::-1]
    if orientation in (2, 3, 6, 7):
        upright = upright[:, ::-1]
    return np.ascontiguousarray(upright)


def take_orientation(block: bytes | None) -> tuple[bytes | None, int]:
    """Return the block with its orientation set to 1, and the orientation it had (1 when it has none)."""
    if block is None:
        return None, 1
    try:
        header, main, _ = _parse(block)
    except InputError:
        return None, 1
    found = main.get(ORIENTATION)
    if found is None or found.kind not in (SHORT, LONG):
        return block, 1
    changed = bytearray(block)
    _store(changed, header, found, 1)
    return bytes(changed), found.integers()[0]


def resolution(block: bytes | None) -> tuple[float, float] | None:
    """Return the pixels per inch (x, y) that a block declares, or None."""
    if block is None:
        return None
    try:
        _, main, _ = _parse(block)
        return resolution_of(main)
    except InputError:
        return None


def resolution_of(entries: dict[int, Entry]) -> tuple[float, float] | None:
    """Return the pixels per inch (x, y) of a main directory, or None where it is missing, relative or nonsense."""
    unit = entries[RESOLUTION_UNIT].integers()[0] if RESOLUTION_UNIT in entries else 2
    if X_RESOLUTION not in entries or Y_RESOLUTION not in entries or unit not in (2, 3):
        return None
    factor = 1.0 if unit == 2 else 2.54
    x, y = (entries[tag].numbers()[0] * factor for tag in (X_RESOLUTION, Y_RESOLUTION))
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


def fit(block: bytes, height: int, width: int) -> bytes | None:
    """Return the block for a picture of a new size: dimensions set, orientation 1, thumbnail cut; None if damaged."""
    block, _ = take_orientation(block)[0] or b"", 0
    try:
        header, main, following = _parse(block)
        changed = bytearray(block)
        for tag, value in ((IMAGE_WIDTH, width), (IMAGE_LENGTH, height)):
            if tag in main:
                _store(changed, header, main[tag], value)
        if EXIF_DIRECTORY in main:
            detail, _ = parse_directory(bytes_reader(block), header, main[EXIF_DIRECTORY].integers()[0])
            for tag, value in ((PIXEL_X, width), (PIXEL_Y, height)):
                if tag in detail:
                    _store(changed, header, detail[tag], value)
        return _without_thumbnail(changed, header, following)
    except InputError:
        return None


def _parse(block: bytes) -> tuple[Header, dict[int, Entry], int]:
    read_at = bytes_reader(block)
    header = parse_header(read_at)
    main, following = parse_directory(read_at, header, header.first)
    return header, main, following


def _store(block: bytearray, header: Header, found: Entry, value: int) -> None:
    """Overwrite a SHORT or LONG in the block; a SHORT too small for the value becomes 0, which readers ignore."""
    if found.kind == SHORT:
        struct.pack_into(header.order + "H", block, found.position, value if value < 1 << 16 else 0)
    elif found.kind == LONG:
        struct.pack_into(header.order + "I", block, found.position, value)


def _without_thumbnail(block: bytearray, header: Header, following: int) -> bytes:
    if not following or header.big:
        return bytes(block)
    number = struct.unpack_from(header.order + "H", block, header.first)[0]
    struct.pack_into(header.order + "I", block, header.first + 2 + 12 * number, 0)
    try:
        small, _ = parse_directory(bytes_reader(bytes(block)), header, following)
        start, size = small[THUMBNAIL_OFFSET].integers()[0], small[THUMBNAIL_BYTES].integers()[0]
    except (InputError, KeyError):
        return bytes(block)
    end = start + size
    if end >= len(block):
        return bytes(block[:start])
    block[start:end] = bytes(size)
    return bytes(block)
