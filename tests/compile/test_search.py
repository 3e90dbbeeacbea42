from __future__ import annotations

import sys
import types

import numpy as np
import onnx
import pytest

from edgesr.compile.auto import Search
from edgesr.compile.emulate import emulated
from edgesr.compile.gate import Thresholds, Verdict
from edgesr.compile.graph import Graph
from edgesr.compile.int8 import QuantizeOptions
from edgesr.compile.lowering import int8_lowering
from edgesr.compile.quality import Difference
from edgesr.compile.sensitivity import LayerLoss, fewest_skips, spread, sweep
from edgesr.compile.simplify import simplify
from edgesr.compile.typed import Options, convert, cost
from edgesr.errors import AccuracyError
from tests.compile import samples


def fragile(tmp_path):
    """The body with one layer whose input has a huge outlier, so that INT8 loses nearly everything there."""
    graph = samples.body(tmp_path)
    values = graph.array("w1").copy()
    values[:, 1:] *= 0.001
    values[:, 0] = 0
    b0 = graph.array("b0").copy()
    b0[0] = 400.0
    model = graph.copy()
    for tensor in model.graph.initializer:
        new = {"w1": values, "b0": b0}.get(tensor.name)
        if new is not None:
            tensor.CopyFrom(onnx.numpy_helper.from_array(new, tensor.name))
    return Graph(model, "fragile")


def search(graph, tmp_path, **limits):
    data = samples.feeds()
    reference = samples.outputs(graph, data, tmp_path)

    def evaluate(typed, only=None):
        runs = samples.outputs(emulated(typed.graph), data, tmp_path)
        pairs = zip(runs, reference, strict=True)
        worst = [samples.decibels(found["y"], expected["y"]) for found, expected in pairs]
        return Verdict(tuple((f"feed {i}", Difference(value, 1.0, 0.0)) for i, value in enumerate(worst)))

    recorded = samples.ranges(graph, data)
    return Search(graph, recorded, data, Options("fp32", "minmax"), evaluate=evaluate, thresholds=Thresholds(**limits))


def test_the_sweep_puts_the_layer_that_loses_most_first(tmp_path):
    graph, data = fragile(tmp_path), samples.feeds()
    lowering = int8_lowering(graph, samples.ranges(graph, data), QuantizeOptions("minmax"))
    losses = sweep(graph, lowering, data)
    assert {loss.name for loss in losses} == {"first", "second", "up"}
    assert [loss.decibels for loss in losses] == sorted(loss.decibels for loss in losses)
    assert losses == sweep(graph, lowering, data)


@pytest.mark.parametrize("needed", range(6))
def test_bisection_finds_the_fewest_layers_to_leave_out(needed):
    order = [LayerLoss(f"layer{i}", float(i)) for i in range(6)]
    found = fewest_skips(order, lambda names: len(names) >= needed)
    assert found == tuple(f"layer{i}" for i in range(needed))


def test_no_layer_in_int8_is_no_int8():
    order = [LayerLoss(f"layer{i}", float(i)) for i in range(6)]
    assert fewest_skips(order, lambda names: False) is None
    assert fewest_skips([], lambda names: False) is None


def test_an_easy_gate_takes_int8_beside_fp16_and_a_hard_one_fp16(tmp_path):
    graph = samples.body(tmp_path)
    easy = search(graph, tmp_path, min_psnr=20).cheapest()
    assert (easy.typed.precision, cost(easy.typed)) == ("int8-fp16", 0.25)
    hard = search(graph, tmp_path, min_psnr=55).cheapest()
    assert (hard.typed.precision, cost(hard.typed)) == ("fp16", 0.5)
    assert {trial.precision for trial in hard.trials} == {"int8-fp16", "int8", "fp16"}
    hardest = search(graph, tmp_path, min_psnr=120).cheapest()
    assert hardest.typed.precision == "fp32"
    with pytest.raises(AccuracyError, match="not even FP32"):
        search(graph, tmp_path, min_psnr=1e9).cheapest()


