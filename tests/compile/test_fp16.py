from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest

from edgesr.compile.checks import check_network
from edgesr.compile.emulate import emulated
from edgesr.compile.feeds import run_copies
from edgesr.compile.fp16 import to_fp16
from edgesr.compile.graph import FLOAT, HALF, Graph, expose
from edgesr.compile.islands import HALF_MAX, Rules, fp32_nodes
from edgesr.compile.nodes import attribute
from edgesr.engines import open_backend
from edgesr.errors import ModelError
from tests.compile import samples


def convert(graph, data, *, io="fp32", **rules):
    recorded = samples.ranges(graph, data)
    result, report = to_fp16(graph, recorded, Rules(**rules), io=io)
    check_network(result)
    return result, report


def casts(graph: Graph) -> list[onnx.NodeProto]:
    return [node for node in graph.nodes if node.op_type == "Cast"]


def test_a_network_without_difficulties_is_fp16_from_end_to_end_with_two_casts(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    half, report = convert(graph, data)
    assert report.fp32 == {}
    assert (report.half_nodes, report.float_nodes, report.casts, report.share) == (5, 5, 2, 1.0)
    assert Counter(graph.types[name] for name in graph.inputs) == Counter(half.types[name] for name in half.inputs)
    assert half.types["y"] == FLOAT
    assert half.types["r0"] == HALF
    assert not [t for t in half.weights.values() if t.data_type == FLOAT]
    for found, expected in zip(
        samples.outputs(half, data, tmp_path), samples.outputs(graph, data, tmp_path), strict=True
    ):
        assert 55 < samples.decibels(found["y"], expected["y"]) < 90


def test_fp16_pictures_go_in_and_out_without_a_cast(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    half, report = convert(graph, data, io="fp16")
    assert report.casts == 0
    assert half.types["x"] == half.types["y"] == HALF
    assert samples.outputs(half, data, tmp_path)[0]["y"].dtype == np.float16


def test_settings_stay_float32_also_with_fp16_pictures(tmp_path):
    graph = samples.resize(tmp_path)
    data = [{**feed, "step": np.array([0.5], np.float32)} for feed in samples.feeds()]
    half, report = convert(graph, data, io="fp16")
    assert half.types["step"] == FLOAT
    assert half.types["x"] == HALF
    assert report.fp32 == {"limit": "is computed from settings alone"}


def test_the_scales_of_a_resize_stay_fp32(tmp_path):
    graph = samples.resize(tmp_path)
    data = [{**feed, "step": np.array([0.5], np.float32)} for feed in samples.feeds()]
    half, _ = convert(graph, data)
    resize = next(node for node in half.nodes if node.op_type == "Resize")
    assert half.types[resize.input[2]] == FLOAT
    assert half.types[resize.output[0]] == HALF


def test_softmax_and_layer_norm_become_islands_without_casts_inside(tmp_path):
    graph, data = samples.attention(tmp_path), samples.feeds(shape=(1, 9, 16))
    half, report = convert(graph, data)
    assert {"softmax", "mean", "square", "variance", "epsilon_sum", "root", "divide"} <= set(report.fp32)
    assert not {"query", "scores", "values", "out"} & set(report.fp32)
    assert "1e-06" in report.fp32["epsilon_sum"]
    assert report.fp32["root"] == "divides by what an FP32 node gives"
    assert report.casts <= 8
    assert report.casts == len(casts(half))
    for node in casts(half):
        assert half.producers.get(node.input[0]) is None or half.producers[node.input[0]].op_type != "Cast"
    (found,), (expected,) = (samples.outputs(g, data[:1], tmp_path) for g in (half, graph))
    assert samples.decibels(found["y"], expected["y"]) > 50


def test_a_tensor_is_cast_once_however_many_nodes_take_it(tmp_path):
    graph, data = samples.attention(tmp_path), samples.feeds(shape=(1, 9, 16))
    half, _ = convert(graph, data)
    pairs = Counter((node.input[0], int(attribute(node, "to", 0))) for node in casts(half))
    assert max(pairs.values()) == 1


def test_existing_casts_are_used_and_not_doubled(tmp_path):
    graph = samples.casts(tmp_path)
    rng = np.random.default_rng(0)
    data = [{"x": rng.integers(0, 256, (1, 8, 12, 12), dtype=np.uint8)}]
    half, report = convert(graph, data)
    assert report.fp32 == {}
    kinds = [(half.types[node.input[0]], half.types[node.output[0]]) for node in casts(half)]
    assert kinds == [(2, HALF), (HALF, FLOAT)]
    (found,), (expected,) = (samples.outputs(g, data, tmp_path) for g in (half, graph))
    assert samples.decibels(found["y"], expected["y"]) > 50


def test_large_activations_keep_their_nodes_in_fp32(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds(scale=1000)
    _, report = convert(graph, data)
    assert set(report.fp32) == {"first", "relu", "second", "sum", "up"}
    assert "activations reach" in report.fp32["first"]
    assert report.casts == 0
    _, loose = convert(graph, data, safety=4.0)
    assert loose.fp32 == {}


def test_large_weights_keep_their_node_in_fp32_and_small_ones_are_counted(tmp_path):
    graph = samples.body(tmp_path)
    model = graph.copy()
    values = graph.array("w1").copy()
    values.ravel()[:3] = (1e-9, 1e-6, 1e-5)
    large = graph.array("w2").copy()
    large[0, 0, 0, 0] = 1e5
    for tensor in model.graph.initializer:
        if tensor.name in ("w1", "w2"):
            replaced = onnx.numpy_helper.from_array({"w1": values, "w2": large}[tensor.name], tensor.name)
            tensor.CopyFrom(replaced)
    _, report = convert(Graph(model, "network"), samples.feeds(), safety=1e-6)
    assert report.fp32["up"].startswith("a constant of 1e+05 overflows")
    assert report.zeroed == 1
    assert report.subnormal >= 2


def test_a_growing_residual_stream_stays_fp32_before_it_overflows(tmp_path):
    graph = samples.stream(tmp_path, gain=1.0)
    data = [{"x": np.full((1, 8, 4, 4), 2.0, np.float32)}]
    kept = fp32_nodes(graph, samples.ranges(graph, data), Rules())
    assert {f"add{i}" for i in range(6)} <= set(kept)
    assert "grows 32 times, to 128" in kept["add0"]
    assert "conv3" not in kept
    calm = samples.stream(tmp_path, gain=0.1)
    assert fp32_nodes(calm, samples.ranges(calm, data), Rules()) == {}


def test_what_a_graph_inside_a_node_takes_stays_fp32(tmp_path):
    graph = samples.branches(tmp_path)
    data = [{**feed, "flag": np.array([True])} for feed in samples.feeds()]
    half, report = convert(graph, data)
    assert set(report.fp32) == {"first", "choose"}
    (found, *_), (expected, *_) = (samples.outputs(g, data, tmp_path) for g in (half, graph))
    assert samples.decibels(found["y"], expected["y"]) > 50


def test_excluded_nodes_stay_fp32_by_name_and_by_operator(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    _, report = convert(graph, data, exclude="^second$|ConvTranspose")
    assert report.fp32 == {"second": "is excluded", "up": "is excluded"}
    assert 0.1 < report.share < 0.9


def test_the_cheap_nodes_behind_the_last_heavy_layer_carry_the_picture_in_fp32(tmp_path):
    from tests.networks import convolution_x

    graph = Graph.read(convolution_x(tmp_path / "n.onnx"))
    data = samples.feeds("image", (1, 1, 12, 12))
    _, precise = convert(graph, data)
    assert set(precise.fp32.values()) == {"carries the output picture"}
    assert {graph.producers["upscaled"].name, graph.producers["large"].name} <= set(precise.fp32)
    _, plain = convert(graph, data, precise_output=False)
    assert plain.fp32 == {}
    _, named = convert(graph, data, results={graph.outputs[0]: "class map"})
    assert set(named.fp32.values()) == {"carries the class map"}


def test_a_constant_shared_by_an_island_and_the_rest_exists_twice(tmp_path):
    graph, data = samples.casts(tmp_path), None
    rng = np.random.default_rng(0)
    data = [{"x": rng.integers(0, 256, (1, 8, 12, 12), dtype=np.uint8)}]
    half, _ = convert(graph, data, exclude="^third$")
    shared = [name for name in half.weights if name.startswith("w1")]
    assert {half.types[name] for name in shared} == {FLOAT, HALF}


def test_the_conversion_is_deterministic_and_leaves_the_original_alone(tmp_path):
    graph, data = samples.attention(tmp_path), samples.feeds(shape=(1, 9, 16))
    before = graph.bytes()
    first, _ = convert(graph, data)
    second, _ = convert(graph, data)
    assert first.bytes() == second.bytes()
    assert graph.bytes() == before


def test_the_emulation_rounds_every_fp16_tensor_as_numpy_does(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    half, _ = convert(graph, data, io="fp16")
    imitation = emulated(half)
    assert {imitation.types[name] for name in (*imitation.inputs, *imitation.outputs)} == {FLOAT}
    check_network(imitation)
    (shown,) = run_copies(open_backend("cpu"), expose(imitation, ["x_rounded", "r0", "y"]), data[:1], tmp_path)
    for values in shown.values():
        assert np.array_equal(values, values.astype(np.float16).astype(np.float32))
    assert np.array_equal(shown["x_rounded"], data[0]["x"].astype(np.float16).astype(np.float32))


def test_a_network_without_fp16_is_its_own_emulation(tmp_path):
    graph = samples.body(tmp_path)
    assert emulated(graph) is graph


@pytest.mark.parametrize("make", [samples.attention, samples.casts, samples.branches, samples.resize])
def test_every_kind_of_typed_network_can_be_emulated(tmp_path, make):
    graph = make(tmp_path)
    shapes = {"x": graph.shapes["x"]}
    rng = np.random.default_rng(0)
    kinds = {1: np.float32, 2: np.uint8}
    data = [{"x": rng.uniform(0, 2, [max(n, 12) for n in shapes["x"]] if make is samples.resize else shapes["x"])}]
    data[0]["x"] = data[0]["x"].astype(kinds[graph.types["x"]])
    if make is samples.resize:
        data = [{"x": data[0]["x"][:1, :8], "step": np.array([0.5], np.float32)}]
    if make is samples.branches:
        data[0]["flag"] = np.array([False])
    half, _ = convert(graph, data)
    imitation = emulated(half)
    check_network(imitation)
    (found,), (expected,) = (samples.outputs(g, data, tmp_path) for g in (imitation, graph))
    assert 45 < samples.decibels(found["y"], expected["y"]) < 100


def test_a_network_that_overflows_by_itself_is_refused(tmp_path):
    graph = samples.stream(tmp_path, gain=1e10)
    with pytest.raises(ModelError, match="NaN or infinite values"):
        samples.ranges(graph, [{"x": np.full((1, 8, 4, 4), 1e10, np.float32)}])


def test_half_max_is_the_limit_of_the_format():
    assert float(np.finfo(np.float16).max) == HALF_MAX
    assert replace(Rules(), safety=1.0).safety == 1.0
