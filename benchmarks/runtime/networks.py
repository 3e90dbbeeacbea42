"""The networks that are measured: the shipped models, and two as third parties publish them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import edgesr
from edgesr.model import ModelPackage
from edgesr.pipelines.load import open_model
from edgesr.pipelines.restore import Restorer

# Name to number of convolutions and their channels. The first is as large as the compact networks that are popular for
# video, the second so small that everything around it shows.
THIRD_PARTY = {"third-party compact": (17, 64), "third-party tiny": (8, 32)}


@dataclass(frozen=True)
class Subject:
    """One network with the picture that it is timed on."""

    name: str
    model: str
    """Name or path for ``edgesr.load``."""
    picture: np.ndarray[Any, np.dtype[np.uint8]]
    """``(H, W)`` or ``(H, W, 3)``."""

    def load(self, threads: int) -> Restorer:
        """Load the network on the CPU."""
        return edgesr.load(self.model, "cpu", threads=threads)

    def package(self) -> ModelPackage:
        """Open the package, or describe the bare file."""
        return open_model(self.model)

    def feeds(self) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        """Return what the restorer gives the network for the picture, by tensor name."""
        descriptor = self.package().descriptor
        low, high = descriptor.input.range
        pixels = self.picture.astype(np.float32) / np.float32(255) * np.float32(high - low) + np.float32(low)
        planes = pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]
        values = {name: control.default for name, control in descriptor.controls.items()} | {"quantum": (1 / 255,)}
        feeds = {}
        for role, tensor in descriptor.parts["network"].inputs.items():
            feeds[tensor] = planes if role == "image" else np.asarray(values[role], np.float32)
        return {tensor: np.ascontiguousarray(value, np.float32) for tensor, value in feeds.items()}


def subjects(models: list[str], folder: Path, *, side: int, seed: int = 7) -> list[Subject]:
    """Return the models, each with a grey ``side`` x ``side`` picture, and third-party networks with a colour one."""
    grey = picture(side, side, seed)
    color = np.stack([picture(side, side, seed + i) for i in range(3)], axis=-1)
    found = [Subject(open_model(model).descriptor.name, model, grey) for model in models]
    for index, (name, (depth, width)) in enumerate(THIRD_PARTY.items()):
        path = third_party(folder / f"theirs_{index}.onnx", depth=depth, width=width)
        found.append(Subject(name, str(path), color))
    return found


def picture(height: int, width: int, seed: int = 7) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Draw a smooth grey picture with some noise, uint8 ``(height, width)``, about as compressible as a radiograph."""
    rng = np.random.default_rng(seed)
    y = np.linspace(0, 3 * np.pi, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 2 * np.pi, width, dtype=np.float32)[None]
    result = np.empty((height, width), np.uint8)
    for top in range(0, height, 256):
        rows = slice(top, top + 256)
        values = 118 + 70 * np.sin(y[rows] + seed) * np.cos(x) + 25 * np.sin(7 * x + 3 * y[rows])
        result[rows] = np.rint(values + 1.5 * rng.standard_normal(values.shape, np.float32)).clip(0, 255)
    return result


def third_party(path: Path, *, depth: int, width: int) -> Path:
    """Write a colour x4 network with random weights as people export them: convolutions, pixel shuffle, no metadata."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(11)
    planes = [3, *[width] * (depth - 1), 48]
    nodes, weights, name = [], [], "input"
    for i, (fan_in, fan_out) in enumerate(pairwise(planes)):
        kernel = rng.standard_normal((fan_out, fan_in, 3, 3)) * (0.3 / np.sqrt(fan_in * 9))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"body.{i}.weight"))
        nodes.append(helper.make_node("Conv", [name, f"body.{i}.weight"], [f"conv{i}"], pads=[1] * 4))
        name = f"conv{i}"
        if i < len(planes) - 2:
            nodes.append(helper.make_node("Relu", [name], [f"relu{i}"]))
            name = f"relu{i}"
    weights.append(numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales"))
    nodes.append(helper.make_node("DepthToSpace", [name], ["detail"], blocksize=4, mode="CRD"))
    nodes.append(helper.make_node("Resize", ["input", "", "scales"], ["large"], mode="nearest"))
    nodes.append(helper.make_node("Add", ["detail", "large"], ["output"]))
    tensors = [
        helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [1, 3, f"{tensor}_h", f"{tensor}_w"])
        for tensor in ("input", "output")
    ]
    graph = helper.make_graph(nodes, "compact", tensors[:1], tensors[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
