"""Engines built on the doubles of every TensorRT version: typing, shapes, options, timings and errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgesr.compile.builder import build_plan, reduced_types
from edgesr.compile.fp16 import to_fp16
from edgesr.compile.graph import Graph
from edgesr.compile.recipe import BuildOptions, Limits
from edgesr.compile.shapes import ShapeRange, fit_profile, fixed, parse_shapes, ranged, show_profile, show_shapes
from edgesr.engines.cudart import CudaRuntime
from edgesr.engines.ort import OrtBackend
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import BackendError, BuildError, UsageError
from tests import networks
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS, Tensorrt
from tests.fakes.trt_plan import Plan, deserialize

SHAPES = {"x": (1, 2, 8, 8), "gain": (1,)}


@pytest.fixture(params=VERSIONS)
def double(request) -> Tensorrt:
    return Tensorrt(request.param, FakeCudart())


@pytest.fixture
def api(double) -> TensorRt:
    return TensorRt(double.module)


def opened(double, built) -> Plan:
    plan = deserialize(built.plan, double.version, double.machine.compute_capability)
    assert isinstance(plan, Plan)
    return plan


def half(folder):
    """An FP16 convolution between casts, and an FP32 one after it."""
    weight = np.full((2, 2, 1, 1), 0.5)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["h", "w16"], ["c"], name="half"),
        helper.make_node("Cast", ["c"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["f", "w32"], ["y"], name="single"),
    ]
    weights = {"w16": weight.astype(np.float16), "w32": weight.astype(np.float32)}
    shape = (1, 2, "h", "w")
    return networks.save(
        folder / "half.onnx", nodes, [networks.tensor("x", *shape)], [networks.tensor("y", *shape)], weights
    )


def quantised(folder):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["y"], name="conv"),
    ]
    weights = {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8), "w": np.ones((2, 2, 1, 1), np.float32)}
    shape = (1, 2, "h", "w")
    return networks.save(
        folder / "int8.onnx", nodes, [networks.tensor("x", *shape)], [networks.tensor("y", *shape)], weights
    )


IMAGE = BuildOptions(profile=fixed({"x": (1, 2, 8, 8)}))


def test_the_engine_runs_and_equals_onnx_runtime(double, api, tmp_path):
    path = networks.affine(tmp_path / "a.onnx")
    built = build_plan(api, path, BuildOptions(profile=fixed(SHAPES)))
    assert opened(double, built).profiles == [{"x": [list(SHAPES["x"])] * 3}]
    (tmp_path / "a.engine").write_bytes(built.plan)
    x = np.random.default_rng(0).random(SHAPES["x"], np.float32)
    results = []
    fake = double.machine.fake
    backend = TrtBackend(tensorrt=api, cuda=CudaRuntime(fake, "fake"))
    for runner, file in ((backend, "a.engine"), (OrtBackend("cpu", threads=1), "a.onnx")):
        engine = runner.load(tmp_path / file)
        inputs = {}
        for name, array in {"x": x, "gain": np.array([2], np.float32)}.items():
            inputs[name] = runner.empty(array.shape, array.dtype)
            inputs[name].copy_from(array)
        results.append(engine.run(inputs)["y"].numpy().copy())
    np.testing.assert_array_equal(*results)
    backend.close()


def test_fp32_takes_no_precision_flag(double, api, tmp_path):
    built = build_plan(api, networks.affine(tmp_path / "a.onnx"), BuildOptions(profile=fixed(SHAPES), tf32=False))
    assert opened(double, built).flags == []


def test_a_typed_network_keeps_its_types(double, api, tmp_path):
    path = half(tmp_path)
    assert reduced_types(Graph.read(path)) == {"fp16"}
    plan = opened(double, build_plan(api, path, IMAGE))
    kinds = {layer["Name"]: layer["Precision"] for layer in plan.layers}
    assert kinds["half"] == "Half"
    if double.version >= (10,):
        assert kinds["single"] == "Float"
        assert "FP16" not in plan.flags
    else:
        assert {"FP16", "OBEY_PRECISION_CONSTRAINTS"} <= set(plan.flags)


def test_a_quantised_network_runs_in_int8(double, api, tmp_path):
    plan = opened(double, build_plan(api, quantised(tmp_path), IMAGE))
    assert ("INT8" in plan.flags) == (double.version < (10,))
    assert "FP16" not in plan.flags
    assert next(layer for layer in plan.layers if layer["Name"] == "conv")["Precision"] == "Int8"


def test_fp16_of_an_fp32_network_is_a_flag_until_10_and_refused_from_11(double, api, tmp_path):
    options = BuildOptions(profile=fixed(SHAPES), fp16=True)
    path = networks.affine(tmp_path / "a.onnx")
    if double.version >= (11,):
        with pytest.raises(BuildError, match="convert it with `edgesr build --fp16`"):
            build_plan(api, path, options)
    else:
        assert "FP16" in opened(double, build_plan(api, path, options)).flags


def test_what_the_fp16_pass_writes_is_built(double, api, tmp_path):
    from tests.compile import samples

    graph = samples.body(tmp_path)
    typed, _ = to_fp16(graph, samples.ranges(graph, samples.feeds()))
    path = tmp_path / "typed.onnx"
    path.write_bytes(typed.bytes())
    plan = opened(double, build_plan(api, path, BuildOptions(profile=fixed({"x": (1, 8, 12, 12)}))))
    assert "Half" in {layer["Precision"] for layer in plan.layers}


def test_options_reach_the_builder(double, api, tmp_path, monkeypatch):
    from tests.fakes import trt_config

    seen = []
    make = trt_config.Config.__init__
    monkeypatch.setattr(
        trt_config.Config, "__init__", lambda self, library: (make(self, library), seen.append(self))[0]
    )
    options = BuildOptions(
        profile=ranged({"x": (1, 2, 4, 4)}, {"x": (1, 2, 8, 8)}, {"x": (1, 2, 16, 16)}),
        optimization_level=2,
        max_aux_streams=0,
        detailed=False,
    )
    limits = Limits(workspace=256 << 20, tactic_dram=512 << 20)
    plan = opened(double, build_plan(api, networks.affine(tmp_path / "a.onnx"), options, limits=limits))
    (config,) = seen
    assert config.limits == {"WORKSPACE": 256 << 20, "TACTIC_DRAM": 512 << 20}
    assert (config.builder_optimization_level, config.max_aux_streams) == (2, 0)
    assert plan.verbosity != "DETAILED"
    assert plan.profiles == [{"x": [[1, 2, 4, 4], [1, 2, 8, 8], [1, 2, 16, 16]]}]
    assert BuildOptions.from_document(json.loads(json.dumps(options.document()))) == options


def test_an_unknown_operator_is_named(api, tmp_path):
    node = helper.make_node("Det", ["x"], ["y"], name="bad", domain="my.own")
    model = helper.make_model(
        helper.make_graph([node], "g", [networks.tensor("x", 1, 2)], [networks.tensor("y", 1, 2)]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )
    model.graph.node[0].domain = "com.microsoft"
    path = tmp_path / "bad.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        BuildError, match=r"bad\.onnx: TensorRT .* does not take operator Det \('(bad|y)'\): No importer"
    ) as e:
        build_plan(api, path, BuildOptions())
    assert "\n" not in str(e.value)
    assert "--device cpu" in str(e.value)


def test_none_from_the_builder_is_explained(double, api, tmp_path):
    double.faults["build"] = "Error Code 2: OutOfMemory (Requested size was 9 bytes.)"
    with pytest.raises(BuildError, match=r"a\.onnx: TensorRT .* OutOfMemory .*too little free memory.*--tile"):
        build_plan(api, networks.affine(tmp_path / "a.onnx"), BuildOptions(profile=fixed(SHAPES)))


def test_a_small_workspace_is_explained(double, api, tmp_path):
    double.faults["least_workspace"] = 1 << 20
    path = networks.affine(tmp_path / "a.onnx")
    with pytest.raises(BuildError, match="smaller --tile"):
        build_plan(api, path, BuildOptions(profile=fixed(SHAPES), workspace=1 << 19))


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({}, r"input 'x' has shape \?x2x\?x\?; export it with fixed sizes"),
        ({"x": (1, 3, 8, 8)}, r"got \[1, 3, 8, 8\]"),
        ({"x": (1,)}, "got"),
    ],
)
def test_shapes_that_miss_or_do_not_fit_are_named(api, tmp_path, shapes, text):
    with pytest.raises(BuildError, match=text):
        build_plan(api, networks.affine(tmp_path / "a.onnx"), BuildOptions(profile=fixed(shapes)))


def test_without_a_gpu_tensorrt_says_so(double, api, tmp_path):
    double.faults["builder"] = "no GPU"
    with pytest.raises(BackendError, match="does not start"):
        build_plan(api, networks.affine(tmp_path / "a.onnx"), BuildOptions())


def test_shapes_are_read_as_trtexec_reads_them():
    shapes = parse_shapes("image:1x3x64x64,'net:0':2")
    assert shapes == {"image": (1, 3, 64, 64), "net:0": (2,)}
    assert parse_shapes(show_shapes(shapes)) == shapes
    assert fixed(shapes)["net:0"] == ShapeRange((2,), (2,), (2,))


@pytest.mark.parametrize("text", ["", "x", "x:", ":1x2", "x:1x0", "x:1x-1", "x:1xa", "x:1,x:2", "x:1,"])
def test_wrong_shapes_are_refused(text):
    with pytest.raises(UsageError):
        parse_shapes(text)


def test_a_range_must_rise_and_have_a_usual_shape():
    with pytest.raises(UsageError, match="give it with --opt-shapes"):
        ranged({"x": (1,)}, {}, {"x": (2,)})
    assert ranged({}, {"x": (2,)}, {"x": (3,)}) == {"x": ShapeRange((2,), (2,), (3,))}
    for middle in ((3,), (1, 1)):
        with pytest.raises(UsageError, match="must not fall"):
            ranged({"x": (1,)}, {"x": middle}, {"x": (2,)})


def test_shapes_are_fitted_to_the_inputs_of_a_network():
    declared = {"x": (1, 3, -1, -1), "gain": (1,)}
    profile = ranged({"x": (1, 3, 8, 8)}, {"x": (1, 3, 16, 16), "gain": (1,)}, {})
    assert fit_profile(profile, declared, source="n") == {"x": profile["x"]}
    assert show_profile(profile) == "x:1x3x8x8..1x3x16x16,gain:1"
    for shapes, text in (
        ({}, r"input 'x' has shape 1x3x\?x\?; say its sizes, e\.g\. --shapes x:1x3x64x64"),
        ({"y": (1,)}, "has no input 'y'; its inputs are x, gain"),
        ({"x": (1, 4, 8, 8)}, r"has shape 1x3x\?x\?, got 1x4x8x8"),
        ({"x": (1, 3, 8, 8), "gain": (2,)}, "'gain' has shape 1, got 2"),
    ):
        with pytest.raises(UsageError, match=text):
            fit_profile(fixed(shapes), declared, source="n")
    with pytest.raises(UsageError, match="no known rank"):
        fit_profile({}, {"x": None}, source="n")
