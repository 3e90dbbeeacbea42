"""Decode and encode compressed pixels with Pillow; drawing apart, the only file that imports it.

The plug-in classes are opened directly: ``Image.open`` would guess the format anew, try every plug-in, and apply a
global pixel limit that belongs to the host application.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from edgesr.errors import BackendError, InputError
from edgesr.image.convert import is_grey
from edgesr.image.source import check_size
from edgesr.types import Array, FloatArray

if TYPE_CHECKING:
    from PIL import Image

BAND_BYTES = 1 << 22


def decode_png(file: BinaryIO, raw_mode: str) -> Array:
    """Return the samples of a PNG ``(H, W, C)``, palette indices as they are; ``raw_mode`` picks bytes of 16 bits."""
    _require()
    from PIL import PngImagePlugin

    image = PngImagePlugin.PngImageFile(file)
    if raw_mode:
        image.tile = [(*tile[:3], raw_mode) for tile in image.tile]
    image.load()
    return _pixels(image)


def decode_jpeg(file: BinaryIO, icc: bytes | None, max_pixels: int) -> Array:
    """Return a JPEG as uint8 ``(H, W, C)`` grey or RGB; CMYK goes through its profile to sRGB."""
    _require()
    from PIL import JpegImagePlugin

    image = JpegImagePlugin.JpegImageFile(file)
    check_size(image.height, image.width, 1, max_pixels)
    image.load()
    return _pixels(_cmyk_to_rgb(image, icc) if image.mode == "CMYK" else image)


def decode_webp(file: BinaryIO) -> Array:
    """Return a still WebP as uint8 ``(H, W, C)`` RGB or RGBA."""
    _require()
    from PIL import features

    if not features.check("webp"):
        raise BackendError("this Pillow was built without WebP; install another with pip install --upgrade pillow")
    from PIL import WebPImagePlugin

    image = WebPImagePlugin.WebPImageFile(file)
    image.load()
    return _pixels(image)


def decode_bmp(file: BinaryIO, max_pixels: int) -> tuple[Array, tuple[float, float] | None]:
    """Return a BMP as uint8 ``(H, W, C)`` and its pixels per inch."""
    _require()
    from PIL import BmpImagePlugin

    image = BmpImagePlugin.BmpImageFile(file)
    check_size(image.height, image.width, 1, max_pixels)
    image.load()
    dpi = image.info.get("dpi")
    return _without_palette(image), dpi if dpi and dpi[0] > 0 and dpi[1] > 0 else None


def decode_gif(file: BinaryIO, max_pixels: int) -> Array:
    """Return a still GIF as uint8 ``(H, W, C)``; an animation is an InputError that names its frames."""
    _require()
    from PIL import GifImagePlugin

    image = GifImagePlugin.GifImageFile(file)
    check_size(image.height, image.width, 1, max_pixels)
    if image.n_frames > 1:
        raise InputError(f"an animated GIF with {image.n_frames} frames; pass it as a video or save the frame you need")
    check_size(image.height, image.width, 1, max_pixels)
    image.seek(0)
    image.load()
    return _without_palette(image)


def cmyk_to_rgb(cmyk: Array, icc: bytes | None) -> Array:
    """Convert uint8 ``(H, W, 4)`` CMYK, 255 = full ink, to sRGB by its profile, or plainly where it has none."""
    _require()
    from PIL import Image

    height, width, _ = cmyk.shape
    return _pixels(_cmyk_to_rgb(Image.frombytes("CMYK", (width, height), np.ascontiguousarray(cmyk).tobytes()), icc))


def ycbcr_to_rgb(ycbcr: Array) -> Array:
    """Convert uint8 ``(H, W, 3)`` full-range YCbCr of BT.601, as JPEG's, to RGB."""
    _require()
    from PIL import Image

    height, width, _ = ycbcr.shape
    image = Image.frombytes("YCbCr", (width, height), np.ascontiguousarray(ycbcr).tobytes())
    return _pixels(image.convert("RGB"))


def decode_tiff_strip(data: bytes, compression: int, width: int, height: int) -> bytes:
    """Return the bytes of one strip that libtiff can decompress: a well-formed single-strip TIFF, 8-bit grey."""
    _require()
    from PIL import TiffImagePlugin

    image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    image.load()
    if image.size != (width, height):
        raise InputError(f"a TIFF strip of compression {compression} has a wrong size; the file is damaged")
    return bytes(image.tobytes())


def encode(pixels: Array, file: BinaryIO, format: str, options: dict[str, Any]) -> None:
    """Write uint8 ``(H, W, C)`` grey, grey+alpha, RGB or RGBA to ``file`` as JPEG, WEBP or BMP."""
    _require()
    from PIL import Image

    height, width, channels = pixels.shape
    mode = ("L", "LA", "RGB", "RGBA")[channels - 1]
    flat = np.ascontiguousarray(pixels).reshape(height, -1)
    image = Image.frombuffer(mode, (width, height), flat, "raw", mode, 0, 1)
    image.save(file, format, **options)


def _require() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise BackendError("reading and writing pictures needs Pillow; install it with pip install pillow") from None


def _without_palette(image: Image.Image) -> Array:
    """Return colours or, where all that a picture has are greys, greys ``(H, W, C)``; a transparent colour is alpha."""
    palette = np.array(image.getpalette() or [0, 0, 0], np.uint8).reshape(-1, 3)
    has_alpha, has_color = "transparency" in image.info, image.mode not in ("1", "L", "P") or not is_grey(palette)
    if not has_alpha:
        pixels = _pixels(image.convert("RGB") if image.mode == "P" else image)
        return pixels if has_color or image.mode != "P" else np.ascontiguousarray(pixels[..., :1])
    pixels = _pixels(image.convert("RGBA"))
    return pixels if has_color else np.ascontiguousarray(pixels[..., ::3])


def _cmyk_to_rgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    if icc is None:
        return image.convert("RGB")
    try:
        from PIL import ImageCms

        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImportError, OSError, ValueError, ImageCms.PyCMSError):
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")


def _pixels(image: Image.Image) -> Array:
    """Copy a loaded image into a new array band by band, so that no second whole copy exists beside Pillow's."""
    if image.mode not in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I"):
        raise InputError(f"the pixel mode {image.mode!r} is not supported; save the picture as PNG or TIFF")
    width, height = image.size
    channels = len(image.getbands())
    pixels = np.empty((height, width, channels), np.uint16 if image.mode in ("I;16", "I") else np.uint8)
    rows = max(1, BAND_BYTES // (width * channels))
    for top in range(0, height, rows):
        band = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        pixels[top : top + rows] = band.reshape(-1, width, channels)
    if image.mode == "1":
        pixels *= 255
    return pixels


def resize_pixels(pixels: Array, h: int, w: int, interpolation: str) -> Array:
    """Resize uint8 ``(H, W, C)`` with 1 or 3 channels to ``(h, w, C)``; each of the two passes is rounded to 8 bits."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    resized = np.asarray(image.resize((w, h), Image.Resampling[interpolation.upper()]))
    return resized[..., np.newaxis] if resized.ndim == 2 else resized


def resize_plane(plane: FloatArray, h: int, w: int, interpolation: str) -> FloatArray:
    """Resize float32 ``(H, W)`` to ``(h, w)`` without rounding."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(image.resize((w, h), Image.Resampling[interpolation.upper()]), np.float32)
