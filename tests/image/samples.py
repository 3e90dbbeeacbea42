"""Small pictures and the files that other libraries make of them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

from edgesr.image.ifd import Entry, build_directory, entry

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def gradient(height: int, width: int, channels: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    """A smooth picture with noise that uses the whole range; alpha has some zeros."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, width)[None, :, None] + np.linspace(0, 0.5, height)[:, None, None]
    values = (x + 0.13 * np.arange(channels)) % 1 * 0.9 + 0.1 * rng.random((height, width, channels))
    if channels in (2, 4):
        values[: height // 4, : width // 3, -1] = 0
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def grey_profile() -> bytes:
    """A minimal ICC header that declares a grey device."""
    head = bytearray(132)
    head[0:4] = struct.pack(">I", 132)
    head[12:24] = b"mntrGRAYXYZ "
    head[36:40] = b"acsp"
    return bytes(head)


def pillow_file(pixels: np.ndarray, format: str, mode: str | None = None, **options: Any) -> bytes:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, MODES[pixels.shape[2]])
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, format, **options)
    return buffer.getvalue()


def cv2_file(pixels: np.ndarray, suffix: str, options: tuple[int, ...] = ()) -> bytes:
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
    done, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels[:, :, order]), list(options))
    assert done
    return encoded.tobytes()


def tifffile_file(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png_file(
    width: int, height: int, depth: int, colour: int, raw: bytes, extra: bytes = b"", interlace: int = 0
) -> bytes:
    """A PNG of given filtered bytes, built from the specification alone."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = png_chunk(b"IHDR", head) + extra + png_chunk(b"IDAT", zlib.compress(raw)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def interlaced(pixels: np.ndarray) -> bytes:
    """Filtered bytes (all filter 0) of the seven Adam7 passes of 8- or 16-bit pixels."""
    big = pixels.astype(pixels.dtype.newbyteorder(">"))
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    raw = b""
    for x, y, dx, dy in passes:
        part = big[y::dy, x::dx]
        if part.size:
            raw += b"".join(b"\0" + np.ascontiguousarray(row).tobytes() for row in part)
    return raw


def exif_block(orientation: int = 1, width: int = 64, thumbnail: bytes = b"") -> bytes:
    """An EXIF block with orientation, maker, a pixel dimension, a date, a GPS tag and perhaps a thumbnail."""

    def main(exif: int, gps: int, following: int) -> bytes:
        entries = [Entry(0x010F, 2, b"Maker\0"), entry(0x0112, 3, orientation)]
        return build_directory([*entries, entry(0x8769, 4, exif), entry(0x8825, 4, gps)], 8, following=following)

    exif_at = 8 + len(main(0, 0, 0))
    exif = [Entry(0x9003, 2, b"2020:01:02 03:04:05\0"), entry(0xA002, 4, width)]
    details = build_directory(exif, exif_at)
    gps_at = exif_at + len(details)
    details += build_directory([Entry(1, 2, b"N\0")], gps_at)
    small_at = exif_at + len(details)
    start = small_at + len(build_directory([entry(513, 4, 0), entry(514, 4, 0)], small_at))
    small = build_directory([entry(513, 4, start), entry(514, 4, len(thumbnail))], small_at) + thumbnail
    block = b"II*\0\x08\0\0\0" + main(exif_at, gps_at, small_at if thumbnail else 0) + details
    return block + small if thumbnail else block
