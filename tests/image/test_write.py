"""What is written is what other libraries read, row by row or whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgesr.errors import InputError
from edgesr.image import Metadata, Picture, open_writer, read, write
from edgesr.image.png_filter import filter_rows
from tests.image.samples import gradient


def unfiltered(filtered: np.ndarray, step: int) -> np.ndarray:
    """The inverse of PNG filtering, straight from section 9.2 of the specification."""
    rows, width = filtered.shape[0], filtered.shape[1] - 1
    result = np.zeros((rows + 1, width + step), int)
    for y in range(rows):
        for x in range(width):
            a, b, c = result[y + 1, x], result[y, x + step], result[y, x]
            p = a + b - c
            distances = [abs(p - a), abs(p - b), abs(p - c)]
            predicted = [0, a, b, (a + b) // 2, (a, b, c)[int(np.argmin(distances))]][filtered[y, 0]]
            result[y + 1, x + step] = (int(filtered[y, 1 + x]) + predicted) % 256
    return result[1:, step:]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 13), st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 6, 8]), st.integers(0, 2**32 - 1))
def test_png_filters_can_be_undone(height, width, step, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (height, width * step), dtype=np.uint8)
    if seed % 2:
        rows = np.cumsum(rows % 3, axis=1).astype(np.uint8)
    filtered = filter_rows(rows, np.zeros(width * step, np.uint8), step)
    np.testing.assert_array_equal(unfiltered(filtered, step), rows)


def test_all_png_filters_occur_and_decode(tmp_path):
    y, x = np.mgrid[0:64, 0:256]
    kinds = [x * 0 + 7, x * 3, y * 5, (x + y) * 2, np.random.default_rng(0).integers(0, 256, x.shape)]
    pixels = np.concatenate(kinds).astype(np.uint8)[:, :, None]
    write(tmp_path / "x.png", Picture((pixels,)))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED), pixels[:, :, 0])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_rows_in_uneven_bands_come_back_exactly(tmp_path, channels, dtype, suffix):
    if suffix == ".png" and dtype == np.float32:
        return
    pixels = gradient(67, 45, channels, dtype)
    path = tmp_path / f"x{suffix}"
    with open_writer(path, height=67, width=45, channels=channels, dtype=dtype) as writer:
        for start, stop in ((0, 1), (1, 1), (1, 30), (30, 66), (66, 67)):
            writer.write(pixels[start:stop])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(read(path).pixels, pixels)
    if suffix == ".png" and channels != 2:
        theirs = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).reshape(pixels.shape)
        np.testing.assert_array_equal(theirs[:, :, {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]], pixels)
    if dtype == np.uint8:
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)
    if suffix == ".tif" and dtype == np.float32:
        np.testing.assert_array_equal(tifffile.imread(path).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_several_frames_become_tiff_pages(tmp_path, dtype):
    frames = tuple(gradient(300, 200, 3, dtype, seed) for seed in range(3))
    path = tmp_path / "x.tif"
    with open_writer(path, height=300, width=200, channels=3, dtype=dtype, frames=3) as writer:
        writer.write(np.concatenate(frames))
    for ours, frame in zip(read(path).frames, frames, strict=True):
        np.testing.assert_array_equal(ours, frame)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 3
        assert file.pages[2].tags["Orientation"].value == 1


def test_big_tiff_is_what_others_read(tmp_path, monkeypatch):
    monkeypatch.setattr("edgesr.image.tiff_write.CLASSIC_BYTES", 1000)
    frames = tuple(gradient(60, 50, 3, np.uint8, seed) for seed in range(2))
    path = tmp_path / "x.tif"
    write(path, Picture(frames, Metadata(dpi=(300, 150), text={"Software": "edgesr"})))
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert len(file.pages) == 2
        assert file.pages[0].tags["XResolution"].value == (3000000, 10000)
    np.testing.assert_array_equal(read(path).frames[1], frames[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_close_and_keeps_full_colour_resolution(tmp_path, channels):
    pixels = gradient(64, 64, channels)
    path = tmp_path / "x.jpg"
    write(path, Picture((pixels,)))
    assert np.abs(read(path).pixels.astype(int) - pixels).mean() < 4
    if channels == 3:
        with Image.open(path) as image:
            assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_webp_takes_every_layout(tmp_path, channels):
    pixels = gradient(64, 64, channels)
    write(tmp_path / "x.webp", Picture((pixels,)))
    again = read(tmp_path / "x.webp").pixels
    assert again.shape[2] == (4 if channels in (2, 4) else 3)
    if channels in (2, 4):
        np.testing.assert_array_equal(again[..., 3], pixels[..., -1])


def test_writing_a_large_png_takes_constant_memory(tmp_path):
    import tracemalloc

    band = gradient(64, 4096, 3)
    with open_writer(tmp_path / "x.png", height=4096, width=4096, channels=3, dtype=np.uint8) as writer:
        tracemalloc.start()
        for _ in range(8):
            writer.write(band)
        early = tracemalloc.get_traced_memory()[1]
        for _ in range(56):
            writer.write(band)
        late = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # The compressing threads hold a few bands at a time, more or fewer; the whole picture would be 48 MiB.
    assert late <= early + (8 << 20)
    assert late < 24 << 20


@pytest.mark.parametrize(
    ("name", "channels", "dtype", "size", "message"),
    [
        ("x.jpg", 3, np.uint16, 8, "JPEG cannot hold uint16 pixels; write PNG or TIFF"),
        ("x.jpg", 4, np.uint8, 8, "JPEG cannot hold RGB with alpha; write PNG, TIFF or WebP"),
        ("x.bmp", 2, np.uint8, 8, "BMP cannot hold grey with alpha"),
        ("x.png", 3, np.float32, 8, "PNG cannot hold float32 pixels; write TIFF"),
        ("x.webp", 3, np.uint8, 16384, "16383 pixels per side"),
        ("x.jpeg", 3, np.uint8, 65536, "65535 pixels per side"),
        ("x.gif", 3, np.uint8, 8, "use one of .png"),
        ("x", 3, np.uint8, 8, "use one of .png"),
        ("x.png", 5, np.uint8, 8, "1 to 4 channels"),
        ("x.png", 3, np.int32, 8, "convert to uint8"),
        ("x.dcm", 1, np.uint8, 8, "DICOM source"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_any_file_is_made(tmp_path, name, channels, dtype, size, message):
    if name.endswith(".dcm"):
        pytest.importorskip("pydicom", reason="DICOM needs pydicom")
    with pytest.raises(InputError, match=message) as caught:
        open_writer(tmp_path / name, height=8, width=size, channels=channels, dtype=dtype)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_one_frame_formats_refuse_several(tmp_path):
    frame = gradient(8, 8, 3)
    with pytest.raises(InputError, match="holds one frame, got 2; write TIFF"):
        write(tmp_path / "x.png", Picture((frame, frame)))


def test_a_format_can_be_named_against_the_suffix(tmp_path):
    pixels = gradient(8, 8, 3)
    write(tmp_path / "x.dat", Picture((pixels,)), format="tif")
    assert read(tmp_path / "x.dat").metadata.format == "TIFF"
    with pytest.raises(InputError, match="'heic' cannot be written"):
        write(tmp_path / "x.dat", Picture((pixels,)), format="heic")
    with pytest.raises(InputError, match="quality must be 1 to 100"):
        write(tmp_path / "x.jpg", Picture((pixels,)), quality=0)
