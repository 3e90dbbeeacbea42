"""What TensorRT would refuse in a network, found without TensorRT."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesr.compile.graph import DOUBLE, FLOAT, HALF, INT8, INT32, Graph
from edgesr.compile.nodes import attribute
from edgesr.errors import UsageError

if TYPE_CHECKING:
    from onnx import NodeProto

_UINT16 = 4
"""``TensorProto.UINT16``."""
_WEIGHT_AXIS = {"Conv": 0, "ConvTranspose": 1}


@cache
def support_table() -> Mapping[str, Any]:
    """Read the opsets and operators of every TensorRT version, from ``operators.json`` beside this file."""
    table: Mapping[str, Any] = json.loads(Path(__file__).with_name("operators.json").read_text("utf-8"))
    return table


def remedy_for(operator: str) -> str:
    """Say what to do about an operator that a TensorRT version does not know."""
    entry = support_table()["operators"].get(operator, {})
    return str(entry.get("remedy", "export the network with standard operators of opset 16 or 17"))


def problems(graph: Graph, *, tensorrt: str | None = None) -> Iterator[str]:
    """Yield what TensorRT would refuse, one sentence each with the remedy; for a version, also missing operators."""
    yield from quantization_problems(graph)
    yield from half_problems(graph)
    if tensorrt is not None:
        yield from operator_problems(graph, tensorrt)


def nearest_table(version: tuple[int, ...]) -> str | None:
    """Return the newest table of the same major version that is not newer, or its oldest; None for another major."""
    tables = {tuple(int(n) for n in name.split(".")): name for name in support_table()["opsets"]}
    same = sorted(key for key in tables if key[0] == version[0])
    older = [key for key in same if key <= version[:2]]
    return tables[(older or same)[-1 if older else 0]] if same else None


def untold(graph: Graph, tensorrt: str) -> list[str]:
    """Name the operators of which nothing says whether a TensorRT version takes them."""
    entries = support_table()["operators"]
    operators = dict.fromkeys(node.op_type for node in graph.nodes)
    return [name for name in operators if tensorrt in entries.get(name, {}).get("untold_of", ())]


def takers(graph: Graph) -> dict[str, str]:
    """Return the first obstacle for every TensorRT version that has a table; an empty text where there is none.

    An operator of which no table tells is an obstacle too, in words that say so.
    """
    found = {}
    for version in support_table()["opsets"]:
        unclear = untold(graph, version)
        doubt = f"no table says whether it takes {', '.join(unclear)}; its own parser decides" if unclear else ""
        found[version] = next(operator_problems(graph, version), doubt)
    return found


def operator_problems(graph: Graph, tensorrt: str) -> Iterator[str]:
    """Yield operators and opsets that a TensorRT version, e.g. ``"8.6"``, does not take."""
    table = support_table()
    if tensorrt not in table["opsets"]:
        known = ", ".join(table["opsets"])
        raise UsageError(f"there is no operator table for TensorRT {tensorrt!r}; known versions are {known}")
    lowest, highest = table["opsets"][tensorrt]
    if not lowest <= graph.opset <= highest:
        yield (
            f"opset {graph.opset} is outside {lowest} .. {highest} of TensorRT {tensorrt}; "
            f"export with opset {min(max(graph.opset, lowest), highest)}"
        )
    for name in (*graph.inputs, *graph.outputs):
        if graph.types.get(name) == _UINT16:
            yield f"tensor {name!r} holds 16-bit unsigned numbers, which TensorRT does not have; use 8 bits or floats"
            break
    seen = set()
    for node in graph.nodes:
        operator = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        if operator in seen:
            continue
        seen.add(operator)
        if operator != node.op_type:
            yield f"operator {operator} ({node.name!r}) is not of ONNX; export with standard operators"
            continue
        entry = table["operators"].get(node.op_type)
        if entry is None:
            continue
        if tensorrt in entry["unknown_to"]:
            yield f"operator {operator} ({node.name!r}) is not known to TensorRT {tensorrt}; {entry['remedy']}"


def quantization_problems(graph: Graph) -> Iterator[str]:
    """Yield quantize and dequantize nodes in another form than TensorRT's: see edgesr.compile.int8."""
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            yield from (f"{node.op_type} {node.name!r} {problem}" for problem in _pair_problems(graph, node))
        elif node.op_type in ("DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"):
            yield f"{node.op_type} {node.name!r} is no QuantizeLinear or DequantizeLinear; quantise with edgesr build"


def _pair_problems(graph: Graph, node: NodeProto) -> Iterator[str]:
    scale = node.input[1]
    if scale not in graph.weights:
        yield "has a computed scale; TensorRT takes constants"
        return
    values = graph.array(scale)
    if not (np.isfinite(values).all() and (values > 0).all()):
        yield "has a scale that is not positive and finite; calibrate again"
    if len(node.input) > 2 and node.input[2]:
        if node.input[2] not in graph.weights:
            yield "has a computed zero point; TensorRT takes 0"
        elif np.any(graph.array(node.input[2]) != 0):
            yield "has a zero point other than 0; quantise symmetrically"
    quantized = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
    number = graph.types.get(quantized)
    if number != INT8:
        bias = "works on int32, as for a bias; leave biases in FP32"
        yield bias if number == INT32 else "works on another type than int8; quantise symmetrically to int8"
    if values.size > 1:
        yield from _axis_problems(graph, node)


def _axis_problems(graph: Graph, node: NodeProto) -> Iterator[str]:
    """Check that scales per channel stand at a weight, on the axis of its output channels."""
    origin = node.input[0]
    while origin in graph.producers and graph.producers[origin].op_type in ("QuantizeLinear", "DequantizeLinear"):
        origin = graph.producers[origin].input[0]
    if origin not in graph.weights:
        yield "has a scale per channel at an activation; use one for the whole tensor"
        return
    end = node.output[0]
    users = [(user, end) for user in graph.consumers.get(end, ())]
    while users and users[0][0].op_type == "DequantizeLinear":
        end = users[0][0].output[0]
        users = [(user, end) for user in graph.consumers.get(end, ())]
    axis = int(attribute(node, "axis", 1))
    for user, name in users:
        expected = _WEIGHT_AXIS.get(user.op_type)
        if user.op_type == "Gemm":
            expected = 0 if attribute(user, "transB", 0) else 1
        if user.op_type == "MatMul":
            expected = len(graph.weights[origin].dims) - 1
        if expected is not None and axis != expected and list(user.input).index(name) == 1:
            yield f"has scales on axis {axis}, the output channels of {user.op_type} are on axis {expected}"


def half_problems(graph: Graph) -> Iterator[str]:
    """Yield constants that are infinite in FP16, and float64 tensors, which TensorRT does not compute with."""
    for name in graph.weights:
        kind = graph.types.get(name)
        if kind in (HALF, FLOAT) and not np.isfinite(graph.array(name)).all():
            users = ", ".join(repr(node.name) for node in graph.consumers.get(name, ())[:3])
            yield f"constant {name!r} of {users} has NaN or infinite values; keep these nodes in FP32 or export again"
        if kind == DOUBLE:
            yield f"constant {name!r} is float64; export the network in float32"
