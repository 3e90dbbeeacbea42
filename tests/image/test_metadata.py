"""Profiles, EXIF, resolution and text travel with the pixels, and none of them tells a lie about the new picture."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from edgesr.image import Metadata, Picture, read, write
from edgesr.image.exif import fit, orient
from tests.image import samples
from tests.image.samples import SRGB, exif_block, gradient

SUFFIXES = ["png", "jpg", "tif", "webp"]


def full_metadata(**changes) -> Metadata:
    return Metadata(**({"format": "PNG", "icc": SRGB, "exif": exif_block(), "dpi": (300.0, 150.0)} | changes))


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", SUFFIXES)
def test_profile_exif_and_resolution_pass_between_all_formats_that_carry_them(tmp_path, source, target):
    first, second = tmp_path / f"a.{source}", tmp_path / f"b.{target}"
    pixels = gradient(40, 60, 3)
    write(first, Picture((pixels,), full_metadata()))
    again = read(first)
    big = np.repeat(np.repeat(again.pixels, 2, 0), 2, 1)
    write(second, Picture((big,), again.metadata))
    found = read(second).metadata
    assert found.icc == SRGB
    if "webp" not in (source, target):
        assert found.dpi == pytest.approx((300, 150), abs=0.02)
    with Image.open(second) as image:
        theirs = image.getexif()
        assert theirs[0x010F] == "Maker"
        assert theirs.get(0x0112, 1) == 1
        assert theirs.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert theirs.get_ifd(0x8769)[0xA002] == 120
        assert theirs.get_ifd(0x8825)[1] == "N"
        assert image.info["icc_profile"] == SRGB


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_are_applied_and_reset(tmp_path, orientation, format):
    image = Image.fromarray(gradient(24, 40, 3), "RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x"
    options = {"lossless": True} if format == "WEBP" else {}
    image.save(path, format, exif=exif, **options)
    picture = read(path)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(picture.pixels, upright)
    write(tmp_path / "y.jpg", picture)
    with Image.open(tmp_path / "y.jpg") as written:
        assert written.getexif().get(0x0112, 1) == 1
        assert written.size == upright.shape[1::-1]


def test_orienting_equals_its_definition():
    pixels = np.arange(6).reshape(2, 3, 1)
    assert orient(pixels, 6)[:, :, 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert orient(pixels, 8)[:, :, 0].tolist() == [[2, 5], [1, 4], [0, 3]]
    assert orient(pixels, 99) is pixels


def test_a_thumbnail_of_the_old_picture_is_cut_out_of_exif():
    thumbnail = b"\xff\xd8 a private thumbnail \xff\xd9"
    block = exif_block(orientation=6, width=64, thumbnail=thumbnail)
    fitted = fit(block, 4000, 70000)
    assert fitted is not None
    assert b"private" in block
    assert b"private" not in fitted
    exif = Image.Exif()
    exif.load(fitted)
    assert exif.get(0x0112) == 1
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0xA002] in (0, 70000)


def test_damaged_exif_is_dropped_not_passed_on(tmp_path):
    for block in (b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", bytes(range(64))):
        write(tmp_path / "x.png", Picture((gradient(8, 8, 3),), full_metadata(exif=block)))
        assert read(tmp_path / "x.png").metadata.exif is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_profile_of_another_colour_space_is_dropped(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    write(path, Picture((gradient(8, 8, 1),), full_metadata(icc=SRGB)))
    assert read(path).metadata.icc is None
    write(path, Picture((gradient(8, 8, 3),), full_metadata(icc=samples.grey_profile())))
    assert read(path).metadata.icc is None


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_grey_profile_stays_with_grey_pixels(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    write(path, Picture((gradient(8, 8, 1),), full_metadata(icc=samples.grey_profile())))
    assert read(path).metadata.icc == samples.grey_profile()


def test_png_colour_chunks_and_text_are_kept(tmp_path):
    gamma = samples.png_chunk(b"gAMA", struct.pack(">I", 100000))
    text = samples.png_chunk(b"tEXt", b"Title\0caf\xe9") + samples.png_chunk(
        b"zTXt", b"Long\0\0" + zlib.compress(b"z" * 99)
    )
    text += samples.png_chunk(b"iTXt", b"Greek\0\0\0\0\0" + "αβγ".encode())
    (tmp_path / "x.png").write_bytes(samples.png_file(1, 1, 8, 0, b"\0\7", gamma + text))
    picture = read(tmp_path / "x.png")
    assert picture.metadata.text == {"Title": "café", "Long": "z" * 99, "Greek": "αβγ"}
    write(tmp_path / "y.png", picture)
    with Image.open(tmp_path / "y.png") as image:
        assert image.info["gamma"] == 1.0
        assert image.info["Greek"] == "αβγ"
        assert image.info["Title"] == "café"


def test_tiff_provenance_and_tags_are_ascii_and_single(tmp_path):
    metadata = full_metadata(text={"Software": "edgesr 1", "Comment": "enlarged ×4"})
    write(tmp_path / "x.tif", Picture((gradient(8, 8, 4),), metadata))
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        tags = file.pages[0].tags
        assert "edgesr 1" in tags["ImageDescription"].value
        assert tags["ExtraSamples"].value == (2,)
        assert tags["Make"].value == "Maker"
        assert [tag.code for tag in tags] == sorted(tag.code for tag in tags)


def test_metadata_reprs_show_no_contents():
    shown = repr(Picture((gradient(4, 4, 3),), full_metadata(text={"Patient": "secret"}, dicom="secret")))
    assert "secret" not in shown
    assert len(shown) < 200


def test_a_jpeg_profile_in_several_segments_is_joined(tmp_path):
    profile = SRGB[:128] + bytes(150000)
    buffer = io.BytesIO()
    Image.fromarray(gradient(8, 8, 3), "RGB").save(buffer, "JPEG", icc_profile=profile)
    (tmp_path / "x.jpg").write_bytes(buffer.getvalue())
    assert read(tmp_path / "x.jpg").metadata.icc == profile
