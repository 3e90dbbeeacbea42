"""Read TIFF and BigTIFF files: grey, RGB, palette and CMYK of 1 to 16 bits and floats, in strips or tiles.

tifffile leaves LZW and JPEG to a large codec library and Pillow cuts 16-bit colour to 8 bits, so the directories and
samples are interpreted here and only the decompression of a strip is borrowed.
"""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np

from edgesr.errors import InputError
from edgesr.image import exif, icc, pillow
from edgesr.image.convert import ROUNDING, is_grey
from edgesr.image.ifd import Entry, Header, ReadAt, parse_directory, parse_header
from edgesr.image.picture import Metadata, Picture
from edgesr.image.source import check_size
from edgesr.image.tiff_codec import JPEG
from edgesr.image.tiff_exif import join_exif
from edgesr.image.tiff_page import CMYK, MINISWHITE, PALETTE, YCBCR, Page, parse_page, read_samples
from edgesr.types import Array

MAX_PAGES = 1 << 16
SUBFILE_TYPE, ICC_PROFILE = 254, 34675
REDUCED, MASK = 1, 4


def read_tiff(file: BinaryIO, max_pixels: int) -> Picture:
    """Read all full pages of a TIFF as uint8, uint16 or float32 in [0, 1]; previews and masks are passed over."""
    read_at = _file_reader(file)
    header = parse_header(read_at)
    directories = _directories(read_at, header)
    first = directories[0]
    pages = []
    for entries in directories:
        pages.append(parse_page(entries, header.order))
        check_size(pages[0].height, pages[0].width, 1, max_pixels)
        if sum(page.height * page.width for page in pages) > max_pixels:
            check_size(pages[0].height, pages[0].width, len(directories), max_pixels)
            raise InputError(f"its pages declare more than {max_pixels} pixels in all; raise max_pixels to trust it")
    orientation = first[exif.ORIENTATION].integers()[0] if exif.ORIENTATION in first else 1
    profile = first[ICC_PROFILE].data if ICC_PROFILE in first else None
    frames = tuple(exif.orient(_interpret(read_samples(read_at, page), page, profile), orientation) for page in pages)
    dpi = exif.resolution_of(first)
    metadata = Metadata(
        format="TIFF",
        icc=icc.fitting(profile, frames[0].shape[2]),
        exif=join_exif(read_at, header, first),
        dpi=dpi[::-1] if dpi and orientation in range(5, 9) else dpi,
    )
    return Picture(frames, metadata)


def _file_reader(file: BinaryIO) -> ReadAt:
    end = os.fstat(file.fileno()).st_size if hasattr(file, "fileno") else file.seek(0, 2)

    def read_at(offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > end:
            raise InputError("the TIFF file is truncated or points outside itself; copy it again from its source")
        file.seek(offset)
        return file.read(size)

    return read_at


def _directories(read_at: ReadAt, header: Header) -> list[dict[int, Entry]]:
    found: list[dict[int, Entry]] = []
    offset, seen = header.first, set[int]()
    while offset:
        if offset in seen or len(seen) >= MAX_PAGES:
            raise InputError("the TIFF directories run in a circle; the file is damaged")
        seen.add(offset)
        entries, offset = parse_directory(read_at, header, offset)
        kind = entries[SUBFILE_TYPE].integers()[0] if SUBFILE_TYPE in entries else 0
        if not kind & (REDUCED | MASK):
            found.append(entries)
    if not found:
        raise InputError("the TIFF file has no full picture; the file is damaged")
    return found


def _interpret(samples: Array, page: Page, profile: bytes | None) -> Array:
    """Turn stored samples ``(H, W, samples)`` into grey or RGB with straight alpha."""
    if samples.dtype.kind == "f":
        return _checked_floats(samples)
    full = int(np.iinfo(samples.dtype).max)
    if page.photometric == MINISWHITE:
        samples[:, :, 0] = full - samples[:, :, 0]
    if page.photometric == PALETTE:
        return _look_up(samples, page, keep_color=profile is not None)
    if page.photometric == CMYK:
        eight = samples if full == 255 else (samples >> 8).astype(np.uint8)
        return pillow.cmyk_to_rgb(eight, profile)
    if page.photometric == YCBCR and (page.codec.compression != JPEG or page.is_planar):
        return pillow.ycbcr_to_rgb(samples)
    if page.may_be_padding and not samples[:, :, -1].any():
        return np.ascontiguousarray(samples[:, :, :-1])
    return _straight(samples, full) if page.is_premultiplied else samples


def _checked_floats(samples: Array) -> Array:
    low, high = float(samples.min()), float(samples.max())
    if np.isnan(low) or np.isnan(high) or np.isinf(high) or np.isinf(low):
        raise InputError("the TIFF file holds NaN or infinite values; replace them and save it again")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            f"the floating-point TIFF file holds values from {low:.6g} to {high:.6g}; scale them to [0, 1]"
        )
    return samples if low >= 0 and high <= 1 else samples.clip(0, 1)


def _look_up(samples: Array, page: Page, *, keep_color: bool) -> Array:
    size = 1 << page.bits
    if len(page.palette) != 3 * size:
        raise InputError(f"the TIFF palette has {len(page.palette)} values, not {3 * size}; the file is damaged")
    table = np.array(page.palette, np.uint32).reshape(3, size).T
    narrow = table if table.max(initial=0) < 256 else table >> 8
    colors = narrow.astype(np.uint8)
    return np.asarray((colors[:, :1] if is_grey(colors) and not keep_color else colors)[samples[:, :, 0]])


def _straight(samples: Array, full: int) -> Array:
    """Divide the colours by their alpha, row by row; fully transparent pixels keep what they store."""
    for row in samples:
        alpha = row[:, -1:].astype(np.float32)
        colour = np.rint(row[:, :-1] * (full / np.maximum(alpha, 1))).clip(0, full)
        row[:, :-1] = np.where(alpha > 0, colour, row[:, :-1])
    return samples
