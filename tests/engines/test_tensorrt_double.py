"""The double of TensorRT refuses what the real bindings refuse; what it proves is only as good as this."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgesr.engines.trt_api import TensorRt
from tests import networks
from tests.engines.api_walk import APIS
from tests.fakes.cuda_queue import FakeStream
from tests.fakes.cudart import FakeCudart
from tests.fakes.tensorrt import VERSIONS, Tensorrt


@pytest.fixture(params=VERSIONS)
def double(request):
    return Tensorrt(request.param)


def parts(double, *, strongly_typed=False):
    """A builder with an empty network, its parser and a configuration."""
    trt, api = double.module, TensorRt(double.module)
    builder = trt.Builder(api.log.logger)
    names = ["EXPLICIT_BATCH"] + ["STRONGLY_TYPED"] * strongly_typed
    flags = [flag for name in names if (flag := api.flag("NetworkDefinitionCreationFlag", name)) is not None]
    network = builder.create_network(sum(1 << int(flag) for flag in flags))
    return api, builder, network, trt.OnnxParser(network, api.log.logger), builder.create_builder_config()


def small(tmp_path, **change):
    return networks.convolution_x(tmp_path / "n.onnx", size=8, **change).read_bytes()


def build(double, content, *flags, strongly_typed=False, profile=None):
    api, builder, network, parser, config = parts(double, strongly_typed=strongly_typed)
    assert parser.parse(content)
    for flag in flags:
        config.set_flag(getattr(double.module.BuilderFlag, flag))
    config.profiling_verbosity = double.module.ProfilingVerbosity.DETAILED
    if profile:
        optimization = builder.create_optimization_profile()
        for name, shapes in profile.items():
            optimization.set_shape(name, *shapes)
        assert config.add_optimization_profile(optimization) == 0
    with api.log.collect() as lines:
        return builder.build_serialized_network(network, config), lines


def test_every_member_of_the_interface_is_there_and_no_other(double):
    version = double.module.__version__
    for name, found in APIS[version]["classes"].items():
        bound = double.bindings.classes[name]
        assert {*found["methods"], *found["properties"]} <= set(dir(bound))
        for other in set(APIS) - {version}:
            theirs = APIS[other]["classes"].get(name, {"methods": {}, "properties": {}})
            gone = {*theirs["methods"], *theirs["properties"]} - {*found["methods"], *found["properties"]}
            inherited = {member for base in bound.__mro__[1:] for member in vars(base)}
            for member in gone - inherited:
                assert not hasattr(bound, member), f"{name}.{member}"
    for name, numbers in APIS[version]["enums"].items():
        if "." not in name:
            enum = getattr(double.module, name)
            assert {member: int(getattr(enum, member)) for member in numbers} == numbers


def test_wrong_arguments_raise_type_errors_as_in_pybind(double, tmp_path):
    trt = double.module
    api, builder, network, parser, config = parts(double)
    optimization = builder.create_optimization_profile()
    for wrong in (
        trt.Builder,
        lambda: trt.Builder("logger"),
        lambda: builder.create_network("1"),
        lambda: builder.create_network(-1),
        lambda: builder.create_network(flag=1),
        lambda: parser.parse("text is no buffer"),
        lambda: parser.parse(b"", 3),
        lambda: config.set_flag(1),
        lambda: config.set_flag(trt.TacticSource.JIT_CONVOLUTIONS),
        lambda: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1.5),
        lambda: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, -1),
        lambda: setattr(config, "builder_optimization_level", "3"),
        lambda: optimization.set_shape("x", (1,), (1,)),
        lambda: optimization.set_shape("x", (1.5,), (1,), (1,)),
        lambda: builder.build_serialized_network(network),
        lambda: builder.build_serialized_network(None, config),
        trt.IBuilderConfig,
        trt.IExecutionContext,
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(AttributeError):
        config.fp16_mode = True
    with pytest.raises(AttributeError):
        config.num_optimization_profiles = 2
    assert (api.flag("BuilderFlag", "STRICT_TYPES") is None) == (double.version >= (10,))


def test_a_subclass_must_call_the_base_class(double):
    class Forgetful(double.module.ILogger):
        def __init__(self):
            pass

        def log(self, severity, msg):
            pass

    with pytest.raises(TypeError, match="must be called when overriding __init__"):
        Forgetful()


def test_enums_are_no_integers_and_equal_only_their_own(double):
    trt = double.module
    assert trt.DataType.FLOAT != 0
    assert trt.DataType.FLOAT != trt.TensorIOMode.NONE
    assert int(trt.DataType.FLOAT) == 0
    assert trt.DataType.HALF.name == "HALF"
    assert len({trt.DataType.FLOAT, trt.DataType.FLOAT, trt.DataType.HALF}) == 2


def test_serialized_memory_offers_the_buffer_protocol_alone(double, tmp_path):
    plan, _ = build(double, small(tmp_path))
    assert plan.nbytes == memoryview(plan).nbytes == len(bytes(plan))
    assert bytes(plan)[:4] == b"ftrt"
    assert tuple(bytes(plan)[24:28]) == double.version
    for missing in ("decode", "find", "tobytes", "append"):
        assert not hasattr(plan, missing)
    for wrong in (lambda: len(plan), lambda: plan[0], lambda: list(plan)):
        with pytest.raises(TypeError):
            wrong()


def test_the_parser_returns_false_and_keeps_errors(double, tmp_path):
    *_, parser, _ = parts(double)
    for junk in (b"", b"junk", b"\x08\x08"):
        assert parser.parse(junk) is False
    assert parser.num_errors == 3
    assert parser.get_error(0).code() == double.module.ErrorCode.MODEL_DESERIALIZE_FAILED
    parser.clear_errors()
    assert parser.num_errors == 0
    assert parser.parse_from_file(str(tmp_path / "absent.onnx")) is False


def test_the_parser_names_the_operator_it_lacks(double, tmp_path):
    nodes = [helper.make_node("BitwiseNot", ["x"], ["y"], name="flip")]
    kind = {"kind": onnx.TensorProto.INT32}
    graph = helper.make_graph(nodes, "g", [networks.tensor("x", 2, **kind)], [networks.tensor("y", 2, **kind)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    api, *_, parser, _ = parts(double)
    with api.log.collect() as lines:
        assert parser.parse(model.SerializeToString()) is False
    error = parser.get_error(0)
    assert error.code() == double.module.ErrorCode.UNSUPPORTED_NODE
    assert "BitwiseNot" in error.desc()
    assert error.node() == 0
    assert hasattr(error, "node_name") == (double.version >= (10,))
    assert "BitwiseNot" in lines.reason()
    assert not parser.supports_operator("BitwiseNot")
    assert parser.supports_operator("Conv")


def quantised(zero_point):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["wd"]),
        helper.make_node("Conv", ["d", "wd"], ["y"]),
    ]
    weights = {
        "scale": np.array(0.1, np.float32),
        "zero": np.array(zero_point, np.int8),
        "w": np.ones((1, 1, 1, 1), np.int8),
    }
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    image, result = networks.tensor("x", 1, 1, 4, 4), networks.tensor("y", 1, 1, 4, 4)
    graph = helper.make_graph(nodes, "g", [image], [result], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_the_parser_takes_symmetric_quantisation_alone(double):
    *_, parser, _ = parts(double)
    assert parser.parse(quantised(3)) is False
    assert "zero point" in parser.get_error(0).desc()
    *_, parser, _ = parts(double)
    assert parser.parse(quantised(0)) is True


def test_quantised_networks_need_their_flag_or_strong_types(double):
    flags = [] if double.version >= (11,) else ["INT8"]
    plan, _ = build(double, quantised(0), *flags)
    assert plan is not None
    if double.version < (11,):
        plan, lines = build(double, quantised(0))
        assert plan is None
        assert "int8" in lines.reason()
    if double.version >= (10,):
        plan, _ = build(double, quantised(0), strongly_typed=True)
        assert plan is not None


def test_precision_flags_do_not_go_with_strong_types(double, tmp_path):
    if not (10,) <= double.version < (11,):
        assert not hasattr(double.module.BuilderFlag, "FP16") or double.version < (10,)
        return
    plan, lines = build(double, small(tmp_path), "FP16", strongly_typed=True)
    assert plan is None
    assert "FP16" in lines.reason()


def test_the_parser_of_8_6_wants_explicit_batch(double, tmp_path):
    trt, api = double.module, TensorRt(double.module)
    network = trt.Builder(api.log.logger).create_network(0)
    assert trt.OnnxParser(network, api.log.logger).parse(small(tmp_path)) is (double.version >= (10,))


def test_dynamic_shapes_need_a_profile_that_fits(double, tmp_path):
    content = networks.affine(tmp_path / "a.onnx").read_bytes()
    plan, lines = build(double, content)
    assert plan is None
    assert "no optimization profile has been defined" in lines.reason()
    for profile in (
        {"gain": [(1,)] * 3},
        {"x": [(1, 3, 1, 1)] * 3},
        {"x": [(1, 2, 1)] * 3},
    ):
        assert build(double, content, profile=profile)[0] is None
    with pytest.raises(RuntimeError, match="opt is inconsistent"):
        build(double, content, profile={"x": [(2, 2, 2, 2), (1, 2, 1, 1), (1, 2, 1, 1)]})
    assert build(double, content, profile={"x": [(1, 2, 1, 1)] * 3})[0] is not None


def test_the_inspector_speaks_the_words_of_its_version(double, tmp_path):
    flags = [] if double.version >= (11,) else ["FP16"]
    plan, _ = build(double, small(tmp_path), *flags)
    engine = TensorRt(double.module).runtime().deserialize_cuda_engine(bytes(plan))
    inspector = engine.create_engine_inspector()
    told = json.loads(inspector.get_engine_information(double.module.LayerInformationFormat.JSON))
    tensor = told["Layers"][0]["Outputs"][0]
    if double.version >= (11,):
        assert tensor["DataType"] == "Float"
        assert told["I/O Tensors"][0]["IOMode"] == "Input"
    elif double.version >= (10,):
        assert tensor["Format/Datatype"] == "Half"
        assert told["Bindings"] == ["image", "upscaled"]
    else:
        assert tensor["Format/Datatype"] == "Row major linear FP16 format"


def test_the_timing_cache_saves_timing_and_knows_its_device(double, tmp_path):
    content = small(tmp_path)

    def build_with(library, saved):
        _, builder, network, parser, config = parts(library)
        parser.parse(content)
        cache = config.create_timing_cache(saved)
        if cache is None:
            return None
        taken = config.set_timing_cache(cache, ignore_mismatch=False)
        before = library.tactics_timed
        builder.build_serialized_network(network, config)
        return taken, library.tactics_timed - before, bytes(config.get_timing_cache().serialize())

    taken, timed, saved = build_with(double, b"")
    assert taken
    assert timed > 0
    assert build_with(double, saved)[:2] == (True, 0)
    assert build_with(double, b"junk") is None
    other = Tensorrt(double.module.__version__, FakeCudart())
    other.made_for = ["another", "8.6"]
    assert build_with(other, saved)[0] is False


def test_a_progress_monitor_sees_the_build_and_may_cancel_it(double, tmp_path):
    if double.version < (10,):
        assert not hasattr(double.module, "IProgressMonitor")
        return

    class Monitor(double.module.IProgressMonitor):
        def __init__(self, steps):
            double.module.IProgressMonitor.__init__(self)
            self.steps, self.seen = steps, []

        def phase_start(self, phase_name, parent_phase, num_steps):
            self.seen.append(phase_name)

        def step_complete(self, phase_name, step):
            self.steps -= 1
            return self.steps > 0

        def phase_finish(self, phase_name):
            self.seen.append("end")

    for steps, is_built in ((100, True), (2, False)):
        _, builder, network, parser, config = parts(double)
        parser.parse(small(tmp_path))
        config.progress_monitor = monitor = Monitor(steps)
        assert (builder.build_serialized_network(network, config) is not None) == is_built
        assert monitor.seen == ["Building Engine", "end"]


def test_undefined_behaviour_is_a_violation(double, tmp_path):
    fake = double.machine.fake
    plan, _ = build(double, small(tmp_path))
    engine = TensorRt(double.module).runtime().deserialize_cuda_engine(bytes(plan))
    native = engine.create_execution_context()
    stream = fake.add(lambda handle: FakeStream(handle, 0, fake.memory))
    blocks = [fake.memory.allocate("device", size, 0).device for size in (256, 1024)]
    assert native.execute_async_v3(stream) is False
    assert native.set_tensor_address("nothing", 1) is False
    for name, address in zip(("image", "upscaled"), blocks, strict=True):
        assert native.set_tensor_address(name, address)
    assert native.execute_async_v3(stream) is True
    del native
    assert any("destroyed while its work" in text for text in fake.violations)
