"""Which layers of a network a DLA takes, by NVIDIA's written rules, without a board.

The operators are those that NVIDIA lists as native on Orin's DLA through TensorRT; their limits are those of the
section on the DLA in TensorRT's developer guide. What TensorRT really places there, only a board tells: it may also
leave layers on the GPU because too few of them lie together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesr.compile.graph import Graph, has_floats
from edgesr.compile.nodes import attribute
from edgesr.compile.operations import count_operations, with_shapes

if TYPE_CHECKING:
    from onnx import NodeProto

_NATIVE = frozenset(
    ("Abs", "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose", "Cos", "Equal",
     "Gemm", "Identity", "LRN", "LeakyRelu", "MatMul", "Max", "MaxPool", "Mul", "PRelu", "Relu", "Reshape", "Resize",
     "Sigmoid", "Slice", "Softmax", "Sub", "Sum", "Tanh", "Transpose", "Upsample")
)  # fmt: skip
_LARGEST = 8192
"""Of every dimension."""
_KERNEL, _PADDING, _STRIDE, _DILATION = 32, 31, 8, 32
_POOL_KERNEL, _POOL_PADDING, _POOL_STRIDE = 8, 7, 16
_RESIZE = {"nearest": 32, "linear": 4}


@dataclass(frozen=True)
class DlaShare:
    """What the rules let a DLA take of a network."""

    layers: int
    """Nodes that compute with floats."""
    taken: int
    share: float
    """Of the multiply-adds."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Why the others stay on the GPU, with their number."""

    def told(self) -> str:
        """Say it for people."""
        others = "; ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        return (
            f"by NVIDIA's written rules, not tried on a board, {self.taken} of {self.layers} layers, {self.share:.0%} "
            "of the multiply-adds" + (f"; on the GPU: {others}" if others else "")
        )


def dla_share(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> DlaShare:
    """Apply the rules to every layer of a network with inputs of ``shapes``; inputs that are left out are fixed."""
    sized = with_shapes(graph, shapes)
    products = {node.name: node.products for node in count_operations(graph, shapes).nodes}
    found = {node.name: _obstacle(sized, node) for node in sized.nodes if has_floats(sized, node)}
    taken = [name for name, reason in found.items() if not reason]
    total = sum(products.values())
    return DlaShare(
        len(found),
        len(taken),
        sum(products.get(name, 0) for name in taken) / total if total else 0.0,
        dict(Counter(reason for reason in found.values() if reason).most_common()),
    )


def _obstacle(graph: Graph, node: NodeProto) -> str:
    """Return the first rule that a node breaks, nothing where it breaks none."""
    kind = node.op_type
    if kind not in _NATIVE:
        return f"{kind}, which it does not have"
    for name in (*node.input, *node.output):
        shape = graph.shapes.get(name)
        if name and name not in graph.weights and (shape is None or any(n < 0 for n in shape)):
            return f"{kind} of unknown size"
        if shape is not None and any(n > _LARGEST for n in shape):
            return f"{kind} with a dimension above {_LARGEST}"
    return next(_broken(graph, node), "")


def _broken(graph: Graph, node: NodeProto) -> Iterator[str]:
    kind = node.op_type
    made = graph.shapes.get(node.output[0], ())
    if kind in ("Conv", "ConvTranspose", "MaxPool", "AveragePool"):
        yield from _windows(graph, node)
    if kind == "MatMul" and node.input[1] not in graph.weights:
        yield "MatMul of two computed tensors"
    if kind == "Concat" and int(attribute(node, "axis", 1)) not in (1, 1 - len(made)):
        yield "Concat along another axis than the channels"
    if kind in ("Reshape", "Transpose", "Slice") and len(made) != 4:
        yield f"{kind} with {len(made)} dimensions in place of 4"
    if kind == "Transpose" and len(made) == 4 and attribute(node, "perm", (3,))[0] != 0:
        yield "Transpose that moves the batch"
    if kind == "Slice" and len(node.input) > 4 and not _all(graph, node.input[4], 1):
        yield "Slice with a step"
    if kind == "Softmax" and made[int(attribute(node, "axis", -1))] > 1024:
        yield "Softmax over more than 1024 values"
    if kind in ("Resize", "Upsample"):
        yield from _scales(graph, node, made)
    if kind == "Clip" and (len(node.input) < 2 or not node.input[1] or not _all(graph, node.input[1], 0)):
        yield "Clip from another value than 0"


def _windows(graph: Graph, node: NodeProto) -> Iterator[str]:
    kind = node.op_type
    is_pool = kind.endswith("Pool")
    weights = graph.shapes.get(node.input[1], ()) if not is_pool else ()
    limits: tuple[tuple[str, Any, int], ...] = (
        ("kernel", attribute(node, "kernel_shape", weights[2:]), _POOL_KERNEL if is_pool else _KERNEL),
        ("padding", attribute(node, "pads", ()), _POOL_PADDING if is_pool else _PADDING),
        ("stride", attribute(node, "strides", ()), _POOL_STRIDE if is_pool else _STRIDE),
        ("dilation", attribute(node, "dilations", ()), _DILATION),
    )
    if kind == "ConvTranspose":
        if any(attribute(node, "pads", ())):
            yield "ConvTranspose with padding"
        if int(attribute(node, "group", 1)) != 1 or any(n > 1 for n in attribute(node, "dilations", ())):
            yield "ConvTranspose with groups or dilation"
        limits = limits[:1]
    if len(graph.shapes.get(node.output[0], ())) != 4:
        yield f"{kind} that is not two-dimensional"
    for name, values, most in limits:
        if any(n > most for n in values):
            yield f"{kind} with a {name} above {most}"


def _scales(graph: Graph, node: NodeProto, made: tuple[int, ...]) -> Iterator[str]:
    given = graph.shapes.get(node.input[0], ())
    mode = attribute(node, "mode", b"nearest").decode()
    most = _RESIZE.get(mode)
    if most is None:
        yield f"Resize by {mode} interpolation"
        return
    ratios = [out / size for out, size in zip(made, given, strict=True)]
    if len(ratios) != 4 or ratios[:2] != [1, 1] or any(not n.is_integer() or not 1 <= n <= most for n in ratios[2:]):
        sizes = " x ".join(f"{n:g}" for n in ratios[2:])
        yield f"Resize, {mode}, by {sizes}: only whole factors up to {most}"


def _all(graph: Graph, name: str, value: float) -> bool:
    return name in graph.weights and bool(np.all(graph.array(name) == value))
