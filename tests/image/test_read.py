"""Files made by other libraries, or byte by byte from a specification, come out as their true pixels."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from edgesr.errors import InputError
from edgesr.image import read
from edgesr.image.ifd import build_directory, entry
from tests.image import samples
from tests.image.samples import gradient


def read_bytes(data: bytes, folder: Path, name: str = "picture.bin", **options):
    path = folder / name
    path.write_bytes(data)
    return read(path, **options)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_opencv_png_of_both_depths(tmp_path, channels, dtype):
    pixels = gradient(37, 53, channels, dtype)
    picture = read_bytes(samples.cv2_file(pixels, ".png"), tmp_path)
    assert picture.pixels.dtype == dtype
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_every_png_colour_type_straight_and_interlaced(tmp_path, channels, colour, dtype, interlace):
    for height, width in ((19, 23), (1, 5), (3, 1)):
        pixels = gradient(height, width, channels, dtype)
        big = pixels.astype(pixels.dtype.newbyteorder(">"))
        raw = samples.interlaced(pixels) if interlace else b"".join(b"\0" + row.tobytes() for row in big)
        depth = 8 * pixels.dtype.itemsize
        data = samples.png_file(width, height, depth, colour, raw, interlace=interlace)
        np.testing.assert_array_equal(read_bytes(data, tmp_path).pixels, pixels)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_low_depth_grey_png_uses_the_full_range_and_its_transparent_colour(tmp_path, depth):
    values = np.arange(16, dtype=np.uint8) % (1 << depth)
    bits = np.unpackbits(values[:, None], axis=1)[:, 8 - depth :]
    raw = b"\0" + np.packbits(bits.ravel()).tobytes()
    picture = read_bytes(samples.png_file(16, 1, depth, 0, raw), tmp_path)
    full = values * (255 // ((1 << depth) - 1))
    np.testing.assert_array_equal(picture.pixels[0, :, 0], full)
    key = samples.png_chunk(b"tRNS", struct.pack(">H", 1))
    keyed = read_bytes(samples.png_file(16, 1, depth, 0, raw, key), tmp_path).pixels
    np.testing.assert_array_equal(keyed[0, :, 0], full)
    np.testing.assert_array_equal(keyed[0, :, 1], np.where(values == 1, 0, 255))


def test_a_transparent_colour_compares_all_16_bits(tmp_path):
    pixels = np.array([[[1, 2, 3], [1, 2, 259]]], np.uint16)
    raw = b"\0" + pixels.astype(">u2").tobytes()
    key = samples.png_chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))
    assert read_bytes(samples.png_file(2, 1, 16, 2, raw, key), tmp_path).pixels[0, :, 3].tolist() == [0, 65535]


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palette_png_becomes_rgb_or_rgba(tmp_path, depth, transparent):
    palette = np.random.default_rng(0).integers(0, 256, (1 << depth, 3), dtype=np.uint8)
    values = (np.arange(64) % (1 << depth)).astype(np.uint8)
    bits = np.unpackbits(values[:, None], axis=1)[:, 8 - depth :]
    extra = samples.png_chunk(b"PLTE", palette.tobytes())
    alphas = np.array([0, 128], np.uint8)
    if transparent:
        extra += samples.png_chunk(b"tRNS", alphas.tobytes())
    data = samples.png_file(64, 1, depth, 3, b"\0" + np.packbits(bits.ravel()).tobytes(), extra)
    pixels = read_bytes(data, tmp_path).pixels
    np.testing.assert_array_equal(pixels[0, :, :3], palette[values])
    assert pixels.shape[2] == (4 if transparent else 3)
    if transparent:
        expected = np.full(256, 255)
        expected[:2] = alphas
        np.testing.assert_array_equal(pixels[0, :, 3], expected[values])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", 1), ("L", 1), ("RGB", 3), ("P", 3)],
)
def test_bmp_and_gif_modes(tmp_path, mode, expected):
    image = Image.fromarray(gradient(21, 17, 3), "RGB").convert(mode)
    target = np.asarray(image.convert("RGB" if expected == 3 else "L"))
    for format in ("BMP", "GIF"):
        if (format, mode) == ("GIF", "RGB"):
            continue
        path = tmp_path / f"x.{format.lower()}"
        image.save(path)
        pixels = read(path).pixels
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, np.broadcast_to(target.reshape(21, 17, -1), pixels.shape))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_equals_pillow(tmp_path, channels, progressive):
    data = samples.pillow_file(gradient(64, 48, channels), "JPEG", progressive=progressive)
    picture = read_bytes(data, tmp_path, "named.png")
    theirs = np.asarray(Image.open(tmp_path / "named.png")).reshape(64, 48, channels)
    np.testing.assert_array_equal(picture.pixels, theirs)
    assert picture.metadata.format == "JPEG"


def test_cmyk_jpeg_becomes_rgb_of_about_the_same_colours(tmp_path):
    pixels = gradient(32, 32, 3)
    picture = read_bytes(samples.pillow_file(pixels, "JPEG", "CMYK", quality=100), tmp_path)
    assert picture.pixels.shape == (32, 32, 3)
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 4
    assert picture.metadata.icc is None


@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_webp(tmp_path, channels):
    pixels = gradient(40, 30, channels)
    data = samples.pillow_file(pixels, "WEBP", lossless=True, exact=True)
    np.testing.assert_array_equal(read_bytes(data, tmp_path).pixels, pixels)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "rowsperstrip": 5},
        {"tile": (16, 32)},
        {"tile": (16, 16), "compression": "zlib"},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "compression": "zlib", "tile": (16, 16)},
        {"bigtiff": True},
    ],
)
def test_tifffile_tiff(tmp_path, options, dtype, byteorder):
    pixels = gradient(37, 53, 3, dtype)
    stored = np.moveaxis(pixels, 2, 0) if "planarconfig" in options else pixels
    data = samples.tifffile_file(np.ascontiguousarray(stored), byteorder=byteorder, photometric="rgb", **options)
    picture = read_bytes(data, tmp_path)
    assert picture.pixels.dtype == dtype
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_deflate", None])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pillow_tiff(tmp_path, channels, compression):
    pixels = gradient(50, 41, channels)
    options = {"compression": compression} if compression else {}
    data = samples.pillow_file(pixels, "TIFF", **options)
    np.testing.assert_array_equal(read_bytes(data, tmp_path).pixels, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_lzw_tiff_with_predictor_of_both_depths(tmp_path, channels, dtype):
    pixels = gradient(50, 41, channels, dtype)
    lzw = (cv2.IMWRITE_TIFF_COMPRESSION, 5)
    np.testing.assert_array_equal(read_bytes(samples.cv2_file(pixels, ".tiff", lzw), tmp_path).pixels, pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_tiff_is_close_and_equals_pillow(tmp_path, channels):
    pixels = gradient(64, 48, channels)
    data = samples.pillow_file(pixels, "TIFF", compression="jpeg", quality=95)
    ours = read_bytes(data, tmp_path, "x.tif").pixels
    theirs = np.asarray(Image.open(tmp_path / "x.tif").convert(samples.MODES[channels])).reshape(ours.shape)
    assert np.abs(ours.astype(int) - theirs).max() <= 3
    assert np.abs(ours.astype(int) - pixels).mean() < 6


@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_ccitt", "tiff_lzw"])
def test_bilevel_tiff(tmp_path, compression):
    image = Image.fromarray(gradient(33, 47, 1)[:, :, 0]).convert("1")
    image.save(tmp_path / "x.tif", **({"compression": compression} if compression else {}))
    np.testing.assert_array_equal(read(tmp_path / "x.tif").pixels[:, :, 0], np.asarray(image) * 255)


def test_minwhite_palette_and_cmyk_tiff(tmp_path):
    grey = gradient(12, 9, 1, np.uint16)
    data = samples.tifffile_file(grey[:, :, 0], photometric="miniswhite")
    np.testing.assert_array_equal(read_bytes(data, tmp_path).pixels, 65535 - grey)
    table = np.random.default_rng(0).integers(0, 256, (3, 256), dtype=np.uint16) * 257
    indices = gradient(12, 9, 1)[:, :, 0]
    data = samples.tifffile_file(indices, photometric="palette", colormap=table)
    np.testing.assert_array_equal(read_bytes(data, tmp_path).pixels, (table.T[indices] >> 8).astype(np.uint8))
    Image.fromarray(gradient(12, 9, 3), "RGB").convert("CMYK").save(tmp_path / "cmyk.tif")
    assert np.abs(read(tmp_path / "cmyk.tif").pixels.astype(int) - gradient(12, 9, 3)).max() <= 1


@pytest.mark.parametrize(("kind", "divided"), [("unassalpha", False), ("assocalpha", True), ("unspecified", False)])
def test_tiff_alpha_comes_out_straight(tmp_path, kind, divided):
    pixels = gradient(20, 20, 4, np.uint16)
    pixels[..., 3] |= 1 << 15
    stored = pixels.copy()
    if divided:
        stored[..., :3] = np.rint(pixels[..., :3] * (pixels[..., 3:] / 65535))
    data = samples.tifffile_file(stored, photometric="rgb", extrasamples=[kind])
    assert np.abs(read_bytes(data, tmp_path).pixels.astype(int) - pixels).max() <= (2 if divided else 0)


def test_a_fourth_channel_without_a_meaning_and_without_content_is_padding(tmp_path):
    pixels = gradient(20, 20, 4)
    pixels[..., 3] = 0
    for kind, channels in (("unspecified", 3), ("unassalpha", 4)):
        data = samples.tifffile_file(pixels, photometric="rgb", extrasamples=[kind])
        np.testing.assert_array_equal(read_bytes(data, tmp_path).pixels, pixels[..., :channels])


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_ycbcr_tiff_becomes_rgb(tmp_path, compression):
    image = Image.fromarray(gradient(20, 20, 3), "RGB").convert("YCbCr")
    image.save(tmp_path / "x.tif", compression=compression)
    np.testing.assert_array_equal(read(tmp_path / "x.tif").pixels, np.asarray(image.convert("RGB")))


def test_ycbcr_tiff_with_less_colour_than_pixels_is_refused(tmp_path):
    Image.fromarray(gradient(20, 20, 3), "RGB").convert("YCbCr").save(tmp_path / "x.tif", tiffinfo={530: (2, 2)})
    with pytest.raises(InputError, match="YCbCr"):
        read(tmp_path / "x.tif")


def test_tiff_pages_become_frames_and_previews_are_passed_over(tmp_path):
    pages = gradient(30, 20, 3)
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(pages, photometric="rgb", metadata=None)
        file.write(pages[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
        file.write(255 - pages, photometric="rgb", metadata=None)
    picture = read(tmp_path / "x.tif")
    assert len(picture.frames) == 2
    np.testing.assert_array_equal(picture.frames[1], 255 - pages)
    with pytest.raises(InputError, match="2 frames"):
        picture.pixels  # noqa: B018


def test_floating_point_predictor(tmp_path):
    """Adobe's TIFF Technical Note 3: bytes of one significance together, then differences of neighbouring samples."""
    pixels = gradient(20, 31, 3, np.float32)
    split = np.moveaxis(pixels.astype(">f4").view(np.uint8).reshape(20, 93, 4), 2, 1).reshape(20, -1, 3)
    split[:, 1:] -= split[:, :-1].copy()
    tags = [(256, 4, 31), (257, 4, 20), (258, 3, 32, 32, 32), (259, 3, 1), (262, 3, 2), (273, 4, 8), (277, 3, 3)]
    tags += [(278, 4, 20), (279, 4, split.size), (317, 3, 3), (339, 3, 3, 3, 3)]
    directory = build_directory([entry(*tag) for tag in tags], 8 + split.size)
    data = struct.pack("<2sHI", b"II", 42, 8 + split.size) + split.tobytes() + directory
    np.testing.assert_array_equal(read_bytes(data, tmp_path).pixels, pixels)