def test_a_gate_in_between_leaves_the_worst_layers_out_of_int8(tmp_path):
    graph = samples.body(tmp_path)
    full = search(graph, tmp_path, min_psnr=0).mixed("int8")
    assert full is not None
    limit = full.verdict.worst[1].psnr + 1.5
    mixed = search(graph, tmp_path, min_psnr=limit).mixed("int8")
    assert mixed is not None
    assert mixed.typed.quantized is not None
    assert 0 < len(mixed.typed.quantized.quantized) < 3
    assert "loses too much accuracy" in mixed.typed.quantized.skipped.values()
    assert mixed.losses[0].name in mixed.typed.quantized.skipped
    assert mixed.verdict.worst[1].psnr >= limit


def test_the_calibration_table_is_read_again_and_a_damaged_one_recorded_anew(tmp_path, own_home, monkeypatch):
    graph, data = samples.body(tmp_path), samples.feeds()
    first = samples.ranges(graph, data)
    (place,) = (own_home / "cache").rglob("calibration/*.json")
    with monkeypatch.context() as patch:
        patch.setattr("edgesr.compile.ranges.open_backend", None)
        assert samples.ranges(graph, data) == first
    place.write_text(place.read_text()[:100])
    assert samples.ranges(graph, data) == first
    samples.ranges(graph, samples.feeds(count=1))
    assert len(list(place.parent.iterdir())) == 2


def test_feeds_are_spread_evenly():
    feeds = [{"x": np.array(i)} for i in range(10)]
    assert [int(feed["x"]) for feed in spread(feeds, 4)] == [0, 2, 5, 7]
    assert len(spread(feeds[:2], 4)) == 2


def test_fp32_is_checked_and_described(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    typed = convert(graph, samples.ranges(graph, data), "fp32")
    assert typed.summary() == "ONNX with 5 nodes in FP32"
    assert cost(typed) == 1.0


def onnxsim(monkeypatch, answer):
    monkeypatch.setitem(sys.modules, "onnxsim", types.SimpleNamespace(simplify=answer))


def test_a_simplified_network_is_taken_when_its_outputs_stay(tmp_path, monkeypatch):
    graph, data = samples.body(tmp_path), samples.feeds()
    onnxsim(monkeypatch, lambda model: (model, True))
    simpler, said = simplify(graph, data)
    assert said == "onnxsim made 5 nodes of 5"
    assert simpler is not graph


def test_onnxsim_itself_folds_what_does_nothing(tmp_path):
    pytest.importorskip("onnxsim", reason="onnxsim is not installed")
    graph, data = samples.body(tmp_path), samples.feeds()
    model = graph.copy()
    name = model.graph.output[0].name
    producer = next(node for node in model.graph.node if name in node.output)
    producer.output[list(producer.output).index(name)] = "before"
    model.graph.node.append(onnx.helper.make_node("Identity", ["before"], ["twice"]))
    model.graph.node.append(onnx.helper.make_node("Identity", ["twice"], [name]))
    simpler, said = simplify(Graph(model, graph.source), data)
    assert len(simpler.nodes) == len(graph.nodes)
    assert said == f"onnxsim made {len(graph.nodes)} nodes of {len(graph.nodes) + 2}"


def test_a_simplified_network_whose_outputs_move_is_refused(tmp_path, monkeypatch):
    graph, data = samples.body(tmp_path), samples.feeds()

    def spoil(model):
        model.graph.node[1].op_type = "Sigmoid"
        return model, True

    onnxsim(monkeypatch, spoil)
    kept, said = simplify(graph, data)
    assert kept is graph
    assert "outputs move by" in said


def test_without_onnxsim_or_with_a_broken_one_the_graph_stays(tmp_path, monkeypatch):
    graph, data = samples.body(tmp_path), samples.feeds()
    monkeypatch.setitem(sys.modules, "onnxsim", None)
    kept, said = simplify(graph, data)
    assert kept is graph
    assert "edgesr[build]" in said

    def fail(model):
        raise RuntimeError("unknown operator\nFoo")

    onnxsim(monkeypatch, fail)
    assert simplify(graph, data)[1] == "onnxsim failed (unknown operator Foo), so the graph was not simplified"
    onnxsim(monkeypatch, lambda model: (model, False))
    assert "own check failed" in simplify(graph, data)[1]
