"""Carry EXIF between a block, as PNG, JPEG and WebP hold it, and the directories of a TIFF file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgesr.errors import InputError
from edgesr.image import exif
from edgesr.image.ifd import (
    LONG,
    Entry,
    Header,
    ReadAt,
    build_directory,
    bytes_reader,
    entry,
    parse_directory,
    parse_header,
)

DESCRIPTIVE = frozenset((270, 271, 272, 305, 306, 315, 316, 33432))
MAX_VALUE = 1 << 20


@dataclass(frozen=True)
class Directories:
    """Hold what an EXIF block contributes to a TIFF file: descriptive tags and two directories of their own."""

    main: Sequence[Entry] = ()
    exif: Sequence[Entry] = ()
    gps: Sequence[Entry] = ()


def split_exif(block: bytes | None, height: int, width: int) -> Directories:
    """Return the directories of a block for a picture of the given size; empty where it is missing or damaged."""
    fitted = exif.fit(block, height, width) if block else None
    if fitted is None:
        return Directories()
    read_at = bytes_reader(fitted)
    try:
        header = parse_header(read_at)
        main, _ = parse_directory(read_at, header, header.first)
        return _gather(read_at, header, main)
    except InputError:
        return Directories()


def join_exif(read_at: ReadAt, header: Header, main: dict[int, Entry]) -> bytes | None:
    """Return the EXIF block of a TIFF file whose main directory is ``main``, or None where it has nothing to say."""
    try:
        found = _gather(read_at, header, main)
    except InputError:
        return None
    if not (found.main or found.exif or found.gps):
        return None
    kept = [*found.main, entry(exif.ORIENTATION, 3, 1)]
    kept += [main[tag] for tag in (exif.X_RESOLUTION, exif.Y_RESOLUTION, exif.RESOLUTION_UNIT) if tag in main]
    pointers = [(exif.EXIF_DIRECTORY, found.exif), (exif.GPS_DIRECTORY, found.gps)]
    kept += [entry(tag, LONG, 0) for tag, directory in pointers if directory]
    at = 8 + len(build_directory(kept, 8))
    tail = b""
    for tag, directory in pointers:
        if directory:
            kept = [entry(tag, LONG, at + len(tail)) if one.tag == tag else one for one in kept]
            tail += build_directory(directory, at + len(tail))
            tail += b"\0" * (len(tail) & 1)
    return b"II*\0\x08\0\0\0" + build_directory(kept, 8) + tail


def _gather(read_at: ReadAt, header: Header, main: dict[int, Entry]) -> Directories:
    def directory(tag: int) -> list[Entry]:
        if tag not in main:
            return []
        found, _ = parse_directory(read_at, header, main[tag].integers()[0])
        return [one for one in found.values() if one.tag != exif.INTEROP_DIRECTORY and len(one.data) <= MAX_VALUE]

    described = [one for one in main.values() if one.tag in DESCRIPTIVE and len(one.data) <= MAX_VALUE]
    return Directories(described, directory(exif.EXIF_DIRECTORY), directory(exif.GPS_DIRECTORY))
