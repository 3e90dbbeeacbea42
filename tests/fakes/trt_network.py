"""The network half of the double: INetworkDefinition, OnnxParser and its errors.

The parser takes what ONNX Runtime takes, less what TensorRT refuses: operators its versions lack, Q/DQ of other than
the symmetric int8 form. It takes Compress, which TensorRT does not, because the conformance suite uses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import external_data_helper, helper, numpy_helper, shape_inference

# From asking the parsers of 8.5 and 8.6 for every operator; later versions by NVIDIA's operator table.
UNSUPPORTED = {
    8: {"Gelu", "Mish", "CastLike", "BitwiseAnd", "BitwiseOr", "BitwiseNot", "Col2Im", "Attention", "DeformConv"},
    10: {"Mish", "CastLike", "BitwiseAnd", "BitwiseOr", "BitwiseNot", "Col2Im", "DeformConv", "StringNormalizer"},
    11: {"BitwiseAnd", "BitwiseOr", "BitwiseNot", "Col2Im", "DeformConv", "StringNormalizer"},
}
LAYER_TYPES = {
    "Conv": "CONVOLUTION",
    "ConvTranspose": "DECONVOLUTION",
    "Relu": "ACTIVATION",
    "Sigmoid": "ACTIVATION",
    "Tanh": "ACTIVATION",
    "MatMul": "MATRIX_MULTIPLY",
    "Resize": "RESIZE",
    "Cast": "CAST",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
    "Softmax": "SOFTMAX",
    "Concat": "CONCATENATION",
    "LayerNormalization": "NORMALIZATION",
    "ReduceMean": "REDUCE",
}


class Network:
    """One network; ``proto`` is None until a parser filled it."""

    def __init__(self, library: Any, flags: int) -> None:
        self.library = library
        self.flags = flags
        self.proto: onnx.ModelProto | None = None
        self.types: dict[str, int] = {}
        self.name = "Unnamed Network 0"
        self.error_recorder = None

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags >> int(flag) & 1)

    def has_flag(self, name: str) -> bool:
        member = self.library.bindings.enums["NetworkDefinitionCreationFlag"].__members__.get(name)
        return member is not None and self.get_flag(member)

    @property
    def is_strongly_typed(self) -> bool:
        return self.library.version >= (11,) or self.has_flag("STRONGLY_TYPED")

    @property
    def borders(self) -> tuple[list[Any], list[Any]]:
        if self.proto is None:
            return [], []
        weights = {tensor.name for tensor in self.proto.graph.initializer}
        return [i for i in self.proto.graph.input if i.name not in weights], list(self.proto.graph.output)

    num_inputs = property(lambda self: len(self.borders[0]))
    num_outputs = property(lambda self: len(self.borders[1]))
    num_layers = property(lambda self: len(self.proto.graph.node) if self.proto else 0)

    def get_input(self, index: int) -> Any:
        return self._tensor(self.borders[0][index], is_input=True) if index < self.num_inputs else None

    def get_output(self, index: int) -> Any:
        return self._tensor(self.borders[1][index], is_input=False) if index < self.num_outputs else None

    def get_layer(self, index: int) -> Any:
        if index >= self.num_layers:
            return None
        return self.library.bindings.make("ILayer", Layer(self, self.proto.graph.node[index], index))

    __getitem__ = get_layer

    def __len__(self) -> int:
        return self.num_layers

    def _tensor(self, info: Any, *, is_input: bool) -> Any:
        return self.library.bindings.make("ITensor", Tensor(self.library, info, is_input=is_input))


class Tensor:
    def __init__(self, library: Any, info: Any, *, is_input: bool) -> None:
        kind = info.type.tensor_type
        self.name = info.name
        self.shape = library.dims([d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim])
        self.dtype = library.data_type(library.border_type(kind.elem_type))
        self.is_network_input = is_input
        self.is_network_output = not is_input
        self.is_shape_tensor = False
        self.is_execution_tensor = True


class Layer:
    def __init__(self, network: Network, node: Any, index: int) -> None:
        library = network.library
        members = library.bindings.enums["LayerType"].__members__
        self.network, self.node = network, node
        self.name = node.name or f"(Unnamed Layer* {index}) [{node.op_type}]"
        self.type = members.get(LAYER_TYPES.get(node.op_type, "ELEMENTWISE"), members["ELEMENTWISE"])
        self.metadata = f"[ONNX Layer: {node.name}]"
        self.num_inputs = len([name for name in node.input if name in network.types])
        self.num_outputs = len(node.output)
        kind = network.types.get(node.output[0], onnx.TensorProto.FLOAT)
        self.precision = library.data_type(library.border_type(kind))

    def get_output_type(self, index: int) -> Any:
        library = self.network.library
        return library.data_type(library.border_type(self.network.types[self.node.output[index]]))


class Parser:
    def __init__(self, network: Any, logger: Any) -> None:
        self.network: Network = network._double
        self.library = self.network.library
        self.library.take_logger(logger)
        self.errors: list[Any] = []
        self.flags = 0
        self.config = None

    num_errors = property(lambda self: len(self.errors))

    def get_error(self, index: int) -> Any:
        return self.errors[index]

    def clear_errors(self) -> None:
        self.errors.clear()

    def set_flag(self, flag: Any) -> None:
        self.flags |= 1 << int(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags &= ~(1 << int(flag))

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags >> int(flag) & 1)

    def set_builder_config(self, builder_config: Any) -> bool:
        self.config = builder_config
        return True

    def supports_operator(self, op_name: str) -> bool:
        return op_name not in self.library.unsupported and onnx.defs.has(op_name)

    def parse_from_file(self, model: str) -> bool:
        try:
            content = Path(model).read_bytes()
        except OSError:
            return self._fail("MODEL_DESERIALIZE_FAILED", f"Failed to open file: {model}")
        return self.parse(content, model)

    def parse(self, model: Any, path: str | None = None) -> bool:
        if self.library.version < (10,) and not self.network.has_flag("EXPLICIT_BATCH"):
            return self._fail(
                "INTERNAL_ERROR",
                "This version of the ONNX parser only supports networks with an explicit batch dimension",
            )
        try:
            proto = onnx.load_model_from_string(bytes(memoryview(model)))
            onnx.checker.check_model(proto) if not _is_external(proto) else None
            if not proto.graph.node:
                raise ValueError("no nodes")
        except Exception:
            return self._fail("MODEL_DESERIALIZE_FAILED", "Failed to parse ONNX model from the given buffer")
        try:
            external_data_helper.load_external_data_for_model(proto, str(Path(path or ".").parent))
        except Exception as error:
            return self._fail("INVALID_GRAPH", f"Failed to load external weights: {error}")
        self.network.name = proto.graph.name
        for index, node in enumerate(proto.graph.node):
            reason = self._refusal(node, proto)
            if reason:
                return self._fail(*reason, node=node, index=index)
        inferred = shape_inference.infer_shapes(proto, data_prop=True).graph
        for info in (*inferred.value_info, *inferred.input, *inferred.output):
            self.network.types[info.name] = info.type.tensor_type.elem_type
        self.network.proto = proto
        return True

    def _refusal(self, node: Any, proto: onnx.ModelProto) -> tuple[str, str] | None:
        if node.op_type in self.library.unsupported or node.domain not in ("", "ai.onnx"):
            return "UNSUPPORTED_NODE", (
                f"No importer registered for op: {node.op_type}. Attempting to import as plugin. Plugin not found, are "
                "the plugin name, version, and namespace correct?"
            )
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            weights = {tensor.name: tensor for tensor in proto.graph.initializer}
            if len(node.input) > 2 and node.input[2] in weights:
                point = numpy_helper.to_array(weights[node.input[2]])
                if np.any(point.astype(np.float32)):
                    return "UNSUPPORTED_NODE", "Assertion failed: shiftIsAllZeros(zeroPoint): Non-zero zero point"
            data = weights.get(node.input[0])
            if node.op_type == "DequantizeLinear" and data is not None and data.data_type == onnx.TensorProto.INT32:
                return "UNSUPPORTED_NODE", "Assertion failed: DequantizeLinear does not support int32 input"
        return None

    def _fail(self, code: str, desc: str, *, node: Any = None, index: int = -1) -> bool:
        codes = self.library.bindings.enums["ErrorCode"].__members__
        self.errors.append(self.library.bindings.make("ParserError", ParserError(codes[code], desc, node, index)))
        place = f"While parsing node number {index} [{node.op_type} -> {node.output[0]!r}]: " if node else ""
        self.library.say("ERROR", f"ModelImporter.cpp: ERROR: {place}{desc}")
        return False


class ParserError:
    def __init__(self, code: Any, desc: str, node: Any, index: int) -> None:
        self.fields = (code, desc, node, index)

    def code(self) -> Any:
        return self.fields[0]

    def desc(self) -> str:
        return self.fields[1]

    def node(self) -> int:
        return self.fields[3]

    def node_name(self) -> str:
        return self.fields[2].name if self.fields[2] else ""

    def node_operator(self) -> str:
        return self.fields[2].op_type if self.fields[2] else ""

    def file(self) -> str:
        return "ModelImporter.cpp"

    def func(self) -> str:
        return "parseNode"

    def line(self) -> int:
        return 1


def _is_external(proto: onnx.ModelProto) -> bool:
    return any(external_data_helper.uses_external_data(tensor) for tensor in proto.graph.initializer)


def narrowed(elem_type: int, *, narrow: bool) -> np.dtype[Any]:
    """The numpy type of a border tensor; 64-bit integers become 32-bit ones before TensorRT 10."""
    dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    return np.dtype(np.int32) if narrow and dtype == np.int64 else dtype
