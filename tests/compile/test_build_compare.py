"""``edgesr build --compare``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgesr.cli import main
from tests.compile.samples import unet
from tests.fakes.tensorrt import VERSIONS
from tests.pipelines.test_tensorrt import Machine, make_package


@pytest.fixture
def package(tmp_path) -> Path:
    return make_package(tmp_path, channels=3)


def test_the_layers_are_listed_with_the_first_and_the_worst(package, tmp_path, capsys):
    output = tmp_path / "typed.edgesr"
    words = ["build", str(package), "--fp16", "--target", "onnx", "-o", str(output)]
    assert main([*words, "--compare", "--compare-threshold", "0.00001"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(output)
    assert lines[1].startswith("onnx: ")
    assert "the first above 0.00% is" in lines[1]
    assert lines[2].split() == ["error", "added", "largest", "type", "operator", "layer"]
    assert 4 <= len(lines) <= 14
    assert any("fp16" in line.split() for line in lines[3:])


def test_the_layers_are_json_data(package, tmp_path, capsys):
    output = tmp_path / "typed.edgesr"
    words = ["build", str(package), "--fp16", "--target", "onnx", "-o", str(output), "--json"]
    assert main([*words, "--compare"]) == 0
    found = json.loads(capsys.readouterr().out)["comparison"]["onnx"]
    assert found["first_above_threshold"] is None
    assert found["threshold"] == 0.01
    assert {"layer", "operator", "tensor", "precision", "error", "added", "max_abs"} == set(found["layers"][0])
    assert main(words) == 0
    assert "comparison" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("is_json", [False, True])
def test_a_missed_gate_names_picture_and_layer_and_shows_the_layers(package, tmp_path, capsys, is_json):
    output = tmp_path / "typed.edgesr"
    words = ["build", str(package), "--fp16", "--target", "onnx", "-o", str(output), "--min-psnr", "300", "--compare"]
    assert main([*words, *(["--json"] if is_json else [])]) == 5
    shown = capsys.readouterr()
    (error,) = (line for line in shown.err.splitlines() if "missed its accuracy gate" in line)
    assert "dB is below 300 dB on " in error
    assert "the layer that loses most is " in error
    assert not output.exists()
    if is_json:
        found = json.loads(shown.out)["comparison"]["onnx"]
        assert found["worst"][0] in error
    else:
        assert shown.out.startswith("onnx: ")
        assert shown.out.splitlines()[2].split()[-1] in error


def test_a_network_of_tensors_is_compared_too(tmp_path, capsys):
    unet(tmp_path)
    words = ["build", "--onnx", str(tmp_path / "unet.onnx"), "--fp16", "--target", "onnx", "--min-psnr", "40"]
    assert main([*words, "-o", str(tmp_path / "typed.onnx"), "--compare", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["comparison"]["onnx"]
    assert {"enter", "attention", "leave"} <= {layer["layer"] for layer in found["layers"]}


def test_a_dry_run_compares_and_writes_nothing(package, tmp_path, capsys):
    output = tmp_path / "typed.edgesr"
    words = ["build", str(package), "--fp16", "--target", "onnx", "-o", str(output), "--dry-run", "--compare"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparison"]["onnx"]["layers"]
    assert main(words) == 0
    assert "onnx: " in capsys.readouterr().out
    assert not output.exists()


@pytest.mark.parametrize("version", (VERSIONS[0], VERSIONS[-1]))
def test_with_tensorrt_the_engine_s_layers_are_compared(version, package, monkeypatch, tmp_path, capsys):
    machine = Machine(version, monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    words = ["build", str(package), "--fp16", "--target", "engine", "-o", str(tmp_path / "typed.edgesr"), "--compare"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["comparison"]
    assert set(found) == {"onnx", "engine"}
    assert [layer["tensor"] for layer in found["engine"]["layers"]] == [
        layer["tensor"] for layer in found["onnx"]["layers"]
    ]
    machine.fake.check()
