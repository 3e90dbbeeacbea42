"""Read the stored samples of one TIFF page from its strips or tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgesr.errors import InputError
from edgesr.image.ifd import Entry, ReadAt
from edgesr.image.tiff_codec import JPEG, Codec, decode_jpeg_segment, decode_segment
from edgesr.types import Array

MINISWHITE, MINISBLACK, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
UNSIGNED, FLOAT = 1, 3
NO_PREDICTOR, HORIZONTAL, FLOATING = 1, 2, 3
MAX_SIDE = 1 << 24
_COLOURS = {MINISWHITE: 1, MINISBLACK: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}


@dataclass(frozen=True)
class Page:
    """Describe how one page is stored; a segment is a strip or a tile of ``segment_height`` x ``segment_width``."""

    height: int
    width: int
    samples: int
    bits: int
    is_float: bool
    photometric: int
    is_planar: bool
    is_premultiplied: bool
    may_be_padding: bool
    """Whether the last sample is of a kind that the file does not name."""
    predictor: int
    order: str
    codec: Codec
    segment_height: int
    segment_width: int
    offsets: list[int]
    sizes: list[int]
    palette: list[int]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Return the native dtype of the samples as they are handed out."""
        return np.dtype(f"f{self.bits // 8}") if self.is_float else np.dtype(np.uint16 if self.bits == 16 else np.uint8)


def parse_page(entries: dict[int, Entry], order: str) -> Page:
    """Return the layout of a page, or an InputError that names what is not supported."""

    def numbers(tag: int, default: list[int] | None = None) -> list[int]:
        if tag in entries:
            return entries[tag].integers()
        if default is None:
            raise InputError(f"the TIFF tag {tag} is missing; the file is damaged")
        return default

    width, height = numbers(256)[0], numbers(257)[0]
    samples = numbers(277, [1])[0]
    bits, formats = set(numbers(258, [1])), set(numbers(339, [UNSIGNED]))
    photometric = numbers(262, [MINISBLACK])[0]
    compression = numbers(259, [1])[0]
    extra = numbers(338, [])
    if len(bits) != 1 or len(formats) != 1:
        raise InputError("the TIFF channels differ in their bits; save it with the same 8 or 16 bits for each channel")
    depth, sample_format = bits.pop(), formats.pop()
    _check_samples(photometric, samples, depth, sample_format)
    if photometric == YCBCR and compression != JPEG and (depth != 8 or numbers(530, [2, 2]) != [1, 1]):
        raise InputError("a TIFF of YCbCr colours with fewer of them than pixels or more than 8 bits; save it as RGB")
    tiled = 322 in entries
    segment_width = numbers(322)[0] if tiled else width
    segment_height = numbers(323)[0] if tiled else min(numbers(278, [height])[0], height)
    if not (0 < segment_width <= MAX_SIDE and 0 < segment_height <= MAX_SIDE):
        raise InputError(f"TIFF strips of {segment_width} x {segment_height} pixels; the file is damaged")
    colours = _COLOURS[photometric]
    options = numbers(293 if compression == 4 else 292, [0])[0]
    tables = entries[347].data if 347 in entries else b""
    return Page(
        height=height,
        width=width,
        samples=samples,
        bits=depth,
        is_float=sample_format == FLOAT,
        photometric=photometric,
        is_planar=numbers(284, [1])[0] == 2 and samples > 1,
        is_premultiplied=samples > colours and extra[:1] == [1],
        may_be_padding=samples > colours and extra[:1] == [0],
        predictor=numbers(317, [NO_PREDICTOR])[0],
        order=order,
        codec=Codec(compression, options, numbers(266, [1])[0] == 2, tables, photometric == YCBCR),
        segment_height=segment_height,
        segment_width=segment_width,
        offsets=numbers(324 if tiled and 324 in entries else 273),
        sizes=numbers(325 if tiled and 325 in entries else 279),
        palette=numbers(320, []),
    )


