"""Read a picture file of any supported format, or say in one line why not."""

from __future__ import annotations

import os
from typing import BinaryIO

from edgesr.errors import EdgesrError, InputError
from edgesr.image import pillow
from edgesr.image.dicom_read import read_dicom
from edgesr.image.jpeg import read_jpeg
from edgesr.image.picture import Metadata, Picture
from edgesr.image.png import read_png
from edgesr.image.source import identify, open_source, shown
from edgesr.image.tiff import read_tiff
from edgesr.image.webp import read_webp

MAX_PIXELS = 2**28


def read(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a PNG, JPEG, TIFF, WebP, BMP, still GIF or DICOM file, told apart by its content.

    Frames are uint8, uint16 or float32 in [0, 1], ``(H, W, C)`` grey or RGB with straight alpha, upright. A file that
    declares more than ``max_pixels`` pixels in all its frames is refused before it is decoded.
    """
    with open_source(path) as file:
        try:
            format = identify(file)
            return _read_as(format, file, max_pixels)
        except EdgesrError as error:
            raise type(error)(f"{shown(path)}: {error}") from error.__cause__
        except MemoryError:
            raise InputError(f"{shown(path)}: there is not enough memory to decode it; use a smaller picture") from None
        except Exception as error:  # decoders meet damage with exceptions of every type
            raise InputError(
                f"{shown(path)}: the {format} file is damaged ({type(error).__name__}); copy it again from its source"
            ) from error


def _read_as(format: str, file: BinaryIO, max_pixels: int) -> Picture:
    if format == "BMP":
        pixels, dpi = pillow.decode_bmp(file, max_pixels)
        return Picture((pixels,), Metadata(format="BMP", dpi=dpi))
    if format == "GIF":
        return Picture((pillow.decode_gif(file, max_pixels),), Metadata(format="GIF"))
    readers = {
        "PNG": read_png,
        "JPEG": read_jpeg,
        "TIFF": read_tiff,
        "WEBP": read_webp,
        "DICOM": read_dicom,
    }
    return readers[format](file, max_pixels)
