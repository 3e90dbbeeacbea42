"""The build benchmark: its CPU part on small networks, its GPU part on the doubles."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.builds.accuracy import open_network, typed_networks
from benchmarks.builds.command import Plan, measure
from benchmarks.builds.engines import EngineTimes
from benchmarks.builds.pytorch import measure_pytorch
from benchmarks.builds.report import render
from benchmarks.runtime.networks import Subject, picture
from edgesr.compile.child import build_proven
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BackendError
from tests.compile.samples import unet
from tests.engines.api_walk import Walk
from tests.engines.doubles import DoubleBackend
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS
from tests.networks import convolution_x

PLAN = Plan(4, (16,), 3, True)


@pytest.fixture
def network(tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return str(convolution_x(tmp_path / "theirs.onnx", depth=4))


class Gpu:
    """Doubles of one machine: every backend on one fake GPU, builds in this process."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.fake = FakeCudart()
        self.backends: list[DoubleBackend] = []

    def open(self, graphs: bool) -> DoubleBackend:
        self.backends.append(DoubleBackend(self.version, fake=self.fake, graphs=graphs))
        return self.backends[-1]

    def build(self, request):
        return build_proven(TensorRt(self.backends[-1].double.module), request)


def test_every_precision_is_compared_with_fp32(network):
    rows = {row.precision: row for row, _ in typed_networks(open_network(network, None, 4))}
    assert rows["fp32"].against_fp32["min_psnr"] is None  # equal pictures
    assert rows["fp16"].bytes < rows["fp32"].bytes
    assert rows["fp16"].within_gate
    assert rows["fp16"].nodes["fp16"] > 0
    assert rows["int8"].nodes["int8"] > 0
    assert rows["fp16"].against_fp32["min_psnr"] > rows["int8"].against_fp32["min_psnr"]


def test_pictures_that_calibrate_are_not_those_that_compare(network, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(6):
        Image.fromarray(picture(80, 80, index)).save(folder / f"{index}.png")
    opened = open_network(network, folder, 6)
    assert opened.told == "6 of 6 pictures in pictures: 3 calibrate, the other 3 compare"
    first, second = ({feed["image"].tobytes() for feed in proof.feeds} for proof in (opened.calibration, opened.proof))
    assert not first & second


def test_without_a_gpu_the_report_says_that_no_engine_was_run(network):
    def nothing(graphs: bool):
        raise BackendError("no GPU answers")

    results = measure(PLAN, [network], None, nothing)
    text = render(results)
    assert "**No engine was built or timed: no GPU answers.**" in text
    assert text.count("Not run: no GPU answers.") == 2
    assert results.engines == results.pytorch == []


@pytest.mark.parametrize("version", (VERSIONS[0], VERSIONS[1], VERSIONS[-1]))
def test_engines_are_built_compared_and_timed_with_and_without_graphs(version, network):
    gpu = Gpu(version)
    results = measure(PLAN, [network], None, gpu.open, gpu.build)
    made = {times.precision: times for times in results.engines}
    assert set(made) == {"fp32", "fp16", "int8", "int8-fp16"}
    for times in made.values():
        if times.note:  # opset 19 is too new for TensorRT 8
            assert (version, times.precision) == ("8.6.1", "int8-fp16")
            continue
        assert len(times.plain) == len(times.graph) == len(times.with_transfers) == len(times.kernels) == PLAN.rounds
        assert times.graph_refusal == ""
        assert min(times.kernels) > 0
        assert max(times.output.values()) < (1e-6 if times.precision == "fp32" else 0.1)
    assert made["fp32"].shape == "image:1x1x16x16"
    assert made["fp32"].tensorrt == version
    assert "| theirs | fp32 | image:1x1x16x16 |" in render(results)
    assert all(not times.times and "left out" in times.note for times in results.pytorch)
    for backend in gpu.backends:
        backend.check()


def test_a_capture_that_fails_is_reported_and_not_timed_as_a_graph(network):
    gpu = Gpu("10.3.0")
    opened = gpu.open

    def spoilt(graphs: bool) -> DoubleBackend:
        backend = opened(graphs)
        backend.double.faults["capture"] = True
        return backend

    (times, *_) = measure(PLAN, [network], None, spoilt, gpu.build).engines
    assert times.graph == []
    assert times.graph_refusal
    assert len(times.plain) == PLAN.rounds


def test_a_failed_build_is_a_line_and_the_others_go_on(network):
    gpu = Gpu("10.3.0")
    failing = iter([True, False, False, False])

    def build(request):
        gpu.backends[-1].double.faults["build"] = "Error Code 10: odd" if next(failing) else None
        return gpu.build(request)

    results = measure(PLAN, [network], None, gpu.open, build)
    assert "odd" in results.engines[0].note
    assert not any(times.note for times in results.engines[1:])
    assert "odd" in render(results)


def test_a_network_that_is_no_picture_model_is_measured_by_tensors(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    unet(tmp_path)
    gpu = Gpu("10.13.3.9")
    results = measure(PLAN, [str(tmp_path / "unet.onnx")], None, gpu.open, gpu.build)
    assert results.accuracy[1].against_fp32["min_ssim"] is None
    assert not results.engines[0].note
    assert results.pytorch == []


def test_the_overhead_is_graph_over_kernels(network):
    times = EngineTimes(
        "n", "fp16", "x:1", "10.3.0", "G", 1.0, 1 << 20, {"fp16": 3}, [2.0], [1.04], [3.0], [1.0], output={"y": 0.5}
    )
    results = replace(measure(PLAN, [network], None, None), engines=[times], no_gpu="")
    assert "| n | fp16 | x:1 | 3 fp16 | 1 | 1.0 |" in render(results)
    assert "| 1.000 | 4.0% | yes | 5.00e-01 |" in render(results)
    slow = replace(results, engines=[replace(times, graph=[1.06])])
    assert "| 6.0% | no |" in render(slow)
    assert math.isclose(times.graph[0] / times.kernels[0] - 1, 0.04, abs_tol=1e-9)


def test_the_profiler_uses_what_every_tensorrt_has():
    path = Path(__file__).parents[2] / "benchmarks" / "builds" / "kernels.py"
    walk = Walk(path.read_text())
    assert walk.problems == []
    assert walk.checked > 5


@pytest.mark.slow
def test_pytorch_runs_the_shipped_network():
    pytest.importorskip("torch")
    subject = Subject("cxr-x4-fast", "cxr-x4-fast", picture(32, 32))
    found = measure_pytorch(subject, "cpu", rounds=2, modes=("eager",))
    assert [(it.precision, it.mode) for it in found] == [("fp32", "eager"), ("fp16", "eager")]
    assert len(found[0].times) == 2


def test_the_command_writes_both_files(network, tmp_path, capsys):
    words = ["build", network, "--quick", "--no-gpu", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    text = capsys.readouterr().out
    (document,) = (tmp_path / "out").glob("build-*.json")
    assert document.with_suffix(".md").read_text() == text.removesuffix("\n")
    assert "--no-gpu was asked for" in text
    assert json.loads(document.read_text())["accuracy"][0]["network"]
    assert np.isfinite(json.loads(document.read_text())["accuracy"][1]["against_fp32"]["min_psnr"])