def read_samples(read_at: ReadAt, page: Page) -> Array:
    """Return the samples ``(H, W, samples)``: uint8 (grey of 1 to 4 bits stretched), uint16 or float32."""
    across = -(-page.width // page.segment_width)
    down = -(-page.height // page.segment_height)
    planes = page.samples if page.is_planar else 1
    if not len(page.offsets) == len(page.sizes) == across * down * planes:
        raise InputError(
            f"{across * down * planes} TIFF strips or tiles are needed, {len(page.offsets)} listed; the file is damaged"
        )
    pixels = np.empty((page.height, page.width, page.samples), page.dtype)
    for index, (offset, size) in enumerate(zip(page.offsets, page.sizes, strict=True)):
        plane, place = divmod(index, across * down)
        top, left = place // across * page.segment_height, place % across * page.segment_width
        target = pixels[top : top + page.segment_height, left : left + page.segment_width]
        if page.is_planar:
            target = target[:, :, plane : plane + 1]
        is_strip = page.segment_width == page.width
        rows = target.shape[0] if is_strip else page.segment_height
        segment = _read_segment(read_at(offset, size), page, rows, target.shape[2])
        target[...] = segment[: target.shape[0], : target.shape[1]]
    if page.bits < 8 and page.photometric != PALETTE:
        pixels *= 255 // ((1 << page.bits) - 1)
    return pixels.astype(np.float32, copy=False) if page.is_float else pixels


def _check_samples(photometric: int, samples: int, depth: int, sample_format: int) -> None:
    colours = _COLOURS.get(photometric)
    if colours is None:
        raise InputError(f"TIFF photometric {photometric} is not supported; save the picture as grey or RGB PNG")
    alphas = (0,) if photometric in (PALETTE, CMYK, YCBCR) else (0, 1)
    if samples - colours not in alphas:
        raise InputError(f"a TIFF with {samples} channels; save the picture as grey or RGB, with or without alpha")
    depths = {UNSIGNED: (8, 16), FLOAT: (16, 32, 64)}.get(sample_format, ())
    if sample_format == UNSIGNED and samples == 1:
        depths = (1, 2, 4, 8, 16)
    if depth not in depths or (sample_format == FLOAT and photometric not in (MINISBLACK, RGB)):
        kind = {UNSIGNED: "unsigned", 2: "signed", FLOAT: "floating-point"}.get(sample_format, "unknown")
        raise InputError(f"a TIFF of {depth}-bit {kind} samples; save the picture with 8 or 16 bits or as 32-bit float")


def _read_segment(data: bytes, page: Page, rows: int, samples: int) -> Array:
    columns = page.segment_width
    if page.codec.compression == JPEG:
        if page.bits != 8 or page.predictor != NO_PREDICTOR:
            raise InputError(f"a TIFF with {page.bits}-bit JPEG strips is not supported; save it as PNG")
        return decode_jpeg_segment(data, page.codec, rows, columns, samples)
    row_bytes = (columns * samples * page.bits + 7) // 8
    raw = decode_segment(data, page.codec, rows, columns, row_bytes)
    packed = np.frombuffer(raw, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    if page.predictor == FLOATING and page.is_float:
        return _undo_floating(packed, page, columns, samples)
    if page.predictor not in (NO_PREDICTOR, HORIZONTAL) or (page.predictor == HORIZONTAL and page.bits < 8):
        raise InputError(f"TIFF predictor {page.predictor} is not supported here; save the picture as PNG")
    if page.bits < 8:
        return _unpack(packed, page.bits)[:, :columns, np.newaxis]
    kind = "f" if page.is_float else "u"
    values = packed.view(f"{page.order}{kind}{page.bits // 8}").reshape(rows, columns, samples)
    if page.predictor == HORIZONTAL and page.is_float:
        raise InputError("a floating-point TIFF with predictor 2; save it with predictor 3 or none")
    if page.predictor == HORIZONTAL:
        return np.add.accumulate(values.astype(page.dtype, copy=False), axis=1, dtype=page.dtype)
    return values


def _undo_floating(packed: Array, page: Page, columns: int, samples: int) -> Array:
    """Undo predictor 3: byte differences along a row in which all first bytes come first (TIFF Technical Note 3)."""
    rows, size = len(packed), page.bits // 8
    summed = np.add.accumulate(packed.reshape(rows, -1, samples), axis=1, dtype=np.uint8)
    planes = summed.reshape(rows, size, columns * samples).transpose(0, 2, 1)
    return np.ascontiguousarray(planes).view(f">f{size}").reshape(rows, columns, samples)


def _unpack(packed: Array, bits: int) -> Array:
    if bits == 1:
        return np.unpackbits(packed, axis=1)
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    values = packed[:, :, np.newaxis] >> shifts & np.uint8((1 << bits) - 1)
    return np.asarray(values.reshape(len(packed), -1))
