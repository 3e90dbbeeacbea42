"""A restored picture says what made it in every format that holds text, and keeps what its source said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesr.errors import InputError
from edgesr.image import Metadata, Picture, open_writer, read, write
from edgesr.image.provenance import joined, provenance_text, read_provenance, residual_text
from tests.image.samples import exif_block, gradient

SETTINGS = {"steps": 4, "sampler": "resshift", "seed": 7, "consistency": "final", "note": "a; b: {c}"}
TEXT = provenance_text("tiny-diffusion", "1.2.3", 4, SETTINGS, software="edgesr 9")
RECORD = {"model": "tiny-diffusion", "version": "1.2.3", "scale": 4, "settings": SETTINGS, "residual": 0.123}


def restored(path: Path, metadata: Metadata) -> Path:
    """A picture written as the command line does: the residual is known at the end alone."""
    pixels = gradient(16, 16, 1)
    metadata = replace(metadata, text=joined(metadata.text, TEXT))
    with open_writer(path, height=16, width=16, channels=1, dtype="uint8", metadata=metadata) as writer:
        writer.write(pixels[:15])
        writer.describe(residual_text(0.1234))
        writer.write(pixels[15:])
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_the_record_comes_back(tmp_path: Path, suffix: str) -> None:
    assert read_provenance(restored(tmp_path / f"a.{suffix}", Metadata())) == RECORD


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_a_picture_enlarged_twice_names_the_last_model_and_keeps_the_first_in_its_text(
    tmp_path: Path, suffix: str
) -> None:
    first = restored(tmp_path / f"a.{suffix}", Metadata())
    again = provenance_text("other", "2.0", 2, {})
    picture = read(first)
    second = tmp_path / f"b.{suffix}"
    write(second, Picture(picture.frames, replace(picture.metadata, text=joined(picture.metadata.text, again))))
    assert read_provenance(second)["model"] == "other"
    assert b"tiny-diffusion 1.2.3" in second.read_bytes()


def test_what_a_png_said_stays_before_ours(tmp_path: Path) -> None:
    theirs = {"Comment": "left lung", "Software": "scanner 3", "Author": "me"}
    text = read(restored(tmp_path / "a.png", Metadata(text=theirs))).metadata.text
    assert text["Comment"].startswith("left lung; enlarged x4 by a neural network (tiny-diffusion 1.2.3, steps=4")
    assert (text["Software"], text["Author"]) == ("scanner 3; edgesr 9", "me")


def test_what_a_tiff_said_stays_before_ours(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270], exif[271] = "a chest", "Maker"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    path = restored(tmp_path / "a.tif", Metadata(exif=block))
    with Image.open(path) as image:
        tags = dict(image.tag_v2)
    assert tags[270].startswith("a chest; Software: edgesr 9; Comment: enlarged x4")
    assert tags[271] == "Maker"
    assert read_provenance(path) == RECORD


def test_the_comment_of_a_jpeg_is_kept(tmp_path: Path) -> None:
    Image.fromarray(gradient(8, 8, 3)).save(tmp_path / "a.jpg", comment="holiday")
    metadata = read(tmp_path / "a.jpg").metadata
    assert metadata.text == {"Comment": "holiday"}
    assert b"holiday; enlarged x4" in restored(tmp_path / "b.jpg", metadata).read_bytes()


def test_pictures_of_others_have_no_record(tmp_path: Path) -> None:
    write(tmp_path / "a.png", Picture((gradient(8, 8, 1),), Metadata(exif=exif_block(), text={"Comment": "edgesr"})))
    assert read_provenance(tmp_path / "a.png") is None


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "a.png", Picture((gradient(8, 8, 1),), Metadata(text={"edgesr": '{"model": '})))
    with pytest.raises(InputError, match="its record of the model is damaged"):
        read_provenance(tmp_path / "a.png")


def test_a_dicom_picture_says_it_in_its_derivation(tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="DICOM needs pydicom")
    from tests.image.test_dicom import dataset, ramp, saved

    picture = read(saved(dataset(ramp()), tmp_path))
    frame = np.repeat(np.repeat(picture.pixels, 4, 0), 4, 1)
    path, metadata = tmp_path / "a.dcm", replace(picture.metadata, text=TEXT)
    with open_writer(path, height=192, width=256, channels=1, dtype="uint16", metadata=metadata) as writer:
        writer.write(frame[:100])
        writer.describe(residual_text(0.1234))
        writer.write(frame[100:])
    assert read_provenance(path) == RECORD
