"""``edgesr build`` of detectors of two networks: each typed by its own feeds, both judged by their boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesr.cli import main
from edgesr.compile.engine_cache import EngineCache
from edgesr.image import Picture, write
from edgesr.model import ModelDescriptor, Part, open_package, verify, write_package
from edgesr.model.chain import stages, write_chain
from edgesr.pipelines.load import load
from tests import networks
from tests.fakes.tensorrt import VERSIONS
from tests.pipelines.test_regions import DOCUMENT, first, second, squares
from tests.pipelines.test_tensorrt import Machine

EXACT = {"resize": {"rule": "exact", "size": [64, 96], "antialias": False}}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    files = {"network.onnx": first(tmp_path / "n.onnx", 16), "regions.onnx": second(tmp_path / "r.onnx", 16)}
    descriptor = ModelDescriptor.from_json({**DOCUMENT, "input": EXACT}, source="test")
    return write_package(tmp_path / "squares.edgesr", descriptor, files)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 40, (64, 96, 3), np.uint8)
    for index in range(2):
        write(folder / f"p{index}.png", Picture((np.maximum(np.roll(squares(64, 96), 16 * index, 1), noise),)))
    return folder


def build(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    code = main(["build", *map(str, words), "--json"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return json.loads(shown.out)


@pytest.mark.parametrize("flags", [["--fp16"], ["--int8"], ["--int8", "--fp16"]], ids=" ".join)
def test_both_networks_are_typed_by_their_own_feeds_and_find_the_same(capsys, tmp_path, package, pictures, flags):
    output = tmp_path / "typed.edgesr"
    said = build(capsys, package, *flags, "--calib", pictures, "-o", output, "--target", "onnx")
    typed = open_package(output)
    verify(typed)
    kind = "int8-fp16" if len(flags) == 2 else flags[0][2:]
    precision = typed.descriptor.precision
    assert (typed.descriptor.name, precision["kind"]) == (f"squares-{kind}", kind)
    assert precision["against_fp32"]["agreement"] == said["agreement"]
    assert said["agreement"] == {"metric": "box agreement", "value": 1.0, "worst_picture": "p0.png"}
    for part in ("network", "regions"):
        assert precision["parts"][part]["kind"] == kind
        assert precision[part]["calibration"]["runs"] == 2
        assert precision[part]["against_fp32"]["min_psnr"] > (25 if "int8" in kind else 50)
        assert ("int8_layers" in precision["parts"][part]) == ("int8" in kind)
    assert precision["regions"]["calibration"]["data"].startswith("the regions that FP32 finds in 2 of 2 pictures")
    assert precision["network"]["calibration"]["sha256"] != precision["regions"]["calibration"]["sha256"]
    with load(output, "cpu") as detect, load(package, "cpu") as reference:
        found, expected = detect(squares(64, 96)), reference(squares(64, 96))
        assert sorted(found.cls.tolist()) == sorted(expected.cls.tolist()) == [1, 2]
    assert main(["inspect", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "box agreement" in shown
    assert "regions:" in shown
    assert ("fp32_nodes:" if "fp16" in kind else "not_int8:") in shown or "int8_layers:" in shown


@pytest.mark.parametrize(("width", "code"), [(3, 3), (16, 0)])
def test_a_network_without_layers_for_int8_stays_and_is_said(capsys, tmp_path, pictures, width, code):
    files = {"network.onnx": first(tmp_path / "n.onnx", width), "regions.onnx": second(tmp_path / "r.onnx", width)}
    document = {**DOCUMENT, "input": EXACT}
    package = write_package(tmp_path / "p.edgesr", ModelDescriptor.from_json(document, source="test"), files)
    words = ["--int8", "--calib", pictures, "-o", tmp_path / "t.edgesr", "--target", "onnx", "--exclude", "MatMul"]
    assert main(["build", str(package), *map(str, words)]) == code
    error = capsys.readouterr().err
    if code:
        assert "neither of its networks has a layer that INT8 could take; use --fp16" in error
    else:
        assert "regions: squares: has no layer that INT8 could take" in error
        assert open_package(tmp_path / "t.edgesr").descriptor.precision["parts"]["regions"]["kind"] == "fp32"


@pytest.mark.parametrize(("pattern", "code"), [(".", 3), ("^(?!Conv)", 0)])
def test_a_network_of_which_nothing_can_be_fp16_stays_and_is_said(capsys, tmp_path, package, pictures, pattern, code):
    output = tmp_path / "t.edgesr"
    words = ["--fp16", "--calib", pictures, "-o", output, "--target", "onnx", "--exclude", pattern]
    assert main(["build", str(package), *map(str, words)]) == code
    error = capsys.readouterr().err
    if code:
        assert "model squares: nothing of its networks can be FP16; keep FP32" in error
        assert not output.exists()
    else:
        assert "regions: squares: nothing of it can be FP16, mostly because it is excluded; keep FP32" in error
        parts = open_package(output).descriptor.precision["parts"]
        assert {name: part["kind"] for name, part in parts.items()} == {"network": "fp16", "regions": "fp32"}


def test_a_missed_box_agreement_exits_5_and_writes_nothing(capsys, tmp_path, package, pictures):
    output = tmp_path / "typed.edgesr"
    words = ["--fp16", "--calib", pictures, "-o", output, "--target", "onnx", "--min-agreement", "1.1"]
    assert main(["build", str(package), *map(str, words)]) == 5
    assert "box agreement" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--auto"], "--auto is for one network and model squares has two, network and regions"),
        (["--fp16", "--embed-io"], "--embed-io is for one network"),
        (["--fp16", "--compare"], "--compare is for one network"),
        (["--fp16", "--io", "fp16"], "--io fp16 is for one network"),
        (["--fp16", "--unroll", "2"], "--unroll merges the steps of a latent diffusion"),
        (["--fp16", "-o", "x.engine", "--dry-run"], "--target engine builds both engines for edgesr run"),
        (["--fp16", "-o", "x.onnx"], "would hold 2 networks; name it .edgesr, or give a folder"),
        (["--fp16", "--min-ssim", "0.9"], "--min-ssim is for networks that make pictures"),
        (["--int8"], "give a folder with --calib"),
    ],
)
def test_what_two_networks_cannot_do_is_said_in_one_line(capsys, package, words, text):
    assert main(["build", str(package), *words]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error


def test_a_rehearsal_writes_nothing(capsys, tmp_path, package, pictures, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["build", str(package), "--fp16", "--calib", str(pictures), "--target", "onnx", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "would build: squares-fp16.edgesr\n"
    assert "both networks together, against FP32: box agreement 1.0000" in shown.err
    assert "regions: " in shown.err
    assert sorted(tmp_path.iterdir()) == before


def test_pictures_without_regions_are_refused(capsys, tmp_path, package):
    dark = tmp_path / "dark"
    dark.mkdir()
    write(dark / "dark.png", Picture((np.zeros((64, 96, 3), np.uint8),)))
    assert main(["build", str(package), "--fp16", "--calib", str(dark), "-o", str(tmp_path / "t.edgesr")]) == 6
    assert "finds no regions in the 1 pictures; give pictures with objects" in capsys.readouterr().err


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_both_engines_are_built_and_judged_together(version, monkeypatch, tmp_path, capsys, package, pictures):
    machine = Machine(version, monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    output = tmp_path / "typed.edgesr"
    said = build(capsys, package, "--int8", "--calib", pictures, "-o", output, "--target", "engine")
    assert len(said["engines"]) == 2
    assert said["agreement_of_engines"]["value"] == 1
    notes: list[str] = []
    with load(output, "tensorrt", note=notes.append) as engine, load(output, "cpu", threads=1) as reference:
        for a, b in zip(engine.predict(pictures), reference.predict(pictures), strict=True):
            assert a.predictions() == b.predictions()
    assert notes == []
    assert len(EngineCache().entries()) == 2
    machine.fake.check()


def test_a_chain_ends_in_a_detector_of_two_networks(capsys, tmp_path, package, pictures):
    descriptor = ModelDescriptor(
        name="twice",
        version="1.0.0",
        task="restore",
        parts={"network": Part("network.onnx", "", {"image": "image"}, {"image": "upscaled"})},
        scale=2,
        receptive_field=3,
    )
    path = networks.convolution_x(tmp_path / "n.onnx", channels=3)
    restore = write_package(tmp_path / "twice.edgesr", descriptor, {"network.onnx": path})
    chain, output = tmp_path / "both.edgesr", tmp_path / "typed.edgesr"
    write_chain(chain, open_package(restore), open_package(package), name="both", version="1")
    said = build(capsys, chain, "--fp16", "--calib", pictures, "-o", output, "--target", "onnx")
    assert set(said) >= {"restore", "network", "regions", "agreement"}
    assert stages(open_package(output))[1].descriptor.name == "squares-fp16"
