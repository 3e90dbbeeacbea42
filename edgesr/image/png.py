"""Read PNG files: the chunks here, the compressed pixels by Pillow.

Pillow decodes 8-bit PNG whole but cuts 16-bit colour down to 8 bits, does not notice an image stream that ends early
and inflates profiles without being asked. So the chunks are checked and interpreted here, with limits, and Pillow only
ever sees the header and the image data.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from edgesr.errors import InputError
from edgesr.image import exif, pillow
from edgesr.image.convert import is_grey
from edgesr.image.picture import Metadata, Picture
from edgesr.image.png_text import inflate, read_text
from edgesr.image.source import check_size
from edgesr.types import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_CHUNKS = ("cHRM", "gAMA", "sRGB", "cICP")
MAX_METADATA_BYTES = 1 << 26
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True)
class Header:
    """Hold the IHDR fields of a PNG file."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def stream_bytes(self) -> int:
        """Return the length of the inflated image stream, filter bytes included."""
        bits = self.depth * _SAMPLES[self.colour]
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for x, y, dx, dy in passes:
            columns, rows = -(-(self.width - x) // dx), -(-(self.height - y) // dy)
            if columns > 0 and rows > 0:
                total += rows * (1 + (columns * bits + 7) // 8)
        return total


@dataclass
class _Chunks:
    header: Header
    stream: list[bytes] = field(default_factory=list)
    other: dict[str, bytes] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)


def read_png(file: BinaryIO, max_pixels: int) -> Picture:
    """Read a still PNG of any colour type and depth as uint8, or uint16 where it stores 16 bits."""
    chunks = _read_chunks(file, max_pixels)
    header, other = chunks.header, chunks.other
    if not chunks.stream:
        raise InputError("the PNG file has no image data; copy it again from its source")
    pixels = _decode(header, chunks.stream)
    pixels = _interpret(pixels, header, other)
    block, orientation = exif.take_orientation(other.get("eXIf"))
    dpi = _dpi(other.get("pHYs"))
    metadata = Metadata(
        format="PNG",
        icc=_profile(other.get("iCCP")),
        exif=block,
        dpi=dpi[::-1] if dpi and orientation >= 5 else dpi,
        text=chunks.text,
        colour={name: other[name] for name in COLOUR_CHUNKS if name in other},
    )
    return Picture((exif.orient(pixels, orientation),), metadata)


def _read_chunks(file: BinaryIO, max_pixels: int) -> _Chunks:
    file.seek(len(SIGNATURE))
    chunks: _Chunks | None = None
    budget = MAX_METADATA_BYTES
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise InputError("the PNG file is truncated; copy it again from its source")
        size, kind = struct.unpack(">I4s", head)
        image_data = kind == b"IDAT"
        budget -= 0 if image_data else size
        if size >= 1 << 31 or budget < 0:
            raise InputError(f"the PNG chunk {kind!r} is larger than any picture needs; the file is damaged")
        data = file.read(size)
        check = file.read(4)
        if len(data) < size or len(check) < 4:
            raise InputError("the PNG file is truncated; copy it again from its source")
        intact = zlib.crc32(data, zlib.crc32(kind)) == int.from_bytes(check, "big")
        critical = not kind[0] & 0x20
        if critical and not intact:
            raise InputError(f"the PNG chunk {kind.decode('latin-1')!a} is damaged; copy the file again")
        if chunks is None:
            chunks = _Chunks(_parse_header(kind, data, max_pixels))
        elif image_data:
            chunks.stream.append(data)
        elif kind == b"IEND":
            return chunks
        elif intact:
            _keep(chunks, kind, data, critical)


def _keep(chunks: _Chunks, kind: bytes, data: bytes, critical: bool) -> None:
    if critical and kind != b"PLTE":
        raise InputError(f"the PNG file needs the unknown chunk {kind.decode('latin-1')!a}; save it again as plain PNG")
    if kind == b"acTL":
        number = int.from_bytes(data[:4], "big")
        if number > 1:
            raise InputError(f"an animated PNG with {number} frames; pass it as a video or save the frame you need")
    elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        chunks.text.update(read_text(kind, data))
    else:
        chunks.other.setdefault(kind.decode("latin-1"), data)


def _parse_header(kind: bytes, data: bytes, max_pixels: int) -> Header:
    if kind != b"IHDR" or len(data) != 13:
        raise InputError("the PNG file does not begin with a header chunk; the file is damaged")
    width, height, depth, colour, method, filtering, interlace = struct.unpack(">IIBBBBB", data)
    if depth not in _DEPTHS.get(colour, ()) or method or filtering or interlace > 1:
        raise InputError(f"the PNG header declares colour type {colour} with {depth} bits; the file is damaged")
    check_size(height, width, 1, max_pixels)
    return Header(width, height, depth, colour, bool(interlace))


def _decode(header: Header, stream: list[bytes]) -> Array:
    """Return the stored samples ``(H, W, samples)``, grey of fewer than 8 bits stretched to 8."""
    depth, colour = header.depth, header.colour
    modes: tuple[str, ...] = ("",)
    if header.depth == 16 and header.colour == 4:
        depth, colour = 8, 6  # one grey+alpha pixel of 16 bits has the bytes and the filters of one 8-bit RGBA pixel
    elif header.depth == 16 and header.colour in (2, 6):
        name = "RGB" if header.colour == 2 else "RGBA"
        modes = (f"{name};16B", f"{name};16L")  # Pillow keeps the first byte of each sample, or the second
    head = struct.pack(">IIBBBBB", header.width, header.height, depth, colour, 0, 0, header.interlaced)
    parts = [SIGNATURE, chunk(b"IHDR", head)]
    for data in stream:
        parts += (struct.pack(">I4s", len(data), b"IDAT"), data, bytes(4))
    encoded = b"".join([*parts, chunk(b"IEND", b"")])
    planes = [pillow.decode_png(io.BytesIO(encoded), mode) for mode in modes]
    _check_complete(header, stream, planes[0])
    if len(planes) == 2:
        pixels = planes[0].astype(np.uint16)
        pixels <<= 8
        pixels |= planes[1]
        return pixels
    if header.depth == 16 and header.colour == 4:
        return planes[0].view(">u2").astype(np.uint16)
    return planes[0]


def _check_complete(header: Header, stream: list[bytes], pixels: Array) -> None:
    """Count the inflated bytes wherever Pillow might have left rows at zero because the stream ended early."""
    if pixels[-1].any() and not header.interlaced:
        return
    inflater, counted = zlib.decompressobj(), 0
    for data in stream:
        while data and counted < header.stream_bytes:
            counted += len(inflater.decompress(data, 1 << 20))
            data = inflater.unconsumed_tail
    if counted < header.stream_bytes:
        raise InputError("the PNG image data ends early; copy the file again from its source")


def _interpret(pixels: Array, header: Header, other: dict[str, bytes]) -> Array:
    transparent = other.get("tRNS")
    if header.colour == 3:
        return _look_up(pixels, other.get("PLTE", b""), transparent, keep_color="iCCP" in other)
    if transparent is None or header.colour in (4, 6):
        return pixels
    samples = _SAMPLES[header.colour]
    if len(transparent) < 2 * samples:
        return pixels
    key = np.frombuffer(transparent, ">u2", samples).astype(np.uint32)
    if header.depth < 8:
        key = key * (255 // ((1 << header.depth) - 1))
    full = np.iinfo(pixels.dtype).max
    visible = (pixels != key).any(axis=2, keepdims=True)
    return np.concatenate([pixels, visible.astype(pixels.dtype) * full], axis=2)


def _look_up(indices: Array, palette: bytes, transparent: bytes | None, *, keep_color: bool) -> Array:
    """Return the entries of a palette; all of them grey become one channel, unless a colour profile belongs to them."""
    if not palette or len(palette) % 3 or len(palette) > 768:
        raise InputError(f"the PNG palette has {len(palette)} bytes; the file is damaged")
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    table[: len(palette) // 3, :3] = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    if transparent is not None:
        alphas = transparent[:256]
        table[: len(alphas), 3] = np.frombuffer(alphas, np.uint8)
    colors = 1 if is_grey(table[:, :3]) and not keep_color else 3
    samples = list(range(colors)) if transparent is None else [*range(colors), 3]
    return table[:, samples][indices[:, :, 0]]


def _profile(data: bytes | None) -> bytes | None:
    if data is None or b"\0" not in data[:80]:
        return None
    name_end = data.index(b"\0")
    return inflate(data[name_end + 2 :], "iCCP") or None


def _dpi(data: bytes | None) -> tuple[float, float] | None:
    if data is None or len(data) != 9 or data[8] != 1:
        return None
    x, y = struct.unpack(">II", data[:8])
    return (x * 0.0254, y * 0.0254) if x and y else None


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big")
