"""Write an error map of a derived DICOM image as a Parametric Map: floats with a unit, in the study of the source.

A radiograph has no frame of reference in space, so the map has one of its own, which nothing else shares; its pixels
are those of the enlarged image. Values are in stored values of that image.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from edgesr.errors import InputError
from edgesr.image import dicom
from edgesr.image.dicom_read import DicomSource
from edgesr.image.dicom_tags import REQUIRED_EMPTY
from edgesr.image.dicom_write import MAX_PIXEL_BYTES, code_item, series_description, source_reference
from edgesr.image.layout import Layout
from edgesr.image.picture import Metadata
from edgesr.types import Array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
SCHEME = "99EDGESR"
"""Of our own codes; 99 begins the names of private coding schemes."""
_KEPT = (
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "StudyInstanceUID", "StudyDescription", "PatientAge"),
    *("IssuerOfPatientID", "OtherPatientIDsSequence", "PatientSize", "PatientWeight", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "BodyPartExamined", "Laterality"),
    *("ImageLaterality", "InstitutionName", "ReferencedStudySequence", "ProcedureCodeSequence"),
)
"""What the map takes over from its source beside what every image must have: who, when and what, no acquisition."""


class ParametricMapEncoder:
    """Collect float32 rows ``(h, W, 1)`` of all frames and write one Parametric Map at the end.

    ``metadata.text`` may say ``Title``, ``Description``, ``Software``, ``Model`` and ``Version``; ``Quantity`` is the
    code of what is mapped, and its meaning.
    """

    def __init__(self, file: BinaryIO, layout: Layout, metadata: Metadata) -> None:
        self._file = file
        source = metadata.dicom
        if not isinstance(source, DicomSource):
            raise InputError("a DICOM map can only be made of a DICOM source; write PNG or TIFF")
        with dicom.quiet():
            try:
                self._dataset = _derive(source, layout, metadata.text)
            except Exception as error:  # damaged values of the source fail in every way, with patient data in the text
                raise InputError(
                    f"the DICOM source has attributes that cannot be written again ({type(error).__name__}); write PNG"
                ) from None
        self._pixels: Array = np.empty((layout.frames * layout.height, layout.width), "<f4")
        self._filled = 0

    def write(self, rows: Array) -> None:
        """Append rows below those written so far."""
        self._pixels[self._filled : self._filled + len(rows)] = rows[..., 0]
        self._filled += len(rows)

    def describe(self, text: Mapping[str, str]) -> None:
        """Add text to the derivation description."""
        derivation = self._dataset.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0]
        added = "; ".join(f"{key}: {value}" for key, value in text.items())
        derivation.DerivationDescription = f"{str(derivation.DerivationDescription)[: 1022 - len(added)]}; {added}"

    def finish(self) -> None:
        """Write the map, with a window from nothing to its largest value."""
        largest = float(self._pixels.max())
        shared = self._dataset.SharedFunctionalGroupsSequence[0]
        shared.FrameVOILUTSequence = [
            dicom.new_dataset(WindowCenter=f"{largest / 2:.8g}", WindowWidth=f"{max(largest, 1e-6):.8g}")
        ]
        mapping = shared.RealWorldValueMappingSequence[0]
        mapping.DoubleFloatRealWorldValueFirstValueMapped = 0.0
        mapping.DoubleFloatRealWorldValueLastValueMapped = largest
        with dicom.quiet():
            self._dataset.FloatPixelData = self._pixels.tobytes()
            dicom.save(self._dataset, self._file)


def refuse_misfit(layout: Layout, metadata: Metadata) -> None:
    """Raise an InputError where the layout is no map of an enlarged DICOM picture."""
    dicom.require_pydicom()
    source = metadata.dicom
    if not isinstance(source, DicomSource):
        raise InputError("a DICOM map can only be made of a DICOM source; write PNG or TIFF")
    if layout.frames != source.frames or layout.height * source.width != layout.width * source.height:
        raise InputError(
            f"{layout.frames} frames of {layout.width} x {layout.height} are no map of the DICOM source's "
            f"{source.frames} of {source.width} x {source.height}; write PNG or TIFF"
        )
    if layout.frame_bytes * layout.frames > MAX_PIXEL_BYTES:
        raise InputError(f"DICOM holds at most {MAX_PIXEL_BYTES} bytes of pixels; write TIFF")


def _derive(source: DicomSource, layout: Layout, text: Mapping[str, str]) -> Dataset:
    """Return the map's data set without its pixels and what depends on them."""
    old, new = source.dataset, dicom.new_dataset()
    for keyword in (*REQUIRED_EMPTY, *_KEPT):
        if keyword in old:
            new[keyword] = old[keyword]
        elif keyword in REQUIRED_EMPTY:
            setattr(new, keyword, None)
    now = datetime.datetime.now()
    series = uuid.uuid5(uuid.NAMESPACE_OID, f"{old.get('SeriesInstanceUID', '')} map {sorted(text.items())}")
    new.SOPClassUID, new.SOPInstanceUID = PARAMETRIC_MAP, f"2.25.{uuid.uuid4().int}"
    new.SeriesInstanceUID, new.FrameOfReferenceUID = f"2.25.{series.int}", f"2.25.{uuid.uuid4().int}"
    new.StudyInstanceUID = new.get("StudyInstanceUID") or f"2.25.{uuid.uuid4().int}"
    new.PositionReferenceIndicator = None
    new.InstanceCreationDate = new.ContentDate = f"{now:%Y%m%d}"
    new.InstanceCreationTime = new.ContentTime = f"{now:%H%M%S}"
    new.Modality = old.get("Modality") or "OT"
    new.SeriesNumber = 2000 + int(old.get("SeriesNumber") or 0)
    new.InstanceNumber = int(old.get("InstanceNumber") or 1)
    title = text.get("Title", "error map")
    new.SeriesDescription = series_description(old, title)
    new.ContentLabel, new.ContentDescription, new.ContentCreatorName = "ERROR_MAP", title[:64], None
    new.Manufacturer, new.ManufacturerModelName = "edgesr", text.get("Model", "edgesr")[:64]
    new.DeviceSerialNumber = text.get("Version", "0")[:64]
    new.SoftwareVersions = text.get("Software", "edgesr")[:64]
    new.ContentQualification, new.AcquisitionContextSequence = "RESEARCH", []
    new.BurnedInAnnotation = old.get("BurnedInAnnotation") or "YES"
    new.RecognizableVisualFeatures = old.get("RecognizableVisualFeatures") or "NO"
    new.LossyImageCompression = "01" if source.is_lossy else "00"
    new.ImageType = ["DERIVED", "PRIMARY", "STATIC", "QUANTITY"]
    new.SamplesPerPixel, new.PhotometricInterpretation = 1, "MONOCHROME2"
    new.PresentationLUTShape, new.PixelPresentation = "IDENTITY", "MONOCHROME"
    new.VolumetricProperties, new.VolumeBasedCalculationTechnique = "DISTORTED", "NONE"
    new.Rows, new.Columns, new.BitsAllocated, new.NumberOfFrames = layout.height, layout.width, 32, layout.frames
    _index_frames(new, layout.frames)
    new.SharedFunctionalGroupsSequence = [_shared_groups(source, layout, text, new.ImageType)]
    if old.get("SOPInstanceUID") and old.get("SeriesInstanceUID"):
        reference = dicom.new_dataset(
            ReferencedSOPClassUID=old.SOPClassUID, ReferencedSOPInstanceUID=old.SOPInstanceUID
        )
        new.ReferencedSeriesSequence = [
            dicom.new_dataset(SeriesInstanceUID=old.SeriesInstanceUID, ReferencedInstanceSequence=[reference])
        ]
    return new


