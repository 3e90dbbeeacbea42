"""``edgesr inspect`` on engines: every version, with and without TensorRT, whole, damaged and foreign."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesr.cli import main
from edgesr.compile import inspection
from edgesr.compile.build_process import Ended
from edgesr.compile.builder import build_plan
from edgesr.compile.fp16 import to_fp16
from edgesr.compile.graph import Graph
from edgesr.compile.inspection import describe_engine, is_engine, read_layers
from edgesr.compile.proof import count_layers
from edgesr.compile.recipe import BuildOptions
from edgesr.compile.shapes import ranged
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import ModelError
from tests import networks
from tests.compile.samples import feeds, ranges
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS, Tensorrt
from tests.fakes.trt_module import site_folder
from tests.fakes.trt_plan import Plan

PLAN = Plan((10, 3, 0, 26), b"network", "8.7").serialize()
ODD = ["[]", "{}", '{"Layers": 3}', '{"Layers": [1, {}, {"Inputs": [3]}, {"Inputs": 3}]}']
SIZES = ranged({"image": (1, 1, 8, 8)}, {"image": (1, 1, 16, 16)}, {"image": (1, 1, 32, 32)})


def write(path: Path, plan: bytes, **record) -> Path:
    path.write_bytes(plan)
    if record:
        path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(plan).hexdigest(), **record}))
    return path


def half_network(folder: Path) -> Path:
    """A network whose convolutions are FP16."""
    graph = Graph.read(networks.convolution_x(folder / "n.onnx"))
    typed, _ = to_fp16(graph, ranges(graph, feeds("image", (1, 1, 12, 12))))
    path = folder / "typed.onnx"
    path.write_bytes(typed.bytes())
    return path


@pytest.fixture
def here(monkeypatch, tmp_path):
    """Make TensorRT of a version importable, in this process and in children."""

    def install(version: str, **faults: str) -> None:
        site = site_folder(tmp_path / "site")
        monkeypatch.setenv("DOUBLE_TENSORRT_VERSION", version)
        monkeypatch.setenv("DOUBLE_TENSORRT_FAULTS", json.dumps(faults))
        monkeypatch.setenv("PYTHONPATH", str(site))
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "tensorrt", raising=False)

    yield install
    sys.modules.pop("tensorrt", None)


@pytest.fixture
def nowhere(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_engine_tells_its_layers_types_tensors_shapes_and_memory(version, here, tmp_path, capsys):
    double = Tensorrt(version)
    built = build_plan(TensorRt(double.module), half_network(tmp_path), BuildOptions(SIZES))
    path = write(tmp_path / "a.engine", built.plan, model="tiny", facts={"machine": {"gpu": "Orin"}})
    here(version)
    assert main(["inspect", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "TensorRT engine"
    assert told["tensorrt"].startswith(".".join(version.split(".")[:3]))
    assert told["record"]["facts"]["machine"]["gpu"] == "Orin"
    assert told["runs_here"] is True
    assert told["inputs"] == [{"name": "image", "dtype": "float32", "shape": [1, 1, -1, -1]}]
    assert told["profiles"] == [{"image": {"least": [1, 1, 8, 8], "best": [1, 1, 16, 16], "most": [1, 1, 32, 32]}}]
    assert told["activation_bytes"] > 0
    kinds = {layer["type"] for layer in told["layers"]}
    assert "CaskConvolution" in kinds
    if version == "8.6.1":  # its inspector writes no types where shapes are dynamic
        assert told["precision"] == {"untold": len(told["layers"])}
        assert "its layers tell no types" in told["notes"][0]
    else:
        assert told["precision"]["fp16"] > 0
        assert told["notes"] == []
    assert main(["inspect", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"bytes: {len(built.plan)}" in lines
    assert len([line for line in lines if "CaskConvolution" in line]) == 3


def test_an_engine_built_without_detail_tells_names_alone(here, tmp_path):
    double = Tensorrt("10.3.0")
    built = build_plan(TensorRt(double.module), half_network(tmp_path), BuildOptions(SIZES, detailed=False))
    here("10.3.0")
    told = describe_engine(write(tmp_path / "a.engine", built.plan))
    assert all(set(layer) == {"name"} for layer in told["layers"])
    assert len(told["layers"]) > 3
    assert "tell no types" in told["notes"][-1]


@pytest.mark.parametrize("version", [(8, 6, 1, 6), (10, 3, 0, 26), (10, 16, 1, 11), (11, 4, 0, 106)])
def test_without_tensorrt_the_header_and_the_record_are_told(version, nowhere, tmp_path, capsys):
    plan = Plan(version, b"network", "8.7").serialize()
    path = write(tmp_path / "a.engine", plan, model="tiny", build_seconds=12.5)
    assert main(["inspect", str(path)]) == 0
    shown = capsys.readouterr()
    assert f"tensorrt: {'.'.join(map(str, version))}" in shown.out
    assert "model: tiny" in shown.out
    assert "build_seconds: 12.5" in shown.out
    assert len(shown.err.splitlines()) == 1
    assert "its layers are not listed: TensorRT cannot be imported" in shown.err


def test_an_engine_of_another_version_says_what_to_do(here, tmp_path, capsys):
    here("10.13.3.9")
    assert main(["inspect", str(write(tmp_path / "a.engine", PLAN, model="m")), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs_here"] is False
    assert "built by TensorRT 10.3.0.26, here is 10.13.3.9: build it again on this machine" in told["notes"][0]


def test_an_engine_of_another_gpu_says_what_to_do(here, tmp_path):
    here("10.3.0")
    plan = Plan((10, 3, 0, 26), b"network", "5.0").serialize()
    told = describe_engine(write(tmp_path / "a.engine", plan, model="m"))
    assert told["runs_here"] is False
    assert "expecting compute" in told["notes"][0]
    assert "build it again on this machine" in told["notes"][0]


def test_without_a_gpu_the_layers_are_left_out_and_the_reason_is_said(here, tmp_path):
    here("10.3.0", runtime="CUDA initialization failure with error: 100")
    told = describe_engine(write(tmp_path / "a.engine", PLAN, model="m"))
    assert told["runs_here"] is False
    assert "does not start" in told["notes"][0]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.engine", b"", "is empty"),
        ("a.engine", b"\x08\x08\x12some onnx", "is no TensorRT engine"),
        ("a.plan", PLAN[:20], "is cut off after 20 bytes"),
        ("a.engine", b"ptrt" + struct.pack("<I", 0) + bytes([232]) + bytes(99), "is an engine of TensorRT 8.5; edgesr"),
        ("a.trt", b"ptrt", "is an engine of TensorRT 8.5 or older"),
    ],
)
def test_what_is_no_engine_is_one_line(name, content, reason, nowhere, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert main(["inspect", str(tmp_path / name)]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert f"{name} {reason}" in shown.err


def test_a_file_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "gone.engine")]) == 3
    assert "cannot read gone.engine: No such file" in capsys.readouterr().err


@settings(max_examples=30, deadline=None)
@given(st.integers(0, len(PLAN) - 1), st.integers(1, 255), st.booleans())
def test_a_bit_flipped_or_truncated_engine_never_passes_for_a_whole_one(tmp_path_factory, index, mask, is_cut):
    path = write(tmp_path_factory.mktemp("plan") / "a.engine", PLAN, model="m")
    damaged = bytearray(PLAN)
    damaged[index] ^= mask
    path.write_bytes(bytes(damaged[:index] if is_cut else damaged))
    with pytest.raises(ModelError, match=r"^a\.engine"):
        describe_engine(path)


def test_damage_without_a_record_is_found_by_tensorrt(here, tmp_path):
    here("10.3.0")
    with pytest.raises(ModelError, match=r"TensorRT 10\.3\.0 cannot load it: .*Serialization.*build it again"):
        describe_engine(write(tmp_path / "a.engine", PLAN[:-1]))


def test_a_crash_of_tensorrt_is_one_line(here, tmp_path, monkeypatch):
    here("10.3.0")
    path = write(tmp_path / "a.engine", PLAN)
    monkeypatch.setattr(inspection, "why_no_gpu", lambda: "")
    with pytest.raises(ModelError, match=r"TensorRT crashed as it loaded the file \(code -11: Segmentation fault\)"):
        describe_engine(path, spawn=lambda engine, target: Ended(-11, "Segmentation fault\n"))


def test_an_engine_is_not_called_damaged_where_no_gpu_answers(here, tmp_path, monkeypatch):
    here("10.3.0")
    no_driver = FakeCudart(driver=None)
    monkeypatch.setattr(CudaRuntime, "load", lambda: CudaRuntime(no_driver, "fake"))
    path = write(tmp_path / "a.engine", PLAN)
    # As TensorRT 8.6.0 does on a machine without a driver.
    told = describe_engine(path, spawn=lambda engine, target: Ended(-11, ""))
    assert told["runs_here"] is False
    assert "its layers are not listed: cudaGetDeviceCount failed with cudaErrorInsufficientDriver" in told["notes"][-1]
    monkeypatch.setattr(CudaRuntime, "load", lambda: CudaRuntime(FakeCudart(), "fake"))
    with pytest.raises(ModelError, match="TensorRT crashed"):
        describe_engine(path, spawn=lambda engine, target: Ended(-11, ""))


def test_engines_are_known_by_their_first_bytes_or_name(tmp_path):
    assert is_engine(write(tmp_path / "renamed.bin", PLAN))
    assert is_engine(tmp_path / "gone.engine")
    assert not is_engine(networks.convolution_x(tmp_path / "n.onnx"))
    assert not is_engine(Path("cxr-x4"))
    assert not is_engine(tmp_path)


def test_what_is_set_for_bare_files_is_refused(tmp_path, capsys):
    assert main(["inspect", str(write(tmp_path / "a.engine", PLAN)), "--scale", "2"]) == 2
    assert "is a TensorRT engine" in capsys.readouterr().err


@given(st.text(max_size=40) | st.sampled_from(ODD))
def test_no_inspector_text_crashes_the_reader(text):
    assert count_layers(text).unknown == len(read_layers(text))
