"""No file, whatever its bytes, does anything but give a picture or one line that names the file."""

from __future__ import annotations

import logging
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from edgesr.errors import EdgesrError, InputError
from edgesr.image import Metadata, Picture, read, write
from tests.image import samples
from tests.image.samples import SRGB, exif_block, gradient

CASES_PER_FORMAT = 40


def originals() -> dict[str, bytes]:
    """Real files of every kind that can be read."""
    rgb, grey = gradient(24, 31, 3), gradient(24, 31, 1)
    wide = gradient(24, 31, 3, np.uint16)
    exif = b"Exif\0\0" + exif_block(6, 64, b"thumbnail")
    palette = Image.fromarray(rgb, "RGB").convert("P")
    files = {
        "png": samples.pillow_file(rgb, "PNG", icc_profile=SRGB, exif=exif, dpi=(72, 72)),
        "png16": samples.cv2_file(wide, ".png"),
        "interlaced": samples.png_file(31, 24, 16, 2, samples.interlaced(wide), interlace=1),
        "jpeg": samples.pillow_file(rgb, "JPEG", icc_profile=SRGB, exif=exif),
        "progressive": samples.pillow_file(rgb, "JPEG", progressive=True),
        "cmyk": samples.pillow_file(rgb, "JPEG", "CMYK"),
        "webp": samples.pillow_file(rgb, "WEBP", exif=exif, icc_profile=SRGB),
        "lossless webp": samples.pillow_file(gradient(24, 31, 4), "WEBP", lossless=True),
        "bmp": samples.pillow_file(rgb, "BMP"),
        "gif": samples.pillow_file(grey, "GIF"),
        "tiff": samples.tifffile_file(wide, photometric="rgb", compression="zlib", predictor=True),
        "tiled": samples.tifffile_file(wide, photometric="rgb", tile=(16, 16), byteorder=">"),
        "bigtiff": samples.tifffile_file(rgb, photometric="rgb", bigtiff=True),
        "float": samples.tifffile_file(gradient(24, 31, 1, np.float32)[:, :, 0]),
        "packbits": samples.pillow_file(rgb, "TIFF", compression="packbits"),
        "tiff jpeg": samples.pillow_file(rgb, "TIFF", compression="jpeg"),
    }
    for name, mode in (("palette.png", "PNG"), ("palette.gif", "GIF"), ("palette.tif", "TIFF")):
        files[name] = _saved(palette, mode)
    return files | _dicom_files()


def _saved(image: Image.Image, format: str) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def _dicom_files() -> dict[str, bytes]:
    try:
        from pydicom.data import get_testdata_file
    except ImportError:
        return {}
    names = ("MR_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_jp2klossless.dcm")
    paths = [get_testdata_file(name, download=False) for name in names]
    return {name: Path(path).read_bytes() for name, path in zip(names, paths, strict=True) if path}


ORIGINALS = originals()


def mutated(data: bytes, choose: random.Random) -> bytes:
    """The file with bytes changed, cut out, repeated, or its end missing; mostly in its first half kilobyte."""
    changed = bytearray(data)
    for _ in range(choose.randint(1, 4)):
        limit = len(changed) if choose.random() < 0.4 else min(len(changed), 512)
        at = choose.randrange(max(1, limit))
        kind = choose.randrange(6)
        if kind <= 1:
            changed[at : at + 1] = bytes([choose.choice((0, 1, 127, 128, 255, choose.randrange(256)))])
        elif kind == 2:
            changed[at : at + 4] = choose.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
            )
        elif kind == 3:
            del changed[at : at + choose.randint(1, 40)]
        elif kind == 4:
            changed[at:at] = changed[max(0, at - 20) : at]
        else:
            del changed[max(1, at) :]
    return bytes(changed)


def read_or_refuse(path: Path) -> bool:
    """Whether the file gave a picture; anything but a picture or one clear line fails the test."""
    try:
        picture = read(path, max_pixels=1 << 20)
    except EdgesrError as error:
        text = str(error)
        assert text.startswith(f"{path}: ")
        assert "\n" not in text
        assert len(text) < 400
        return False
    for frame in picture.frames:
        assert frame.dtype.name in ("uint8", "uint16", "float32")
        assert frame.size
    return True


@pytest.mark.parametrize("name", ORIGINALS)
def test_mutated_files_give_a_picture_or_one_line(tmp_path, caplog, name):
    choose = random.Random(name)
    path = tmp_path / "x"
    for _ in range(CASES_PER_FORMAT):
        path.write_bytes(mutated(ORIGINALS[name], choose))
        read_or_refuse(path)
    path.write_bytes(ORIGINALS[name])
    assert read_or_refuse(path)
    assert not caplog.records


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:12] for data in ORIGINALS.values())]))
@example(b"", b"")
def test_any_bytes_behind_any_signature_are_refused_or_read(tmp_path_factory, body, head):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + body)
    read_or_refuse(path)


