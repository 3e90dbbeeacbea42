"""DICOM pictures look as a viewer shows them, and what is written is a proper derived image of the same study."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")

from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_voi_lut  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid  # noqa: E402

from edgesr.errors import InputError  # noqa: E402
from edgesr.image import Metadata, Picture, check_output, read, write  # noqa: E402
from tests.image.samples import gradient  # noqa: E402

DX = "1.2.840.10008.5.1.4.1.1.1.1"
CR = "1.2.840.10008.5.1.4.1.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SECRETS = ("Doe^Jane", "SECRET-ID-77", "19601231", "Hidden Hospital")
TEXT = {"Software": "edgesr 0.1", "Comment": "enlarged x2 by a neural network (cxr 1.0); not a measurement"}


def dataset(pixels: np.ndarray, *, bits: int = 12, sop_class: str = DX, **attributes) -> Dataset:
    """A complete small image with patient data, pixels ``(frames, H, W)`` or ``(H, W)``."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = sop_class, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientName, made.PatientID, made.PatientBirthDate, _ = *SECRETS[:3], None
    made.InstitutionName = SECRETS[3]
    made.PatientSex, made.StudyDate, made.StudyTime, made.StudyID = "F", "20200101", "120000", "1"
    made.AccessionNumber, made.ReferringPhysicianName, made.SeriesNumber, made.InstanceNumber = "A1", "", 3, 7
    made.Modality, made.SeriesDescription, made.BurnedInAnnotation = "DX", "Chest PA", "NO"
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    frames = pixels if pixels.ndim == 3 else pixels[None]
    made.Rows, made.Columns = frames.shape[1:]
    if len(frames) > 1:
        made.NumberOfFrames = len(frames)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * pixels.itemsize, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = frames.tobytes()
    made["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def saved(made: Dataset, folder: Path, name: str = "source.dcm") -> Path:
    path = folder / name
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    return path


def ramp(bits: int = 12, *, signed: bool = False) -> np.ndarray:
    values = np.linspace(0, (1 << bits) - 1, 48 * 64).round().astype(int).reshape(48, 64)
    return (values - (1 << bits - 1)).astype(np.int16) if signed else values.astype(np.uint16)


def enlarged(picture: Picture, scale: int = 2) -> Picture:
    frames = tuple(np.repeat(np.repeat(frame, scale, 0), scale, 1) for frame in picture.frames)
    return Picture(frames, replace(picture.metadata, text=TEXT))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_rescale_and_window_equal_pydicom(tmp_path, function, signed, inverted):
    made = dataset(ramp(signed=signed), RescaleSlope="1.5", RescaleIntercept="-300", RescaleType="US")
    made.WindowCenter, made.WindowWidth, made.VOILUTFunction = "900", "1400.5", function
    made.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    path = saved(made, tmp_path)
    ours = read(path).pixels
    again = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(again.pixel_array, again), again)
    low, high = (float(edge) * 1.5 - 300 for edge in ((-2048, 2047) if signed else (0, 4095)))
    expected = np.clip((values - low) / (high - low), 0, 1)
    expected = np.rint((1 - expected if inverted else expected) * 65535)
    assert ours.dtype == np.uint16
    assert np.abs(ours[:, :, 0] - expected).max() <= 1


def test_several_windows_show_the_first(tmp_path):
    one = dataset(ramp(), WindowCenter=["1000", "3000"], WindowWidth=["500", "100"])
    two = dataset(ramp(), WindowCenter="1000", WindowWidth="500")
    np.testing.assert_array_equal(read(saved(one, tmp_path, "a")).pixels, read(saved(two, tmp_path, "b")).pixels)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (10, np.uint16), (12, np.uint16), (16, np.uint16)])
def test_without_a_window_the_full_range_of_the_stored_bits_is_shown(tmp_path, bits, dtype):
    stored = ramp(bits) if bits > 8 else ramp(bits).astype(np.uint8)
    ours = read(saved(dataset(stored, bits=bits), tmp_path)).pixels
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours[:, :, 0], np.rint(stored / ((1 << bits) - 1) * np.iinfo(dtype).max))


