"""Descriptor documents and small ONNX networks for the tests of edgesr.model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgesr.model import ModelDescriptor

DIMS = {"NCHW": ("n", "c", "h", "w"), "NHWC": ("n", "h", "w", "c")}


def document(**changes: Any) -> dict[str, Any]:
    """A complete model.json with every field; ``changes`` replace top-level fields."""
    full: dict[str, Any] = {
        "schema": 1,
        "name": "tiny-x2",
        "version": "1.0",
        "task": "restore",
        "parts": {
            "network": {
                "file": "network.onnx",
                "sha256": "0" * 64,
                "inputs": {"image": "image", "fidelity": "dial", "quantum": "q"},
                "outputs": {"image": "upscaled", "scale": "spread"},
            }
        },
        "scale": 2,
        "input_channels": 1,
        "output_channels": 1,
        "input": {"color": "grey", "layout": "NCHW", "dtype": "float32", "range": [0, 1], "mean": [0.5], "std": [0.5]},
        "output_range": [0, 1],
        "size": {"multiple": 4, "minimum": 8, "fixed": None},
        "receptive_field": 12,
        "tile": 256,
        "controls": {
            "fidelity": {
                "default": [0.5],
                "minimum": 0,
                "maximum": 1,
                "choices": {"sharp": [0], "faithful": [1]},
                "description": "from sharp to faithful",
            }
        },
        "uncertainty": {
            "factor": 2.5,
            "coverage": 0.9,
            "calibrated_on": "held-out pictures",
            "noise": {"cubic": {"usual": 0.003, "growth": 1.2}},
        },
        "degradation": {"kernel": "cubic", "antialias": False},
        "schedule": None,
        "labels": ["clear", "opaque"],
        "golden": {"input": "golden/input.png", "output": "golden/output.png"},
        "files": {"golden/input.png": "1" * 64, "golden/output.png": "2" * 64},
        "description": "A test model.",
        "licence": "CC0-1.0",
        "intended_use": "Tests.",
        "training_data": "None.",
        "quality": [{"set": "noise", "psnr": 30.5}],
    }
    return {**full, **changes}


def minimal(**changes: Any) -> dict[str, Any]:
    """The smallest model.json of a restoration model."""
    part = {
        "file": "network.onnx",
        "sha256": "0" * 64,
        "inputs": {"image": "image"},
        "outputs": {"image": "upscaled"},
    }
    return {"schema": 1, "name": "tiny", "version": "1", "task": "restore", "parts": {"network": part}, **changes}


def descriptor(**changes: Any) -> ModelDescriptor:
    """The typed form of a one-channel x2 model whose network is ``enlarge``."""
    channels = {"scale": 2, "input_channels": 1, "output_channels": 1, "input": {"color": "grey"}}
    return ModelDescriptor.from_json(minimal(**{**channels, **changes}), source="test")


def save(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Mapping[str, Any], **kind: Any
) -> Path:
    """Write one graph without checking it."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "network", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", kind.pop("opset", 17))]
    onnx.save(helper.make_model(graph, opset_imports=opsets, **{"ir_version": 8, **kind}), path)
    return path


def info(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def enlarge(
    path: Path, *, scale: int = 2, channels: int = 1, layout: str = "NCHW", size: int | None = None, multiple: int = 1
) -> Path:
    """Nearest-neighbour enlargement; ``multiple`` makes it fail on other sizes, as a strided network would."""
    nodes = []
    image = "image"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2]))
        image = "first"
    if multiple > 1:
        nodes += [
            helper.make_node("SpaceToDepth", [image], ["folded"], blocksize=multiple),
            helper.make_node("DepthToSpace", ["folded"], ["unfolded"], blocksize=multiple),
        ]
        image = "unfolded"
    end = "upscaled" if layout == "NCHW" else "large"
    nodes.append(helper.make_node("Resize", [image, "", "scales"], [end], mode="nearest"))
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [end], ["upscaled"], perm=[0, 2, 3, 1]))
    sides: list[Any] = ["h", "w"] if size is None else [size, size]
    large: list[Any] = ["H", "W"] if size is None else [size * scale, size * scale]
    shapes = [[1, channels, *s] if layout == "NCHW" else [1, *s, channels] for s in (sides, large)]
    weights = {"scales": np.array([1, 1, scale, scale], np.float32)}
    return save(path, nodes, [info("image", *shapes[0])], [info("upscaled", *shapes[1])], weights)


def trained(path: Path, low: float, high: float, *, out: tuple[float, float] | None = None, seed: int = 0) -> Path:
    """A x2 network of random ReLU features fitted by least squares to pictures in ``low .. high``."""
    rng = np.random.default_rng(seed)
    features, span = 48, high - low
    bottom, top = out or (low, high)
    filters = rng.standard_normal((features, 9)) / 3
    biases = -filters.sum(axis=1) * low - filters.sum(axis=1) * span * rng.uniform(0, 1, features)
    coarse = rng.uniform(0, 1, (40, 6, 6))
    fine = np.stack([_smooth(c, 48) for c in coarse])
    small = fine.reshape(40, 24, 2, 24, 2).mean(axis=(2, 4))
    windows = np.lib.stride_tricks.sliding_window_view(small, (3, 3), axis=(1, 2)).reshape(-1, 9) * span + low
    hidden = np.c_[np.maximum(windows @ filters.T + biases, 0), np.full(len(windows), span)]
    target = fine.reshape(40, 24, 2, 24, 2)[:, 1:-1, :, 1:-1].transpose(0, 1, 3, 2, 4).reshape(-1, 4)
    normal = hidden.T @ hidden + 1e-4 * span**2 * np.eye(features + 1)
    solution = np.linalg.solve(normal, hidden.T @ (target * (top - bottom) + bottom))
    weights = {
        "w1": filters.reshape(features, 1, 3, 3).astype(np.float32),
        "b1": biases.astype(np.float32),
        "w2": solution[:-1].T.reshape(4, features, 1, 1).astype(np.float32),
        "b2": (solution[-1] * span).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"]),
        helper.make_node("DepthToSpace", ["c2"], ["upscaled"], blocksize=2),
    ]
    return save(path, nodes, [info("image", "n", 1, "h", "w")], [info("upscaled", "n", 1, "H", "W")], weights)


def _smooth(coarse: Any, side: int) -> Any:
    knots, at = np.linspace(0, 1, len(coarse)), np.linspace(0, 1, side)
    rows = np.stack([np.interp(at, knots, row) for row in coarse])
    return np.stack([np.interp(at, knots, column) for column in rows.T]).T


def with_external_data(source: Path, target: Path, location: str) -> Path:
    """Copy a network with its large weights moved into ``location`` beside it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    model = onnx.load(source)
    onnx.save_model(model, target, save_as_external_data=True, location=location, size_threshold=100)
    return target


def claiming_data_at(path: Path, source: Path, location: str) -> Path:
    """Copy a network whose weights claim to lie at ``location``, whatever is there."""
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    return path


def probe(path: Path) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Run a network with ONNX Runtime on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(names, dict(feeds)), strict=True))
