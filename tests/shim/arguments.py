"""What TensorRT's methods and properties take: every value of a pool in every place of every call that edgesr makes.

The outcome of each is the exception's type, or the type of what came back. Double and real bindings must agree.
"""

from __future__ import annotations

import ctypes
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.engines.trt_api import TensorRt
from tests import networks
from tests.engines.doubles import build

# The bindings raise "Bad Profile Index" without holding Python's lock, which ends the process.
CRASHES = {("set_optimization_profile_async", 0)}


class Parts:
    """One object of each class, with a call of each method as it should be."""

    def __init__(self, double: Any, folder: Path) -> None:
        trt, api = double.module, TensorRt(double.module)
        path, plan = networks.affine(folder / "a.onnx"), folder / "a.engine"
        build(double, path, plan)
        self.trt, self.logger, self.content, self.plan = trt, api.log.logger, path.read_bytes(), plan.read_bytes()
        self.api = api
        self.file = str(path)
        self.builder = trt.Builder(self.logger)
        explicit = api.flag("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH")
        self.network_flags = 0 if explicit is None else 1 << int(explicit)
        self.network = self.builder.create_network(self.network_flags)
        self.parser = trt.OnnxParser(self.network, self.logger)
        self.parser.parse(self.content)
        self.config = self.builder.create_builder_config()
        self.profile = self.builder.create_optimization_profile()
        self.runtime = trt.Runtime(self.logger)
        self.engine = self.runtime.deserialize_cuda_engine(self.plan)
        self.context = self.engine.create_execution_context()
        self.inspector = self.engine.create_engine_inspector()
        self.cache = self.config.create_timing_cache(b"")
        self.layer, self.tensor = self.network.get_layer(0), self.network.get_input(0)

    def calls(self) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
        trt, shape = self.trt, (1, 2, 4, 4)
        pool = trt.MemoryPoolType.WORKSPACE
        strategy = self.api.flag("ExecutionContextAllocationStrategy", "STATIC")
        made = {
            "Builder": (trt.Builder, (self.logger,)),
            "Runtime": (trt.Runtime, (self.logger,)),
            "OnnxParser": (trt.OnnxParser, (self.network, self.logger)),
            "Dims": (trt.Dims, (shape,)),
            "create_network": (self.builder.create_network, (self.network_flags,)),
            "create_builder_config": (self.builder.create_builder_config, ()),
            "build_serialized_network": (self.builder.build_serialized_network, (self.network, self.config)),
            "is_network_supported": (self.builder.is_network_supported, (self.network, self.config)),
            "get_input": (self.network.get_input, (0,)),
            "get_layer": (self.network.get_layer, (0,)),
            "get_output_type": (self.layer.get_output_type, (0,)),
            "parse": (self.parser.parse, (self.content, self.file)),
            "parse_from_file": (self.parser.parse_from_file, (self.file,)),
            "supports_operator": (self.parser.supports_operator, ("Conv",)),
            "set_flag": (self.config.set_flag, (trt.BuilderFlag.TF32,)),
            "clear_flag": (self.config.clear_flag, (trt.BuilderFlag.TF32,)),
            "get_flag": (self.config.get_flag, (trt.BuilderFlag.TF32,)),
            "set_memory_pool_limit": (self.config.set_memory_pool_limit, (pool, 1 << 20)),
            "get_memory_pool_limit": (self.config.get_memory_pool_limit, (pool,)),
            "create_timing_cache": (self.config.create_timing_cache, (b"",)),
            "set_timing_cache": (self.config.set_timing_cache, (self.cache, False)),
            "add_optimization_profile": (self.config.add_optimization_profile, (self.profile,)),
            "set_shape": (self.profile.set_shape, ("x", shape, shape, shape)),
            "get_shape": (self.profile.get_shape, ("x",)),
            "serialize": (self.cache.serialize, ()),
            "deserialize_cuda_engine": (self.runtime.deserialize_cuda_engine, (self.plan,)),
            "get_tensor_name": (self.engine.get_tensor_name, (0,)),
            "engine.get_tensor_shape": (self.engine.get_tensor_shape, ("x",)),
            "get_tensor_dtype": (self.engine.get_tensor_dtype, ("x",)),
            "get_tensor_mode": (self.engine.get_tensor_mode, ("x",)),
            "get_tensor_location": (self.engine.get_tensor_location, ("x",)),
            "get_tensor_format": (self.engine.get_tensor_format, ("x",)),
            "get_tensor_profile_shape": (self.engine.get_tensor_profile_shape, ("x", 0)),
            "create_execution_context": (
                self.engine.create_execution_context,
                () if strategy is None else (strategy,),
            ),
            "set_input_shape": (self.context.set_input_shape, ("x", shape)),
            "get_tensor_shape": (self.context.get_tensor_shape, ("x",)),
            "set_tensor_address": (self.context.set_tensor_address, ("x", 4096)),
            "get_tensor_address": (self.context.get_tensor_address, ("x",)),
            "set_output_allocator": (self.context.set_output_allocator, ("y", None)),
            "set_optimization_profile_async": (self.context.set_optimization_profile_async, (0, 0)),
            "execute_async_v3": (self.context.execute_async_v3, (0,)),
            "get_engine_information": (self.inspector.get_engine_information, (trt.LayerInformationFormat.JSON,)),
        }
        if hasattr(self.context, "set_device_memory"):
            made["set_device_memory"] = (self.context.set_device_memory, (4096, 1 << 20))
        return made

    def properties(self) -> dict[str, tuple[Any, str]]:
        names = {
            "config": "builder_optimization_level max_aux_streams profiling_verbosity flags new_one",
            "runtime": "engine_host_code_allowed max_threads num_DLA_cores new_one",
            "builder": "max_threads num_DLA_cores new_one",
            "engine": "num_io_tensors name new_one",
            "context": "device_memory active_optimization_profile name new_one",
            "network": "name num_layers new_one",
            "layer": "precision type new_one",
            "tensor": "name shape dtype new_one",
            "profile": "new_one",
            "parser": "num_errors new_one",
            "cache": "new_one",
            "inspector": "new_one",
        }
        return {f"{part}.{name}": (getattr(self, part), name) for part, all in names.items() for name in all.split()}

    def values(self) -> dict[str, Any]:
        trt = self.trt
        return {
            "None": None,
            "True": True,
            "-1": -1,
            "0": 0,
            "1": 1,
            "2**31": 1 << 31,
            "2**40": 1 << 40,
            "2**64": 1 << 64,
            "1.0": 1.0,
            "1.5": 1.5,
            "text": "x",
            "bytes": b"x",
            "bytearray": bytearray(b"x"),
            "memoryview": memoryview(b"x"),
            "array of bytes": np.zeros(4, np.uint8),
            "numpy int64": np.int64(1),
            "numpy int32": np.int32(1),
            "numpy float32": np.float32(1),
            "numpy bool": np.bool_(True),
            "array of sizes": np.array([1, 2, 4, 4]),
            "tuple": (1, 2, 4, 4),
            "list": [1, 2, 4, 4],
            "tuple of numpy": tuple(np.array([1, 2, 4, 4])),
            "tuple of floats": (1.0, 2.0, 4.0, 4.0),
            "tuple of texts": ("a",),
            "nine sizes": (1,) * 9,
            "empty tuple": (),
            "range": range(4),
            "generator": (n for n in (1, 2, 4, 4)),
            "object": object(),
            "c_void_p": ctypes.c_void_p(1),
            "a data type": trt.DataType.FLOAT,
            "a flag": trt.BuilderFlag.TF32,
            "a verbosity": trt.ProfilingVerbosity.DETAILED,
            "dims": trt.Dims((1, 2, 4, 4)),
            "a logger": self.logger,
            "a network": self.network,
            "a config": self.config,
            "a profile": self.profile,
        }


