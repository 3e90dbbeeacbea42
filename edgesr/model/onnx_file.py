"""What an ONNX file contains; the only file that imports the onnx package, and only when asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesr.errors import ModelError
from edgesr.model.content import require_regular
from edgesr.model.protobuf import files_beside
from edgesr.model.schema import show

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

MAX_BYTES = 1 << 31
"""Protobuf's own limit."""
MAX_SIDE = 65536
_MAX_SHAPE_BYTES = 4096
"""Weights larger than this hold no shapes and are left out of shape inference."""
_STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_ORT_DOMAINS = frozenset({"com.microsoft", "com.microsoft.nchwc", "ai.onnx.contrib"})


@dataclass(frozen=True)
class TensorInfo:
    """Name, dtype and shape of one graph input or output; ``-1`` marks a dynamic dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None
    """None when even the rank is unknown."""


@dataclass(frozen=True)
class OnnxGraph:
    """The face of a network: its inputs without the weights, its outputs, and where its weights lie."""

    path: Path
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    data_files: tuple[str, ...]
    """Files beside the ONNX file that hold its weights."""
    foreign: tuple[str, ...]
    """Operators that only ONNX Runtime knows."""


def read_graph(path: Path) -> OnnxGraph:
    """Read and check an ONNX file without its weights."""
    model = _load(path)
    data = files_beside(path)
    foreign = _check_operators(model, path)
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    inputs = tuple(_tensor(value) for value in model.graph.input if value.name not in weights)
    outputs = tuple(_tensor(value) for value in model.graph.output)
    for side, tensors in (("input", inputs), ("output", outputs)):
        if not tensors:
            raise ModelError(f"{path}: the graph has no {side}; export the network again")
    for tensor in (*inputs, *outputs):
        if any(n == 0 or n > MAX_SIDE for n in tensor.shape or ()):
            raise ModelError(
                f"{path}: {show(tensor.name)} has the impossible shape {list(tensor.shape or ())}; export it again"
            )
    return OnnxGraph(path, inputs, outputs, data, foreign)


def inspect_onnx(path: str | Path) -> dict[str, Any]:
    """Describe an ONNX file for people: versions, operators, number of parameters, inputs and outputs, bytes."""
    path = Path(path)
    model = _load(path)
    data = files_beside(path)
    weights = {tensor.name for tensor in model.graph.initializer}
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "ir_version": model.ir_version,
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "producer": " ".join(filter(None, (model.producer_name, model.producer_version))),
        "nodes": sum(1 for _ in _nodes(model)),
        "operators": dict(sorted(Counter(_operator(node) for node in _nodes(model)).items())),
        "parameters": _parameters(model.graph),
        "inputs": [_row(_tensor(value)) for value in model.graph.input if value.name not in weights],
        "outputs": [_row(_tensor(value)) for value in model.graph.output],
        "external_data": {name: (path.parent / name).stat().st_size for name in data},
    }


def inferred_output(path: Path, shapes: Mapping[str, tuple[int, ...]], output: str) -> tuple[int, ...] | None:
    """Return the output's shape for given input shapes by ONNX shape inference, None where it cannot tell."""
    inferred = _inferred(path, shapes)
    found = (
        next((_tensor(value).shape for value in inferred.output if value.name == output), None) if inferred else None
    )
    return None if found is None or any(n < 1 for n in found) else found


