"""Every kind of bad input: one line that names the file, the right exit code, and nothing left behind."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.cli.commands import files
from tests.cli.conftest import Call, Models
from tests.cli.pictures import picture

FORMATS = ("png", "jpg", "tif", "webp", "bmp", "gif", "dcm")


def refused(call: Call, models: Models, source: Path, *, reason: str = "") -> None:
    """Check that one picture fails as it should, by itself and in a folder run."""
    before = files(source.parent)
    answer = call("run", source, "-m", models.package)
    assert (answer.code, answer.out) == (6, ""), answer
    assert answer.error.startswith(f"{source}: ")
    assert reason in answer.error
    assert len(answer.error) < len(str(source)) + 300
    assert files(source.parent) == before


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.7, 0.97])
def test_a_truncated_picture(call: Call, models: Models, tmp_path: Path, suffix: str, part: float) -> None:
    source = picture(tmp_path / f"a.{suffix}", 40, 40, seed=3)
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * part)])
    refused(call, models, source)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("content", [b"not a picture", b"\0" * 1000, b"PK\3\4", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n"])
def test_something_else_under_a_pictures_name(
    call: Call, models: Models, tmp_path: Path, suffix: str, content: bytes
) -> None:
    source = tmp_path / f"a.{suffix}"
    source.write_bytes(content)
    refused(call, models, source)


def test_a_missing_picture(call: Call, models: Models, tmp_path: Path) -> None:
    refused(call, models, tmp_path / "none.png", reason="no such file")
    (tmp_path / "loop.png").symlink_to("loop.png")
    refused(call, models, tmp_path / "loop.png")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    refused(call, models, tmp_path / "dangling.png", reason="no such file")


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a/" * 3000 + "b.png"])
def test_an_impossible_name(call: Call, models: Models, tmp_path: Path, name: str) -> None:
    answer = call("run", f"{tmp_path}/{name}", "-m", models.package)
    assert (answer.code, answer.out) == (6, "")
    assert answer.error.startswith(str(tmp_path))
    several = call("run", f"{tmp_path}/{name}", picture(tmp_path / "b.png"), "-m", models.package)
    assert several.code == 6
    assert "1 restored, 0 already done, 1 failed" in several.err


def test_special_files_do_not_hang(call: Call, models: Models, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    refused(call, models, tmp_path / "pipe.png", reason="not a regular file")
    for device in ("/dev/null", "/dev/zero", "/dev/tty"):
        answer = call("run", device, "-m", models.package, "-o", tmp_path / "b.png")
        assert (answer.code, device in answer.error) == (6, True)
    assert "holds no pictures" in call("run", tmp_path, "-m", models.package).error


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(10_000_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def tiff_bomb(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), compression="zlib")
    content = path.read_bytes()
    for tag in (256, 257):
        place = content.index(struct.pack("<HHI", tag, 4, 1))
        content = content[:place] + struct.pack("<HHII", tag, 4, 1, 1 << 20) + content[place + 12 :]
    path.write_bytes(content)


def bmp_bomb(path: Path) -> None:
    picture(path)
    path.write_bytes(path.read_bytes()[:18] + struct.pack("<ii", 1 << 24, 1 << 24) + path.read_bytes()[26:])


def gif_bomb(path: Path) -> None:
    picture(path)
    path.write_bytes(path.read_bytes()[:6] + b"\xff\xff\xff\xff" + path.read_bytes()[10:])


def jpeg_bomb(path: Path) -> None:
    picture(path)
    content = path.read_bytes()
    place = content.index(b"\xff\xc0") + 5
    path.write_bytes(content[:place] + b"\xff\xf0\xff\xf0" + content[place + 4 :])


def png_text_bomb(path: Path) -> None:
    picture(path)
    content = path.read_bytes()
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000)))
    path.write_bytes(content[:33] + text + content[33:])


@pytest.mark.parametrize(
    ("make", "suffix"),
    [(png_bomb, "png"), (tiff_bomb, "tif"), (bmp_bomb, "bmp"), (gif_bomb, "gif"), (jpeg_bomb, "jpg")],
)
def test_a_decompression_bomb(
    call: Call, models: Models, tmp_path: Path, make: Callable[[Path], None], suffix: str
) -> None:
    source = tmp_path / f"a.{suffix}"
    make(source)
    refused(call, models, source, reason="pixels, more than the limit")


def test_a_bomb_in_a_comment_is_no_danger(call: Call, models: Models, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    png_text_bomb(source)
    answer = call("run", source, "-m", models.package)
    assert answer.code in (0, 6)
    assert answer.error


def test_the_limit_of_pixels_can_be_chosen(call: Call, models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", 20, 20)
    answer = call("run", source, "-m", models.package, "--max-pixels", "399")
    assert (answer.code, "more than the limit of 399" in answer.error) == (6, True)
    assert call("run", source, "-m", models.package, "--max-pixels", "400").code == 0


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((8, 8), np.nan, np.float32), "NaN"),
        (np.full((8, 8), np.inf, np.float32), ""),
        (np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8), "[0, 1]"),
        (np.full((8, 8), -1, np.float64), "[0, 1]"),
        (np.full((8, 8), 1e39, np.float64), ""),
        (np.zeros((8, 8, 5), np.uint8), "5 channels"),
        (np.zeros((8, 8, 7), np.uint16), "7 channels"),
        (np.zeros((8, 8), np.int32), "32-bit"),
        (np.zeros((8, 8), np.int16), "16-bit"),
        (np.zeros((8, 8), np.complex64), ""),
    ],
)
def test_pixels_that_are_no_picture(call: Call, models: Models, tmp_path: Path, array: np.ndarray, reason: str) -> None:
    source = tmp_path / "a.tif"
    photometric = "minisblack"
    tifffile.imwrite(source, array, photometric=photometric, planarconfig="contig" if array.ndim == 3 else None)
    refused(call, models, source, reason=reason)


def test_a_result_that_its_format_cannot_hold(call: Call, models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.tif", channels=4, dtype="float32")
    for name in ("b.png", "b.jpg", "b.webp", "b.bmp", "b.dcm"):
        answer = call("run", source, "-m", models.package, "-o", tmp_path / name)
        assert (answer.code, answer.error.startswith(f"{tmp_path / name}: ")) == (6, True)
    assert files(tmp_path) == ["a.tif"]


def package_with(models: Models, change: Callable[[dict[str, bytes]], None]) -> bytes:
    with zipfile.ZipFile(models.package) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    change(contents)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return target.getvalue()


CHANGES: dict[str, Callable[[dict[str, bytes]], object]] = {
    "another network": lambda c: c.update({"network.onnx": c["network.onnx"] + b" "}),
    "no network": lambda c: c.pop("network.onnx"),
    "no descriptor": lambda c: c.pop("model.json"),
    "empty descriptor": lambda c: c.update({"model.json": b""}),
    "deep descriptor": lambda c: c.update({"model.json": b"[" * 100_000}),
    "other schema": lambda c: c.update({"model.json": c["model.json"].replace(b'"schema": 1', b'"schema": 99')}),
    "absurd scale": lambda c: c.update({"model.json": c["model.json"].replace(b'"scale": 2', b'"scale": 2000000')}),
    "path outside": lambda c: c.update({"../evil.onnx": b"x"}),
    "a pickle": lambda c: c.update({"weights.pkl": b"x"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_corrupt_package(call: Call, models: Models, tmp_path: Path, name: str) -> None:
    source, model = picture(tmp_path / "a.png"), tmp_path / "model.edgesr"
    model.write_bytes(package_with(models, CHANGES[name]))  # type: ignore[arg-type]
    answer = call("models", "add", model) if name == "a pickle" else call("run", source, "-m", model)
    assert (answer.code, answer.out) == (3, ""), answer
    assert answer.error.startswith(f"{model}")
    assert files(tmp_path) == ["a.png", "model.edgesr"]


@pytest.mark.parametrize("kind", ["package", "onnx"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_model(call: Call, models: Models, tmp_path: Path, kind: str, part: float) -> None:
    whole: Path = getattr(models, kind)
    source, model = picture(tmp_path / "a.png"), tmp_path / f"model{whole.suffix}"
    model.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * part)])
    answer = call("run", source, "-m", model)
    assert (answer.code, answer.out) == (3, ""), answer
    assert answer.error.startswith(f"{model}")
    assert files(tmp_path) == ["a.png", model.name]