@pytest.mark.parametrize(
    ("values", "message"), [([0.5, np.nan], "NaN"), ([0.5, np.inf], "infinite"), ([0, 255], "0 to 255")]
)
def test_float_tiff_outside_its_range_is_refused(tmp_path, values, message):
    with pytest.raises(InputError, match=message):
        read_bytes(samples.tifffile_file(np.array([values], np.float32)), tmp_path)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animations_are_refused_with_their_number_of_frames(tmp_path, format):
    frames = [Image.fromarray(gradient(16, 16, 3, seed=seed), "RGB") for seed in range(3)]
    path = tmp_path / "moving"
    frames[0].save(path, format, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"animated.* with 3 frames"):
        read(path)


GREYS = np.array([[200] * 3, [3] * 3, [77] * 3, [255] * 3], np.uint8)


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_of_greys_is_read_as_grey(tmp_path, format):
    values = np.random.default_rng(0).integers(0, 4, (9, 11)).astype(np.uint8)
    image = Image.fromarray(values, "P")
    image.putpalette(GREYS.tobytes())
    path = tmp_path / f"x.{format.lower()}"
    image.save(path)
    np.testing.assert_array_equal(read(path).pixels, GREYS[values][..., :1])
    image.putpalette([*GREYS.tobytes()[:-1], 254])
    image.save(path)
    assert read(path).pixels.shape == (9, 11, 3), "one colour in the palette makes it a colour picture"


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_palette_of_greys_with_a_transparent_entry_is_grey_with_alpha(tmp_path, format):
    values = np.random.default_rng(0).integers(0, 4, (9, 11)).astype(np.uint8)
    image = Image.fromarray(values, "P")
    image.putpalette(GREYS.tobytes())
    path = tmp_path / f"x.{format.lower()}"
    image.save(path, transparency=1)
    pixels = read(path).pixels
    assert pixels.shape == (9, 11, 2)
    np.testing.assert_array_equal(pixels[..., 1], np.where(values == 1, 0, 255))
    np.testing.assert_array_equal(pixels[values != 1, 0], GREYS[values][..., 0][values != 1])


def test_a_palette_of_greys_with_a_colour_profile_keeps_both(tmp_path):
    image = Image.fromarray(np.zeros((4, 4), np.uint8), "P")
    image.putpalette(GREYS.tobytes())
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "x.png", icc_profile=profile)
    found = read(tmp_path / "x.png")
    assert found.pixels.shape == (4, 4, 3)
    assert found.metadata.icc == profile
