"""Which attributes of a source survive in a derived DICOM image, and which follow its new size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1"
RADIOGRAPHY = {
    f"{_STORAGE}.1": f"{_STORAGE}.1",
    f"{_STORAGE}.1.1": f"{_STORAGE}.1.1",
    f"{_STORAGE}.1.1.1": f"{_STORAGE}.1.1",
    f"{_STORAGE}.1.2": f"{_STORAGE}.1.2",
    f"{_STORAGE}.1.2.1": f"{_STORAGE}.1.2",
    f"{_STORAGE}.1.3": f"{_STORAGE}.1.3",
    f"{_STORAGE}.1.3.1": f"{_STORAGE}.1.3",
}
"""SOP classes that are kept, by the class of the source; for processing becomes for presentation."""

REQUIRED_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SeriesNumber",
    "InstanceNumber",
    "PatientOrientation",
    "Manufacturer",
)
"""Type 2 attributes of the patient, study, series, equipment and image modules: present, perhaps empty."""

CAPTURE_KEPT = frozenset(
    (
        *REQUIRED_EMPTY,
        *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "StudyInstanceUID", "SeriesInstanceUID", "Modality"),
        *("IssuerOfPatientID", "OtherPatientIDsSequence", "PatientAge", "PatientSize", "PatientWeight", "EthnicGroup"),
        *("PatientBirthTime", "PatientComments", "PatientIdentityRemoved", "DeidentificationMethod"),
        *("DeidentificationMethodCodeSequence", "StudyDescription", "PhysiciansOfRecord", "ReferencedStudySequence"),
        *("ProcedureCodeSequence", "AdmittingDiagnosesDescription", "AdditionalPatientHistory", "Occupation"),
        *("SeriesDate", "SeriesTime", "SeriesDescription", "Laterality", "BodyPartExamined", "PatientPosition"),
        *("ProtocolName", "OperatorsName", "PerformingPhysicianName", "PerformedProcedureStepID"),
        *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime", "PerformedProcedureStepDescription"),
        *("RequestAttributesSequence", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"),
        *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName"),
        *("AcquisitionDate", "AcquisitionTime", "AcquisitionNumber", "ImageLaterality", "ImageComments"),
        *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"),
        *("PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription", "ViewPosition"),
        *(
            "BurnedInAnnotation",
            "RecognizableVisualFeatures",
            "QualityControlImage",
            "LongitudinalTemporalOffsetFromEvent",
        ),
        *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "ICCProfile"),
        *("ContributingEquipmentSequence", "PatientSpeciesDescription", "PatientBreedDescription", "ResponsiblePerson"),
    )
)
"""What a secondary capture keeps: who, when and where, but no acquisition geometry and no units of values."""

_OBSOLETE = (
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "IconImageSequence", "PixelDataProviderURL"),
    *("ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation"),
    *("VOILUTFunction", "RescaleSlope", "RescaleIntercept", "RescaleType", "PresentationLUTShape"),
    *("PresentationLUTSequence", "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries"),
    *("LargestPixelValueInSeries", "PixelPaddingValue", "PixelPaddingRangeLimit", "NumberOfFrames"),
    *("FrameIncrementPointer", "PlanarConfiguration", "DigitalSignaturesSequence", "MACParametersSequence"),
    *("SourceImageSequence", "DerivationCodeSequence", "DerivationDescription", "StorageMediaFileSetUID"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DataSetTrailingPadding"),
    *("GrayLookupTableDescriptor", "PaletteColorLookupTableUID", "PixelIntensityRelationshipLUTSequence"),
    *("ReferencedPresentationStateSequence", "EquipmentCoordinateSystemIdentification", "FrameTime"),
)
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_POSITIONS = (
    *("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge"),
    *("ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter"),
    *("VerticesOfThePolygonalShutter", "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge"),
    *("CollimatorUpperHorizontalEdge", "CollimatorLowerHorizontalEdge", "CenterOfCircularCollimator"),
    *("RadiusOfCircularCollimator", "VerticesOfThePolygonalCollimator"),
)


def drop_obsolete(dataset: Dataset) -> None:
    """Remove what described the old pixels: their values, windows, overlays, curves, icons and signatures."""
    for keyword in _OBSOLETE:
        if keyword in dataset:
            delattr(dataset, keyword)
    for tag in [element.tag for element in dataset if element.tag.group & 0xFF00 in (0x5000, 0x6000)]:
        del dataset[tag]


def scale_geometry(dataset: Dataset, source: Dataset, scale: float) -> None:
    """Divide the spacings by the scale and move shutter and collimator edges, counted in pixels, with the picture."""
    for keyword in _SPACINGS:
        value = source.get(keyword)
        if keyword in dataset and value:
            setattr(dataset, keyword, [_decimal(float(number) / scale) for number in value])
    for keyword in _POSITIONS:
        value = source.get(keyword)
        if keyword in dataset and value is not None:
            numbers = [value] if isinstance(value, (int, str)) else list(value)
            setattr(dataset, keyword, [round(float(number) * scale) for number in numbers])


def _decimal(number: float) -> str:
    """Return a number in the 16 characters of a decimal string."""
    return f"{number:.10g}"