def _index_frames(new: Dataset, frames: int) -> None:
    """Number the frames: their order in the source is the one dimension there is."""
    organization = f"2.25.{uuid.uuid4().int}"
    new.DimensionOrganizationSequence = [dicom.new_dataset(DimensionOrganizationUID=organization)]
    new.DimensionIndexSequence = [
        dicom.new_dataset(
            DimensionOrganizationUID=organization,
            DimensionIndexPointer=0x00209057,  # In-Stack Position Number
            FunctionalGroupPointer=0x00209111,  # Frame Content Sequence
            DimensionDescriptionLabel="Frame of the source",
        )
    ]
    new.PerFrameFunctionalGroupsSequence = [
        dicom.new_dataset(
            FrameContentSequence=[
                dicom.new_dataset(StackID="1", InStackPositionNumber=number, DimensionIndexValues=[number])
            ]
        )
        for number in range(1, frames + 1)
    ]


def _shared_groups(source: DicomSource, layout: Layout, text: Mapping[str, str], frame_type: list[str]) -> Dataset:
    old, scale = source.dataset, layout.width / source.width
    code, _, meaning = text.get("Quantity", "ERROR Absolute error").partition(" ")
    quantity = dicom.new_dataset(
        ValueType="CODE",
        ConceptNameCodeSequence=[code_item("246205007", "Quantity", "SCT")],
        ConceptCodeSequence=[code_item(code, meaning[:64], SCHEME)],
    )
    mapping = dicom.new_dataset(
        LUTExplanation=meaning[:64],
        LUTLabel="ERROR",
        RealWorldValueIntercept=0.0,
        RealWorldValueSlope=1.0,
        MeasurementUnitsCodeSequence=[code_item("{grey-level}", "stored values of the enlarged image", "UCUM")],
        QuantityDefinitionSequence=[quantity],
    )
    derivation = dicom.new_dataset(
        DerivationDescription=text.get("Description", meaning)[:1024],
        DerivationCodeSequence=[code_item("ERRMAP", "Estimation of the error of an enlarged image", SCHEME)],
        SourceImageSequence=[],
    )
    if old.get("SOPInstanceUID") and old.get("SOPClassUID"):
        derivation.SourceImageSequence = [source_reference(old)]
    measures = dicom.new_dataset()
    if old.get("PixelSpacing"):
        measures.PixelSpacing = [f"{float(value) / scale:.10g}" for value in old.PixelSpacing]
    return dicom.new_dataset(
        PixelMeasuresSequence=[measures],
        DerivationImageSequence=[derivation],
        RealWorldValueMappingSequence=[mapping],
        ParametricMapFrameTypeSequence=[dicom.new_dataset(FrameType=frame_type)],
    )
