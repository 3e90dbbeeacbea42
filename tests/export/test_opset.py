"""Operators of opset 18 in those of 17: the same numbers, and what has no equal is left alone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from export.exporting.opset import lowered  # noqa: E402

PICTURE = np.random.default_rng(0).random((1, 4, 6, 10), dtype=np.float32)


def graph(*nodes: onnx.NodeProto, outputs: int = 1, **constants: np.ndarray) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(f"y{n}" if n else "y", TensorProto.FLOAT, [None] * 4) for n in range(outputs)]
    start = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "c", "h", "w"])
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    body = helper.make_graph(nodes, "g", [start], ends, stored)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def results(model: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": PICTURE})


@pytest.mark.parametrize(
    "model",
    [
        graph(helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1), axes=np.array([2, -1])),
        graph(helper.make_node("ReduceMax", ["x"], ["y"], keepdims=1, noop_with_empty_axes=0)),
        graph(helper.make_node("Split", ["x"], ["y", "y1"], axis=1, num_outputs=2), outputs=2),
        graph(helper.make_node("Split", ["x", "parts"], ["y", "y1"], axis=3), outputs=2, parts=np.array([3, 7])),
        graph(
            helper.make_node("Resize", ["x", "", "twice"], ["y"], mode="cubic", antialias=0,
                             keep_aspect_ratio_policy="stretch"),
            twice=np.array([1, 1, 2, 2], np.float32),
        ),
        graph(helper.make_node("Pad", ["x", "by"], ["y"], mode="reflect"), by=np.array([0, 0, 1, 2, 0, 0, 1, 2])),
    ],
    ids=["mean over stored axes", "maximum of all", "equal parts", "given parts", "cubic resize", "reflection"],
)  # fmt: skip
def test_a_graph_of_17_gives_the_numbers_of_18(model: onnx.ModelProto) -> None:
    older = lowered(model, 17)
    assert older.opset_import[0].version == 17
    onnx.checker.check_model(older, full_check=True)
    for expected, found in zip(results(model), results(older), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "model",
    [
        graph(helper.make_node("Mish", ["x"], ["y"])),
        graph(helper.make_node("Resize", ["x", "", "", "sides"], ["y"], mode="linear", antialias=1),
              sides=np.array([1, 4, 3, 5])),
        graph(helper.make_node("ReduceMean", ["x", "axes"], ["y"], noop_with_empty_axes=1),
              axes=np.array([], np.int64)),
    ],
    ids=["an operator that is new", "an antialiased resize", "no axes at all"],
)  # fmt: skip
def test_what_17_cannot_say_is_not_made_up(model: onnx.ModelProto) -> None:
    assert lowered(model, 17) is model


def test_a_graph_that_is_old_enough_is_left_alone() -> None:
    model = graph(helper.make_node("Relu", ["x"], ["y"]))
    assert lowered(model, 18) is model
