"""ONNX files as OpenVINO reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.engines.base import TensorSpec
from edgesr.errors import ModelError

_DTYPES = {
    "f32": np.float32,
    "f16": np.float16,
    "f64": np.float64,
    "u8": np.uint8,
    "i8": np.int8,
    "u16": np.uint16,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "boolean": np.bool_,
}
_FLAT = [1, -1]


def read_network(openvino: Any, path: Path) -> Any:
    """Read an ONNX file, with OpenVINO's reader for ONNX alone: the others print about files that are not theirs."""
    if not path.is_file():
        raise ModelError(f"cannot load {path.name} in OpenVINO: there is no such file")
    reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")
    if not reader.supported(os.fspath(path)):
        raise ModelError(f"cannot load {path.name} in OpenVINO: it is not an ONNX file")
    model = reader.convert(reader.load(os.fspath(path)))
    _give_ranks(openvino, model)
    return model


def specs_of(model: Any, file_name: str) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    """Return the input and output tensors of a network by their ONNX names."""
    inputs = {node.get_friendly_name(): node.output(0) for node in model.get_parameters()}
    outputs = {_output_name(node): node.output(0) for node in model.get_results()}
    both = ({name: _spec(name, port, file_name) for name, port in side.items()} for side in (inputs, outputs))
    return next(both), next(both)


def _output_name(result: Any) -> str:
    """Return the ONNX name; a tensor that has several names, as after an Identity, keeps it in that of its result."""
    name: str = result.get_friendly_name().rsplit("/sink_port_", 1)[0]
    known = result.input_value(0).get_names()
    return name if name in known or not known else sorted(known)[0]


def _spec(name: str, port: Any, file_name: str) -> TensorSpec:
    kind = port.get_element_type().get_type_name()
    if kind not in _DTYPES:
        raise ModelError(f"{file_name}: tensor {name!r} has type {kind}, which edgesr cannot pass")
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        raise ModelError(f"{file_name}: tensor {name!r} has no known rank; run it with --device cpu")
    return TensorSpec(name, tuple(n.get_length() if n.is_static else -1 for n in shape), np.dtype(_DTYPES[kind]))


def _give_ranks(openvino: Any, model: Any) -> None:
    """Say which dimension the reader squeezes off where it has flattened a tensor, as for Compress.

    Its Squeeze names no dimension, so that the rank depends on the data, which the CPU plug-in refuses.
    """
    operators = openvino.opset13
    changed = False
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Squeeze" or node.get_input_size() != 1:
            continue
        source = node.input_value(0)
        flattened = source.get_node()
        if flattened.get_type_name() != "Reshape" or node.output(0).get_partial_shape().rank.is_static:
            continue
        target = flattened.input_value(1).get_node()
        if target.get_type_name() != "Constant" or target.get_data().tolist() != _FLAT:
            continue
        squeezed = operators.squeeze(source, operators.constant(np.array([0], np.int64)))
        for user in node.output(0).get_target_inputs():
            user.replace_source_output(squeezed.output(0))
        changed = True
    if changed:
        model.validate_nodes_and_infer_types()
