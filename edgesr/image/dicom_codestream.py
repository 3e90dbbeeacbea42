"""Read the size that a compressed DICOM frame declares in its own header."""

from __future__ import annotations

from edgesr.errors import InputError

_JPEG_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
_JP2_CODESTREAM = b"\xff\x4f\xff\x51"


def check_codestream(data: bytes, height: int, width: int) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 frame whose header declares another size than ``height`` x ``width``."""
    declared = _size(data)
    if declared is not None and declared != (height, width):
        raise InputError(
            f"a compressed DICOM frame declares {declared[1]} x {declared[0]} pixels, "
            f"the data set {width} x {height}; the file is damaged"
        )


def _size(data: bytes) -> tuple[int, int] | None:
    """Return (height, width), or None for RLE and anything else that declares no size."""
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    at = data.find(_JP2_CODESTREAM, 0, 4096)
    if at < 0:
        return None
    right, bottom, left, top = (int.from_bytes(data[at + 8 + 4 * k : at + 12 + 4 * k], "big") for k in range(4))
    return bottom - top, right - left


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _JPEG_FRAMES:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise InputError("a compressed DICOM frame has no frame header; the file is damaged")
