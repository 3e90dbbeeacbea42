"""Arithmetic operations and bytes of a network, counted from its graph for given input shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesr.compile.graph import Graph
from edgesr.compile.nodes import attribute

if TYPE_CHECKING:
    from onnx import NodeProto

_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
# Operators that move or name values and compute nothing.
_MOVING = frozenset(
    ("Cast", "CastLike", "Concat", "ConstantOfShape", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements",
     "GatherND", "Identity", "Pad", "Reshape", "Shape", "Size", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile",
     "Transpose", "Unsqueeze", "Range", "EyeLike", "Dropout", "Constant")
)  # fmt: skip
# Of those, the ones that runtimes do without touching the values.
_FREE = frozenset(
    (
        "Constant",
        "Dropout",
        "Flatten",
        "Identity",
        "Reshape",
        "Shape",
        "Size",
        "Squeeze",
        "Unsqueeze",
        "ConstantOfShape",
    )
)
_POOLING = frozenset(("AveragePool", "MaxPool", "LpPool"))


@dataclass(frozen=True)
class NodeCost:
    """One operator of one run."""

    name: str
    type: str
    products: int
    """Multiply-adds of a convolution or matrix product."""
    others: int
    """Other operations: one for every element that is made, or that is read where many become one."""
    bytes: int
    """What the operator reads and writes when nothing is fused: its inputs, weights among them, and its outputs."""

    @property
    def operations(self) -> int:
        """Operations, two for each multiply-add."""
        return 2 * self.products + self.others


@dataclass(frozen=True)
class Operations:
    """One run of a network."""

    nodes: tuple[NodeCost, ...]
    least_bytes: int
    """Weights, inputs and outputs, each once: what must move however much is fused."""
    unknown: tuple[str, ...]
    """Operators whose sizes shape inference does not find; they are not counted."""

    @property
    def total(self) -> int:
        """Operations of all operators."""
        return sum(node.operations for node in self.nodes)

    @property
    def bytes(self) -> int:
        """Bytes of all operators when nothing is fused."""
        return sum(node.bytes for node in self.nodes)


def count_operations(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Operations:
    """Count one run with inputs of ``shapes``; inputs that are left out have fixed shapes."""
    sized = with_shapes(graph, shapes)
    elements = {name: math.prod(shape) for name, shape in sized.shapes.items() if all(n >= 0 for n in shape)}
    nodes, unknown = [], []
    for node in sized.nodes:
        names = [name for name in dict.fromkeys((*node.input, *node.output)) if name]
        if any(name not in elements for name in names):
            unknown.append(f"{node.op_type} {node.name}")
            continue
        others = _others(sized, node, elements)
        moved = 0 if node.op_type in _FREE else sum(elements[n] * _BYTES.get(sized.types.get(n, 1), 4) for n in names)
        nodes.append(NodeCost(node.name, node.op_type, sized.products(node, elements), others, moved))
    outside = [*sized.weights, *sized.inputs, *sized.outputs]
    least = sum(elements.get(name, 0) * _BYTES.get(sized.types.get(name, 1), 4) for name in outside)
    return Operations(tuple(nodes), least, tuple(unknown))


def _others(graph: Graph, node: NodeProto, elements: Mapping[str, int]) -> int:
    kind = node.op_type
    inputs, outputs = node.input, node.output
    made = sum(elements[name] for name in outputs if name)
    if kind in _MOVING:
        return 0
    if kind in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        # The bias, where there is one.
        return made if len(inputs) > 2 and inputs[2] else 0
    if kind in _POOLING:
        return made * math.prod(attribute(node, "kernel_shape", ()) or ())
    if kind.startswith(("Reduce", "Global", "Arg")):
        return elements[inputs[0]]
    return made


def with_shapes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """Return the network for inputs of these shapes, with the shapes that follow; others keep theirs."""
    model = graph.copy()
    for value in model.graph.input:
        if value.name in shapes:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for size in shapes[value.name]:
                shape.dim.add().dim_value = int(size)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return Graph(model, graph.source)
