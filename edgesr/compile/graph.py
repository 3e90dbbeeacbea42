"""An ONNX graph as the passes see it; the one file of this part that imports the onnx package."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgesr.compile.nodes import attribute, captured
from edgesr.errors import ModelError
from edgesr.model.onnx_file import MAX_BYTES, read_graph, with_weights_inside
from edgesr.types import Array

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

FLOAT, UINT8, INT8, INT32, INT64, BOOL, HALF, DOUBLE = 1, 2, 3, 6, 7, 9, 10, 11
"""Element types by their number in ``TensorProto.DataType``."""
TYPE_NAMES = {1: "float", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double"}
_NUMPY = {FLOAT: np.float32, HALF: np.float16, INT8: np.int8, INT32: np.int32, INT64: np.int64}

_MAX_SHAPE_BYTES = 4096
"""Weights larger than this hold no shapes and are left out of shape inference."""


class Graph:
    """A network with every node named, every constant an initializer and every tensor typed.

    A pass takes ``copy()``, changes it and makes a new Graph of it; a Graph itself is not changed.
    """

    def __init__(self, model: ModelProto, source: str) -> None:
        self.source = source
        self.model = _prepared(model)
        proto = self.model.graph
        self.nodes: tuple[NodeProto, ...] = tuple(proto.node)
        self.weights: Mapping[str, TensorProto] = {tensor.name: tensor for tensor in proto.initializer}
        self.inputs: tuple[str, ...] = tuple(v.name for v in proto.input if v.name not in self.weights)
        self.outputs: tuple[str, ...] = tuple(v.name for v in proto.output)
        self.producers: Mapping[str, NodeProto] = {name: node for node in self.nodes for name in node.output if name}
        consumers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys((*node.input, *captured(node))):
                consumers[name].append(node)
        self.consumers: Mapping[str, list[NodeProto]] = consumers
        self.types, self.shapes = _inferred(self.model)

    @classmethod
    def read(cls, path: Path, *, source: str | None = None) -> Graph:
        """Read an ONNX file with its weights; raise ModelError for one that is damaged or no ONNX.

        ``source`` names it in errors, where the file itself is one of a package.
        """
        import onnx

        read_graph(path)
        content = with_weights_inside(path)
        data = content if isinstance(content, bytes) else content.read_bytes()
        return cls(onnx.load_model_from_string(data), source or str(path))

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return next((entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")), 1)

    def copy(self) -> ModelProto:
        """Return the model as a pass may change it: without the inferred types, which would be out of date."""
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.value_info[:]
        return model

    def bytes(self) -> bytes:
        """Return the content of an ONNX file."""
        size = self.model.ByteSize()
        if size >= MAX_BYTES:
            raise ModelError(f"{self.source}: has {size} bytes, an ONNX file holds 2 GiB; export a smaller network")
        return bytes(self.model.SerializeToString(deterministic=True))

    def array(self, name: str) -> Array:
        """Return a constant."""
        from onnx import numpy_helper

        values: Array = numpy_helper.to_array(self.weights[name])
        return values

    def is_dynamic(self, name: str) -> bool:
        """Tell whether a tensor is computed or given, not constant."""
        return bool(name) and name not in self.weights

    def floats_in(self, node: NodeProto) -> list[str]:
        """List the float32 inputs of a node that are not constant."""
        return [name for name in node.input if self.is_dynamic(name) and self.types.get(name) == FLOAT]

    def floats_out(self, node: NodeProto) -> list[str]:
        """List the float32 outputs of a node."""
        return [name for name in node.output if name and self.types.get(name) == FLOAT]

    def is_control(self, name: str) -> bool:
        """Tell whether a graph input is a small vector, such as a setting or a timestep, and no picture."""
        shape = self.shapes.get(name)
        return name in self.inputs and shape is not None and len(shape) < 3

    def channels_in(self, node: NodeProto) -> int | None:
        """Return over how many channels a convolution or product sums; None for other nodes."""
        shape = self.shapes.get(node.input[1], ()) if len(node.input) > 1 else ()
        if node.op_type == "Conv" and len(shape) > 2:
            return int(shape[1]) * int(attribute(node, "group", 1))
        if node.op_type == "ConvTranspose" and len(shape) > 2:
            return int(shape[0])
        if node.op_type == "Gemm" and len(shape) == 2:
            return int(shape[1 if attribute(node, "transB", 0) else 0])
        if node.op_type == "MatMul" and len(shape) > 1:
            return int(shape[-2])
        return None

    def products(self, node: NodeProto, sizes: Mapping[str, int]) -> int:
        """Count the multiply-adds of a convolution or product, ``sizes`` being the elements of each tensor."""
        channels = self.channels_in(node)
        if channels is None:
            return 0
        shape = self.shapes.get(node.input[1], ())
        if node.op_type == "Conv":
            return sizes.get(node.output[0], 0) * math.prod(shape[1:])
        if node.op_type == "ConvTranspose":
            return sizes.get(node.input[0], 0) * math.prod(shape[1:])
        return sizes.get(node.output[0], 0) * max(channels, 0)


def has_floats(graph: Graph, node: NodeProto) -> bool:
    """Tell whether a node takes or gives float32 tensors."""
    return any(graph.types.get(name) == FLOAT for name in (*node.input, *node.output) if name)


def expose(graph: Graph, names: Iterable[str]) -> bytes:
    """Return an ONNX file whose outputs are the tensors ``names``, in their order."""
    import onnx

    model = graph.copy()
    del model.graph.output[:]
    for name in names:
        shape = graph.shapes.get(name)
        sizes = None if shape is None else [n if n >= 0 else None for n in shape]
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, graph.types[name], sizes))
    return bytes(model.SerializeToString())


def with_opset(graph: Graph, version: int) -> Graph | None:
    """Return the graph in another version of the standard operators, None where the onnx package cannot convert it."""
    import onnx.version_converter

    try:
        return Graph(onnx.version_converter.convert_version(graph.copy(), version), graph.source)
    except Exception:  # the converter's C++ core raises many types
        return None


def _prepared(original: ModelProto) -> ModelProto:
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(original)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    graph, kept, used = model.graph, [], set()
    for index, node in enumerate(graph.node):
        if node.op_type == "Constant" and not node.domain and len(node.attribute) == 1:
            value = _constant(node)
            if value is not None:
                graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
                continue
        if not node.name or node.name in used:
            node.name = f"{node.name or node.op_type}#{index}"
        used.add(node.name)
        kept.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    return model


def _constant(node: NodeProto) -> Array | None:
    import onnx

    entry = node.attribute[0]
    value = onnx.helper.get_attribute_value(entry)
    if entry.name == "value":
        return np.array(onnx.numpy_helper.to_array(value))
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    return np.array(value, kinds[entry.name]) if entry.name in kinds else None


def _inferred(model: ModelProto) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """Infer types and shapes (-1 = unknown dimension), as far as the onnx package knows the operators."""
    import onnx

    light = onnx.ModelProto()
    light.CopyFrom(model)
    for tensor in light.graph.initializer:
        if len(tensor.raw_data) > _MAX_SHAPE_BYTES:  # inference takes the model as bytes, there and back
            tensor.ClearField("raw_data")
    graph = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    types = {tensor.name: int(tensor.data_type) for tensor in graph.initializer}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.elem_type:
            types.setdefault(value.name, int(kind.elem_type))
        if kind.HasField("shape"):
            dims = (d.dim_value if d.WhichOneof("value") == "dim_value" else -1 for d in kind.shape.dim)
            shapes.setdefault(value.name, tuple(dims))
    return types, shapes
