"""Small networks that show one difficulty of precision each, with feeds for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from edgesr.compile.feeds import Feed, run_copies
from edgesr.compile.graph import Graph
from edgesr.compile.ranges import Ranges, record_ranges
from edgesr.engines import open_backend
from edgesr.types import Array
from tests.networks import save, tensor

node = helper.make_node


def weight(*shape: int, seed: int = 0) -> Array:
    fan = int(np.prod(shape[1:]))
    return (np.random.default_rng(seed).standard_normal(shape) / fan**0.5).astype(np.float32)


def feeds(name: str = "x", shape: tuple[int, ...] = (1, 8, 12, 12), count: int = 2, scale: float = 1.0) -> list[Feed]:
    rng = np.random.default_rng(1)
    return [{name: (rng.standard_normal(shape) * scale).astype(np.float32)} for _ in range(count)]


def body(path: Path) -> Graph:
    """Conv, Relu, Conv with a residual sum, ConvTranspose: 8 to 16 channels, all of it fit for FP16 and INT8."""
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], name="first", pads=[1] * 4),
        node("Relu", ["c0"], ["r0"], name="relu"),
        node("Conv", ["r0", "w1"], ["c1"], name="second", pads=[1] * 4),
        node("Add", ["c1", "r0"], ["a"], name="sum"),
        node("ConvTranspose", ["a", "w2"], ["y"], name="up", strides=[2, 2]),
    ]
    weights = {"w0": weight(16, 8, 3, 3), "b0": weight(16, 1)[:, 0], "w1": weight(16, 16, 3, 3, seed=1),
               "w2": weight(16, 8, 2, 2, seed=2)}  # fmt: skip
    inputs, outputs = [tensor("x", 1, 8, "h", "w")], [tensor("y", 1, 8, "h2", "w2")]
    return Graph.read(save(path / "body.onnx", nodes, inputs, outputs, weights))


def attention(path: Path) -> Graph:
    """MatMul, Softmax, MatMul, and a layer norm written out, with an epsilon that FP16 cannot hold."""
    nodes = [
        node("MatMul", ["x", "wq"], ["q"], name="query"),
        node("Transpose", ["q"], ["qt"], name="turn", perm=[0, 2, 1]),
        node("MatMul", ["q", "qt"], ["logits"], name="scores"),
        node("Softmax", ["logits"], ["p"], name="softmax", axis=-1),
        node("MatMul", ["p", "q"], ["v"], name="values"),
        node("ReduceMean", ["v"], ["mean"], name="mean", axes=[-1]),
        node("Sub", ["v", "mean"], ["centred"], name="centre"),
        node("Pow", ["centred", "two"], ["squares"], name="square"),
        node("ReduceMean", ["squares"], ["variance"], name="variance", axes=[-1]),
        node("Add", ["variance", "epsilon"], ["positive"], name="epsilon_sum"),
        node("Sqrt", ["positive"], ["deviation"], name="root"),
        node("Div", ["centred", "deviation"], ["normal"], name="divide"),
        node("MatMul", ["normal", "wo"], ["y"], name="out"),
    ]
    weights = {"wq": weight(16, 16), "wo": weight(16, 16, seed=3), "two": np.array(2, np.float32),
               "epsilon": np.array(1e-6, np.float32)}  # fmt: skip
    return Graph.read(save(path / "attention.onnx", nodes, [tensor("x", 1, 9, 16)], [tensor("y", 1, 9, 16)], weights))


def casts(path: Path) -> Graph:
    """A uint8 picture made float, an FP16 island that exists already, and shapes as numbers."""
    nodes = [
        node("Cast", ["x"], ["f"], name="to_float", to=TensorProto.FLOAT),
        node("Conv", ["f", "w0"], ["c0"], name="first", pads=[1] * 4),
        node("Cast", ["c0"], ["half"], name="to_half", to=TensorProto.FLOAT16),
        node("Relu", ["half"], ["rectified"], name="relu"),
        node("Cast", ["rectified"], ["back"], name="to_single", to=TensorProto.FLOAT),
        node("Conv", ["back", "w1"], ["c1"], name="second", pads=[1] * 4),
        node("Shape", ["c1"], ["shape"], name="shape"),
        node("ConstantOfShape", ["shape"], ["zeros"], name="zeros"),
        node("Add", ["c1", "zeros"], ["s"], name="sum"),
        node("Conv", ["s", "w1"], ["y"], name="third", pads=[1] * 4),
    ]
    weights = {"w0": weight(16, 8, 3, 3) / 255, "w1": weight(16, 16, 3, 3, seed=1)}
    inputs = [tensor("x", 1, 8, 12, 12, kind=TensorProto.UINT8)]
    return Graph.read(save(path / "casts.onnx", nodes, inputs, [tensor("y", 1, 16, 12, 12)], weights))


def resize(path: Path) -> Graph:
    """A resize by scales between two convolutions, and a setting that is a vector."""
    nodes = [
        node("Conv", ["x", "w0"], ["c0"], name="first", pads=[1] * 4),
        node("Resize", ["c0", "", "scales"], ["large"], name="resize", mode="nearest"),
        node("Mul", ["step", "half"], ["limit"], name="limit"),
        node("Mul", ["large", "limit"], ["limited"], name="apply"),
        node("Conv", ["limited", "w1"], ["y"], name="second", pads=[1] * 4),
    ]
    weights = {"w0": weight(16, 8, 3, 3), "w1": weight(8, 16, 3, 3, seed=1), "half": np.array([0.5], np.float32),
               "scales": np.array([1, 1, 2, 2], np.float32)}  # fmt: skip
    inputs = [tensor("x", 1, 8, "h", "w"), tensor("step", 1)]
    return Graph.read(save(path / "resize.onnx", nodes, inputs, [tensor("y", 1, 8, "h2", "w2")], weights))


def stream(path: Path, *, gain: float) -> Graph:
    """Six residual blocks, each of which adds ``gain`` times what it gets."""
    nodes, name = [], "x"
    for index in range(6):
        nodes += [
            node("Conv", [name, "w"], [f"c{index}"], name=f"conv{index}"),
            node("Add", [name, f"c{index}"], [f"s{index}"], name=f"add{index}"),
        ]
        name = f"s{index}"
    nodes.append(node("Conv", [name, "w"], ["y"], name="last"))
    weights = {"w": (np.eye(8, dtype=np.float32) * gain).reshape(8, 8, 1, 1)}
    return Graph.read(save(path / "stream.onnx", nodes, [tensor("x", 1, 8, 4, 4)], [tensor("y", 1, 8, 4, 4)], weights))


def branches(path: Path) -> Graph:
    """An If whose branches take a float tensor from outside."""
    then = helper.make_graph([node("Relu", ["c0"], ["t"], name="inner")], "then", [], [tensor("t", 1, 16, "h", "w")])
    other = helper.make_graph([node("Neg", ["c0"], ["e"], name="inner2")], "else", [], [tensor("e", 1, 16, "h", "w")])
    nodes = [
        node("Conv", ["x", "w0"], ["c0"], name="first", pads=[1] * 4),
        node("If", ["flag"], ["b"], name="choose", then_branch=then, else_branch=other),
        node("Conv", ["b", "w1"], ["y"], name="second", pads=[1] * 4),
    ]
    weights = {"w0": weight(16, 8, 3, 3), "w1": weight(8, 16, 3, 3, seed=1)}
    inputs = [tensor("x", 1, 8, 12, 12), tensor("flag", 1, kind=TensorProto.BOOL)]
    return Graph.read(save(path / "branches.onnx", nodes, inputs, [tensor("y", 1, 8, 12, 12)], weights))


def outputs(graph: Graph, data: list[Feed], folder: Path) -> list[dict[str, Array]]:
    return run_copies(open_backend("cpu", threads=1), graph.bytes(), data, folder)


def ranges(graph: Graph, data: list[Feed]) -> Ranges:
    return record_ranges(graph, data)


def decibels(found: Array, expected: Array) -> float:
    noise = float(np.mean((found.astype(np.float64) - expected) ** 2))
    return 10 * float(np.log10(np.mean(expected.astype(np.float64) ** 2) / max(noise, 1e-30)))


def unet(path: Path) -> Graph:
    """A small diffusion U-Net: group norms written out, SiLU, a timestep embedding, attention and a skip by Concat."""
    weights: dict[str, Array] = {}
    nodes = []

    def conv(source: str, name: str, fan_in: int, fan_out: int, **options) -> str:
        weights[f"{name}_w"] = weight(fan_out, fan_in, 3, 3, seed=len(weights))
        nodes.append(node("Conv", [source, f"{name}_w"], [name], name=name, pads=[1] * 4, **options))
        return name

    def norm(source: str, name: str) -> str:
        weights.setdefault("groups", np.array([0, 4, -1], np.int64))
        weights.setdefault("ones", np.ones(4, np.float32))
        weights.setdefault("none", np.zeros(4, np.float32))
        nodes.extend(
            [
                node("Shape", [source], [f"{name}_shape"], name=f"{name}_shape"),
                node("Reshape", [source, "groups"], [f"{name}_g"], name=f"{name}_group"),
                node("InstanceNormalization", [f"{name}_g", "ones", "none"], [f"{name}_n"], name=f"{name}_norm"),
                node("Reshape", [f"{name}_n", f"{name}_shape"], [name], name=f"{name}_back"),
                node("Sigmoid", [name], [f"{name}_s"], name=f"{name}_sigmoid"),
                node("Mul", [name, f"{name}_s"], [f"{name}_silu"], name=f"{name}_silu"),
            ]
        )
        return f"{name}_silu"

    weights |= {"rates": (10.0 ** -np.linspace(0, 4, 8)).astype(np.float32), "embed_w": weight(16, 16, seed=9),
                "two": np.array([2, 3], np.int64), "scales": np.array([1, 1, 2, 2], np.float32),
                "flat": np.array([1, 16, -1], np.int64)}  # fmt: skip
    nodes += [
        node("Mul", ["t", "rates"], ["angles"], name="angles"),
        node("Sin", ["angles"], ["sines"], name="sine"),
        node("Cos", ["angles"], ["cosines"], name="cosine"),
        node("Concat", ["sines", "cosines"], ["waves"], name="waves", axis=0),
        node("MatMul", ["waves", "embed_w"], ["embedding"], name="embed"),
        node("Unsqueeze", ["embedding", "two"], ["planes0"], name="planes0"),
    ]
    weights["two"] = np.array([0, 2, 3], np.int64)
    first = conv("x", "enter", 4, 16)
    down = conv(norm(first, "n0"), "down", 16, 16, strides=[2, 2])
    nodes.append(node("Add", [down, "planes0"], ["timed"], name="timed"))
    middle = conv(norm("timed", "n1"), "middle", 16, 16)
    nodes += [
        node("Shape", [middle], ["mshape"], name="mshape"),
        node("Reshape", [middle, "flat"], ["tokens"], name="tokens"),
        node("Transpose", ["tokens"], ["keys"], name="keys", perm=[0, 2, 1]),
        node("MatMul", ["keys", "tokens"], ["scores"], name="scores"),
        node("Softmax", ["scores"], ["attention"], name="attention", axis=-1),
        node("MatMul", ["tokens", "attention"], ["mixed"], name="mix"),
        node("Reshape", ["mixed", "mshape"], ["attended"], name="attended"),
        node("Add", ["attended", middle], ["residual"], name="residual"),
        node("Resize", ["residual", "", "scales"], ["large"], name="enlarge", mode="nearest"),
        node("Concat", ["large", first], ["joined"], name="join", axis=1),
    ]
    last = conv(norm(conv("joined", "merge", 32, 16), "n2"), "leave", 16, 4)
    nodes.append(node("Identity", [last], ["noise"], name="end"))
    inputs = [tensor("x", 1, 4, 16, 16), tensor("t", 1)]
    return Graph.read(save(path / "unet.onnx", nodes, inputs, [tensor("noise", 1, 4, 16, 16)], weights))
