"""Small picture files of every format, made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgesr.image import Metadata, Picture, write


def pixels(h: int = 12, w: int = 16, channels: int = 1, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Smooth random pixels ``(h, w, channels)`` that use the whole range of ``dtype``."""
    rng = np.random.default_rng(seed)
    small = rng.random((max(h // 4, 1), max(w // 4, 1), channels))
    large = np.kron(small, np.ones((5, 5, 1)))[:h, :w]
    noisy = np.clip(np.resize(large, (h, w, channels)) + 0.02 * rng.standard_normal((h, w, channels)), 0, 1)
    top = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    return (noisy * top).astype(dtype)


def picture(path: Path, h: int = 12, w: int = 16, channels: int = 1, dtype: str = "uint8", seed: int = 0) -> Path:
    """Write a picture in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels(h, w, channels, dtype, seed)
    if path.suffix == ".gif":
        Image.fromarray(array[..., 0] if channels == 1 else array).save(path)
    elif path.suffix in (".dcm", ".dicom"):
        dicom(path, array)
    else:
        write(path, Picture((array,)))
    return path


def pages(path: Path, count: int = 3) -> Path:
    """Write a TIFF with several pages."""
    write(path, Picture(tuple(pixels(seed=seed) for seed in range(count)), Metadata(format="TIFF")))
    return path


def dicom(path: Path, array: np.ndarray) -> Path:
    """Write a grey X-ray of the 12 or 8 bits that uint16 or uint8 ``(h, w, 1)`` hold."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.PatientName, image.PatientID, image.Modality = "Secret^Patient", "4711", "CR"
    image.Rows, image.Columns, image.SamplesPerPixel = *array.shape[:2], 1
    image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored = array.itemsize * 8, 12 if array.itemsize == 2 else 8
    image.HighBit = image.BitsStored - 1
    image.PixelSpacing = [0.2, 0.2]
    values = array >> 4 if array.itemsize == 2 else array
    image.PixelData = values.tobytes()
    image["PixelData"].VR = "OW"
    image.save_as(path, enforce_file_format=True)
    return path
