from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgesr.compile.checks import check_network
from edgesr.compile.emulate import emulated
from edgesr.compile.fp16 import to_fp16
from edgesr.compile.graph import HALF, INT8, Graph, with_opset
from edgesr.compile.int8 import QuantizeOptions, to_int8, weight_scales
from edgesr.compile.nodes import attribute
from edgesr.compile.typed import convert
from edgesr.compile.validate import problems
from edgesr.errors import ModelError, UsageError
from tests.compile import samples


@pytest.mark.parametrize("calibrator", ["minmax", "entropy", "percentile"])
def test_int8_is_legal_and_close_with_every_calibrator(tmp_path, calibrator):
    graph, data = samples.body(tmp_path), samples.feeds(count=3)
    quantized, report = to_int8(graph, samples.ranges(graph, data), QuantizeOptions(calibrator=calibrator))
    check_network(quantized)
    assert list(problems(quantized)) == []
    assert report.quantized == ("first", "second", "up")
    assert report.share == 1.0
    (found, *_), (expected, *_) = (samples.outputs(g, data, tmp_path) for g in (quantized, graph))
    assert samples.decibels(found["y"], expected["y"]) > 25


def test_pairs_are_symmetric_int8_per_channel_at_weights_and_per_tensor_at_activations(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    quantized, _ = to_int8(graph, samples.ranges(graph, data))
    pairs = [node for node in quantized.nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        assert not quantized.array(node.input[2]).any()
        assert quantized.weights[node.input[2]].data_type == INT8
    axes = {
        node.input[0]: (attribute(node, "axis", None), quantized.array(node.input[1]).shape)
        for node in pairs
        if node.op_type == "QuantizeLinear"
    }
    assert axes == {
        "x": (None, ()),
        "w0": (0, (16,)),
        "r0": (None, ()),
        "w1": (0, (16,)),
        "a": (None, ()),
        "w2": (1, (8,)),
    }
    assert quantized.producers[next(n for n in quantized.nodes if n.name == "first").input[1]].op_type == (
        "DequantizeLinear"
    )
    assert next(n for n in quantized.nodes if n.name == "first").input[2] == "b0"


def test_the_other_branch_of_a_sum_is_quantised_with_the_pair_that_exists(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    quantized, _ = to_int8(graph, samples.ranges(graph, data))
    total = next(node for node in quantized.nodes if node.name == "sum")
    assert list(total.input) == ["c1", "edgesr_q_r0_back"]
    plain, _ = to_int8(graph, samples.ranges(graph, data), QuantizeOptions(residual=False))
    assert list(next(node for node in plain.nodes if node.name == "sum").input) == ["c1", "r0"]


def test_two_runs_give_the_same_bytes(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    first, second = (to_int8(graph, samples.ranges(graph, data))[0].bytes() for _ in range(2))
    assert first == second


def test_layers_can_be_left_out_by_name_and_by_expression(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    recorded = samples.ranges(graph, data)
    _, report = to_int8(graph, recorded, QuantizeOptions(skip=["up"], exclude="^first$"))
    assert report.quantized == ("second",)
    assert report.skipped == {"first": "is excluded", "up": "loses too much accuracy"}
    assert 0 < report.share < 1


def test_products_are_quantised_with_constant_weights_only(tmp_path):
    graph, data = samples.attention(tmp_path), samples.feeds(shape=(1, 9, 16))
    quantized, report = to_int8(graph, samples.ranges(graph, data))
    check_network(quantized)
    assert list(problems(quantized)) == []
    assert report.quantized == ("query", "out")
    assert set(report.skipped.values()) == {"has weights that are computed"}


def test_int8_beside_fp16_is_typed_throughout(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    typed = convert(graph, samples.ranges(graph, data), "int8-fp16")
    assert typed.graph.opset == 19
    assert typed.graph.types["r0"] == HALF
    assert typed.quantized is not None
    assert typed.half is not None
    assert len(typed.quantized.quantized) == 3
    assert typed.half.fp32 == {}
    (found, *_), (expected, *_) = (samples.outputs(g, data, tmp_path) for g in (emulated(typed.graph), graph))
    assert samples.decibels(found["y"], expected["y"]) > 25


def test_in_old_opsets_quantised_tensors_stay_fp32_among_fp16(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    recorded = samples.ranges(graph, data)
    quantized, _ = to_int8(graph, recorded)
    half, report = to_fp16(quantized, recorded)
    check_network(half)
    assert any("takes no FP16 in opset 17" in reason for reason in report.fp32.values())


def test_channels_of_zeros_get_a_scale_of_one():
    weight = np.zeros((3, 2, 1, 1), np.float32)
    weight[1] = 127.0
    assert weight_scales(weight, 0).tolist() == [1.0, 1.0, 1.0]
    weight[2] = 254.0
    assert weight_scales(weight, 0).tolist() == [1.0, 1.0, 2.0]
    assert float(weight_scales(weight, -1)) == 2.0


def test_an_unknown_calibrator_and_an_old_opset_are_refused(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    recorded = samples.ranges(graph, data)
    with pytest.raises(UsageError, match="calibrator must be one of minmax, entropy, percentile"):
        to_int8(graph, recorded, QuantizeOptions(calibrator="guess"))
    model = graph.copy()
    model.opset_import[0].version = 12
    with pytest.raises(ModelError, match="opset 12"):
        to_int8(Graph(model, "network"), recorded)


def test_an_opset_that_cannot_be_converted_is_none(tmp_path):
    graph = samples.body(tmp_path)
    assert with_opset(graph, 19).opset == 19
    assert with_opset(graph, 999) is None
    assert isinstance(graph.model, onnx.ModelProto)
