"""Damaged pictures of every format: a complete output, or one line and nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from edgesr.image import read
from tests.cli.commands import files
from tests.cli.conftest import Call
from tests.cli.mutations import bounded_memory, damaged, with_checksums
from tests.cli.pictures import picture, pixels

PER_FORMAT = 110


def png(**options: object) -> Callable[[Path], None]:
    """Write a PNG of another kind with Pillow."""

    def write(path: Path) -> None:
        mode = str(options.get("mode", "P"))
        image = Image.fromarray(pixels(16, 16, 3)).convert("L" if mode == "1" else "RGB").convert(mode)
        image.save(path, transparency=0 if mode == "P" else None, dpi=(300, 300))

    return write


def interlaced(path: Path) -> None:
    """Write the 1 x 1 picture whose only pass of Adam7 is the first, which any encoder writes alike."""
    picture(path, 1, 1)
    content = bytearray(path.read_bytes())
    content[28] = 1
    path.write_bytes(with_checksums(bytes(content)))


def tiff(compression: str) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(pixels(16, 16, 3)).save(path, compression=compression)


def plain(channels: int = 1, dtype: str = "uint8") -> Callable[[Path], None]:
    return lambda path: picture(path, 12, 10, channels, dtype) and None


SAMPLES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "png grey": ("png", plain()),
    "png grey 16": ("png", plain(1, "uint16")),
    "png rgb": ("png", plain(3)),
    "png rgba 16": ("png", plain(4, "uint16")),
    "png palette": ("png", png(mode="P")),
    "png 1 bit": ("png", png(mode="1")),
    "png interlaced": ("png", interlaced),
    "jpeg grey": ("jpg", plain()),
    "jpeg rgb": ("jpg", plain(3)),
    "tiff none": ("tif", tiff("raw")),
    "tiff lzw": ("tif", tiff("tiff_lzw")),
    "tiff deflate": ("tif", tiff("tiff_adobe_deflate")),
    "tiff ours 16": ("tif", plain(2, "uint16")),
    "tiff float": ("tif", plain(1, "float32")),
    "webp": ("webp", plain(4)),
    "bmp": ("bmp", plain(3)),
    "gif": ("gif", plain(3)),
    "dicom": ("dcm", plain(1, "uint16")),
}


def check(answer: object, source: Path, target: Path) -> None:
    """Hold the promises for one picture: a complete output and exit code 0, or one line and no output."""
    code, out, err = answer.code, answer.out, answer.err  # type: ignore[attr-defined]
    assert code in (0, 6), answer
    assert err.count("\n") == 1, answer
    assert "Traceback" not in err
    assert "internal error" not in err
    if code:
        assert out == ""
        assert err.startswith((f"edgesr: {source}: ", f"edgesr: {target}: ")), answer
        assert not target.exists()
    else:
        result, frames = read(target), read(source).frames
        assert len(result.frames) == len(frames)
        assert result.frames[0].shape == (frames[0].shape[0] * 2, frames[0].shape[1] * 2, frames[0].shape[2])
    left = files(source.parent)
    assert left == sorted([source.name, *([target.name] if target.exists() else [])]), left
    target.unlink(missing_ok=True)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.usefixtures("loaded")
def test_damaged_pictures(call: Call, tmp_path: Path, name: str) -> None:
    suffix, make = SAMPLES[name]
    source = tmp_path / f"a.{suffix}"
    make(source)
    target = tmp_path / ("a_x2.png" if suffix in ("jpg", "webp", "gif") else f"a_x2.{suffix}")
    content, rng = source.read_bytes(), random.Random(name)
    outcomes = set()
    with bounded_memory():
        for number in range(PER_FORMAT):
            mutated = damaged(content, rng)
            source.write_bytes(with_checksums(mutated) if suffix == "png" and number % 2 else mutated)
            answer = call("run", source, "--max-pixels", 1 << 20)
            outcomes.add(answer.code)
            check(answer, source, target)
    assert 6 in outcomes


@pytest.mark.usefixtures("loaded")
def test_a_picture_of_one_format_under_the_name_of_another(call: Call, tmp_path: Path) -> None:
    for name, (suffix, make) in SAMPLES.items():
        make(tmp_path / f"whole.{suffix}")
        content = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"whole.{suffix}").unlink()
        for other in ("png", "jpg", "tif", "bmp", "dcm", "nothing"):
            source = tmp_path / f"a.{other}"
            source.write_bytes(content)
            answer = call("run", source, "-o", tmp_path / "b.tif")
            assert answer.code == 0 or "b.tif: " in answer.err, (name, answer)
            check(answer, source, tmp_path / "b.tif")
            source.unlink()
