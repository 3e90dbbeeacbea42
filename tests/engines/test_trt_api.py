"""Rung 0: every use of TensorRT's interface checked against each version's; and the wrapper of the module."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgesr.engines.trt_api import DTYPES, TensorRt
from edgesr.errors import BackendError, ModelError
from tests.engines.api_walk import APIS, VERSIONS, WRITABLE, Walk
from tests.fakes import tensorrt as doubles
from tests.fakes.tensorrt import Tensorrt

PACKAGE = Path(__file__).parents[2] / "edgesr"
USERS = sorted(path for path in PACKAGE.rglob("*.py") if path.name.startswith("trt") or "trt_api" in path.read_text())


@pytest.fixture(params=doubles.VERSIONS)
def double(request) -> Tensorrt:
    return Tensorrt(request.param)


def test_the_interface_data_cover_the_versions_that_edgesr_supports():
    assert VERSIONS == {"8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106"} == set(doubles.VERSIONS)
    for version, api in APIS.items():
        assert api["version"] == version
        assert len(api["classes"]) >= 24
        assert api["enums"]["DataType"]["FLOAT"] == 0
        for name, properties in WRITABLE[version].items():
            assert set(properties) <= set(api["classes"][name]["properties"])


@pytest.mark.parametrize("path", USERS, ids=lambda path: path.name)
def test_no_version_lacks_what_the_code_uses(path):
    assert Walk(path.read_text()).problems == []


def test_the_walk_sees_the_backend():
    checked = {path.name: Walk(path.read_text()).checked for path in USERS}
    assert checked["trt_context.py"] >= 12
    assert checked["trt_tensors.py"] >= 12


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("engine.num_bindings", "10.13.3.9, 10.16.1.11, 10.3.0, 11.4.0.106 lacks ICudaEngine.num_bindings"),
        ("x = self._engine.device_memory_size", "11.4.0.106 lacks ICudaEngine.device_memory_size"),
        ("engine.get_tensr_name(0)", "lacks ICudaEngine.get_tensr_name"),
        ("trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH", "11.4.0.106 lacks NetworkDefinitionCreationFlag.EXPL"),
        ("api.trt.IProgressMonitor", "8.6.1 lacks IProgressMonitor"),
        ("api.flag('BuilderFlag', 'FP61')", "no version has BuilderFlag.FP61"),
        ("api.flag('BuilderFalg', name)", "no version has BuilderFalg"),
        ("native.set_tensor_address('x')", "takes"),
        ("native.set_input_shape(name='x', dims=(1,))", "takes"),
        ("engine.create_execution_context(strategy)", "IExecutionContext of 8.6.1 takes|8.6.1 takes"),
        ("trt.OnnxParser(network)", "OnnxParser.__init__ of"),
        ("if hasattr(native, 'set_device_memory'):\n  pass\nelse:\n  native.set_device_memory(1, 2)", "lacks"),
        ("if hasattr(native, 'set_device_memory'):\n  native.set_device_memory(1)", "takes"),
        ("native.engine = engine", "lacks a way to set IExecutionContext.engine"),
        ("io_tensor.dtype = x", "11.4.0.106 lacks a way to set ITensor.dtype"),
        ("f = api.flag('BuilderFlag', 'FP16')\nif f is None:\n  config.int8_calibrator", "11.4.0.106 lacks"),
    ],
)
def test_the_walk_finds(code, problem):
    problems = Walk(code).problems
    assert problems
    assert any(part in problems[0] for part in problem.split("|")), problems


@pytest.mark.parametrize(
    "code",
    [
        "if hasattr(engine, 'device_memory_size'):\n  engine.device_memory_size",
        "if not hasattr(native, 'set_device_memory'):\n  return\nnative.set_device_memory(1, 2)",
        "x = engine.device_memory_size_v2 if hasattr(engine, 'device_memory_size_v2') else engine.device_memory_size",
        "s = api.flag('ExecutionContextAllocationStrategy', 'STATIC')\n"
        "if s is not None:\n  engine.create_execution_context(s)",
        "hasattr(config, 'progress_monitor') and config.progress_monitor",
        "trt.OnnxParser(network, logger)",
        "parser.parse(data, path='x')",
    ],
)
def test_the_walk_accepts(code):
    assert Walk(code).problems == []


def test_the_version_is_read_as_numbers(double):
    api = TensorRt(double.module)
    assert ".".join(map(str, api.version)) == api.version_text == double.module.__version__


@pytest.mark.parametrize(("text", "numbers"), [("8.6.1.post1", (8, 6, 1)), ("10.4.0b11", (10, 4, 0))])
def test_words_behind_the_version_are_no_part_of_it(double, monkeypatch, text, numbers):
    monkeypatch.setattr(double.module, "__version__", text)
    assert TensorRt(double.module).version == numbers


@pytest.mark.parametrize("version", ["8.5.2.2", "8.4.1", "7.1.3"])
def test_old_versions_are_refused_by_name(version):
    module = ModuleType("tensorrt")
    module.__version__ = version
    with pytest.raises(BackendError, match=rf"TensorRT {version} is too old; edgesr needs 8\.6"):
        TensorRt(module)


def test_a_missing_tensorrt_is_named_with_its_reason_and_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match=r"TensorRT cannot be imported: .*--system-site-packages"):
        TensorRt.load()


@pytest.mark.parametrize(("version", "lacking"), [(None, "__version__"), ("10.3.0", "ILogger")])
def test_a_tensorrt_that_is_not_whole_is_named(monkeypatch, version, lacking):
    module = ModuleType("tensorrt")
    if version:
        module.__version__ = version
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    with pytest.raises(BackendError, match=f"has no {lacking}: remove it or install it again"):
        TensorRt.load()


@pytest.mark.parametrize("kind", ["ImportError", "OSError"])
def test_a_tensorrt_without_its_libraries_is_named_with_its_reason(monkeypatch, tmp_path, kind):
    (tmp_path / "tensorrt.py").write_text(f"raise {kind}('libnvdla_compiler.so: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(BackendError, match=r"libnvdla_compiler\.so"):
        TensorRt.load()


def test_the_installed_module_is_taken(monkeypatch, double):
    monkeypatch.setitem(sys.modules, "tensorrt", double.module)
    assert TensorRt.load().trt is double.module


def test_flags_are_members_or_none_and_required_ones_are_named(double):
    api = TensorRt(double.module)
    has_fp16 = double.version < (11,)
    assert (api.flag("BuilderFlag", "FP16") is not None) == has_fp16
    assert api.flag("NoSuchEnum", "X") is None
    if has_fp16:
        assert api.require("BuilderFlag", "FP16", "--fp16") == double.module.BuilderFlag.FP16
    else:
        with pytest.raises(BackendError, match=r"TensorRT 11\.4\.0\.106 has no BuilderFlag\.FP16, needed for --fp16"):
            api.require("BuilderFlag", "FP16", "--fp16")


def test_dtypes_go_by_name_whatever_their_numbers(double):
    api = TensorRt(double.module)
    for name, dtype in DTYPES.items():
        if (member := api.flag("DataType", name)) is not None:
            assert api.dtype(member, "x") == np.dtype(dtype)
    for name in ("BF16", "FP8", "INT4", "FP4", "E8M0"):
        if (member := api.flag("DataType", name)) is not None:
            with pytest.raises(ModelError, match=rf"'x' has type {name}.*FP32 or FP16"):
                api.dtype(member, "x")


def test_messages_reach_whoever_collects_and_nobody_else(double):
    api = TensorRt(double.module)
    double.take_logger(api.log.logger)
    seen = []
    with api.log.collect() as outer:
        double.say("INFO", "quiet")
        double.say("WARNING", "odd")
        with api.log.collect("VERBOSE", seen.append) as inner:
            double.say("VERBOSE", "detail")
            double.say("ERROR", "broken\n  in two lines")
    double.say("ERROR", "late")
    assert [line.text for line in outer] == ["odd", "broken\n  in two lines"]
    assert [line.severity for line in inner] == ["VERBOSE", "ERROR"] == [line.severity for line in seen]
    assert outer.reason() == "broken in two lines"


def test_a_reason_falls_back_to_the_last_warning_and_then_to_an_honest_word(double):
    api = TensorRt(double.module)
    double.take_logger(api.log.logger)
    with api.log.collect() as lines:
        assert lines.reason() == "TensorRT gave no reason"
        double.say("WARNING", "first")
        double.say("WARNING", "second")
    assert lines.reason() == "second"


def test_one_logger_serves_all_objects_of_a_module(double):
    first, second = TensorRt(double.module), TensorRt(double.module)
    assert first.log is second.log
    with first.log.collect() as lines:
        first.runtime()
        second.runtime()
    assert not list(lines)


def test_a_runtime_that_does_not_start_is_explained(double):
    double.faults["runtime"] = True
    with pytest.raises(BackendError, match=r"does not start: TensorRT gave no reason .*nullptr"):
        TensorRt(double.module).runtime()
