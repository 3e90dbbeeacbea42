"""Open picture files safely and tell what they are by their content, never by their suffix."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from edgesr.errors import InputError

HEAD_BYTES = 160

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
)
_FOREIGN = (
    (0, b"%PDF", "a PDF document"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"RIFF", "a RIFF file, but not WebP"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML document"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"P5", "a PGM picture"),
    (0, b"P6", "a PPM picture"),
)
_FIRST_TAGS = ((2, 0), (2, 1), (8, 0), (8, 5), (8, 8), (8, 22))
_BARE_DICOM = tuple(bytes((group, 0, element, 0)) for group, element in _FIRST_TAGS)


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as it appears in messages: one line, control characters escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


def open_source(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading bytes; folders, devices, pipes and unreadable files are InputErrors."""
    name = shown(path)
    try:
        _require_regular(name, Path(path).stat().st_mode)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file; check the path") from None
    except PermissionError:
        raise InputError(f"{name}: permission denied; make the file readable, for example with chmod +r") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be opened ({error.strerror}); check the path") from None
    except ValueError:
        raise InputError(f"{name}: is not a possible path; check it for stray characters") from None
    file = os.fdopen(descriptor, "rb")
    try:
        _require_regular(name, os.fstat(descriptor).st_mode)
    except InputError:
        file.close()
        raise
    return file


def identify(file: BinaryIO) -> str:
    """Return PNG, JPEG, TIFF, WEBP, BMP, GIF or DICOM from the first bytes, and rewind the file."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if not head:
        raise InputError("the file is empty; copy it again from its source")
    if head[128:132] == b"DICM":  # first: the 128 bytes before it may hold another format's header
        return "DICOM"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in _BARE_DICOM:
        return "DICOM"
    for offset, signature, description in _FOREIGN:
        if head[offset : offset + len(signature)] == signature:
            raise InputError(f"this is {description}; pass PNG, JPEG, TIFF, WebP, BMP, GIF or DICOM")
    raise InputError(
        f"not a picture: it begins with the bytes {head[:8].hex(' ')}; pass PNG, JPEG, TIFF, WebP, BMP, GIF or DICOM"
    )


def check_size(height: int, width: int, frames: int, max_pixels: int) -> None:
    """Refuse, before anything is decoded, a picture that declares no pixels or more than ``max_pixels`` in all."""
    if height < 1 or width < 1 or frames < 1:
        raise InputError(f"the header declares {width} x {height} pixels in {frames} frames; the file is damaged")
    if height * width * frames > max_pixels:
        times = f" x {frames} frames" if frames > 1 else ""
        raise InputError(
            f"the header declares {width} x {height}{times} pixels, more than the limit of {max_pixels}; "
            "raise max_pixels if the file is to be trusted"
        )


def _require_regular(name: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise InputError(f"{name}: is a folder; pass a file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{name}: is not a regular file but a device, pipe or socket; pass a file")


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Return the lower-case suffix of a path with its dot, or an empty string."""
    return Path(os.fspath(path)).suffix.lower()
