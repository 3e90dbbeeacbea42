from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgesr.compile.dla import dla_share
from edgesr.compile.graph import Graph
from tests import networks

SHAPES = {"x": (1, 8, 16, 16)}


def share(tmp_path: Path, nodes: list, weights: dict[str, np.ndarray]):
    path = networks.save(
        tmp_path / "n.onnx", nodes, [networks.tensor("x", 1, 8, "h", "w")], [networks.tensor("y", "a", "b", "c", "d")],
        weights,
    )  # fmt: skip
    return dla_share(Graph(onnx.load(path), "n"), SHAPES)


def kernel(side: int) -> dict[str, np.ndarray]:
    return {"w": np.ones((8, 8, side, side), np.float32)}


def sizes(*values: float) -> dict[str, np.ndarray]:
    return {"s": np.array(values, np.float32)}


@pytest.mark.parametrize(
    ("node", "weights", "reason"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4), kernel(3), ""),
        (helper.make_node("Conv", ["x", "w"], ["y"], strides=[9, 9]), kernel(3), "Conv with a stride above 8"),
        (helper.make_node("Conv", ["x", "w"], ["y"], pads=[20] * 4), kernel(33), "Conv with a kernel above 32"),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), kernel(2), ""),
        (
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], pads=[1] * 4),
            kernel(3),
            "ConvTranspose with padding",
        ),
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[9, 9]), {}, "MaxPool with a kernel above 8"),
        (helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest"), sizes(1, 1, 8, 8), ""),
        (
            helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear"),
            sizes(1, 1, 8, 8),
            "Resize, linear, by 8 x 8: only whole factors up to 4",
        ),
        (
            helper.make_node("Resize", ["x", "", "s"], ["y"], mode="cubic"),
            sizes(1, 1, 2, 2),
            "Resize by cubic interpolation",
        ),
        (
            helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2),
            {},
            "DepthToSpace, which it does not have",
        ),
        (helper.make_node("MatMul", ["x", "x"], ["y"]), {}, "MatMul of two computed tensors"),
        (helper.make_node("Concat", ["x", "x"], ["y"], axis=1), {}, ""),
        (helper.make_node("Concat", ["x", "x"], ["y"], axis=3), {}, "Concat along another axis than the channels"),
        (helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0, 2, 3]), {}, "Transpose that moves the batch"),
    ],
)
def test_a_layer_is_taken_unless_it_breaks_a_written_rule(tmp_path, node, weights, reason):
    found = share(tmp_path, [node], weights)
    assert (found.layers, found.taken) == (1, int(not reason))
    assert dict(found.reasons) == ({reason: 1} if reason else {})


def test_the_share_is_that_of_the_multiply_adds(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4),
        helper.make_node("Conv", ["a", "w"], ["b"], pads=[1] * 4, strides=[1, 9]),
        helper.make_node("Elu", ["b"], ["y"]),
    ]
    found = share(tmp_path, nodes, kernel(3))
    assert (found.layers, found.taken) == (3, 1)
    assert found.share == pytest.approx(16 / 18)  # the second is 2 columns wide
    assert found.told().startswith("by NVIDIA's written rules, not tried on a board, 1 of 3 layers, 89%")


def test_a_layer_of_unknown_size_is_not_taken(tmp_path):
    path = networks.compaction(tmp_path / "n.onnx")
    found = dla_share(Graph(onnx.load(path), "n"), {"x": (4,)})
    assert found.taken == 0
    assert found.share == 0