@pytest.mark.parametrize("name", ["png", "png16", "interlaced", "palette.png", "jpeg", "progressive", "cmyk"])
def test_every_truncation_of_png_and_jpeg_is_an_error(tmp_path, name):
    data = ORIGINALS[name]
    path = tmp_path / "x"
    for keep in {1, 8, 20, *range(30, len(data) - 12, max(1, len(data) // 60)), len(data) - 12}:
        path.write_bytes(data[:keep])
        assert not read_or_refuse(path), keep


@pytest.mark.parametrize("name", ["webp", "lossless webp", "bmp", "tiff", "tiled", "bigtiff", "packbits", "tiff jpeg"])
def test_every_truncation_of_the_other_formats_is_an_error(tmp_path, name):
    data = ORIGINALS[name]
    path = tmp_path / "x"
    for part in range(1, 40):
        path.write_bytes(data[: len(data) * part // 40])
        assert not read_or_refuse(path), part


def test_a_png_whose_rows_end_early_is_an_error_even_with_good_checksums(tmp_path):
    path = tmp_path / "x.png"
    for interlace in (0, 1):
        path.write_bytes(samples.png_file(10, 10, 8, 2, (b"\0" + bytes(range(30))) * 5, interlace=interlace))
        with pytest.raises(InputError, match=r"ends early|damaged"):
            read(path)
    path.write_bytes(samples.png_file(10, 10, 8, 2, (b"\0" + bytes(30)) * 10))
    assert not read(path).pixels.any()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a picture: it begins with the bytes 68 65"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"\0\0\0\x20ftypavif....", "AVIF"),
        (b"\0\0\0\x20ftypheic....", "HEIC"),
        (b"\0\0\0\x20ftypisom....", "video"),
        (b"RIFF\0\0\0\0WAVE", "not WebP"),
    ],
)
def test_other_files_are_called_by_their_names(tmp_path, data, message):
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read(path)


def test_paths_that_are_no_files_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    cases = {tmp_path: "folder", tmp_path / "none.png": "no such file", tmp_path / "pipe": "pipe"}
    cases |= {
        Path("/dev/zero"): "device",
        tmp_path / ("n" * 300): "cannot be opened",
        tmp_path / "a\nb": "no such file",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_are_refused(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        read(path)


def bombs() -> dict[str, bytes]:
    jpeg = bytearray(samples.pillow_file(gradient(8, 8, 3), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    bmp = bytearray(samples.pillow_file(gradient(8, 8, 3), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60000, 60000)
    gif = bytearray(samples.pillow_file(gradient(8, 8, 1), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    webp = bytearray(samples.pillow_file(gradient(8, 8, 4), "WEBP", exif=b"Exif\0\0" + exif_block()))
    webp[24:30] = b"\xff\xff\x00\xff\xff\x00"
    tiff = samples.tifffile_file(gradient(8, 8, 3), photometric="rgb")
    return {
        "png": samples.png_file(60000, 60000, 8, 2, bytes(10)),
        "jpeg": bytes(jpeg),
        "bmp": bytes(bmp),
        "gif": bytes(gif),
        "webp": bytes(webp),
        "tiff": _with_tiff_size(tiff, 60000),
    }


def _with_tiff_size(data: bytes, size: int) -> bytes:
    changed = bytearray(data)
    first = struct.unpack("<I", data[4:8])[0]
    for at in range(first + 2, first + 2 + 12 * struct.unpack("<H", data[first : first + 2])[0], 12):
        if struct.unpack("<H", data[at : at + 2])[0] in (256, 257):
            changed[at + 2 : at + 12] = struct.pack("<HII", 4, 1, size)
    return bytes(changed)


@pytest.mark.parametrize("name", bombs())
def test_a_declared_size_beyond_the_limit_is_refused_from_the_header(tmp_path, name):
    import tracemalloc

    (tmp_path / "x").write_bytes(bombs()[name])
    tracemalloc.start()
    with pytest.raises(InputError, match="more than the limit of 268435456; raise max_pixels"):
        read(tmp_path / "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    "bomb",
    [
        samples.png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 25))),
        samples.png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 25))),
        samples.png_chunk(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(bytes(1 << 25))),
    ],
)
def test_a_small_chunk_that_inflates_enormously_is_refused(tmp_path, bomb):
    (tmp_path / "x").write_bytes(samples.png_file(1, 1, 8, 0, b"\0\0", bomb))
    with pytest.raises(InputError, match="inflates to more than"):
        read(tmp_path / "x")


def test_a_huge_declared_chunk_is_refused(tmp_path):
    data = samples.png_file(1, 1, 8, 0, b"\0\0")
    (tmp_path / "x").write_bytes(data[:33] + b"\x7f\xff\xff\xffzTXt" + data[33:])
    with pytest.raises(InputError, match="larger than any picture needs"):
        read(tmp_path / "x")


def test_tiff_directories_that_run_in_a_circle_are_refused(tmp_path):
    data = bytearray(samples.tifffile_file(gradient(8, 8, 1)[:, :, 0]))
    first = struct.unpack("<I", data[4:8])[0]
    link = first + 2 + 12 * struct.unpack("<H", data[first : first + 2])[0]
    data[link : link + 4] = struct.pack("<I", first)
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InputError, match="circle"):
        read(tmp_path / "x")


def test_libraries_stay_silent_about_good_files(tmp_path, caplog, capfd):
    with caplog.at_level(logging.DEBUG, "edgesr"):
        for suffix in ("png", "jpg", "tif", "webp", "bmp"):
            write(tmp_path / f"x.{suffix}", Picture((gradient(9, 9, 3),), Metadata(icc=SRGB)))
            read(tmp_path / f"x.{suffix}")
    assert capfd.readouterr() == ("", "")
