"""``edgesr build`` of latent diffusions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgesr.compile.engine_cache import EngineCache
from edgesr.image import Metadata, Picture, read, write
from edgesr.model import open_package
from edgesr.pipelines.load import load
from tests.cli.conftest import Call
from tests.pipelines.diffusion_packages import package
from tests.pipelines.test_tensorrt import Machine, picture


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package, and pictures like those that it will see."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    package(tmp_path)
    (tmp_path / "data").mkdir()
    for seed in range(2):
        smooth = np.kron(np.random.default_rng(seed).integers(40, 200, (4, 4), np.uint8), np.ones((4, 4), np.uint8))
        write(tmp_path / "data" / f"{seed}.png", Picture([smooth[..., None]], Metadata(format="PNG")))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "name", "psnr"),
    [
        (("--unroll", "2"), "tiny-diffusion-unrolled2", 100.0),
        (("--fp16", "--unroll", "3"), "tiny-diffusion-fp16-unrolled3", 60.0),
        (("--int8",), "tiny-diffusion-int8", 38.0),
    ],
)
def test_a_package_of_another_form_makes_the_pictures_of_fp32(
    call: Call, place: Path, words: tuple[str, ...], name: str, psnr: float
) -> None:
    base = ("build", "tiny-diffusion.edgesr", *words, "--target", "onnx", "--calib", "data")
    answer = call(*base, "--json")
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert document["output"] == f"{name}.edgesr"
    assert document["against_fp32"]["min_psnr"] >= psnr
    made = open_package(f"{name}.edgesr")
    assert made.descriptor.name == name
    assert ("unrolled" in made.descriptor.parts) == ("--unroll" in words)
    if "--unroll" not in words:
        assert {"encoder", "unet", "decoder"} <= set(made.descriptor.precision or {})
        assert "layers in INT8" in document["unet"]["made"]
        assert "has no layer that INT8 could take" in document["decoder"]["made"]
        assert all(
            (document[part]["against_fp32"]["min_psnr"] or 999.0) >= psnr for part in ("encoder", "unet", "decoder")
        )
    steps = ("--steps", words[-1]) if "--unroll" in words else ()
    image = read(place / "data" / "0.png").frames[0].astype(np.float32) / 255
    options = {"steps": int(steps[1])} if steps else {}
    with load("tiny-diffusion.edgesr", "cpu") as source, load(f"{name}.edgesr", "cpu") as other:
        error = np.square(other(image).astype(float) - source(image, **options)).mean()
    assert -10 * np.log10(max(error, 1e-15)) >= psnr


def test_engines_of_all_parts_are_built_compared_and_found_again(
    call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine("10.3.0", monkeypatch, place)
    monkeypatch.syspath_prepend(str(place / "site"))
    answer = call("build", "tiny-diffusion.edgesr", "--fp16", "--target", "engine", "--calib", "data", "-o", "h.edgesr")
    assert answer.code == 0, answer.err
    assert "its engines are in the cache; their pictures, against FP32" in answer.err
    assert len(EngineCache().entries()) == 3
    notes: list[str] = []
    with load("h.edgesr", "tensorrt", note=notes.append) as pipeline:
        assert pipeline(picture(12, 16)).shape == (48, 64)
    assert notes == []
    machine.fake.check()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--unroll", "0"), 2, "expected a whole number from 1 to 64, got '0'"),
        (("--unroll", "60"), 2, "steps must be 1 to 51"),
        (("--auto",), 2, "--auto is for one network, and model tiny-diffusion has several"),
        (("--fp16", "--io", "fp16"), 2, "--io fp16 is for one network"),
        (("--int8",), 2, "give a folder with --calib"),
        (("--fp16", "--min-psnr", "300"), 5, "missed its accuracy gate"),
        (("--fp16", "--exclude", "."), 3, "unet: nothing of it can be FP16, mostly because it is excluded; keep FP32"),
    ],
)
def test_bad_words_get_one_line_and_write_nothing(
    call: Call, place: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = call("build", "tiny-diffusion.edgesr", *words, "--target", "onnx", "-o", "out.edgesr")
    assert answer.code == code, answer.err
    assert said in answer.error
    assert not (place / "out.edgesr").exists()


def test_only_a_diffusion_is_unrolled(call: Call, place: Path) -> None:
    answer = call("build", "cxr-x4-fast", "--unroll", "2", "--target", "onnx")
    assert (answer.code, "--unroll merges the steps of a latent diffusion" in answer.error) == (2, True)
