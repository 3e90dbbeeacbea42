"""Load, decode and save DICOM data sets; the only file that imports pydicom."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from edgesr.errors import BackendError, InputError
from edgesr.types import Array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_LOCK = threading.Lock()
_LOGGERS = ("pydicom", "pylibjpeg", "libjpeg", "openjpeg")


def require_pydicom() -> None:
    """Raise a BackendError that names the extra where pydicom is missing or too old."""
    try:
        import pydicom.pixels  # noqa: F401
    except ImportError:
        raise BackendError("DICOM needs pydicom 3 or newer; install it with pip install 'edgesr[dicom]'") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom, whose warnings and log records quote values of the data set; one thread at a time."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def load(file: BinaryIO) -> Dataset:
    """Parse a data set, its values as yet unread; one without meta information gets the syntax it was parsed in."""
    import pydicom

    dataset = pydicom.dcmread(file, force=True)
    if not hasattr(dataset, "file_meta") or "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta = _meta_for(dataset)
    return dataset


def save(dataset: Dataset, file: BinaryIO) -> None:
    """Write a data set as Explicit VR Little Endian with the meta information that follows from its class and UID."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    pydicom.dcmwrite(file, dataset, enforce_file_format=True, implicit_vr=False, little_endian=True)


def new_dataset(**attributes: Any) -> Dataset:
    """Return a data set, or an item of a sequence, with the given attributes."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def encoded_frames(dataset: Dataset, frames: int) -> Iterator[bytes]:
    """Yield the codestream of each compressed frame, nothing for an uncompressed file; check that a decoder exists."""
    from pydicom.encaps import generate_frames

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        if not _decoder(syntax).is_available:
            raise BackendError(
                f"no decoder for {syntax.name} is installed; install them with pip install 'edgesr[dicom]'"
            )
        yield from generate_frames(dataset.PixelData, number_of_frames=frames)


def decoded_frames(dataset: Dataset) -> Iterator[Array]:
    """Yield the stored samples of each frame, integers ``(H, W)`` or RGB ``(H, W, 3)``; YBR is turned into RGB."""
    from pydicom.pixels import iter_pixels

    yield from iter_pixels(dataset)


def palette_to_rgb(stored: Array, dataset: Dataset) -> Array:
    """Return uint8 ``(H, W, 3)`` for palette indices ``(H, W)``."""
    from pydicom.pixels import apply_color_lut

    colours = apply_color_lut(stored, dataset)[:, :, :3]
    return np.asarray(colours if colours.dtype == np.uint8 else colours >> 8, np.uint8)


def is_lossy(dataset: Dataset) -> bool:
    """Return whether the pixels are or once were lossily compressed."""
    from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

    syntax = dataset.file_meta.TransferSyntaxUID
    stated = str(dataset.get("LossyImageCompression", "")) == "01"
    return stated or syntax in (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000)


def _meta_for(dataset: Dataset) -> Any:
    """Return the meta information of a file without any: its syntax is the one it could be parsed in."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = dataset.original_encoding
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    if not implicit and not little:
        meta.TransferSyntaxUID = ExplicitVRBigEndian
    return meta


def _decoder(syntax: Any) -> Any:
    from pydicom.pixels import get_decoder

    try:
        return get_decoder(syntax)
    except NotImplementedError:
        raise InputError(f"the DICOM transfer syntax {syntax.name} is not supported; export it uncompressed") from None
