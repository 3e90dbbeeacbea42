"""An error map beside a DICOM picture is a Parametric Map of the same study, with a unit and a source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")

from pydicom.pixels import pixel_array  # noqa: E402

from edgesr.errors import InputError  # noqa: E402
from edgesr.image import Metadata, open_writer, read  # noqa: E402
from edgesr.image.dicom_parametric import PARAMETRIC_MAP  # noqa: E402
from tests.image.test_dicom import SECRETS, dataset, ramp, saved  # noqa: E402

TEXT = {
    "Title": "error bound",
    "Description": "predicted bound; tiny 1.0, seed=3",
    "Model": "tiny",
    "Version": "1.0",
    "Quantity": "BOUND Predicted bound of the absolute error",
    "Software": "edgesr 0.1",
}
# Type 1 and 2 attributes of the modules of the Parametric Map IOD (PS3.3 A.75.3), as the standard's tables list them.
REQUIRED = {
    "Patient": "PatientName PatientID PatientBirthDate PatientSex",
    "General Study": "StudyInstanceUID StudyDate StudyTime StudyID AccessionNumber ReferringPhysicianName",
    "Parametric Map Series": "Modality SeriesInstanceUID SeriesNumber",
    "Frame of Reference": "FrameOfReferenceUID PositionReferenceIndicator",
    "Enhanced General Equipment": "Manufacturer ManufacturerModelName DeviceSerialNumber SoftwareVersions",
    "Floating Point Image Pixel": "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated FloatPixelData",
    "Parametric Map Image": "ImageType ContentQualification InstanceNumber BurnedInAnnotation LossyImageCompression "
    "RecognizableVisualFeatures ContentLabel ContentDescription PresentationLUTShape",
    "Multi-frame Functional Groups": "ContentDate ContentTime NumberOfFrames SharedFunctionalGroupsSequence "
    "PerFrameFunctionalGroupsSequence",
    "Multi-frame Dimension": "DimensionOrganizationSequence DimensionIndexSequence",
    "Acquisition Context": "AcquisitionContextSequence",
    "SOP Common": "SOPClassUID SOPInstanceUID",
}
MAY_BE_EMPTY = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber "
    "ReferringPhysicianName PositionReferenceIndicator ContentDescription AcquisitionContextSequence"
)


def mapped(folder: Path, frames: int = 1, **attributes) -> tuple[Path, np.ndarray, Path]:
    """A map, its values, and its source, made twice as large."""
    pixels = np.stack([ramp()] * frames) if frames > 1 else ramp()
    source = saved(dataset(pixels, **attributes), folder)
    picture = read(source)
    h, w, _ = picture.frames[0].shape
    values = np.random.default_rng(4).random((frames, 2 * h, 2 * w, 1), np.float32) * 3000
    path = folder / "map.dcm"
    metadata = replace(picture.metadata, text=TEXT)
    with open_writer(
        path, height=2 * h, width=2 * w, channels=1, dtype="float32", frames=frames, metadata=metadata,
        format="dicom-map",
    ) as writer:  # fmt: skip
        for frame in values:
            writer.write(frame[:10])
            writer.write(frame[10:])
    return path, values, source


@pytest.mark.parametrize("frames", [1, 3])
def test_the_values_come_back_as_they_were(tmp_path: Path, frames: int) -> None:
    path, values, _ = mapped(tmp_path, frames)
    again = pydicom.dcmread(path)
    found = pixel_array(again)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.reshape(values.shape), values)
    assert again.NumberOfFrames == frames == len(again.PerFrameFunctionalGroupsSequence)


@pytest.mark.parametrize("module", REQUIRED)
def test_every_required_attribute_is_there(tmp_path: Path, module: str) -> None:
    again = pydicom.dcmread(mapped(tmp_path)[0])
    assert again.SOPClassUID == PARAMETRIC_MAP == again.file_meta.MediaStorageSOPClassUID
    assert again.SOPClassUID.name == "Parametric Map Storage"
    for keyword in REQUIRED[module].split():
        assert keyword in again, keyword
        if keyword not in MAY_BE_EMPTY:
            assert not again[keyword].is_empty, keyword


def test_values_have_a_unit_and_say_what_they_are_and_of_what(tmp_path: Path) -> None:
    path, values, source = mapped(tmp_path, PixelSpacing=["0.4", "0.4"])
    again, old = pydicom.dcmread(path), pydicom.dcmread(source)
    (shared,) = again.SharedFunctionalGroupsSequence
    (mapping,) = shared.RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == pytest.approx(values.max())
    (quantity,) = mapping.QuantityDefinitionSequence
    assert quantity.ConceptCodeSequence[0].CodeMeaning == "Predicted bound of the absolute error"
    (derivation,) = shared.DerivationImageSequence
    assert derivation.DerivationDescription == TEXT["Description"]
    assert derivation.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    series = again.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == old.SeriesInstanceUID
    assert [float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing] == [0.2, 0.2]
    assert list(again.ImageType)[:2] == ["DERIVED", "PRIMARY"]
    assert (again.StudyInstanceUID, again.PatientID) == (old.StudyInstanceUID, SECRETS[1])
    assert again.SOPInstanceUID != old.SOPInstanceUID and again.SeriesInstanceUID != old.SeriesInstanceUID
    assert (again.ManufacturerModelName, again.DeviceSerialNumber) == ("tiny", "1.0")


def test_codes_and_strings_fit_their_fields(tmp_path: Path) -> None:
    """Walk all elements: short strings hold 16 characters, long ones 64, code values no spaces."""
    limits = {"SH": 16, "CS": 16, "LO": 64, "UI": 64, "DS": 16}
    again = pydicom.dcmread(mapped(tmp_path)[0])
    for element in again.iterall():
        values = element.value if element.VM > 1 else [element.value]
        for value in values if element.VR in limits else []:
            assert len(str(value or "")) <= limits[element.VR], element.keyword


def test_only_a_dicom_source_of_the_same_shape_has_a_dicom_map(tmp_path: Path) -> None:
    size = {"height": 8, "width": 8, "channels": 1, "dtype": "float32", "format": "DICOM-MAP"}
    with pytest.raises(InputError, match="only be made of a DICOM source"):
        open_writer(tmp_path / "a.dcm", **size, metadata=Metadata())
    picture = read(saved(dataset(ramp()), tmp_path))
    with pytest.raises(InputError, match="are no map of"):
        open_writer(tmp_path / "a.dcm", **size, metadata=picture.metadata)
    with pytest.raises(InputError, match="cannot hold uint8"):
        open_writer(tmp_path / "a.dcm", **{**size, "dtype": "uint8"}, metadata=picture.metadata)
    assert not (tmp_path / "a.dcm").exists()
