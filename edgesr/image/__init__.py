"""Read and write pictures of 8 and 16 bits with their metadata; prepare and resample their pixels in numpy."""

from edgesr.image.convert import check_pixels, from_float, to_float
from edgesr.image.picture import Metadata, Picture
from edgesr.image.reader import read
from edgesr.image.writer import RowWriter, check_output, open_writer, write

__all__ = [
    "Metadata",
    "Picture",
    "RowWriter",
    "check_output",
    "check_pixels",
    "from_float",
    "open_writer",
    "read",
    "to_float",
    "write",
]
