"""The commands of the README's section on engines, on a real GPU: ``pytest -m gpu``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.runtime.networks import picture
from edgesr.cli import main
from tests.gpu.conftest import why_no_gpu

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def on_a_gpu() -> None:
    if why_no_gpu():
        pytest.skip(why_no_gpu())


def test_a_shipped_model_is_built_inspected_and_run(tmp_path, capsys):
    source, package = tmp_path / "in.png", tmp_path / "fast.edgesr"
    Image.fromarray(picture(200, 300)).save(source)
    assert main(["build", "cxr-x4-fast", "--fp16", "--target", "engine", "-o", str(package), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "engine"
    assert main(["cache", "list", "--json"]) == 0
    (engine,) = json.loads(capsys.readouterr().out)["engines"]
    assert main(["inspect", engine["path"], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs_here"] is True
    assert told["layers"]
    for device in ("cpu", "tensorrt"):
        target = str(tmp_path / f"{device}.png")
        assert main(["run", str(source), "-m", str(package), "-o", target, "--device", device]) == 0
    capsys.readouterr()
    with Image.open(tmp_path / "cpu.png") as ours, Image.open(tmp_path / "tensorrt.png") as theirs:
        assert np.abs(np.asarray(ours, np.int16) - np.asarray(theirs, np.int16)).max() <= 13


def test_the_benchmark_writes_its_engines(tmp_path, capsys):
    from benchmarks.__main__ import main as benchmark

    assert benchmark(["build", "cxr-x4-fast", "--quick", "--out", str(tmp_path)]) == 0
    (document,) = tmp_path.glob("build-*.json")
    results = json.loads(document.read_text())
    assert results["no_gpu"] == ""
    assert any(times["graph"] for times in results["engines"])
