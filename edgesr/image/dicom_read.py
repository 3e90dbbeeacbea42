"""Read DICOM pictures as a viewer would first show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from edgesr.errors import EdgesrError, InputError
from edgesr.image import dicom
from edgesr.image.dicom_codestream import check_codestream
from edgesr.image.dicom_display import Display, LookUp, Window, apply_table
from edgesr.image.picture import Metadata, Picture
from edgesr.image.source import check_size
from edgesr.types import Array

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEFLATED = b"1.2.840.10008.1.2.1.99"
HEAD_BYTES = 1 << 16
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")


@dataclass(frozen=True)
class DicomSource:
    """Hold the data set a picture came from, without its pixels, and how the pixels were shown.

    It contains patient data: nothing of it may reach a message, a repr, a log or a file that is not DICOM.
    """

    dataset: Any = field(repr=False)
    height: int
    width: int
    frames: int
    channels: int
    is_inverted: bool
    is_lossy: bool

    @property
    def derivation(self) -> str:
        """What the picture says about how it was made."""
        return str(self.dataset.get("DerivationDescription", "") or "")


def read_dicom(file: BinaryIO, max_pixels: int) -> Picture:
    """Read all frames of a DICOM file: modality LUT, VOI LUT or first window, MONOCHROME1 inverted, YBR to RGB.

    Grey becomes uint8 up to 8 stored bits, else uint16; without a window the full range of the stored bits after the
    rescale is shown. Sigmoid, linear and exact linear windows and LUT sequences are followed.
    """
    dicom.require_pydicom()
    if DEFLATED in file.read(HEAD_BYTES):
        raise InputError("a deflated DICOM file is not read; save it uncompressed")
    file.seek(0)
    with dicom.quiet():
        try:
            return _read(file, max_pixels)
        except (EdgesrError, MemoryError):
            raise
        except Exception as error:  # pydicom and its decoders raise every type, with patient data in the text
            raise InputError(f"the DICOM file is damaged ({type(error).__name__}); export it again") from None


def _read(file: BinaryIO, max_pixels: int) -> Picture:
    dataset = dicom.load(file)
    height, width = _number(dataset, "Rows"), _number(dataset, "Columns")
    frames = _number(dataset, "NumberOfFrames", 1) or 1
    if "PixelData" not in dataset:
        raise InputError("the DICOM file holds no picture; pass an image, not a report, plan or waveform")
    check_size(height, width, frames, max_pixels)
    bits, photometric = _check_stored(dataset)
    for codestream in dicom.encoded_frames(dataset, frames):
        check_codestream(codestream, height, width)
    shown = tuple(_decode(dataset, bits, photometric, (height, width)))
    if len(shown) != frames:
        raise InputError(f"the DICOM file declares {frames} frames and holds {len(shown)}; export it again")
    del dataset.PixelData
    source = DicomSource(
        dataset,
        height,
        width,
        frames,
        shown[0].shape[2],
        photometric == "MONOCHROME1",
        dicom.is_lossy(dataset),
    )
    return Picture(shown, Metadata(format="DICOM", dicom=source))


def _check_stored(dataset: Dataset) -> tuple[int, str]:
    bits, photometric = _number(dataset, "BitsStored"), str(dataset.get("PhotometricInterpretation", ""))
    if photometric not in (*GREY, *COLOUR, "PALETTE COLOR"):
        raise InputError("the DICOM photometric interpretation is not supported; export it as MONOCHROME2 or RGB")
    samples = _number(dataset, "SamplesPerPixel", 1)
    if samples != (3 if photometric in COLOUR else 1):
        raise InputError(f"the DICOM file declares {samples} samples of {photometric}; the file is damaged")
    if not 1 <= bits <= 16 or _number(dataset, "BitsAllocated") not in (1, 8, 16):
        raise InputError(f"a DICOM file with {bits} stored bits is not supported; export it with 8 to 16 bits")
    high = _number(dataset, "HighBit", bits - 1)
    if high != bits - 1 and not dataset.file_meta.TransferSyntaxUID.is_compressed:
        raise InputError(f"the DICOM file has {bits} stored bits and HighBit {high}; export it with HighBit {bits - 1}")
    return bits, photometric


def _decode(dataset: Dataset, bits: int, photometric: str, size: tuple[int, int]) -> Iterator[Array]:
    previous, table = None, None
    for number, stored in enumerate(dicom.decoded_frames(dataset)):
        if stored.shape[:2] != size:
            raise InputError("a DICOM frame differs in size from its header; the file is damaged")
        if photometric in GREY:
            display = _display(dataset, number, bits, photometric)
            if table is None or display is not previous:
                previous, table = display, display.table()
            yield apply_table(table, stored, bits, display.is_signed)[:, :, np.newaxis]
        elif photometric == "PALETTE COLOR":
            yield dicom.palette_to_rgb(stored, dataset)
        elif bits <= 8:
            yield np.array(stored, np.uint8)
        else:
            yield (stored.astype(np.uint32) * 65535 // ((1 << bits) - 1)).astype(np.uint16)


def _display(dataset: Dataset, number: int, bits: int, photometric: str) -> Display:
    modality = _functional(dataset, number, "PixelValueTransformationSequence")
    voi = _functional(dataset, number, "FrameVOILUTSequence")
    centre, width = _first(voi.get("WindowCenter")), _first(voi.get("WindowWidth"))
    function = str(voi.get("VOILUTFunction", None) or "LINEAR")
    return Display(
        bits=bits,
        is_signed=_number(dataset, "PixelRepresentation", 0) == 1,
        is_inverted=photometric == "MONOCHROME1",
        slope=_slope(modality),
        intercept=_finite(modality.get("RescaleIntercept"), 0.0),
        modality=_look_up(modality.get("ModalityLUTSequence")),
        voi=_look_up(voi.get("VOILUTSequence")),
        window=None if centre is None or width is None else Window(float(centre), float(width), function),
    )


def _functional(dataset: Dataset, number: int, name: str) -> Any:
    """Return the item that holds a group of attributes: of the frame, shared by all frames, or the data set itself."""
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    candidates = [groups[number]] if number < len(groups) else []
    candidates += list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    for group in candidates:
        if group.get(name):
            return group[name].value[0]
    return dataset


def _look_up(sequence: Any) -> LookUp | None:
    if not sequence:
        return None
    number, first, bits = (int(value) for value in sequence[0].LUTDescriptor)
    data = sequence[0]["LUTData"].value
    if isinstance(data, bytes):
        data = np.frombuffer(data, "<u2" if len(data) >= 2 * (number or 65536) else np.uint8)
    entries = np.atleast_1d(np.asarray(data)).astype(np.uint16)[: number or 65536]
    if not len(entries) or not 1 <= bits <= 16:
        raise InputError("a look-up table of the DICOM file is damaged; export it again")
    return LookUp(first, bits, entries)


def _first(value: Any) -> Any:
    if value is None or value == "":
        return None
    return value[0] if hasattr(value, "__iter__") and not isinstance(value, str) else value


def _slope(modality: Any) -> float:
    slope = _finite(modality.get("RescaleSlope"), 1.0)
    if slope == 0:
        raise InputError("the DICOM rescale slope is 0, which makes all pixels equal; correct it or export it again")
    return slope


def _finite(value: Any, default: float) -> float:
    number = default if value is None else float(value)
    return number if np.isfinite(number) else default


def _number(dataset: Dataset, name: str, default: int | None = None) -> int:
    value = dataset.get(name)
    if value is None or value == "":
        if default is None:
            raise InputError(f"the DICOM file has no {name}; pass an image, not a report, plan or waveform")
        return default
    return int(value)
