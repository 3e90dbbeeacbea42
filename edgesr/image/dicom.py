"""Read and write DICOM files with pydicom; the only file that imports it."""

from __future__ import annotations

from typing import BinaryIO

from edgesr.errors import InputError
from edgesr.image.layout import Layout
from edgesr.image.picture import Metadata, Picture
from edgesr.types import Array


def read_dicom(file: BinaryIO, max_pixels: int) -> Picture:
    """Read."""
    raise InputError("DICOM is not read yet; convert the file to PNG")


def refuse_misfit(layout: Layout, metadata: Metadata) -> None:
    """Refuse."""
    raise InputError("DICOM is not written yet; write PNG")


class DicomEncoder:
    """Write DICOM; not yet possible."""

    def __init__(self, file: BinaryIO, layout: Layout, metadata: Metadata) -> None: ...
    def write(self, rows: Array) -> None:
        """Append rows."""

    def finish(self) -> None:
        """Write the file."""
