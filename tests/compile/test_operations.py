"""Operations counted by hand, and against PyTorch's counter where it is installed."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgesr.compile.graph import Graph
from edgesr.compile.operations import count_operations


def graph(nodes, inputs, outputs, weights=()):
    """A network of float32 tensors; ``inputs`` and ``outputs`` are names with shapes."""
    made = helper.make_graph(
        nodes,
        "counted",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in dict(weights).items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return Graph(model, "counted.onnx")


def test_a_convolution_with_bias_and_activation_by_hand():
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    network = graph(nodes, {"x": [1, 3, "h", "w"]}, {"z": [1, 8, "h", "w"]}, {"w": (8, 3, 3, 3), "b": (8,)})
    counted = count_operations(network, {"x": (1, 3, 10, 20)})
    conv, relu = counted.nodes
    assert conv.products == 8 * 10 * 20 * 3 * 3 * 3
    assert (conv.others, relu.others) == (8 * 200, 8 * 200)
    assert counted.total == 2 * conv.products + 3200
    assert conv.bytes == 4 * (3 * 200 + 8 * 27 + 8 + 8 * 200)
    assert counted.bytes == conv.bytes + 4 * 2 * 8 * 200
    assert counted.least_bytes == 4 * (3 * 200 + 8 * 27 + 8 + 8 * 200)
    assert counted.unknown == ()


def test_what_moves_values_computes_nothing_and_pooling_reads_its_window():
    nodes = [
        helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2),
        helper.make_node("AveragePool", ["y"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
    ]
    counted = count_operations(graph(nodes, {"x": [1, 4, 6, 6]}, {"f": [1, 1]}), {})
    assert [node.operations for node in counted.nodes] == [0, 36 * 4, 36, 0]
    assert counted.nodes[3].bytes == 0
    assert counted.nodes[0].bytes == 2 * 4 * 144


def test_an_operator_of_unknown_size_is_named_and_not_counted():
    nodes = [
        helper.make_node("NonZero", ["x"], ["n"]),
        helper.make_node("Cast", ["n"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["c"], ["z"]),
    ]
    counted = count_operations(graph(nodes, {"x": [3, 3]}, {"z": [2, "k"]}), {})
    assert [text.split()[0] for text in counted.unknown] == ["NonZero", "Cast", "Relu"]
    assert counted.total == 0


# Name, ONNX nodes, weights, input, and the same with PyTorch.
CASES = {
    "conv": (
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[2, 2, 2, 2])],
        {"w": (16, 4, 5, 5)},
        (1, 4, 17, 23),
        lambda torch, x, w: torch.nn.functional.conv2d(x, w, padding=2),
    ),
    "strided and dilated": (
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], dilations=[2, 2])],
        {"w": (6, 4, 3, 3)},
        (2, 4, 30, 21),
        lambda torch, x, w: torch.nn.functional.conv2d(x, w, stride=2, dilation=2),
    ),
    "grouped": (
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], group=4)],
        {"w": (8, 2, 3, 3)},
        (1, 8, 12, 12),
        lambda torch, x, w: torch.nn.functional.conv2d(x, w, padding=1, groups=4),
    ),
    "transposed": (
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])],
        {"w": (6, 5, 4, 4)},
        (1, 6, 9, 7),
        lambda torch, x, w: torch.nn.functional.conv_transpose2d(x, w, stride=2),
    ),
    "matmul": (
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"w": (32, 48)},
        (3, 10, 32),
        lambda torch, x, w: torch.matmul(x, w),
    ),
    "gemm": (
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
        {"w": (48, 32)},
        (10, 32),
        lambda torch, x, w: torch.nn.functional.linear(x, w),
    ),
    "attention": (
        [
            helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["x", "t"], ["s"]),
            helper.make_node("MatMul", ["s", "x"], ["y"]),
        ],
        {},
        (2, 10, 16),
        lambda torch, x: torch.bmm(torch.bmm(x, x.transpose(1, 2)), x),
    ),
}
# What torch.utils.flop_counter.FlopCounterMode of PyTorch 2.13 says of the same.
GOLDEN = {
    "conv": 1_251_200,
    "strided and dilated": 101_088,
    "grouped": 41_472,
    "transposed": 60_480,
    "matmul": 92_160,
    "gemm": 30_720,
    "attention": 12_800,
}


def products(case):
    nodes, weights, shape, _ = CASES[case]
    network = graph(nodes, {"x": list(shape)}, {"y": [None] * len(shape)}, weights)
    return sum(2 * node.products for node in count_operations(network, {}).nodes)


@pytest.mark.parametrize("case", CASES)
def test_products_are_those_that_pytorch_counts(case):
    assert products(case) == GOLDEN[case]


@pytest.mark.parametrize("case", CASES)
def test_the_figures_are_still_those_of_the_installed_pytorch(case):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch.utils.flop_counter import FlopCounterMode

    _, weights, shape, run = CASES[case]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run(torch, torch.zeros(shape), *(torch.zeros(size) for size in weights.values()))
    assert counter.get_total_flops() == GOLDEN[case]
