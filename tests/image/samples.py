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


def exif_block(orientation: int = 1, width: int = 0, thumbnail: bytes = b"") -> bytes:
    """An EXIF block with orientation, maker, a pixel dimension, a GPS tag and perhaps a thumbnail."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0xA002] = width or 64
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825)[1] = "N"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    if not thumbnail:
        return block
    order = "<" if block[:2] == b"II" else ">"
    first = struct.unpack(order + "I", block[4:8])[0]
    link = first + 2 + 12 * struct.unpack(order + "H", block[first : first + 2])[0]
    block += b"\0" * (len(block) & 1)
    at = len(block)
    entries = struct.pack(order + "HHHII", 2, 0x0201, 4, 1, at + 30) + struct.pack(
        order + "HHII", 0x0202, 4, 1, len(thumbnail)
    )
    return block[:link] + struct.pack(order + "I", at) + block[link + 4 :] + entries + bytes(4) + thumbnail
