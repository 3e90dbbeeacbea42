"""Read JPEG files: the segments here, the compressed pixels by Pillow, which never sees EXIF or profiles."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import BinaryIO

from edgesr.errors import InputError
from edgesr.image import exif, icc, pillow
from edgesr.image.picture import Metadata, Picture
from edgesr.image.source import check_size

_PROFILE = b"ICC_PROFILE\0"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_UNDERSTOOD = frozenset((0xC0, 0xC1, 0xC2))
_DROPPED = frozenset((*range(0xE1, 0xEE), 0xEF, 0xFE))


@dataclass
class _Segments:
    kept: list[bytes] = field(default_factory=list)
    size: tuple[int, int] | None = None
    exif: bytes | None = None
    profile: dict[int, bytes] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None
    comment: str = ""
    scan: int = 0


def read_jpeg(file: BinaryIO, max_pixels: int) -> Picture:
    """Read a baseline or progressive JPEG as uint8 grey or RGB; CMYK is converted to sRGB."""
    file.seek(0)
    data = file.read()
    segments = _walk(data, max_pixels)
    if data.rfind(b"\xff\xd9", segments.scan) < 0:
        raise InputError("the JPEG file is truncated: its end marker is missing; copy it again from its source")
    profile = b"".join(segments.profile[number] for number in sorted(segments.profile)) or None
    stream = io.BytesIO(b"".join((*segments.kept, memoryview(data)[segments.scan :])))
    del data
    pixels = pillow.decode_jpeg(stream, profile, max_pixels)
    block, orientation = exif.take_orientation(segments.exif)
    dpi = segments.dpi or exif.resolution(block)
    metadata = Metadata(
        format="JPEG",
        icc=icc.fitting(profile, pixels.shape[2]),
        exif=block,
        dpi=dpi[::-1] if dpi and orientation >= 5 else dpi,
        text={"Comment": segments.comment} if segments.comment else {},
    )
    return Picture((exif.orient(pixels, orientation),), metadata)


def _walk(data: bytes, max_pixels: int) -> _Segments:
    """Split the segments before the first scan; ``kept`` is what decoding needs, ``scan`` where the rest begins."""
    found = _Segments([data[:2]])
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        if at + 4 > len(data):
            raise InputError("the JPEG file is truncated; copy it again from its source")
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF or size < 2 or at + 2 + size > len(data):
            raise InputError("the JPEG file is truncated or damaged; copy it again from its source")
        if marker == 0xDA:
            if found.size is None:
                raise InputError("the JPEG file has no frame header; the file is damaged")
            found.scan = at
            return found
        body = data[at + 4 : at + 2 + size]
        if marker in _FRAMES:
            found.size = _frame_size(marker, body, max_pixels)
        elif marker == 0xE0 and body[:5] == b"JFIF\0":
            found.dpi = _density(body)
        elif marker == 0xFE and not found.comment:
            found.comment = body.decode("utf-8", "replace").strip("\0 ")
        elif marker == 0xE1 and body.startswith(exif.PREFIX) and found.exif is None:
            found.exif = body[len(exif.PREFIX) :]
        elif marker == 0xE2 and body.startswith(_PROFILE) and len(body) > len(_PROFILE) + 2:
            found.profile.setdefault(body[len(_PROFILE)], body[len(_PROFILE) + 2 :])
        if marker not in _DROPPED:
            found.kept.append(data[at : at + 2 + size])
        at += 2 + size


def _frame_size(marker: int, body: bytes, max_pixels: int) -> tuple[int, int]:
    if len(body) < 6:
        raise InputError("the JPEG frame header is too short; the file is damaged")
    if marker not in _UNDERSTOOD or body[0] != 8:
        raise InputError(
            f"a JPEG of {body[0]} bits with process SOF{marker - 0xC0}, which is not supported; convert it to PNG"
        )
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    check_size(height, width, 1, max_pixels)
    return height, width


def _density(body: bytes) -> tuple[float, float] | None:
    if len(body) < 12 or body[7] not in (1, 2):
        return None
    factor = 1.0 if body[7] == 1 else 2.54
    x, y = int.from_bytes(body[8:10], "big") * factor, int.from_bytes(body[10:12], "big") * factor
    return (x, y) if x and y else None
