"""Small ONNX networks with known results, made on the spot."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(
    path: Path,
    nodes: list,
    inputs: list,
    outputs: list,
    initializers: dict[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
) -> Path:
    """Check and write one graph."""
    tensors = [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()]
    graph = helper.make_graph(nodes, "network", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def tensor(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def affine(path: Path) -> Path:
    """Y = X * gain + bias with X (N, 2, H, W), and Z = sum of Y over the channels."""
    nodes = [
        helper.make_node("Mul", ["x", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["y"]),
        helper.make_node("ReduceSum", ["y", "axes"], ["z"], keepdims=1),
    ]
    inputs = [tensor("x", "n", 2, "h", "w"), tensor("gain", 1)]
    outputs = [tensor("y", "n", 2, "h", "w"), tensor("z", "n", 1, "h", "w")]
    return save(path, nodes, inputs, outputs, {"bias": np.array([0.5], np.float32), "axes": np.array([1], np.int64)})


def fixed_uint8(path: Path) -> Path:
    """Y = float(X) / 2 with X uint8 (1, 4, 4, 3)."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "half"], ["y"]),
    ]
    inputs = [tensor("x", 1, 4, 4, 3, kind=TensorProto.UINT8)]
    return save(path, nodes, inputs, [tensor("y", 1, 4, 4, 3)], {"half": np.array([0.5], np.float32)})


def compaction(path: Path) -> Path:
    """Y = the positive elements of X: a shape that depends on the data."""
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["mask"]),
        helper.make_node("Compress", ["x", "mask"], ["y"]),
    ]
    return save(path, nodes, [tensor("x", "n")], [tensor("y", "m")], {"zero": np.array([0], np.float32)})


