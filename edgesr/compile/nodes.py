"""Nodes, their attributes and constants: what the passes write into a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesr.types import Array

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """Return the value of a node's attribute."""
    import onnx

    found = next((entry for entry in node.attribute if entry.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def set_attribute(node: NodeProto, name: str, value: Any) -> None:
    """Set a node's attribute; an array becomes a tensor."""
    import onnx

    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    value = onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])


def make_node(operator: str, inputs: list[str], outputs: list[str], name: str, **attributes: Any) -> NodeProto:
    """Make a node of a standard operator."""
    import onnx

    return onnx.helper.make_node(operator, inputs, outputs, name=name, **attributes)


def make_weight(name: str, values: Array) -> TensorProto:
    """Make an initializer."""
    import onnx

    return onnx.numpy_helper.from_array(np.array(values, order="C"), name)


def fill_value(node: NodeProto) -> Array:
    """Return the value with which a ConstantOfShape fills its result, shape ``(1,)``."""
    from onnx import numpy_helper

    value = attribute(node, "value", None)
    return np.zeros(1, np.float32) if value is None else np.array(numpy_helper.to_array(value))


def captured(node: NodeProto) -> Iterator[str]:
    """Yield the tensors that a node's subgraphs may take from outside."""
    levels = [entry.g for entry in node.attribute if entry.HasField("g")]
    levels += [graph for entry in node.attribute for graph in entry.graphs]
    for graph in levels:
        for inner in graph.node:
            yield from (name for name in inner.input if name)
            yield from captured(inner)
        yield from (value.name for value in graph.output)
