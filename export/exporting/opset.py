"""Bring a graph from the opset in which PyTorch's exporter writes down to what a target reads."""

import numpy as np
import onnx
from onnx import numpy_helper

from edgesr.compile.graph import Graph, with_opset

_WRITTEN = 18
_ADDED = ("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CenterCropPad", "Col2Im", "Mish")
_SCATTERS = ("ScatterElements", "ScatterND")
_SINCE_18 = {"Resize": {"antialias": 0, "keep_aspect_ratio_policy": b"stretch"}, "Split": {"num_outputs": None}}
"""Attributes that older operators lack, and the value at which both mean the same; None: any."""


def lowered(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return the graph with operators of ``opset``, or as it is where that cannot be done.

    From 18 to 17 the few operators that differ are rewritten here: onnx's own converter knows no way back for Split and
    for reductions whose axes are stored beside the graph, and makes an invalid graph of a reduction without axes.
    """
    found = next(entry.version for entry in model.opset_import if not entry.domain)
    if found <= opset:
        return model
    if (found, opset) == (_WRITTEN, _WRITTEN - 1):
        return _rewritten(model) or model
    converted = with_opset(Graph(model, "the graph"), opset)
    return model if converted is None else converted.copy()


def _rewritten(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Return a copy at opset 17, None where an operator has no equal there."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    if not all(_rewrite(node, constants) for node in graph.node):
        return None
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    for entry in copied.opset_import:
        if not entry.domain:
            entry.version = _WRITTEN - 1
    return copied


def _rewrite(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> bool:
    """Rewrite one node in place; return whether opset 17 can say it."""
    values = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    if node.op_type in _ADDED or any(isinstance(value, onnx.GraphProto) for value in values.values()):
        return False
    if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum":
        return _rewrite_reduction(node, values, constants)
    if node.op_type in _SCATTERS and values.get("reduction") in {b"max", b"min"}:
        return False
    if (node.op_type == "Resize" and "axes" in values) or (node.op_type == "Pad" and len(node.input) > 3):
        return False
    alike = _SINCE_18.get(node.op_type, {})
    if any(value not in {values.get(name, value), None} for name, value in alike.items()):
        return False
    _keep(node, set(values) - set(alike))
    return True


def _rewrite_reduction(node: onnx.NodeProto, values: dict[str, object], constants: dict[str, np.ndarray]) -> bool:
    axes = node.input[1] if len(node.input) > 1 else ""
    if axes and axes not in constants:
        return False
    numbers = [int(n) for n in constants[axes].reshape(-1)] if axes else []
    if not numbers and values.get("noop_with_empty_axes"):
        return False
    _keep(node, set(values) - {"noop_with_empty_axes"})
    if numbers:
        node.attribute.append(onnx.helper.make_attribute("axes", numbers))
    del node.input[1:]
    return True


def _keep(node: onnx.NodeProto, names: set[str]) -> None:
    kept = [entry for entry in node.attribute if entry.name in names]
    del node.attribute[:]
    node.attribute.extend(kept)
