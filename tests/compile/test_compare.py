"""Layer by layer: networks in ONNX Runtime and engines on the doubles against FP32."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from edgesr.compile.child import build_proven
from edgesr.compile.compare import Comparison, LayerDifference, comparable, compare_networks, compare_runs
from edgesr.compile.compare_engine import compare_engine
from edgesr.compile.emulate import emulated
from edgesr.compile.feeds import run_copies
from edgesr.compile.graph import HALF, Graph, expose
from edgesr.compile.nodes import make_weight
from edgesr.compile.typed import convert
from edgesr.engines import open_backend
from edgesr.engines.trt_api import TensorRt
from tests import networks
from tests.compile.samples import feeds, ranges, unet
from tests.engines.doubles import DoubleBackend
from tests.fakes.tensorrt import VERSIONS


def spoilt(graph: Graph, node: str, factor: float) -> Graph:
    """The same network with one layer's weights multiplied."""
    model = graph.copy()
    name = next(it.input[1] for it in graph.nodes if it.name == node)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(make_weight(name, graph.array(name) * np.float32(factor)))
    return Graph(model, graph.source)


@pytest.fixture
def graph(tmp_path) -> Graph:
    return unet(tmp_path)


def data(graph: Graph, count: int = 2) -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(3)
    return [
        {name: random.standard_normal(graph.shapes[name]).astype(np.float32) for name in graph.inputs}
        for _ in range(count)
    ]


def convolutions(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes if node.op_type == "Conv"]


@pytest.mark.parametrize("position", [0, 1, -1])
def test_the_spoilt_layer_is_the_first_and_the_worst(graph, position):
    guilty = convolutions(graph)[position]
    comparison = compare_networks(graph, spoilt(graph, guilty, 1.2), data(graph), precisions={guilty: "int8"})
    assert comparison.first is not None
    assert (comparison.first.layer, comparison.first.precision) == (guilty, "int8")
    assert comparison.worst()[0].layer == guilty
    assert comparison.first.error == pytest.approx(0.2, abs=0.05)
    table = comparison.table()
    assert f"the first above 1.00% is {guilty!r}" in table[0]
    assert table[2].endswith(guilty)
    assert len(table) <= 13


def test_equal_networks_do_not_differ(graph):
    comparison = compare_networks(graph, graph, data(graph), precisions={})
    assert comparison.first is None
    assert comparison.worst() == []
    assert all(layer.error == layer.max_abs == 0.0 for layer in comparison.layers)
    assert comparison.table()[0].endswith("on 2 runs: none above 1.00%")


def test_nan_is_infinitely_wrong_and_plain_json(graph):
    guilty = convolutions(graph)[1]
    comparison = compare_networks(graph, spoilt(graph, guilty, math.nan), data(graph), precisions={})
    assert comparison.first is not None
    assert comparison.first.layer == guilty
    assert comparison.first.error == math.inf
    document = json.loads(json.dumps(comparison.document(), allow_nan=False))
    assert document["first_above_threshold"] == guilty
    assert document["worst"][0] == guilty
    assert next(layer["error"] for layer in document["layers"] if layer["layer"] == guilty) is None


@pytest.mark.parametrize("precision", ["fp16", "int8", "int8-fp16"])
def test_every_precision_can_be_compared(graph, precision):
    typed = convert(graph, ranges(graph, data(graph)), precision)
    comparison = compare_networks(graph, emulated(typed.graph), data(graph), precisions=typed.precisions())
    kinds = {layer.precision for layer in comparison.layers}
    assert kinds >= set(precision.split("-")) - {"fp32"}
    assert max(layer.error for layer in comparison.layers) > 0
    assert all(layer.error < 0.5 for layer in comparison.layers)
    loosest = compare_networks(graph, emulated(typed.graph), data(graph), precisions={}, threshold=0.5)
    assert loosest.first is None


def test_the_differences_are_those_of_polygraphy(graph, tmp_path):
    comparator = pytest.importorskip("polygraphy.comparator")
    feed = data(graph, 1)
    other = spoilt(graph, convolutions(graph)[1], 1.1)
    names = comparable(graph, other)
    results = []
    for network in (graph, other):
        (run,) = run_copies(open_backend("cpu"), expose(network, names), feed, tmp_path)
        results.append(comparator.IterationResult(run))
    judged = comparator.SimpleCompareFunc(atol=1e9, rtol=1e9)(*results)
    ours = compare_networks(graph, other, feed, precisions={})
    assert {layer.tensor: layer.max_abs for layer in ours.layers} == pytest.approx(
        {name: float(result.max_absdiff) for name, result in judged.items()}, rel=1e-6
    )


def test_the_worst_run_counts(graph, tmp_path):
    names = comparable(graph, graph)
    good = run_copies(open_backend("cpu"), expose(graph, names), data(graph), tmp_path)
    bad = [{name: array + (index == 1) for name, array in run.items()} for index, run in enumerate(good)]
    comparison = compare_runs(graph, names, data(graph), bad, precisions={})
    assert {round(layer.max_abs, 5) for layer in comparison.layers} == {1.0}


def test_errors_that_a_layer_only_passes_on_are_not_its_own():
    layers = (
        LayerDifference("a", "Conv", "a", "fp16", 0.2, 0.2, 1.0),
        LayerDifference("b", "Relu", "b", "fp32", 0.2, 0.0, 1.0),
        LayerDifference("c", "Conv", "c", "fp16", 0.3, 0.1, 1.0),
    )
    assert [layer.layer for layer in Comparison(layers, 1).worst()] == ["a", "c"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_layers_of_an_engine_are_compared(version, tmp_path):
    graph = Graph.read(networks.convolution_x(tmp_path / "n.onnx"))
    runs = feeds("image", (1, 1, 12, 12))
    typed = convert(graph, ranges(graph, runs), "fp16")
    assert HALF in typed.graph.types.values()
    backend = DoubleBackend(version)
    api = TensorRt(backend.double.module)
    odd = dict(runs[0], image=np.zeros((1, 1, 8, 8), np.float32))
    comparison = compare_engine(
        graph,
        typed.graph,
        [*runs, odd],
        backend,
        precisions=typed.precisions(),
        build=lambda request: build_proven(api, request, b""),
    )
    assert comparison.runs == 2
    assert [layer.tensor for layer in comparison.layers] == comparable(graph, typed.graph)
    assert 0 < max(layer.error for layer in comparison.layers) < 0.05
    backend.check()
