"""A float32 network that rounds where a typed one stores FP16, for comparisons on a CPU.

ONNX Runtime computes FP16 nodes in FP32 on CPUs and leaves out casts to FP16 and back, so that a typed network run
there looks more accurate than it is. Here every FP16 tensor is rounded to 11 significant bits by arithmetic that no
optimiser removes: with c = 8193 x, the rounded value is c - (c - x) (Veltkamp 1968; Dekker 1971, section 5).
What an engine adds up inside a layer, in FP16 or FP32, is not imitated, nor are overflow and subnormal values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgesr.compile.graph import FLOAT, HALF, Graph
from edgesr.compile.nodes import attribute, fill_value, make_node, make_weight, set_attribute

if TYPE_CHECKING:
    from onnx import NodeProto

SPLIT = "edgesr_split"
_FACTOR = 2.0**13 + 1.0
"""24 bits of a float32 less the 11 that FP16 keeps leave 13."""


def emulated(graph: Graph) -> Graph:
    """Return the float32 network that imitates a typed one; the graph itself where nothing is FP16."""
    if HALF not in graph.types.values():
        return graph
    model = graph.copy()
    nodes: list[NodeProto] = []
    renamed: dict[str, str] = {}
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == HALF:
            value.type.tensor_type.elem_type = FLOAT
    for name in graph.inputs:
        if graph.types.get(name) == HALF:
            renamed[name] = f"{name}_rounded"
            nodes += _rounding(name, renamed[name])
    for node in model.graph.node:
        for slot, name in enumerate(node.input):
            node.input[slot] = renamed.get(name, name)
        if node.op_type == "Cast" and int(attribute(node, "to", FLOAT)) == HALF:
            set_attribute(node, "to", FLOAT)
        if node.op_type == "ConstantOfShape":
            value = fill_value(node)
            set_attribute(node, "value", value.astype(np.float32) if value.dtype == np.float16 else value)
        nodes.append(node)
        for slot, name in enumerate(node.output):
            if name and graph.types.get(name) == HALF:
                node.output[slot] = f"{name}_unrounded"
                nodes += _rounding(node.output[slot], name)
    tensors = [
        make_weight(name, graph.array(name).astype(np.float32)) if graph.types[name] == HALF else tensor
        for name, tensor in graph.weights.items()
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.initializer[:]
    model.graph.initializer.extend([*tensors, make_weight(SPLIT, np.array(_FACTOR, np.float32))])
    return Graph(model, graph.source)


def _rounding(source: str, target: str) -> list[NodeProto]:
    """Return the nodes that round a tensor to 11 bits."""
    return [
        make_node("Mul", [source, SPLIT], [f"{target}_split_c"], f"{target}_split_c"),
        make_node("Sub", [f"{target}_split_c", source], [f"{target}_split_d"], f"{target}_split_d"),
        make_node("Sub", [f"{target}_split_c", f"{target}_split_d"], [target], f"{target}_split_e"),
    ]
