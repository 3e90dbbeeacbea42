"""Several networks put together into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesr.compile.graph import FLOAT, Graph, with_opset
from edgesr.compile.nodes import captured, make_node, make_weight
from edgesr.errors import ModelError
from edgesr.types import Array

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

Dimensions = Sequence[int | str]
"""Sizes of a tensor; a name stands for a dynamic one."""
LEAST_OPSET = 13
"""From here on axes and splits are inputs, as the nodes added to a network have them."""


class Assembly:
    """A network in the making: copies of other networks, which must be ``aligned``, and nodes between them."""

    def __init__(self, source: str, parts: Sequence[Graph]) -> None:
        self._source = source
        self._opset = max(part.opset for part in parts)
        self._version = max(8, *(int(part.model.ir_version) for part in parts))
        self._nodes: list[NodeProto] = []
        self._weights: dict[str, TensorProto] = {}
        self._inputs: dict[str, ValueInfoProto] = {}
        self._outputs: list[ValueInfoProto] = []

    def input(self, name: str, dimensions: Dimensions, kind: int = FLOAT) -> str:
        """Add an input, or find it where it was added before, and return its name."""
        import onnx

        self._inputs.setdefault(name, onnx.helper.make_tensor_value_info(name, kind, list(dimensions)))
        return name

    def output(self, name: str, tensor: str, dimensions: Dimensions, kind: int = FLOAT) -> None:
        """Make a tensor an output called ``name``, float32 unless ``kind`` says otherwise."""
        import onnx

        self._nodes.append(make_node("Identity", [tensor], [name], f"output {name}"))
        self._outputs.append(onnx.helper.make_tensor_value_info(name, kind, list(dimensions)))

    def constant(self, name: str, values: Array | float | Sequence[int]) -> str:
        """Add a constant: Python floats become float32 ``(1,)``, lists of numbers int64."""
        if isinstance(values, float):
            values = np.array([values], np.float32)
        elif not isinstance(values, np.ndarray):
            values = np.array(values, np.int64)
        self._weights[name] = make_weight(name, values)
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, *, count: int = 1, **attributes: Any) -> str:
        """Add a node and return the name of its output, which is the node's own; of several, ``name.0`` and so on."""
        outputs = [name] if count == 1 else [f"{name}.{index}" for index in range(count)]
        self._nodes.append(make_node(operator, list(inputs), outputs, name, **attributes))
        return outputs[0]

    def cast(self, tensor: str, kind: int, name: str) -> str:
        """Add a cast to an element type."""
        return self.node("Cast", [tensor], name, to=kind)

    def add(self, part: Graph, feeds: Mapping[str, str], *, weights: str, copy: str) -> dict[str, str]:
        """Add a network whose inputs are the tensors ``feeds`` names, and return what its outputs are called.

        ``feeds`` may replace tensors inside the network too; what computed them is left out. ``weights`` and ``copy``
        begin the names inside: copies with the same ``weights`` share their constants.
        """
        missing = [name for name in part.inputs if name not in feeds]
        if missing:
            raise ModelError(f"{part.source}: nothing is given to the input {missing[0]!r}")

        def renamed(name: str) -> str:
            return feeds.get(name) or (f"{weights}{name}" if name in part.weights else f"{copy}{name}" if name else "")

        for tensor in part.weights.values():
            name = f"{weights}{tensor.name}"
            if name not in self._weights:
                shared = type(tensor)()
                shared.CopyFrom(tensor)
                shared.name = name
                self._weights[name] = shared
        self._nodes.extend(_renamed(node, renamed, copy) for node in part.nodes)
        return {name: renamed(name) for name in part.outputs}

    def graph(self) -> Graph:
        """Return the network; what no output needs is left out."""
        import onnx

        wanted, kept = {value.name for value in self._outputs}, []
        for node in reversed(self._nodes):
            if wanted.intersection(node.output):
                wanted.update(_taken(node))
                kept.append(node)
        model = onnx.helper.make_model(
            onnx.helper.make_graph(
                kept[::-1],
                "edgesr",
                list(self._inputs.values()),
                self._outputs,
                [tensor for name, tensor in self._weights.items() if name in wanted],
            ),
            opset_imports=[onnx.helper.make_opsetid("", self._opset)],
            ir_version=self._version,
            producer_name="edgesr",
        )
        return Graph(model, self._source)


def aligned(parts: Sequence[Graph]) -> list[Graph]:
    """Return networks in one version of the standard operators: the highest among them, and at least 13."""
    opset = max(LEAST_OPSET, *(part.opset for part in parts))
    results = []
    for part in parts:
        converted = part if part.opset == opset else with_opset(part, opset)
        if converted is None:
            raise ModelError(
                f"{part.source}: has opset {part.opset}, which cannot be converted to {opset}; "
                f"export all parts with one opset of {LEAST_OPSET} or more"
            )
        results.append(converted)
    return results


def dimensions_of(graph: Graph, name: str) -> list[int | str]:
    """Return the sizes of an input or output, with the names of the dynamic ones."""
    values = [value for value in (*graph.model.graph.input, *graph.model.graph.output) if value.name == name]
    sizes: list[int | str] = []
    for axis, size in enumerate(values[0].type.tensor_type.shape.dim):
        sizes.append(int(size.dim_value) if size.dim_value > 0 else str(size.dim_param) or f"{name}_{axis}")
    return sizes


def _renamed(node: NodeProto, rename: Callable[[str], str], copy: str) -> NodeProto:
    result = type(node)()
    result.CopyFrom(node)
    result.name = f"{copy}{node.name}"
    result.ClearField("doc_string")
    if hasattr(result, "metadata_props"):  # stack traces of torch's exporter, in onnx 1.16 and later
        del result.metadata_props[:]
    result.input[:] = [rename(name) for name in node.input]
    result.output[:] = [name and f"{copy}{name}" for name in node.output]
    for entry in result.attribute:
        for graph in ([entry.g] if entry.HasField("g") else []) + list(entry.graphs):
            _rename_inside(graph, rename, copy)
    return result


def _rename_inside(graph: GraphProto, rename: Callable[[str], str], copy: str) -> None:
    nodes = [_renamed(node, rename, copy) for node in graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = rename(value.name)
    del graph.value_info[:]


def _taken(node: NodeProto) -> list[str]:
    return [name for name in (*node.input, *captured(node)) if name]