def is_safe_size(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether shape inference proves that no picture inside is empty for these input shapes.

    ONNX Runtime 1.23 divides by zero, and so kills the process, in a pooling of less pixels than its window. Vectors
    may be empty: files before opset 13 give Resize an empty region.
    """
    inferred = _inferred(path, shapes)
    if inferred is None:
        return False
    known = {value.name: _tensor(value).shape for value in (*inferred.value_info, *inferred.output)}
    results = [known.get(name) for node in inferred.node for name in node.output if name]
    return all(shape is not None and (len(shape) < 4 or all(n >= 1 for n in shape)) for shape in results)


def _inferred(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> GraphProto | None:
    """Infer the shapes of all tensors for given input shapes."""
    import onnx

    model = _load(path)
    for value in model.graph.input:
        if value.name in shapes:
            dims = value.type.tensor_type.shape.dim
            for dim, n in zip(dims, shapes[value.name], strict=True):
                dim.dim_value = n
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _MAX_SHAPE_BYTES:
            tensor.ClearField("raw_data")
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return None


def with_weights_inside(path: Path) -> bytes | Path:
    """Return the ONNX file, or its bytes with the external weights moved into it."""
    import onnx

    model = _load(path)
    data = files_beside(path)
    if not data:
        return path
    total = path.stat().st_size + sum((path.parent / name).stat().st_size for name in data)
    if total > MAX_BYTES - (1 << 20):
        raise ModelError(f"{path}: has {total} bytes with its weights, an ONNX file holds 2 GiB; export it in FP16")
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        return bytes(model.SerializeToString())
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: its external weights cannot be read: {reason}") from None


def _load(path: Path) -> ModelProto:
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise ModelError(f"{path}: reading a bare ONNX file needs the onnx package; pip install onnx") from None
    require_regular(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(
                f"{path}: has {size} bytes, more than the 2 GiB of an ONNX file; export it with external data"
            )
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DecodeError:
        raise ModelError(f"{path}: is truncated or not an ONNX file; copy or export it again") from None
    if not all(isinstance(text, str) for text in _texts(model)):
        raise ModelError(f"{path}: is truncated or not an ONNX file; copy or export it again")
    if not model.ir_version or not model.HasField("graph") or not model.opset_import:
        raise ModelError(f"{path}: is not an ONNX model; export the network to ONNX")
    if not model.graph.node:
        raise ModelError(f"{path}: the graph is empty; export the network again")
    return model


def _check_operators(model: ModelProto, path: Path) -> tuple[str, ...]:
    """Refuse operators that no backend knows; return those of ONNX Runtime alone."""
    own = {(function.domain, function.name) for function in model.functions}
    foreign: dict[str, None] = {}
    for node in _nodes(model):
        if node.domain in _STANDARD_DOMAINS or (node.domain, node.op_type) in own:
            continue
        if node.domain not in _ORT_DOMAINS:
            raise ModelError(
                f"{path}: the operator {show(_operator(node))} is a custom one; export with standard operators"
            )
        foreign[_operator(node)] = None
    return tuple(foreign)


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Yield every node of the graph, its subgraphs and the model's functions."""
    levels: list[Any] = [model.graph, *model.functions]
    while levels:
        for node in levels.pop().node:
            yield node
            for attribute in node.attribute:
                levels += [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs


def _texts(model: ModelProto) -> Iterator[object]:
    """Yield the names in a model; protobuf gives bytes where one is not UTF-8."""
    graph = model.graph
    yield from (model.producer_name, model.producer_version)
    yield from (entry.domain for entry in model.opset_import)
    yield from (named.name for group in (graph.input, graph.output, graph.initializer) for named in group)
    yield from (text for node in _nodes(model) for text in (node.domain, node.op_type))


def _parameters(graph: GraphProto) -> int:
    return sum(math.prod(tensor.dims) for tensor in graph.initializer)


def _tensor(value: ValueInfoProto) -> TensorInfo:
    import onnx

    kind = value.type.tensor_type
    name = onnx.TensorProto.DataType.Name(kind.elem_type) if value.type.HasField("tensor_type") else "not a tensor"
    dtype = {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())
    if not kind.HasField("shape"):
        return TensorInfo(value.name, dtype, None)
    dims = tuple(dim.dim_value if dim.WhichOneof("value") == "dim_value" else -1 for dim in kind.shape.dim)
    return TensorInfo(value.name, dtype, tuple(-1 if n < 0 else n for n in dims))


def _row(tensor: TensorInfo) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": None if tensor.shape is None else list(tensor.shape)}


def _operator(node: NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type