def outcomes(double: Any) -> dict[str, str]:
    """Try everything; label to outcome."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parts = Parts(double, Path(folder))
        for name, (call, right) in parts.calls().items():
            found[name] = _outcome(lambda call=call, right=right: call(*right))
            found[f"{name} without its last"] = _outcome(lambda call=call, right=right: call(*right[:-1]))
            found[f"{name} with one more"] = _outcome(lambda call=call, right=right: call(*right, None))
            found[f"{name} with an unknown name"] = _outcome(lambda call=call, right=right: call(*right, odd=1))
            for place in (place for place in range(len(right)) if (name, place) not in CRASHES):
                for label, value in parts.values().items():
                    given = (*right[:place], value, *right[place + 1 :])
                    found[f"{name}[{place}] = {label}"] = _outcome(lambda call=call, given=given: call(*given))
        for name, (owner, attribute) in parts.properties().items():
            found[f"{name} is read"] = _outcome(lambda owner=owner, attribute=attribute: getattr(owner, attribute))
            for label, value in parts.values().items():
                found[f"{name} = {label}"] = _outcome(
                    lambda owner=owner, attribute=attribute, value=value: setattr(owner, attribute, value)
                )
    return found


def _outcome(call: Callable[[], Any]) -> str:
    try:
        value = call()
    except Exception as error:
        return type(error).__name__
    return type(value).__name__