def convolution_x(
    path: Path,
    *,
    channels: int = 1,
    scale: int = 2,
    depth: int = 3,
    kernel: int = 3,
    size: int | str | None = None,
    seed: int = 0,
    layout: str = "NCHW",
) -> Path:
    """A random super-resolution network: nearest upsampling plus convolutions and a pixel shuffle.

    Its receptive field is ``depth * (kernel // 2)`` pixels on each side.
    """
    rng = np.random.default_rng(seed)
    width = 8
    nodes, weights, name = [], {}, "image" if layout == "NCHW" else "nchw"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]))
    source = name
    planes = [channels, *[width] * (depth - 1), channels * scale * scale]
    for i, (fan_in, fan_out) in enumerate(pairwise(planes)):
        spread = 0.5 / (fan_in * kernel * kernel) ** 0.5
        weights[f"w{i}"] = (rng.standard_normal((fan_out, fan_in, kernel, kernel)) * spread).astype(np.float32)
        nodes.append(helper.make_node("Conv", [name, f"w{i}"], [f"c{i}"], pads=[kernel // 2] * 4))
        name = f"c{i}"
        if i < depth - 1:
            nodes.append(helper.make_node("Relu", [name], [f"r{i}"]))
            name = f"r{i}"
    nodes.append(helper.make_node("DepthToSpace", [name], ["detail"], blocksize=scale, mode="CRD"))
    weights["scales"] = np.array([1, 1, scale, scale], np.float32)
    nodes.append(helper.make_node("Resize", [source, "", "scales"], ["large"], mode="nearest"))
    weights["gain"] = np.array([0.1], np.float32)
    nodes.append(helper.make_node("Mul", ["detail", "gain"], ["small"]))
    end = "upscaled" if layout == "NCHW" else "result"
    nodes.append(helper.make_node("Add", ["large", "small"], [end]))
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["result"], ["upscaled"], perm=[0, 2, 3, 1]))
    h, w = (size, size) if size is not None else ("h", "w")
    big = (size * scale,) * 2 if isinstance(size, int) else ("sh", "sw")
    shapes = (
        ((1, channels, h, w), (1, channels, *big)) if layout == "NCHW" else ((1, h, w, channels), (1, *big, channels))
    )
    return save(path, nodes, [tensor("image", *shapes[0])], [tensor("upscaled", *shapes[1])], weights)


def color_classifier(path: Path, *, side: int = 16, classes: int = 3) -> Path:
    """Logits (1, classes) from pixels (1, 3, side, side): ten times the mean of red, green and blue, then zeros."""
    weights = np.zeros((3, classes), np.float32)
    weights[:, :3] = np.eye(3, min(classes, 3)) * 10
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    outputs = [tensor("logits", 1, classes)]
    return save(path, nodes, [tensor("image", 1, 3, side, side)], outputs, {"weights": weights})


def color_segmenter(path: Path, *, stride: int = 4) -> Path:
    """Logits (1, 4, h / stride, w / stride): 0.1 for the background, then red, green and blue."""
    nodes = [
        helper.make_node("AveragePool", ["image"], ["small"], kernel_shape=[stride] * 2, strides=[stride] * 2),
        helper.make_node("Conv", ["small", "weights", "bias"], ["out"]),
    ]
    weights = np.zeros((4, 3, 1, 1), np.float32)
    weights[1:, :, 0, 0] = np.eye(3) * 8
    bias = np.array([0.8, 0, 0, 0], np.float32)
    outputs = [tensor("out", 1, 4, "sh", "sw")]
    return save(path, nodes, [tensor("image", 1, 3, "h", "w")], outputs, {"weights": weights, "bias": bias})


def wide_colors(path: Path, head: str, *, side: int | None = 32, opset: int = 17) -> Path:
    """Tell red, green and blue with convolutions of 16 channels, wide enough for INT8.

    ``head`` is ``classify``: logits (1, 3); ``segment``: logits (1, 4, h / 4, w / 4), the first of the background; or
    ``detect``: YOLO's (1, 7, cells), a box around each cell of 8 x 8 pixels and the three colours as scores.
    """
    rng = np.random.default_rng(0)
    spread = rng.normal(0, 0.02, (16, 16, 3, 3)).astype(np.float32)
    spread[np.arange(16), np.arange(16), 1, 1] += 1
    first = np.tile(np.eye(3, dtype=np.float32), (6, 1))[:16, :, None, None]
    weights = {"w0": first, "w1": spread, "b1": np.zeros(16, np.float32)}
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["c0"]),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], pads=[1] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
    ]
    gather = np.zeros((3, 16, 1, 1), np.float32)
    gather[np.arange(16) % 3, np.arange(16), 0, 0] = 1
    height, width = (side, side) if side else ("h", "w")
    if head == "classify":
        weights |= {"gather": gather[:, :, 0, 0].T.copy()}
        nodes += [
            helper.make_node("GlobalAveragePool", ["r1"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("MatMul", ["flat", "gather"], ["logits"]),
        ]
        outputs = [tensor("logits", 1, 3)]
    elif head == "segment":
        weights |= {
            "gather": np.concatenate([np.zeros((1, 16, 1, 1), np.float32), gather]),
            "bias": np.array([1.5, 0, 0, 0], np.float32),
        }
        nodes += [
            helper.make_node("AveragePool", ["r1"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Conv", ["small", "gather", "bias"], ["logits"]),
        ]
        outputs = [tensor("logits", 1, 4, "sh", "sw")]
    else:
        assert side is not None
        y, x = np.mgrid[0:side:8, 0:side:8].reshape(2, -1) + 4.0
        boxes = np.stack([x, y, np.full_like(x, 8), np.full_like(x, 8)])[None].astype(np.float32)
        weights |= {"gather": gather / 6, "boxes": boxes, "shape": np.array([1, 3, -1], np.int64)}
        nodes += [
            helper.make_node("AveragePool", ["r1"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
            helper.make_node("Conv", ["small", "gather"], ["colors"]),
            helper.make_node("Reshape", ["colors", "shape"], ["scores"]),
            helper.make_node("Concat", ["boxes", "scores"], ["predictions"], axis=1),
        ]
        outputs = [tensor("predictions", 1, 7, boxes.shape[2])]
    return save(path, nodes, [tensor("image", 1, 3, height, width)], outputs, weights, opset=opset)


def fixed_outputs(path: Path, side: tuple[int, int], **outputs: np.ndarray) -> Path:
    """Give the same outputs for every picture (1, 3, height, width)."""
    constants = {"zero": np.zeros(1, np.float32)}
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    infos = []
    for name, array in outputs.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        nodes.append(helper.make_node("Cast", ["nothing"], [f"{name}_nothing"], to=kind))
        nodes.append(helper.make_node("Add", [f"{name}_value", f"{name}_nothing"], [name]))
        constants[f"{name}_value"] = array
        infos.append(tensor(name, *array.shape, kind=kind))
    return save(path, nodes, [tensor("image", 1, 3, *side)], infos, constants)
