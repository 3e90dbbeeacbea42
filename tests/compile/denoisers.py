"""Small networks of diffusion: denoisers with the inputs that exporters give them, encoders, decoders, a projection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from edgesr.compile.graph import Graph
from tests.compile.samples import weight
from tests.networks import save, tensor

node = helper.make_node
KINDS = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32}


def denoiser(
    path: Path,
    *,
    channels: int = 4,
    joined: int = 0,
    condition: int = 0,
    time: str = "int64",
    time_shape: tuple[int | str, ...] = ("n",),
    size: tuple[int | str, ...] = ("n", "h", "w"),
    names: tuple[str, str, str] = ("sample", "timestep", "cond"),
    out_channels: int | None = None,
    opset: int = 17,
    half: bool = False,
) -> Graph:
    """Two convolutions with SiLU and an embedding of the timestep, expanded to the batch as torch exports it."""
    x, t, c = names
    width, out = 8, out_channels or channels
    picture = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    real = np.float16 if half else np.float32
    weights = {
        "w0": weight(width, channels + joined + condition, 3, 3).astype(real),
        "w1": weight(out, width, 3, 3, seed=1).astype(real),
        "rates": np.array([[1.0, 0.3, 0.05, 0.01]], np.float32), "embed": weight(4, width, seed=2),
        "flat": np.array([-1, 1], np.int64), "zero": np.array([0], np.int64), "axes": np.array([2, 3], np.int64),
        "rest": np.array([width], np.int64),
    }  # fmt: skip
    nodes = [
        node("Cast", [t], ["time"], to=TensorProto.FLOAT),
        node("Reshape", ["time", "flat"], ["column"]),
        node("Mul", ["column", "rates"], ["angles"]),
        node("Sin", ["angles"], ["waves"]),
        node("MatMul", ["waves", "embed"], ["embedding"]),
        node("Shape", [x], ["sizes"]),
        node("Gather", ["sizes", "zero"], ["batch"]),
        node("Concat", ["batch", "rest"], ["wanted"], axis=0),
        node("Expand", ["embedding", "wanted"], ["embeddings"]),
        node("Cast", ["embeddings"], ["embeddings_cast"], to=picture),
        node("Unsqueeze", ["embeddings_cast", "axes"], ["planes"]),
        *([node("Concat", [x, c], ["both"], axis=1)] if condition else []),
        node("Conv", ["both" if condition else x, "w0"], ["c0"], pads=[1] * 4),
        node("Add", ["c0", "planes"], ["timed"]),
        node("Sigmoid", ["timed"], ["gate"]),
        node("Mul", ["timed", "gate"], ["silu"]),
        node("Conv", ["silu", "w1"], ["noise_pred"], pads=[1] * 4),
    ]
    n, *sides = size
    inputs = [tensor(x, n, channels + joined, *sides, kind=picture), tensor(t, *time_shape, kind=KINDS[time])]
    inputs += [tensor(c, n, condition, *sides, kind=picture)] if condition else []
    file = save(path / "denoiser.onnx", nodes, inputs, [tensor("noise_pred", n, out, *sides, kind=picture)], weights)
    return reversioned(Graph.read(file), opset)


def reversioned(graph: Graph, opset: int) -> Graph:
    model = graph.copy()
    assert model.opset_import[0].version == 17
    model.opset_import[0].version = opset
    return Graph(model, graph.source)


def encoder(path: Path, *, out: int = 4, sides: tuple[int | str, int | str] = ("h", "w")) -> Graph:
    """A grey picture to a latent of a quarter of its sides."""
    nodes = [node("SpaceToDepth", ["image"], ["blocks"], blocksize=4), node("Conv", ["blocks", "w"], ["encoded"])]
    outputs = [tensor("encoded", 1, out, "eh", "ew")]
    file = save(path / "encoder.onnx", nodes, [tensor("image", 1, 1, *sides)], outputs, {"w": weight(out, 16, 1, 1)})
    return Graph.read(file)


def decoder(path: Path, *, channels: int = 4) -> Graph:
    nodes = [node("Conv", ["z", "w"], ["blocks"]), node("DepthToSpace", ["blocks"], ["image"], blocksize=4)]
    inputs, outputs = [tensor("z", 1, channels, "h", "w")], [tensor("image", 1, 1, "H", "W")]
    return Graph.read(save(path / "decoder.onnx", nodes, inputs, outputs, {"w": weight(16, channels, 1, 1, seed=5)}))


def projection(path: Path, channels: int = 4) -> Graph:
    """The orthogonal projection onto the pictures whose means over 2 x 2 blocks are ``measured``."""
    weights = {"scales": np.array([1, 1, 2, 2], np.float32)}
    nodes = [
        node("AveragePool", ["x0"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Sub", ["measured", "small"], ["missing"]),
        node("Resize", ["missing", "", "scales"], ["large"], mode="nearest"),
        node("Add", ["x0", "large"], ["projected"]),
    ]
    inputs = [tensor("x0", "n", channels, "h", "w"), tensor("measured", "n", channels, "a", "b")]
    file = save(path / "hook.onnx", nodes, inputs, [tensor("projected", "n", channels, "h", "w")], weights)
    return Graph.read(file)
