"""Write a derived DICOM image into the study of its source, as uncompressed Explicit VR Little Endian.

Projection radiographs (CR, DX, MG, intra-oral) and secondary captures keep their SOP class. Everything else, notably CT
and MR, becomes a Secondary Capture, because its stored values are display values and no longer Hounsfield or other
units that a viewer would measure. The source's rescale, window, LUTs and MONOCHROME1 are already in the pixels, so the
new image is MONOCHROME2 with a window over its full range: it looks as the source does when first opened.
"""

from __future__ import annotations

import copy
import datetime
import io
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from edgesr.errors import InputError
from edgesr.image import dicom
from edgesr.image.dicom_read import DicomSource
from edgesr.image.dicom_tags import CAPTURE_KEPT, RADIOGRAPHY, REQUIRED_EMPTY, drop_obsolete, scale_geometry
from edgesr.image.layout import Layout
from edgesr.image.picture import Metadata
from edgesr.types import Array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MULTIFRAME_BYTE, MULTIFRAME_WORD, MULTIFRAME_COLOUR = (f"{SECONDARY_CAPTURE}.{number}" for number in (2, 3, 4))
MAX_PIXEL_BYTES = 2**32 - 2


def refuse_misfit(layout: Layout, metadata: Metadata) -> None:
    """Raise an InputError where the layout is not a whole-number enlargement of the DICOM picture it comes from."""
    dicom.require_pydicom()
    source = metadata.dicom
    if not isinstance(source, DicomSource):
        raise InputError("DICOM can only be written from a DICOM source, whose patient and study it needs; write PNG")
    is_coloured = layout.channels == 3 and layout.dtype == np.uint8
    if layout.frames != source.frames or not (layout.channels == source.channels or is_coloured):
        raise InputError(
            f"the DICOM source has {source.frames} frames of {source.channels} channels, "
            f"got {layout.frames} of {layout.channels}; write PNG or TIFF"
        )
    if layout.height * source.width != layout.width * source.height:
        raise InputError(
            f"{layout.width} x {layout.height} is no enlargement of the DICOM source's "
            f"{source.width} x {source.height}; write PNG or TIFF"
        )
    if layout.channels == 3 and layout.dtype != np.uint8:
        raise InputError("DICOM cannot hold RGB of 16 bits; write PNG or TIFF")
    if layout.frame_bytes * layout.frames > MAX_PIXEL_BYTES:
        raise InputError(f"DICOM holds at most {MAX_PIXEL_BYTES} bytes of pixels; write TIFF")


class DicomEncoder:
    """Derive the data set at once, collect the rows of all frames, uint8 or uint16, and write at the end."""

    def __init__(self, file: BinaryIO, layout: Layout, metadata: Metadata) -> None:
        self._file = file
        self._itemsize = layout.dtype.itemsize
        with dicom.quiet():
            self._dataset = _derived(metadata.dicom, layout, dict(metadata.text))
        shape = (layout.frames * layout.height, layout.width, layout.channels)
        self._pixels: Array = np.empty(shape, layout.dtype.newbyteorder("<"))
        self._filled = 0

    def write(self, rows: Array) -> None:
        """Append rows below those written so far."""
        self._pixels[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)

    def describe(self, text: Mapping[str, str]) -> None:
        """Add text to the derivation description."""
        added = "; ".join(f"{key}: {value}" for key, value in text.items())
        known = str(self._dataset.DerivationDescription)[: 1022 - len(added)]
        self._dataset.DerivationDescription = f"{known}; {added}"

    def finish(self) -> None:
        """Write the derived data set with its pixels."""
        data = self._pixels.tobytes()
        with dicom.quiet():
            self._dataset.PixelData = data + b"\0" * (len(data) & 1)
            self._dataset["PixelData"].VR = "OW" if self._itemsize == 2 else "OB"
            dicom.save(self._dataset, self._file)


def _derived(source: object, layout: Layout, text: dict[str, str]) -> Dataset:
    """Return the new data set without pixels, having tried that it can be written."""
    if not isinstance(source, DicomSource):
        raise InputError("DICOM can only be written from a DICOM source; write PNG")
    try:
        dataset = _derive(source, layout, text)
        dicom.save(dataset, io.BytesIO())
    except (OSError, InputError):
        raise
    except Exception as error:  # damaged values of the source fail in every way, with patient data in the text
        raise InputError(
            f"the DICOM source has attributes that cannot be written again ({type(error).__name__}); write PNG"
        ) from None
    return dataset


def _derive(source: DicomSource, layout: Layout, text: dict[str, str]) -> Dataset:
    old = source.dataset
    sop_class = _sop_class(source, layout)
    new = dicom.new_dataset()
    for element in old:
        if sop_class in RADIOGRAPHY or element.keyword in CAPTURE_KEPT:
            new[element.tag] = copy.deepcopy(element)
    new.remove_private_tags()
    drop_obsolete(new)
    for keyword in REQUIRED_EMPTY:
        if keyword not in new:
            setattr(new, keyword, None)
    _identify(new, old, sop_class, text)
    _describe(new, old, source, layout, text)
    _describe_pixels(new, source, layout, sop_class)
    scale_geometry(new, old, layout.width / source.width)
    return new