def test_bits_above_the_stored_ones_are_ignored(tmp_path):
    clean = read(saved(dataset(ramp()), tmp_path, "a")).pixels
    np.testing.assert_array_equal(read(saved(dataset(ramp() | 0xF000), tmp_path, "b")).pixels, clean)


def test_look_up_tables_are_followed(tmp_path):
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 12]
    table.LUTData = np.arange(4096, dtype=np.uint16)[::-1].tobytes()
    made = dataset(ramp(), VOILUTSequence=Sequence([table]))
    np.testing.assert_array_equal(
        read(saved(made, tmp_path, "a")).pixels[::-1, ::-1], read(saved(dataset(ramp()), tmp_path)).pixels
    )
    table.ModalityLUTType = "US"
    made = dataset(ramp(), ModalityLUTSequence=Sequence([table]))
    np.testing.assert_array_equal(
        read(saved(made, tmp_path, "b")).pixels[::-1, ::-1], read(saved(dataset(ramp()), tmp_path)).pixels
    )


@pytest.mark.parametrize("changes", [{"PixelRepresentation": 1}, {"RescaleSlope": "1", "RescaleIntercept": "-2048"}])
def test_a_negative_first_value_of_a_look_up_table_may_be_written_unsigned(tmp_path, changes):
    """PS3.3 C.11.2.1.1 makes it signed; many files say US nevertheless, so -2048 reads as 63488."""
    table = Dataset()
    table.add_new(0x00283002, "US", [4096, 65536 - 2048, 12])
    table.LUTData = (np.arange(4096) ** 2 >> 12).astype(np.uint16).tobytes()
    stored = ramp(signed="PixelRepresentation" in changes)
    made = dataset(stored, VOILUTSequence=Sequence([table]), **changes)
    expected = np.rint((ramp().astype(int) ** 2 >> 12) * 65535 / 4095)
    np.testing.assert_array_equal(read(saved(made, tmp_path)).pixels[:, :, 0], expected)


@pytest.mark.parametrize(
    "name",
    [
        *("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"),
        *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_expb.dcm", "MR_small_padded.dcm"),
    ],
)
def test_every_lossless_transfer_syntax_gives_the_same_picture(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not bundled with this pydicom")
    plain = get_testdata_file("MR_small.dcm", download=False)
    np.testing.assert_array_equal(read(path).pixels, read(plain).pixels)


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        *(("SC_rgb_jpeg_dcmtk.dcm", 1), ("SC_rgb_jpeg_gdcm.dcm", 1), ("SC_rgb_rle_2frame.dcm", 2)),
        *(("SC_ybr_full_422_uncompressed.dcm", 1), ("examples_ybr_color.dcm", 30), ("SC_rgb_gdcm_KY.dcm", 1)),
    ],
)
def test_colour_comes_out_as_rgb(name, frames):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not bundled with this pydicom")
    picture = read(path)
    assert len(picture.frames) == frames
    theirs = pydicom.dcmread(path).pixel_array
    np.testing.assert_array_equal(np.stack(picture.frames), theirs.reshape(-1, *theirs.shape[-3:]))


def test_palette_colour_becomes_rgb():
    path = get_testdata_file("examples_palette.dcm", download=False)
    if path is None:
        pytest.skip("examples_palette.dcm is not bundled with this pydicom")
    assert read(path).pixels.shape == (350, 800, 3)


