from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgesr.compile.checks import check_network
from edgesr.compile.graph import Graph
from edgesr.compile.int8 import to_int8
from edgesr.compile.nodes import make_node, make_weight
from edgesr.compile.signatures import check_types
from edgesr.compile.validate import nearest_table, problems, support_table, takers, untold
from edgesr.errors import ModelError, UsageError
from tests.compile import samples


@pytest.fixture
def quantized(tmp_path) -> Graph:
    graph, data = samples.body(tmp_path), samples.feeds()
    return to_int8(graph, samples.ranges(graph, data))[0]


def changed(graph: Graph, **weights: np.ndarray) -> list[str]:
    model = graph.copy()
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name], tensor.name))
    return list(problems(Graph(model, "network")))


def test_a_zero_point_that_is_not_zero_is_found(quantized):
    found = changed(quantized, edgesr_q_x_zero=np.array(3, np.int8))
    assert any("has a zero point other than 0" in problem for problem in found)


def test_uint8_is_found(quantized):
    found = changed(quantized, edgesr_q_x_zero=np.array(0, np.uint8))
    assert any("works on another type than int8" in problem for problem in found)


def test_scales_that_are_not_positive_or_per_channel_at_an_activation_are_found(quantized):
    assert any("not positive and finite" in p for p in changed(quantized, edgesr_q_x_scale=np.array(0, np.float32)))
    several = changed(quantized, edgesr_q_x_scale=np.ones(8, np.float32), edgesr_q_x_zero=np.zeros(8, np.int8))
    assert any("scale per channel at an activation" in problem for problem in several)


def test_the_wrong_axis_is_found(quantized):
    model = quantized.copy()
    for node in model.graph.node:
        if node.input[0] in ("w1", "edgesr_q_w1_int8"):
            node.attribute[0].i = 1
    assert any("output channels of Conv are on axis 0" in p for p in problems(Graph(model, "network")))


def test_a_quantised_bias_is_found(tmp_path):
    graph = samples.body(tmp_path)
    model = graph.copy()
    model.graph.initializer.extend(
        [make_weight("bias_int", np.zeros(16, np.int32)), make_weight("bias_scale", np.ones(16, np.float32))]
    )
    pair = make_node("DequantizeLinear", ["bias_int", "bias_scale"], ["bias"], "bias", axis=0)
    nodes = [pair, *model.graph.node]
    next(node for node in nodes if node.name == "first").input[2] = "bias"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    found = list(problems(Graph(model, "network")))
    assert found == ["DequantizeLinear 'bias' works on int32, as for a bias; leave biases in FP32"]


def test_what_onnx_runtime_quantises_by_default_is_refused(tmp_path):
    """Its defaults are asymmetric and quantise biases to int32."""
    quantization = pytest.importorskip("onnxruntime.quantization", exc_type=ImportError)
    graph = samples.body(tmp_path)
    source, target = tmp_path / "source.onnx", tmp_path / "target.onnx"
    source.write_bytes(graph.bytes())

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter(samples.feeds())

        def get_next(self):
            return next(self.left, None)

    quantization.quantize_static(str(source), str(target), Reader())
    found = list(problems(Graph.read(target)))
    assert any("zero point" in problem for problem in found)


@pytest.mark.parametrize("version", list(support_table()["opsets"]))
def test_plain_networks_are_supported_everywhere(tmp_path, version):
    assert list(problems(samples.body(tmp_path), tensorrt=version)) == []


def test_missing_operators_and_opsets_are_named_with_a_remedy(tmp_path):
    from tests.networks import save, tensor

    nodes = [onnx.helper.make_node("LayerNormalization", ["x", "w"], ["y"], name="norm")]
    path = save(tmp_path / "n.onnx", nodes, [tensor("x", 1, 4)], [tensor("y", 1, 4)], {"w": np.ones(4, np.float32)})
    graph = Graph.read(path)
    assert list(problems(graph, tensorrt="8.6")) == []
    (problem,) = problems(graph, tensorrt="8.5")
    assert "LayerNormalization ('norm') is not known to TensorRT 8.5; export with opset 16" in problem
    model = graph.copy()
    model.opset_import[0].version = 21
    assert "opset 21 is outside 9 .. 20" in next(iter(problems(Graph(model, "n"), tensorrt="10.3")))
    with pytest.raises(UsageError, match=r"known versions are 8\.5"):
        list(problems(graph, tensorrt="7.0"))


def test_the_type_check_finds_what_a_strongly_typed_compiler_would(tmp_path):
    graph = samples.body(tmp_path)
    model = graph.copy()
    for tensor in model.graph.initializer:
        if tensor.name == "w0":
            tensor.CopyFrom(onnx.numpy_helper.from_array(graph.array("w0").astype(np.float16), "w0"))
    mixed = Graph.__new__(Graph)
    mixed.__dict__.update(graph.__dict__, types={**graph.types, "w0": 10})
    with pytest.raises(ModelError, match=r"Conv 'first' mixes float \('x'\) with float16 \('w0'\)"):
        check_types(mixed)
    with pytest.raises(ModelError, match="no valid ONNX"):
        check_network(Graph(model, "network"))


def one(operator: str, opset: int = 18) -> Graph:
    node = make_node(operator, ["x"], ["y"], name="node")
    borders = [[onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4])] for name in "xy"]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", *borders),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=8,
    )
    return Graph(model, "one.onnx")


def test_versions_say_what_they_take_and_what_nobody_tells():
    denied, granted = takers(one("BitwiseNot")), takers(one("Mish"))
    assert "is not known to TensorRT 10.16; use logical operators" in denied["10.16"]
    assert denied["11.4"] == "no table says whether it takes BitwiseNot; its own parser decides"
    assert granted["10.16"] == granted["11.4"] == ""
    assert "Mish" in granted["8.6"] or "opset" in granted["8.6"]
    assert untold(one("Mish"), "10.3") == ["Mish"]
    assert takers(one("Relu", 17)) == dict.fromkeys(support_table()["opsets"], "")


def test_tables_agree_with_each_other_and_every_entry_has_a_remedy():
    table = support_table()
    for name, entry in table["operators"].items():
        assert entry["remedy"], name
        told = {*entry["unknown_to"]}
        assert told | {*entry.get("untold_of", ())} <= set(table["opsets"]), name
        assert not told & {*entry.get("untold_of", ())}, name
        # No version lost an operator that an older one has.
        versions = list(table["opsets"])
        assert versions[: len(told)] == entry["unknown_to"], name


@pytest.mark.parametrize(
    ("version", "table"),
    [
        ((8, 6, 1), "8.6"),
        ((10, 0, 1), "10.3"),
        ((10, 13, 3, 9), "10.13"),
        ((10, 15), "10.13"),
        ((11, 0), "11.4"),
        ((12, 1), None),
    ],
)
def test_the_nearest_table_is_of_the_same_major_version(version, table):
    assert nearest_table(version) == table
