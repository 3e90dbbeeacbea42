"""A picture in memory: its pixels, and everything its file said about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgesr.errors import InputError
from edgesr.types import Array

DTYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class Metadata:
    """Describe everything about a picture file that is not pixels; immutable, and shared freely between pictures.

    ``exif`` is a TIFF-structured block without the ``Exif`` prefix, its orientation already applied and reset to 1.
    ``dpi`` is pixels per inch, (x, y). ``text`` is written as PNG text (Latin-1 or UTF-8 values) and names the
    provenance in a derived DICOM. ``colour`` holds the PNG colour chunks (gAMA, cHRM, sRGB, cICP) as they were stored.
    ``dicom`` is the data set a DICOM picture came from; it holds patient data and therefore never appears in a repr.
    """

    format: str = ""
    icc: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    text: Mapping[str, str] = field(default_factory=dict, repr=False)
    colour: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    dicom: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Picture:
    """Hold frames uint8, uint16 or float32 in [0, 1], each ``(H, W, C)``; C = 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA.

    Alpha is straight (not premultiplied). All frames share one shape and dtype; several frames come from multi-page
    TIFF and multi-frame DICOM. The arrays are not copied.
    """

    frames: tuple[Array, ...] = field(repr=False)
    metadata: Metadata = field(default_factory=Metadata)

    def __post_init__(self) -> None:
        if not self.frames:
            raise InputError("a picture needs at least one frame, got none; pass a (H, W, C) array")
        first = self.frames[0]
        if first.ndim != 3 or not 1 <= first.shape[2] <= 4 or first.size == 0:
            raise InputError(f"a frame must be (H, W, C) with C from 1 to 4, got shape {first.shape}; reshape it")
        if first.dtype.name not in DTYPES:
            raise InputError(f"a frame must be {', '.join(DTYPES)}, got {first.dtype}; convert it first")
        for number, frame in enumerate(self.frames):
            if frame.shape != first.shape or frame.dtype != first.dtype:
                raise InputError(
                    f"frame {number} is {frame.dtype} {frame.shape} but frame 0 is {first.dtype} {first.shape}; "
                    "split the frames into files of one size each"
                )

    @property
    def pixels(self) -> Array:
        """Return the only frame, ``(H, W, C)``."""
        if len(self.frames) != 1:
            raise InputError(f"the picture has {len(self.frames)} frames where one is needed; loop over .frames")
        return self.frames[0]
