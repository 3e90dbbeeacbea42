"""Decompress single strips and tiles of TIFF files."""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

from edgesr.errors import InputError
from edgesr.image import pillow
from edgesr.image.ifd import LONG, SHORT, build_directory, entry
from edgesr.types import Array

UNCOMPRESSED, CCITT_RLE, CCITT_3, CCITT_4, LZW, JPEG, PACKBITS = 1, 2, 3, 4, 5, 7, 32773
DEFLATE = (8, 32946)
LZMA = 34925
_NAMES = {6: "old-style JPEG", 34712: "JPEG 2000", 50000: "Zstandard", 50001: "WebP", 34887: "LERC", 50002: "JPEG XL"}
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1).tobytes()


@dataclass(frozen=True)
class Codec:
    """Name a compression with what it needs: CCITT options, the order of bits, JPEG tables, JPEG colour."""

    compression: int
    options: int = 0
    is_reversed: bool = False
    tables: bytes = field(default=b"", repr=False)
    is_ycbcr: bool = False


def decode_segment(data: bytes, codec: Codec, rows: int, columns: int, row_bytes: int) -> bytes:
    """Return at least ``rows * row_bytes`` bytes of samples, or an InputError where the data ends early."""
    size = rows * row_bytes
    if codec.is_reversed:
        data = data.translate(_REVERSED)
    if codec.compression == UNCOMPRESSED:
        raw = data
    elif codec.compression in DEFLATE:
        raw = _inflate(data, size)
    elif codec.compression == PACKBITS:
        raw = _unpack_bits(data, size)
    elif codec.compression == LZMA:
        raw = _unpack_lzma(data, size)
    elif codec.compression == LZW:
        raw = pillow.decode_tiff_strip(_single_strip(data, codec, rows, row_bytes, 8), LZW, row_bytes, rows)
    elif codec.compression in (CCITT_RLE, CCITT_3, CCITT_4):
        raw = pillow.decode_tiff_strip(_single_strip(data, codec, rows, columns, 1), codec.compression, columns, rows)
    else:
        name = _NAMES.get(codec.compression, f"number {codec.compression}")
        raise InputError(f"TIFF compression {name} is not supported; save the picture with LZW or deflate, or as PNG")
    if len(raw) < size:
        raise InputError(f"a TIFF strip holds {len(raw)} of {size} bytes; the file is truncated or damaged")
    return raw


def decode_jpeg_segment(data: bytes, codec: Codec, rows: int, columns: int, samples: int) -> Array:
    """Return the uint8 samples ``(h, w, samples)`` of a JPEG strip or tile, YCbCr turned into RGB."""
    if samples not in (1, 3) or data[:2] != b"\xff\xd8" or codec.tables[:2] not in (b"", b"\xff\xd8"):
        raise InputError("a JPEG strip of the TIFF file is damaged or of a kind not supported; save it as PNG")
    tables = codec.tables[2:-2] if codec.tables.endswith(b"\xff\xd9") else codec.tables[2:]
    colour = _ADOBE + (b"\x01" if codec.is_ycbcr else b"\x00") if samples == 3 else b""
    stream = io.BytesIO(data[:2] + colour + tables + data[2:])
    pixels = pillow.decode_jpeg(stream, None, max_pixels=2 * rows * columns + 65536)
    if pixels.shape[0] < rows or pixels.shape[1] < columns or pixels.shape[2] != samples:
        raise InputError(f"a JPEG strip of the TIFF file is {pixels.shape[1]} x {pixels.shape[0]}; the file is damaged")
    return pixels[:rows, :columns]


def _inflate(data: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, size)
    except zlib.error:
        raise InputError("a deflated TIFF strip is damaged; copy the file again from its source") from None


def _unpack_lzma(data: bytes, size: int) -> bytes:
    try:
        return lzma.LZMADecompressor().decompress(data, size)
    except lzma.LZMAError:
        raise InputError("an LZMA TIFF strip is damaged; copy the file again from its source") from None


def _unpack_bits(data: bytes, size: int) -> bytes:
    unpacked, at = bytearray(), 0
    while at < len(data) and len(unpacked) < size:
        count = data[at]
        if count < 128:
            unpacked += data[at + 1 : at + 2 + count]
            at += 2 + count
        else:
            if count > 128:
                unpacked += data[at + 1 : at + 2] * (257 - count)
            at += 2 if count > 128 else 1
    return bytes(unpacked)


def _single_strip(data: bytes, codec: Codec, height: int, width: int, bits: int) -> bytes:
    """Return a TIFF file of one strip whose pixels are the plain bytes (or bits) of the segment."""
    entries = [
        entry(256, LONG, width),
        entry(257, LONG, height),
        entry(258, SHORT, bits),
        entry(259, SHORT, codec.compression),
        entry(262, SHORT, 1),
        entry(273, LONG, 8),
        entry(277, SHORT, 1),
        entry(278, LONG, height),
        entry(279, LONG, len(data)),
    ]
    if codec.compression in (CCITT_3, CCITT_4):
        entries.append(entry(292 if codec.compression == CCITT_3 else 293, LONG, codec.options))
    padded = data + b"\0" * (len(data) & 1)
    offset = 8 + len(padded)
    return struct.pack("<2sHI", b"II", 42, offset) + padded + build_directory(entries, offset)