def check_required(made: Dataset) -> None:
    """The type 1 and 2 attributes of the modules every written image has (PS3.3 A.8, C.7, C.12.1)."""
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "ImageType"):
        assert made.get(keyword), keyword
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        assert keyword in made, keyword
    for keyword in ("ReferringPhysicianName", "StudyID", "AccessionNumber", "SeriesNumber", "InstanceNumber"):
        assert keyword in made, keyword
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        assert made.get(keyword) is not None, keyword
    assert made.HighBit == made.BitsStored - 1
    assert len(made.PixelData) >= made.Rows * made.Columns * made.SamplesPerPixel * made.BitsAllocated // 8
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
    assert made.file_meta.MediaStorageSOPClassUID == made.SOPClassUID
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    if str(made.SOPClassUID).startswith(CAPTURE):
        assert made.ConversionType == "WSD"
    if str(made.SOPClassUID) in (f"{CAPTURE}.{number}" for number in (2, 3, 4)):
        assert made.FrameIncrementPointer in made
        assert len(made.PageNumberVector) == made.NumberOfFrames
        assert made.BurnedInAnnotation in ("YES", "NO")
    for uid in (made.SOPInstanceUID, made.SeriesInstanceUID, made.StudyInstanceUID):
        assert uid.is_valid
    assert not [element for element in made.iterall() if element.tag.is_private]


