"""Read WebP files: the chunks here, the compressed pixels by Pillow."""

from __future__ import annotations

from typing import BinaryIO

from edgesr.errors import InputError
from edgesr.image import exif, icc, pillow
from edgesr.image.picture import Metadata, Picture
from edgesr.image.source import check_size

MAX_METADATA_BYTES = 1 << 26


def read_webp(file: BinaryIO, max_pixels: int) -> Picture:
    """Read a still WebP, lossy or lossless, as uint8 RGB or RGBA."""
    chunks, frames = _walk(file)
    if frames > 1:
        raise InputError(f"an animated WebP with {frames} frames; pass it as a video or save the frame you need")
    height, width = _size(chunks)
    check_size(height, width, 1, max_pixels)
    file.seek(0)
    pixels = pillow.decode_webp(file)
    if pixels.shape[:2] != (height, width):
        raise InputError("the WebP header and its picture differ in size; the file is damaged")
    block = chunks.get(b"EXIF")
    if block is not None and block.startswith(exif.PREFIX):
        block = block[len(exif.PREFIX) :]
    block, orientation = exif.take_orientation(block)
    profile = icc.fitting(chunks.get(b"ICCP"), pixels.shape[2])
    metadata = Metadata(format="WEBP", icc=profile, exif=block, dpi=exif.resolution(block))
    return Picture((exif.orient(pixels, orientation),), metadata)


def _walk(file: BinaryIO) -> tuple[dict[bytes, bytes], int]:
    """Return the metadata chunks whole, the first 16 bytes of the others, and the number of animation frames."""
    file.seek(4)
    declared = int.from_bytes(file.read(4), "little")
    end = file.seek(0, 2)
    if declared + 8 > end:
        raise InputError("the WebP file is truncated; copy it again from its source")
    chunks: dict[bytes, bytes] = {}
    frames = 0
    at = 12
    while at + 8 <= declared + 8:
        file.seek(at)
        head = file.read(8)
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        whole = kind in (b"ICCP", b"EXIF")
        if at + 8 + size > end or (whole and size > MAX_METADATA_BYTES):
            raise InputError("the WebP file is truncated or damaged; copy it again from its source")
        frames += kind == b"ANMF"
        chunks.setdefault(kind, file.read(size if whole else min(size, 16)))
        at += 8 + size + (size & 1)
    return chunks, frames


def _size(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    if len(extended := chunks.get(b"VP8X", b"")) >= 10:
        return int.from_bytes(extended[7:10], "little") + 1, int.from_bytes(extended[4:7], "little") + 1
    if len(lossless := chunks.get(b"VP8L", b"")) >= 5:
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if len(lossy := chunks.get(b"VP8 ", b"")) >= 10:
        return int.from_bytes(lossy[8:10], "little") & 0x3FFF, int.from_bytes(lossy[6:8], "little") & 0x3FFF
    raise InputError("the WebP file has no picture; the file is damaged")
