"""``edgesr run`` on one picture."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgesr.image import read
from tests.cli.commands import files, run
from tests.cli.conftest import Call, Models
from tests.cli.pictures import pages, picture


def test_the_result_lies_beside_the_picture(call: Call, models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", 12, 16)
    answer = call("run", source, "-m", models.package)
    assert (answer.code, answer.out) == (0, f"{tmp_path / 'a_x2.png'}\n")
    assert answer.error.startswith("16 x 12 -> 32 x 24 in ")
    assert read(tmp_path / "a_x2.png").pixels.shape == (24, 32, 1)
    assert files(tmp_path) == ["a.png", "a_x2.png"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--suffix", "_big"], "in/a_big.png"),
        (["--suffix=-2"], "in/a-2.png"),
        (["--format", "tif"], "in/a_x2.tif"),
        (["--format", ".TIFF"], "in/a_x2.tiff"),
        (["-o", "b.png"], "b.png"),
        (["-o", "b.png", "--suffix", "_s"], "b_s.png"),
        (["-o", "b.TIF"], "b.TIF"),
        (["-o", "b.webp", "--format", "webp"], "b.webp"),
        (["-o", "there"], "there/a_x2.png"),
        (["-o", "there/", "--suffix", ""], "there/a.png"),
        (["-o", "new"], "new/a_x2.png"),
        (["-o", "new/deep/", "--format", "bmp"], "new/deep/a_x2.bmp"),
        (["-o", "new/deep/b.png"], "new/deep/b.png"),
        (["-o", "dotted.folder/"], "dotted.folder/a_x2.png"),
    ],
)
def test_options_name_the_output(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    picture(tmp_path / "in/a.png")
    answer = call("run", "in/a.png", "-m", models.package, *options)
    assert (answer.code, answer.out) == (0, f"{expected}\n")
    assert read(expected).pixels.shape[:2] == (24, 32)
    assert sorted([expected, "in/a.png"]) == files(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a_x2.png"),
        ("a.JPEG", "a_x2.png"),
        ("a.webp", "a_x2.png"),
        ("a.gif", "a_x2.png"),
        ("a.bmp", "a_x2.bmp"),
        ("a.tif", "a_x2.tif"),
        ("a.TIFF", "a_x2.TIFF"),
        ("a.dcm", "a_x2.dcm"),
        ("a.b.png", "a.b_x2.png"),
    ],
)
def test_formats_that_lose_become_png_and_others_stay(
    call: Call, models: Models, tmp_path: Path, name: str, expected: str
) -> None:
    source = picture(tmp_path / name)
    assert call("run", source, "-m", models.package).out == f"{tmp_path / expected}\n"
    assert read(tmp_path / expected).pixels.shape == (24, 32, 3 if name == "a.webp" else 1)


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2", "scan.dicom", "scan.bin"])
def test_dicom_stays_dicom_under_any_name(call: Call, models: Models, tmp_path: Path, name: str) -> None:
    source = picture(tmp_path / "a.dcm", dtype="uint16").rename(tmp_path / name)
    answer = call("run", source, "-m", models.package)
    target = Path(answer.out.strip())
    expected = {"scan.dicom": "scan_x2.dicom"}.get(name, f"{name}_x2.dcm")
    assert (answer.code, target.name) == (0, expected)
    assert target.read_bytes()[128:132] == b"DICM"
    assert "Secret" not in answer.err + answer.out
    assert "4711" not in answer.err + answer.out


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("suffix", "dtype"), [("png", "uint8"), ("png", "uint16"), ("tif", "float32")])
def test_channels_and_bits_stay(
    call: Call, models: Models, tmp_path: Path, channels: int, suffix: str, dtype: str
) -> None:
    source = picture(tmp_path / f"a.{suffix}", 40, 40, channels, dtype)
    assert call("run", source, "-m", models.package).code == 0
    result = read(tmp_path / f"a_x2.{suffix}").pixels
    assert (result.shape, result.dtype.name) == ((80, 80, channels), dtype)
    if dtype == "uint16":
        assert np.count_nonzero(result % 257) > result.size // 2, "16 bits must not go through 8"


def test_every_page_of_a_tiff_is_enlarged(call: Call, models: Models, tmp_path: Path) -> None:
    source = pages(tmp_path / "a.tif", 3)
    answer = call("run", source, "-m", models.package, "--json")
    assert answer.document["results"][0]["frames"] == 3
    results = read(tmp_path / "a_x2.tif").frames
    assert [frame.shape for frame in results] == [(24, 32, 1)] * 3
    assert not np.array_equal(results[0], results[1])
    assert "write TIFF" in call("run", source, "-m", models.package, "-o", tmp_path / "a.png").error


def test_json_is_one_document_and_nothing_else_is_said(call: Call, models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    answer = call("run", source, "-m", models.package, "--json")
    assert (answer.code, answer.err) == (0, "")
    document = answer.document
    assert (document["model"], document["version"], document["scale"]) == ("tiny-x2", "1.0.0", 2)
    assert document["failed"] == 0
    (record,) = document["results"]
    assert record["output"] == str(tmp_path / "a_x2.png")
    assert (record["status"], record["input_size"], record["output_size"]) == ("done", [12, 16], [24, 32])


def test_json_says_which_runtime_auto_took(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesr.pipelines.place.find_spec", lambda name: object())  # as where OpenVINO is installed
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = picture(tmp_path / "a.png")
    auto, named = (
        call("run", source, "-m", models.package, "--json", "--device", device).document for device in ("auto", "cpu")
    )
    (sentence,) = auto["runtime"]
    assert sentence.endswith(": ONNX Runtime, as less than 1 s was computed")
    assert "runtime" not in named


def test_json_also_holds_the_failure(call: Call, models: Models, tmp_path: Path) -> None:
    answer = call("run", tmp_path / "none.png", "-m", models.package, "--json")
    (record,) = answer.document["results"]
    assert (answer.code, answer.document["failed"], record["status"]) == (6, 1, "failed")
    assert answer.error == record["error"]


def test_the_error_map_lies_beside_the_result(call: Call, models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    answer = call("run", source, "-m", models.with_uncertainty, "--uncertainty")
    assert (answer.code, answer.out) == (0, f"{tmp_path / 'a_x2.png'}\n")
    assert answer.error.endswith(f"uncertainty in {tmp_path / 'a_x2_uncertainty.png'}")
    bound = read(tmp_path / "a_x2_uncertainty.png").pixels
    assert (bound.shape, bound.dtype) == ((24, 32, 1), np.uint16)
    refused = call("run", source, "-m", models.package, "--uncertainty", "-o", tmp_path / "b.png")
    assert (refused.code, refused.error) == (2, "model tiny-x2 predicts no uncertainty")
    assert files(tmp_path) == ["a.png", "a_x2.png", "a_x2_uncertainty.png"]


def test_the_error_maps_of_many_frames_are_a_tiff(call: Call, models: Models, tmp_path: Path) -> None:
    source = pages(tmp_path / "a.tif", 2)
    assert call("run", source, "-m", models.with_uncertainty, "--uncertainty").code == 0
    assert len(read(tmp_path / "a_x2_uncertainty.tif").frames) == 2


def test_a_bare_onnx_file_says_what_was_inferred(call: Call, models: Models, tmp_path: Path) -> None:
    answer = call("run", picture(tmp_path / "a.png"), "-m", models.onnx)
    lines = answer.err.splitlines()
    assert answer.code == 0
    assert all(line.startswith("edgesr: ") for line in lines)
    assert any("scale 2" in line for line in lines)
    assert call("run", tmp_path / "none.png", "-m", models.onnx).error.endswith("check the path")


@pytest.mark.parametrize("words", [["--range", "-1,1"], ["--range=-1,1"], ["--range", "0,255"]])
def test_a_range_may_begin_below_zero(call: Call, models: Models, tmp_path: Path, words: list[str]) -> None:
    assert call("run", picture(tmp_path / "a.png"), "-m", models.onnx, *words).code == 0


def test_the_environment_names_the_model_unless_the_command_does(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = picture(tmp_path / "a.png")
    monkeypatch.setenv("EDGESR_MODEL", str(models.package))
    assert call("run", source, "--json").document["model"] == "tiny-x2"
    assert call("run", source, "--json", "-m", models.with_uncertainty).document["model"] == "sure-x2"
    monkeypatch.setenv("EDGESR_MODEL", "nonsense-x9")
    answer = call("run", source)
    assert (answer.code, "nonsense-x9" in answer.error) == (3, True)


@pytest.mark.parametrize("options", [["-o", "a.png"], ["--suffix", ""], ["-o", "link.png"], ["-o", ".", "--suffix="]])
def test_the_input_is_never_replaced(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = picture(tmp_path / "a.png").read_bytes()
    (tmp_path / "link.png").symlink_to("a.png")
    answer = call("run", "a.png", "-m", models.package, *options)
    assert (answer.code, "would replace this input" in answer.error) == (2, True)
    assert (tmp_path / "a.png").read_bytes() == before
    assert files(tmp_path) == ["a.png", "link.png"]


def test_tiles_change_nothing(call: Call, models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", 70, 90)
    for name, tile in (("whole", "100000000"), ("tiled", "40")):
        words = ["-m", models.package, "-o", tmp_path / f"{name}.png", "--tile", tile, "--threads", "1"]
        assert call("run", source, *words).code == 0
    whole, tiled = (read(tmp_path / f"{name}.png").pixels.astype(int) for name in ("whole", "tiled"))
    assert np.abs(whole - tiled).max() <= 1


def test_file_names_that_are_no_text_are_printed_as_they_are(models: Models, tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9 \xc3\xa9.png"))
    answer = run("run", source, "-m", models.package)
    assert (answer.code, answer.out) == (0, f"{source.with_name(source.stem + '_x2.png')}\n")
    assert run("run", source, "-m", models.package, "--json").document["failed"] == 0
    missing = run("run", source.with_name("\udcff.png"), "-m", models.package)
    assert (missing.code, "\\udcff.png" in missing.error) == (6, True)


def test_an_output_is_replaced_whole(call: Call, models: Models, tmp_path: Path) -> None:
    source, target = picture(tmp_path / "a.png"), tmp_path / "b.png"
    target.write_bytes(b"an older file, longer than the new one" * 1000)
    assert call("run", source, "-m", models.package, "-o", target).code == 0
    assert read(target).pixels.shape == (24, 32, 1)
    assert files(tmp_path) == ["a.png", "b.png"]


def test_a_picture_that_does_not_fit_the_model_is_noted_once(call: Call, tmp_path: Path) -> None:
    fits = Path(__file__).parents[2] / "examples" / "chest_xray.png"
    with Image.open(fits) as image:
        image.crop((64, 64, 128, 128)).resize((128, 128), Image.Resampling.BICUBIC).save(tmp_path / "soft.png")
        image.crop((64, 64, 192, 192)).save(tmp_path / "true.png")
    answer = call("run", tmp_path / "true.png", "-m", "cxr-x4-fast", "--json")
    assert "softer" not in answer.err
    assert json.loads(answer.out)["results"][0]["convention"]["problem"] is None
    answer = call("run", tmp_path / "soft.png", "-m", "cxr-x4-fast", "-o", tmp_path / "out.png")
    assert answer.code == 0
    assert answer.err.count("soft.png: it is softer") == 1
    (tmp_path / "more.png").write_bytes((tmp_path / "soft.png").read_bytes())
    answer = call("run", f"{tmp_path}/[ms]*.png", "-m", "cxr-x4-fast", "--json", "-o", tmp_path / "all")
    assert answer.err.count("softer") == 1
    assert "2 pictures do not look like" in answer.err
    records = json.loads(answer.out)["results"]
    assert ["softer" in record["convention"]["problem"] for record in records] == [True, True]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_picture_that_cannot_be_finished_takes_its_error_map_along(
    call: Call, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    source = picture(tmp_path / "a.png")
    replace, fsync = Path.replace, os.fsync
    opened: list[int] = []

    def failing_replace(path: Path, target: Path) -> Path:
        if target.name == "b.png":
            raise OSError(5, "Input/output error")
        return replace(path, target)

    def failing_fsync(descriptor: int) -> None:
        opened.append(descriptor)
        if len(opened) == 2:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(Path, "replace", failing_replace if moment == "replace" else replace)
    monkeypatch.setattr(os, "fsync", failing_fsync if moment == "fsync" else fsync)
    answer = call("run", source, "-m", models.with_uncertainty, "--uncertainty", "-o", tmp_path / "b.png")
    assert (answer.code, answer.out) == (6, "")
    assert files(tmp_path) == ["a.png"]