def test_a_written_radiograph_is_a_derived_image_of_the_same_study(tmp_path):
    made = dataset(ramp(), WindowCenter="2000", WindowWidth="1000", PhotometricInterpretation="MONOCHROME1")
    made.PixelSpacing, made.ImagerPixelSpacing = ["0.2", "0.25"], ["0.3", "0.3"]
    made.PresentationIntentType, made.PixelIntensityRelationshipSign = "FOR PROCESSING", -1
    made.LossyImageCompression, made.LossyImageCompressionRatio = "01", "12.5"
    made.ShutterShape, made.ShutterLeftVerticalEdge = "RECTANGULAR", 5
    made.SmallestImagePixelValue = 0
    made.add_new(0x00091001, "LO", "private")
    made.add_new(0x60000010, "US", 48)
    source = saved(made, tmp_path)
    old, picture = pydicom.dcmread(source), read(source)
    target = tmp_path / "derived.dcm"
    write(target, enlarged(picture))
    new = pydicom.dcmread(target)
    check_required(new)
    for keyword in (
        "StudyInstanceUID",
        "PatientName",
        "PatientID",
        "SOPClassUID",
        "BurnedInAnnotation",
        "InstanceNumber",
    ):
        assert new[keyword].value == old[keyword].value, keyword
    assert new.SOPInstanceUID != old.SOPInstanceUID
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
    assert list(new.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert [float(value) for value in new.PixelSpacing] == [0.1, 0.125]
    assert [float(value) for value in new.ImagerPixelSpacing] == [0.15, 0.15]
    assert (new.Rows, new.Columns, new.BitsStored) == (96, 128, 16)
    assert new.PhotometricInterpretation == "MONOCHROME2"
    assert new.PresentationIntentType == "FOR PRESENTATION"
    assert new.PixelIntensityRelationshipSign == 1
    assert new.ShutterLeftVerticalEdge == 10
    assert new.LossyImageCompression == "01"
    assert new.LossyImageCompressionRatio == 12.5
    assert "cxr 1.0" in new.DerivationDescription
    assert "edgesr 0.1" in new.DerivationDescription
    assert new.SeriesDescription == "Chest PA enlarged x2 (edgesr)"
    assert new.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert new.ContributingEquipmentSequence[0].SoftwareVersions == "edgesr 0.1"
    assert "SmallestImagePixelValue" not in new
    assert 0x60000010 not in new
    shown = apply_voi_lut(apply_modality_lut(new.pixel_array, new), new)
    np.testing.assert_allclose(shown, new.pixel_array, atol=1e-6)
    np.testing.assert_array_equal(read(target).pixels, enlarged(picture).pixels)


def test_slices_of_one_series_stay_in_one_new_series_and_a_source_can_be_written_twice(tmp_path):
    first = dataset(ramp())
    second = dataset(ramp(), SeriesInstanceUID=first.SeriesInstanceUID)
    written = []
    for number, made in enumerate((first, second)):
        picture = read(saved(made, tmp_path, f"source{number}.dcm"))
        for copy in range(2):
            target = tmp_path / f"derived{number}{copy}.dcm"
            write(target, enlarged(picture))
            written.append(pydicom.dcmread(target))
    assert len({made.SeriesInstanceUID for made in written}) == 1
    assert len({made.SOPInstanceUID for made in written}) == 4
    assert {made.SeriesDescription for made in written} == {"Chest PA enlarged x2 (edgesr)"}


@pytest.mark.parametrize(
    ("frames", "bits", "expected"), [(1, 12, CAPTURE), (3, 12, f"{CAPTURE}.3"), (3, 8, f"{CAPTURE}.2")]
)
def test_ct_becomes_a_secondary_capture_without_hounsfield_units(tmp_path, frames, bits, expected):
    stored = np.stack([ramp(bits)] * frames).astype(np.uint16 if bits > 8 else np.uint8)
    made = dataset(stored, bits=bits, sop_class=CT, Modality="CT", RescaleSlope="1", RescaleIntercept="-1024")
    made.ImagePositionPatient, made.KVP, made.FrameOfReferenceUID = ["1", "2", "3"], "120", generate_uid()
    target = tmp_path / "derived.dcm"
    write(target, enlarged(read(saved(made, tmp_path))))
    new = pydicom.dcmread(target)
    check_required(new)
    assert new.SOPClassUID == expected
    assert new.Modality == "CT"
    assert float(new.RescaleIntercept) == 0
    for keyword in ("ImagePositionPatient", "KVP", "FrameOfReferenceUID"):
        assert keyword not in new


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_small_odd.dcm"])
def test_colour_is_written_as_rgb(tmp_path, name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"{name} is not bundled with this pydicom")
    picture = enlarged(read(path))
    write(tmp_path / "x.dcm", picture)
    new = pydicom.dcmread(tmp_path / "x.dcm")
    check_required(new)
    assert new.PhotometricInterpretation == "RGB"
    assert new.get("LossyImageCompression", "") == ("01" if "jpeg" in name else new.get("LossyImageCompression", ""))
    for ours, frame in zip(read(tmp_path / "x.dcm").frames, picture.frames, strict=True):
        np.testing.assert_array_equal(ours, frame)


def test_patient_data_stays_out_of_everything_but_dicom(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    path = saved(dataset(ramp(), PatientComments="SECRET-ID-77"), tmp_path)
    picture = read(path)
    assert not any(
        secret in repr(part) for secret in SECRETS for part in (picture, picture.metadata, picture.metadata.dicom)
    )
    for suffix in ("png", "tif"):
        write(tmp_path / f"x.{suffix}", enlarged(picture))
        written = (tmp_path / f"x.{suffix}").read_bytes()
        assert not any(secret.encode() in written for secret in SECRETS)
    write(tmp_path / "x.jpg", Picture((gradient(8, 8, 3),), picture.metadata))
    data = path.read_bytes()
    for at in range(132, len(data) - 7000, 7):
        (tmp_path / "damaged").write_bytes(data[:at] + b"\xff\x07" + data[at + 2 :])
        try:
            read(tmp_path / "damaged")
        except InputError as error:
            assert not any(secret in str(error) for secret in SECRETS)
            assert "\n" not in str(error)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_dicom_needs_a_dicom_source_of_the_same_kind(tmp_path):
    with pytest.raises(InputError, match=r"only be written from a DICOM source.*write PNG"):
        write(tmp_path / "x.dcm", Picture((gradient(8, 8, 1),), Metadata(format="PNG")))
    metadata = read(saved(dataset(ramp()), tmp_path)).metadata
    with pytest.raises(InputError, match="1 frames of 1 channels, got 2 of 1"):
        check_output(tmp_path / "x.dcm", channels=1, height=96, width=128, frames=2, metadata=metadata)
    with pytest.raises(InputError, match="1 frames of 1 channels, got 1 of 3"):
        check_output(tmp_path / "x.dcm", channels=3, height=96, width=128, dtype="uint16", metadata=metadata)
    with pytest.raises(InputError, match="no enlargement"):
        check_output(tmp_path / "x.dcm", channels=1, height=96, width=100, metadata=metadata)


def test_a_grey_source_can_be_shown_in_colour(tmp_path):
    """An overlay of 8 bits: a secondary capture in colour."""
    picture = read(saved(dataset(ramp()), tmp_path))
    colours = np.random.default_rng(2).integers(0, 256, (96, 128, 3), np.uint8)
    write(tmp_path / "x.dcm", Picture((colours,), replace(picture.metadata, text={**TEXT, "Title": "error as heat"})))
    again = pydicom.dcmread(tmp_path / "x.dcm")
    assert (again.SOPClassUID, again.PhotometricInterpretation) == (CAPTURE, "RGB")
    assert again.SeriesDescription == "Chest PA error as heat (edgesr)"
    np.testing.assert_array_equal(again.pixel_array, colours)


def test_a_source_whose_values_cannot_be_written_again_is_refused_before_the_work(tmp_path):
    picture = read(saved(dataset(ramp()), tmp_path))
    picture.metadata.dicom.dataset["StudyID"]._value = object()
    with pytest.raises(InputError, match="cannot be written again"):
        write(tmp_path / "x.dcm", enlarged(picture))
    assert not list(tmp_path.glob("x*"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Rows": 60000, "Columns": 60000}, "more than the limit"),
        ({"NumberOfFrames": 1000000}, "more than the limit"),
        ({"PhotometricInterpretation": "ARGB"}, "not supported"),
        ({"BitsStored": 17}, "17 stored bits"),
        ({"HighBit": 15}, "HighBit 15"),
        ({"RescaleSlope": "0", "RescaleIntercept": "0"}, "slope is 0"),
        ({"Rows": 49}, "damaged"),
        ({"SamplesPerPixel": 3}, "3 samples"),
        ({"Rows": 0}, "declares 64 x 0"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read(saved(dataset(ramp(), **changes), tmp_path))


def test_a_compressed_frame_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    path = get_testdata_file("MR_small_jp2klossless.dcm", download=False)
    if path is None:
        pytest.skip("MR_small_jp2klossless.dcm is not bundled with this pydicom")
    data = bytearray(Path(path).read_bytes())
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = b"\x00\x00\xff\xff\x00\x00\xff\xff"
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InputError, match="declares 65535 x 65535 pixels, the data set 64 x 64"):
        read(tmp_path / "x")


def test_reports_and_plans_are_named_as_no_pictures(tmp_path):
    made = dataset(ramp())
    del made.PixelData, made.Rows
    with pytest.raises(InputError, match="no Rows; pass an image, not a report"):
        read(saved(made, tmp_path))


def test_files_without_preamble_and_with_a_tiff_in_it_are_read(tmp_path):
    path = saved(dataset(ramp()), tmp_path)
    expected = read(path).pixels
    (tmp_path / "dual").write_bytes(b"II*\0\x10\0\0\0".ljust(128, b"\0") + path.read_bytes()[128:])
    np.testing.assert_array_equal(read(tmp_path / "dual").pixels, expected)
    buffer = io.BytesIO()
    made = dataset(ramp())
    del made.file_meta
    pydicom.dcmwrite(buffer, made, implicit_vr=False, little_endian=True)
    (tmp_path / "bare").write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(read(tmp_path / "bare").pixels, expected)


def test_rle_of_several_frames_equals_the_plain_file(tmp_path):
    stored = np.stack([ramp(), ramp()[::-1]])
    made = dataset(stored)
    plain = read(saved(made, tmp_path, "plain"))
    made.compress(RLELossless)
    for ours, frame in zip(read(saved(made, tmp_path, "rle")).frames, plain.frames, strict=True):
        np.testing.assert_array_equal(ours, frame)
