"""FP16 gives up the layers that lose most where the gate asks for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgesr.cli import main
from edgesr.cli.build_work import Work
from edgesr.compile import auto
from edgesr.compile.gate import Thresholds
from edgesr.compile.graph import FLOAT, HALF, Graph
from edgesr.compile.islands import half_layers
from edgesr.compile.lowering import fp16_lowering
from edgesr.compile.sensitivity import sweep
from edgesr.compile.typed import Options, convert
from tests.compile import samples
from tests.compile.test_search import search
from tests.networks import save, tensor


def chain(path, **layers):
    """Five 1x1 convolutions over 8 channels that hand on what they get, except for ``name=(weights, bias)``."""
    nodes, weights, source = [], {}, "x"
    for name in ("first", "second", "third", "fourth", "last"):
        kernel, bias = layers.get(name, (np.eye(8), 0.0))
        weights[f"{name}_w"] = np.asarray(kernel, np.float32)[..., None, None]
        weights[f"{name}_b"] = np.full(8, bias, np.float32)
        nodes.append(samples.node("Conv", [source, f"{name}_w", f"{name}_b"], [f"{name}_y"], name=name))
        source = f"{name}_y"
    nodes[-1].output[0] = "y"
    place = path / "chain.onnx"
    return Graph.read(save(place, nodes, [tensor("x", 1, 8, 12, 12)], [tensor("y", 1, 8, 12, 12)], weights))


def differences(path):
    """A chain whose third layer multiplies by 64.03 - 64.01, which FP16 rounds to 0, two channels that are equal."""
    copies, kernel = np.kron(np.eye(4, 8), np.ones((2, 1))), np.zeros((8, 8))
    kernel[np.arange(8), np.arange(8)], kernel[np.arange(8), np.arange(8) ^ 1] = 64.03, -64.01
    return chain(path, second=(copies, 0.0), third=(kernel, 0.0))


def offset(path):
    """A chain in which 400 is added and taken away again: FP16 cannot hold what lies between the two."""
    return chain(path, second=(np.eye(8), 400.0), third=(np.eye(8), -400.0))


def test_a_layer_is_a_heavy_node_with_the_light_ones_that_work_on_its_result(tmp_path):
    graph = samples.body(tmp_path)
    assert half_layers(graph, ()) == {"first": ["first", "relu"], "second": ["second", "sum"], "up": ["up"]}
    assert half_layers(graph, {"first", "second"}) == {"relu": ["relu", "sum"], "up": ["up"]}


def test_the_one_layer_that_loses_precision_stays_in_fp32(tmp_path):
    graph = differences(tmp_path)
    whole = convert(graph, samples.ranges(graph, samples.feeds()), "fp16", Options("fp32", "minmax"))
    assert whole.half is not None
    assert whole.half.fp32 == {}
    choice = search(graph, tmp_path, min_psnr=60).mixed("fp16")
    half = choice.typed.half
    assert half is not None
    assert choice.given_up == ("third",)
    assert choice.losses[0].name == "third"
    assert half.fp32 == {"third": "loses too much accuracy"}
    assert choice.verdict.worst[1].psnr >= 60 > choice.trials[0].psnr
    assert {name: choice.typed.graph.types[name] for name in ("third_w", "fourth_w_fp16")} == {
        "third_w": FLOAT, "fourth_w_fp16": HALF
    }  # fmt: skip
    assert choice.typed.notes == (
        "1 layer stays in FP32, where FP16 loses too much accuracy for the gate, the worst first: third",
    )


def test_two_layers_are_given_up_together_where_precision_is_lost_between_them(tmp_path):
    choice = search(offset(tmp_path), tmp_path, min_psnr=60).mixed("fp16")
    assert sorted(choice.given_up) == ["second", "third"]
    assert choice.typed.graph.types["second_y"] == FLOAT
    assert choice.typed.graph.types["fourth_y"] == HALF


def test_light_nodes_stay_in_fp32_with_the_layer_that_they_follow(tmp_path):
    graph, data = samples.body(tmp_path), samples.feeds()
    kept = convert(graph, samples.ranges(graph, data), "fp16", skip=["first"]).half
    assert kept is not None
    assert kept.fp32 == {"first": "loses too much accuracy", "relu": "follows a layer that loses too much accuracy"}


def test_the_loss_of_a_layer_is_that_of_the_layer_alone(tmp_path):
    graph, data = differences(tmp_path), samples.feeds()
    lowering = fp16_lowering(graph, samples.ranges(graph, data), Options().rules())
    assert lowering.layers == ("first", "second", "third", "fourth", "last")
    alone = lowering.alone(["fourth"])
    assert "fourth_y_unrounded" in alone.producers
    assert "third_y_unrounded" not in alone.producers
    worst, *others = sweep(graph, lowering, data)
    assert worst.decibels < 20
    assert min(loss.decibels for loss in others) > 60


def test_at_most_half_of_the_layers_are_given_up(tmp_path):
    choice = search(differences(tmp_path), tmp_path, min_psnr=200).mixed("fp16")
    assert choice.given_up == ()
    assert [trial.skipped for trial in choice.trials] == [0, 2]
    assert choice.verdict.failures(Thresholds(min_psnr=200))
    assert choice.unsuccessful.startswith("without the 2 layers that lose most it still misses it, at ")


def test_a_network_that_passes_at_once_is_compared_once_and_not_swept(tmp_path, monkeypatch):
    graph = samples.body(tmp_path)
    expected = convert(graph, samples.ranges(graph, samples.feeds()), "fp16", Options("fp32", "minmax"))
    monkeypatch.setattr(auto, "sweep", None)
    choice = search(graph, tmp_path, min_psnr=50).mixed("fp16")
    assert len(choice.trials) == 1
    assert choice.typed.graph.bytes() == expected.graph.bytes()
    assert choice.typed.notes == ()


def test_auto_takes_fp16_with_a_layer_in_fp32_over_fp32(tmp_path):
    choice = search(differences(tmp_path), tmp_path, min_psnr=60).cheapest(with_int8=False)
    assert (choice.typed.precision, choice.given_up) == ("fp16", ("third",))


def build(capsys, *words):
    code = main(["build", *words, "--target", "onnx"])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_the_build_tells_which_layers_it_gave_up(tmp_path, capsys):
    differences(tmp_path)
    words = ["--onnx", str(tmp_path / "chain.onnx"), "--fp16", "-o", str(tmp_path / "typed.onnx")]
    code, _, err = build(capsys, *words)
    assert code == 0
    assert "4 of 5 nodes in FP16 (80.0% of the multiply-adds)" in err
    assert "1 layer stays in FP32, where FP16 loses too much accuracy for the gate, the worst first: third" in err
    assert "1 in FP32: loses too much accuracy (e.g. third)" in err
    document = json.loads(build(capsys, *words, "--json")[1])
    assert document["fp32_nodes"] == {"third": "loses too much accuracy"}
    assert document["sensitivity"][0]["name"] == "third"
    assert [trial["passed"] for trial in document["trials"]] == [False, True, True]
    assert Graph.read(tmp_path / "typed.onnx").types["third_w"] == FLOAT


def test_a_gate_beyond_the_bound_is_refused_and_says_how_far_it_came(tmp_path, capsys):
    differences(tmp_path)
    output = tmp_path / "typed.onnx"
    words = ["--onnx", str(tmp_path / "chain.onnx"), "--fp16", "-o", str(output), "--min-psnr", "200"]
    code, _, err = build(capsys, *words)
    assert code == 5
    assert "the layer that loses most is 'third'; without the 2 layers that lose most it still misses it, at " in err
    assert "nothing was written; keep layers out with --exclude, or allow more with --min-psnr" in err
    assert not output.exists()


def test_nothing_in_fp16_is_refused_before_anything_is_compared_and_left_out_by_auto(tmp_path, capsys, monkeypatch):
    chain(tmp_path)
    words = ["--onnx", str(tmp_path / "chain.onnx"), "--exclude", ".", "-o", str(tmp_path / "typed.onnx")]
    reason = "nothing of it can be FP16, mostly because it is excluded"
    with monkeypatch.context() as patch:
        patch.setattr(Work, "compare", None)
        code, _, err = build(capsys, *words, "--fp16")
        assert code == 3
        assert f"{reason}; keep FP32" in err
    code, _, err = build(capsys, *words, "--auto")
    assert code == 0
    assert "ONNX with 5 nodes in FP32" in err
    assert f"fp16 was left out: {tmp_path / 'chain.onnx'}: {reason}\n" in err


@pytest.mark.parametrize("make", [differences, offset])
def test_excluded_by_hand_it_is_the_same_network(tmp_path, capsys, make):
    make(tmp_path)
    found = {}
    for name, words in (
        ("itself", []),
        ("by_hand", ["--exclude", "^third$" if make is differences else "second|third"]),
    ):
        found[name] = tmp_path / f"{name}.onnx"
        assert build(capsys, "--onnx", str(tmp_path / "chain.onnx"), "--fp16", "-o", str(found[name]), *words)[0] == 0
    assert found["itself"].read_bytes() == found["by_hand"].read_bytes()
