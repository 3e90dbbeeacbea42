"""What a Triton Inference Server does with a model repository, as far as ONNX Runtime on a CPU can do it.

Configurations are read with Triton's own schema. A request is checked against names, types and dimensions as the server
does, and an ensemble runs its steps by ``input_map`` and ``output_map``, each as soon as its tensors are there.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format

DTYPES = {2: np.dtype(np.uint8), 3: np.dtype(np.uint16), 11: np.dtype(np.float32)}
"""Of the numbers of ``DataType`` in model_config.proto."""


def load_schema() -> Any:
    """Return ``model_config_pb2`` of tritonclient, loaded alone: its package would want gRPC too."""
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tritonclient is not installed, whose model_config_pb2 holds the schema")
    path = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("edgesr_test_model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parsed(schema: Any, folder: Path) -> Any:
    return text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), schema.ModelConfig())


class Server:
    """All models of a repository, loaded."""

    def __init__(self, schema: Any, repository: Path) -> None:
        self.configs = {path.name: parsed(schema, path) for path in sorted(repository.iterdir())}
        self._sessions = {}
        for name, config in self.configs.items():
            assert config.name == name
            assert (repository / name / "1").is_dir()
            if config.platform == "onnxruntime_onnx":
                path = repository / name / "1" / "model.onnx"
                self._sessions[name] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            else:
                assert config.platform == "ensemble"
                assert not config.instance_group
                assert {step.model_name for step in config.ensemble_scheduling.step} <= set(self.configs)

    def infer(self, name: str, request: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Answer one request."""
        config = self.configs[name]
        self._check(config, config.input, request)
        if config.platform == "ensemble":
            answer = self._ensemble(config, request)
        else:
            wanted = [output.name for output in config.output]
            answer = dict(zip(wanted, self._sessions[name].run(wanted, request), strict=True))
        self._check(config, config.output, answer)
        return answer

    def _ensemble(self, config: Any, request: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        known, left = dict(request), list(config.ensemble_scheduling.step)
        while left:
            ready = [step for step in left if set(step.input_map.values()) <= known.keys()]
            assert ready, "the steps wait for each other"
            for step in ready:
                answer = self.infer(step.model_name, {key: known[tensor] for key, tensor in step.input_map.items()})
                known |= {tensor: answer[key] for key, tensor in step.output_map.items()}
                left.remove(step)
        return {output.name: known[output.name] for output in config.output}

    @staticmethod
    def _check(config: Any, tensors: Any, values: dict[str, np.ndarray]) -> None:
        assert {tensor.name for tensor in tensors} == values.keys(), config.name
        for tensor in tensors:
            array, dims = values[tensor.name], list(tensor.dims)
            assert array.dtype == DTYPES[tensor.data_type], (config.name, tensor.name)
            if config.max_batch_size:
                assert array.shape[0] <= config.max_batch_size
            shape = array.shape[1:] if config.max_batch_size else array.shape
            assert len(shape) == len(dims), (config.name, tensor.name, shape, dims)
            assert all(dim in (-1, side) for dim, side in zip(dims, shape, strict=True)), (tensor.name, shape, dims)