def _sop_class(source: DicomSource, layout: Layout) -> str:
    old = str(source.dataset.get("SOPClassUID", ""))
    if layout.frames > 1:
        return (
            MULTIFRAME_COLOUR if layout.channels == 3 else (MULTIFRAME_BYTE, MULTIFRAME_WORD)[layout.dtype.itemsize - 1]
        )
    if old in RADIOGRAPHY and layout.channels == 1:
        return RADIOGRAPHY[old]
    return SECONDARY_CAPTURE


def _identify(new: Dataset, old: Dataset, sop_class: str, text: dict[str, str]) -> None:
    """Give a new instance identity in a series that all pictures of one source series and one model share."""
    series = f"{old.get('SeriesInstanceUID', '')} {sop_class} {sorted(text.items())}"
    new.SOPClassUID = sop_class
    new.SOPInstanceUID = f"2.25.{uuid.uuid4().int}"
    new.SeriesInstanceUID = f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, series).int}"
    if not new.get("StudyInstanceUID"):
        new.StudyInstanceUID = f"2.25.{uuid.uuid4().int}"
    now = datetime.datetime.now()
    new.InstanceCreationDate = new.ContentDate = f"{now:%Y%m%d}"
    new.InstanceCreationTime = new.ContentTime = f"{now:%H%M%S}"
    number = old.get("SeriesNumber")
    new.SeriesNumber = 1000 + int(number) if number is not None else None


def _describe(new: Dataset, old: Dataset, source: DicomSource, layout: Layout, text: dict[str, str]) -> None:
    scale = layout.width / source.width
    kinds = [str(kind) for kind in (old.get("ImageType") or [])]
    new.ImageType = ["DERIVED", "SECONDARY", *kinds[2:]]
    record = f"edgesr: {text['edgesr']}" if "edgesr" in text else ""
    provenance = "; ".join(value for value in (text.get("Comment", ""), text.get("Software", ""), record) if value)
    new.DerivationDescription = (provenance or f"enlarged x{scale:g} by edgesr")[:1024]
    new.DerivationCodeSequence = [code_item("113085", "Spatial resampling")]
    new.SeriesDescription = series_description(old, text.get("Title", f"enlarged x{scale:g}"))
    if old.get("SOPInstanceUID") and old.get("SOPClassUID"):
        new.SourceImageSequence = [source_reference(old)]
    equipment = dicom.new_dataset(Manufacturer="edgesr", ContributionDescription="Enlargement by a neural network")
    equipment.PurposeOfReferenceCodeSequence = [code_item("109102", "Processing Equipment")]
    if "Software" in text:
        equipment.SoftwareVersions = text["Software"][:64]
    new.ContributingEquipmentSequence = [*(old.get("ContributingEquipmentSequence") or []), equipment]
    if source.is_lossy:
        new.LossyImageCompression = "01"


def _describe_pixels(new: Dataset, source: DicomSource, layout: Layout, sop_class: str) -> None:
    bits = 8 * layout.dtype.itemsize
    new.Rows, new.Columns = layout.height, layout.width
    new.SamplesPerPixel = layout.channels
    new.BitsAllocated = new.BitsStored = bits
    new.HighBit = bits - 1
    new.PixelRepresentation = 0
    if layout.channels == 3:
        new.PhotometricInterpretation = "RGB"
        new.PlanarConfiguration = 0
    else:
        new.PhotometricInterpretation = "MONOCHROME2"
        new.PresentationLUTShape = "IDENTITY"
        new.RescaleIntercept, new.RescaleSlope, new.RescaleType = "0", "1", "US"
        new.WindowCenter, new.WindowWidth, new.VOILUTFunction = str(1 << bits - 1), str(1 << bits), "LINEAR"
    if sop_class.startswith(SECONDARY_CAPTURE):
        new.ConversionType = "WSD"
        new.Modality = source.dataset.get("Modality") or "OT"
    else:
        _describe_radiograph(new, source)
    if layout.frames > 1:
        new.NumberOfFrames = layout.frames
        new.PageNumberVector = list(range(1, layout.frames + 1))
        new.FrameIncrementPointer = 0x00182001
        new.BurnedInAnnotation = source.dataset.get("BurnedInAnnotation") or "YES"


def _describe_radiograph(new: Dataset, source: DicomSource) -> None:
    if "PresentationIntentType" in new:
        new.PresentationIntentType = "FOR PRESENTATION"
    if source.is_inverted and new.get("PixelIntensityRelationshipSign"):
        new.PixelIntensityRelationshipSign = -int(new.PixelIntensityRelationshipSign)


def series_description(old: Dataset, what: str) -> str:
    """Return the source's description with what was made of it, in 64 characters."""
    return " ".join(part for part in (str(old.get("SeriesDescription") or ""), f"{what} (edgesr)") if part)[-64:]


def source_reference(old: Dataset) -> Dataset:
    """Return an item that names the instance a picture was made of."""
    item = dicom.new_dataset(ReferencedSOPClassUID=old.SOPClassUID, ReferencedSOPInstanceUID=old.SOPInstanceUID)
    item.PurposeOfReferenceCodeSequence = [code_item("121322", "Source image for image processing operation")]
    return item


def code_item(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    """Return an item that holds a code of a coding scheme."""
    return dicom.new_dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
