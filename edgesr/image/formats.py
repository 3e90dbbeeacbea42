"""What each file format can hold, and the encoder that writes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from edgesr.errors import InputError
from edgesr.image import dicom_parametric, dicom_write, exif, icc, pillow
from edgesr.image.layout import Encoder, Layout
from edgesr.image.picture import Metadata
from edgesr.image.png_write import PngEncoder
from edgesr.image.source import shown, suffix_of
from edgesr.image.tiff_write import TiffEncoder
from edgesr.types import Array

SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dcm": "DICOM",
    ".dicom": "DICOM",
}
MAX_EXIF_IN_JPEG = 65535 - 2 - len(exif.PREFIX)


@dataclass(frozen=True)
class _Limits:
    dtypes: tuple[str, ...]
    channels: tuple[int, ...]
    side: int
    multiple: bool = False


PARAMETRIC_MAP = "DICOM-MAP"
"""Format of floats with a unit that belong to a DICOM image; a path alone never means it."""
_LIMITS = {
    "PNG": _Limits(("uint8", "uint16"), (1, 2, 3, 4), 2**31 - 1),
    "TIFF": _Limits(("uint8", "uint16", "float32"), (1, 2, 3, 4), 2**31 - 1, True),
    "JPEG": _Limits(("uint8",), (1, 3), 65535),
    "WEBP": _Limits(("uint8",), (1, 2, 3, 4), 16383),
    "BMP": _Limits(("uint8",), (1, 3), 2**15 - 1),
    "DICOM": _Limits(("uint8", "uint16"), (1, 3), 65535, True),
    PARAMETRIC_MAP: _Limits(("float32",), (1,), 65535, True),
}
_CHANNELS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}


def format_of(path: str | os.PathLike[str], format: str | None) -> str:
    """Return the name of the format asked for, or of the suffix where none is."""
    if format is not None:
        name = {"JPG": "JPEG", "TIF": "TIFF"}.get(format.upper(), format.upper())
        if name not in _LIMITS:
            raise InputError(f"{shown(path)}: the format {format!r} cannot be written; use one of {', '.join(_LIMITS)}")
        return name
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise InputError(f"{shown(path)}: the suffix {suffix!r} cannot be written; use one of {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


def refuse_misfit(format: str, layout: Layout, metadata: Metadata) -> None:
    """Raise an InputError that names a format which fits, where this one cannot hold the layout."""
    limits = _LIMITS[format]
    name = layout.dtype.name
    if min(layout.height, layout.width, layout.frames) < 1 or layout.channels not in _CHANNELS:
        raise InputError(
            f"{layout.frames} frames of {layout.width} x {layout.height} x {layout.channels} cannot be written; "
            "give sizes of at least 1 and 1 to 4 channels"
        )
    if name not in limits.dtypes:
        fitting = [other for other, its in _LIMITS.items() if name in its.dtypes and not other.startswith("DICOM")]
        remedy = f"write {' or '.join(fitting)}" if fitting else "convert to uint8 or uint16"
        raise InputError(f"{format} cannot hold {name} pixels; {remedy}, or convert to {limits.dtypes[0]}")
    if layout.channels not in limits.channels:
        raise InputError(f"{format} cannot hold {_CHANNELS[layout.channels]}; write PNG, TIFF or WebP")
    if max(layout.height, layout.width) > limits.side:
        raise InputError(
            f"{format} holds at most {limits.side} pixels per side, got {layout.width} x {layout.height}; write PNG"
        )
    if layout.frames > 1 and not limits.multiple:
        raise InputError(f"{format} holds one frame, got {layout.frames}; write TIFF, or one file for each frame")
    if format == "JPEG" and metadata.exif:
        block = exif.fit(metadata.exif, layout.height, layout.width)
        if block and len(block) > MAX_EXIF_IN_JPEG:
            raise InputError(f"JPEG holds {MAX_EXIF_IN_JPEG} bytes of EXIF, got {len(block)}; write PNG or TIFF")
    if format == "DICOM":
        dicom_write.refuse_misfit(layout, metadata)
    if format == PARAMETRIC_MAP:
        dicom_parametric.refuse_misfit(layout, metadata)


def make_encoder(format: str, file: BinaryIO, layout: Layout, metadata: Metadata, quality: int) -> Encoder:
    """Return the encoder that writes ``layout`` to ``file``."""
    if format == "PNG":
        return PngEncoder(file, layout, metadata)
    if format == "TIFF":
        return TiffEncoder(file, layout, metadata)
    if format == "DICOM":
        return dicom_write.DicomEncoder(file, layout, metadata)
    if format == PARAMETRIC_MAP:
        return dicom_parametric.ParametricMapEncoder(file, layout, metadata)
    return _WholeEncoder(file, layout, format, _options(format, layout, metadata, quality))


class _WholeEncoder:
    """Collect the rows of one frame and let Pillow encode them at the end."""

    def __init__(self, file: BinaryIO, layout: Layout, format: str, options: dict[str, Any]) -> None:
        self._file = file
        self._format = format
        self._options = options
        self._pixels: Array = np.empty((layout.height, layout.width, layout.channels), layout.dtype)
        self._filled = 0

    def write(self, rows: Array) -> None:
        self._pixels[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)

    def describe(self, text: Mapping[str, str]) -> None:
        """Add text to the comment of a JPEG; the other formats hold none."""
        if self._format == "JPEG":
            self._options["comment"] = b"; ".join(filter(None, (self._options.get("comment"), _comment(text))))

    def finish(self) -> None:
        pillow.encode(self._pixels, self._file, self._format, self._options)


def _options(format: str, layout: Layout, metadata: Metadata, quality: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if format == "JPEG" and metadata.text:
        options["comment"] = _comment(metadata.text)
    if metadata.dpi and max(metadata.dpi) < 65535 and format in ("JPEG", "BMP"):
        options["dpi"] = metadata.dpi
    if format == "BMP":
        return options
    options["quality"] = quality
    block = exif.fit(metadata.exif, layout.height, layout.width) if metadata.exif else None
    if block:
        options["exif"] = exif.PREFIX + block if format == "JPEG" else block
    stored = layout.channels if format == "JPEG" else 3
    options["icc_profile"] = icc.fitting(icc.fitting(metadata.icc, layout.channels), stored)
    return options | ({"subsampling": 0} if format == "JPEG" else {"method": 4, "exact": True})


def _comment(text: Mapping[str, str]) -> bytes:
    """Return text as the comment segment of a JPEG holds it, beside the little that comes later."""
    return "; ".join(f"{key}: {value}" for key, value in text.items()).encode("utf-8", "replace")[:64000]
