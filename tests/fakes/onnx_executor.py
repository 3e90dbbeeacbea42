"""ONNX Runtime as the engine of the double: shapes of the outputs, and runs on raw addresses."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, shape_inference

# Operators whose outputs' sizes depend on the data; TensorRT runs some of them, the conformance suite uses Compress.
DATA_DEPENDENT = {"NonZero", "Compress", "Unique", "NonMaxSuppression"}


class Executor:
    """One ONNX model; ``narrow`` gives 64-bit integers at the borders as 32-bit ones, as TensorRT 8 does."""

    def __init__(self, model: bytes, *, narrow: bool) -> None:
        self.proto = onnx.load_model_from_string(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        # ONNX Runtime 1.31 takes FP16 attention such as FastViT's for FP32 when it fuses it, and then fails.
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["AttentionFusion"]
        )
        self.narrow = narrow
        weights = {tensor.name for tensor in self.proto.graph.initializer}
        self.inputs = {i.name: i for i in self.proto.graph.input if i.name not in weights}
        self.outputs = {o.name: o for o in self.proto.graph.output}
        self._shapes: dict[Any, dict[str, tuple[int, ...]]] = {}
        self.is_data_dependent = any(node.op_type in DATA_DEPENDENT for node in self.proto.graph.node)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of one border tensor as the engine shows it."""
        info = self.inputs.get(name) or self.outputs[name]
        dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        return np.dtype(np.int32) if self.narrow and dtype == np.int64 else dtype

    def declared(self, name: str) -> tuple[int, ...]:
        """Shape of one border tensor with -1 for what is not fixed."""
        info = self.inputs.get(name) or self.outputs[name]
        return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in info.type.tensor_type.shape.dim)

    def output_shapes(self, inputs: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs for these input shapes; -1 where they depend on the data."""
        key = tuple(sorted(inputs.items()))
        if key not in self._shapes:
            self._shapes[key] = self._infer(inputs)
        return self._shapes[key]

    def run(
        self, inputs: dict[str, tuple[int, tuple[int, ...]]], outputs: dict[str, tuple[int, tuple[int, ...]]]
    ) -> None:
        """Run on addresses of host memory: name -> (address, shape)."""
        if any(self.dtype(name) == np.int32 and self._is_wide(name) for name in (*inputs, *outputs)):
            results = self.results({name: view(*place, self.dtype(name)) for name, place in inputs.items()})
            for name, (address, shape) in outputs.items():
                np.copyto(view(address, shape, self.dtype(name)), results[name])
            return
        binding = self.session.io_binding()
        for name, (address, shape) in inputs.items():
            binding.bind_input(name, "cpu", 0, self.dtype(name).type, shape, address)
        for name, (address, shape) in outputs.items():
            binding.bind_output(name, "cpu", 0, self.dtype(name).type, shape, address)
        self.session.run_with_iobinding(binding)

    def results(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run and return new arrays, for outputs whose shapes are not known before."""
        wide = {name: a.astype(np.int64) if self._is_wide(name) else a for name, a in feeds.items()}
        found = self.session.run(list(self.outputs), wide)
        return {name: array.astype(self.dtype(name)) for name, array in zip(self.outputs, found, strict=True)}

    def _is_wide(self, name: str) -> bool:
        info = self.inputs.get(name) or self.outputs[name]
        return self.narrow and info.type.tensor_type.elem_type == onnx.TensorProto.INT64

    def _infer(self, inputs: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        if not self.is_data_dependent:
            zeros = {name: np.zeros(shape, self.dtype(name)) for name, shape in inputs.items()}
            return {name: array.shape for name, array in self.results(zeros).items()}
        copy = onnx.ModelProto()
        copy.CopyFrom(self.proto)
        for info in copy.graph.input:
            for dim, size in zip(info.type.tensor_type.shape.dim, inputs.get(info.name, ()), strict=False):
                dim.dim_value = size
        for info in copy.graph.output:
            for dim in info.type.tensor_type.shape.dim:
                dim.Clear()
        found = shape_inference.infer_shapes(copy, data_prop=True).graph.output
        return {
            o.name: tuple(d.dim_value if d.HasField("dim_value") else -1 for d in o.type.tensor_type.shape.dim)
            for o in found
        }


def view(address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Show host memory as an array, without a copy."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return (
        np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)
        if size
        else np.empty(shape, dtype)
    )
