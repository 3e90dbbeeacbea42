"""The runtime half of the double: Runtime, ICudaEngine, IExecutionContext.

Returns None or False where TensorRT does, after telling the logger why. What TensorRT leaves undefined is an error
here: a context destroyed while it works, a graph launched after its context was changed, scratch memory that is gone.
"""

from __future__ import annotations

import math
import operator
from functools import partial
from typing import Any

import numpy as np

from tests.fakes.onnx_executor import Executor, view
from tests.fakes.pybind import MOST_DIMS
from tests.fakes.trt_plan import Plan, deserialize

ALIGNMENT = 256
# Numbers of NONE, LAYER_NAMES_ONLY and DETAILED, from the least on.
VERBOSITIES = (1, 0, 2)


class Runtime:
    def __init__(self, library: Any, logger: Any) -> None:
        library.take_logger(logger)
        self.library = library
        self.logger = logger
        self.engine_host_code_allowed = False
        self.max_threads = 1
        self.DLA_core = -1
        self.num_DLA_cores = library.faults.get("dla_cores", 0)
        self.temporary_directory = ""
        self.error_recorder = None

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
        library = self.library
        found = deserialize(bytes(memoryview(serialized_engine)), library.version, library.machine.compute_capability)
        if isinstance(found, Plan) and "VERSION_COMPATIBLE" in found.flags and not self.engine_host_code_allowed:
            found = (
                "Error Code 4: API Usage Error (Plan contains host code but IRuntime::engineHostCodeAllowed is false)"
            )
        if library.faults.get("deserialize"):
            found = library.faults["deserialize"]
        if isinstance(found, str):
            library.say("ERROR", f"IRuntime::deserializeCudaEngine: {found}")
            return None
        library.loaded_on.append(self.DLA_core)
        return library.bindings.make("ICudaEngine", Engine(library, found, self))


class Engine:
    def __init__(self, library: Any, plan: Plan, runtime: Runtime) -> None:
        self.library = library
        self.plan = plan
        self.runtime = runtime
        self.executor = Executor(plan.onnx, narrow=library.version < (10,))
        self.names = [*self.executor.inputs, *self.executor.outputs]
        self.num_io_tensors = len(self.names)
        self.num_optimization_profiles = max(1, len(plan.profiles))
        self.num_layers = len(plan.layers)
        self.name = plan.name
        self.device_memory_size = self.device_memory_size_v2 = plan.device_memory
        self.profiling_verbosity = library.bindings.enums["ProfilingVerbosity"].__members__[plan.verbosity]
        self.num_aux_streams = 0
        self.refittable = "REFIT" in plan.flags
        self.profiles_in_use: list[int] = []

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> Any:
        members = self.library.bindings.enums["TensorIOMode"].__members__
        return members["INPUT" if name in self.executor.inputs else "OUTPUT" if name in self.names else "NONE"]

    def get_tensor_shape(self, name: str) -> Any:
        return self.library.dims(self.executor.declared(name))

    def get_tensor_dtype(self, name: str) -> Any:
        return self.library.data_type(self.executor.dtype(name))

    def get_tensor_location(self, name: str) -> Any:
        return self.library.bindings.enums["TensorLocation"].__members__["DEVICE"]

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Any:
        return self.library.bindings.enums["TensorFormat"].__members__["LINEAR"]

    def is_shape_inference_io(self, name: str) -> bool:
        return False

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        return [self.library.dims(shape) for shape in self.range_of(name, profile_index)]

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return self.plan.device_memory

    def range_of(self, name: str, profile: int) -> list[list[int]]:
        declared = list(self.executor.declared(name))
        return self.plan.profiles[profile].get(name, [declared] * 3) if self.plan.profiles else [declared] * 3

    def create_execution_context(self, strategy: Any = None) -> Any:
        return self._context(own_memory=strategy is None or strategy.name != "USER_MANAGED")

    def create_execution_context_without_device_memory(self) -> Any:
        return self._context(own_memory=False)

    def create_engine_inspector(self) -> Any:
        return self.library.bindings.make("EngineInspector", Inspector(self))

    def serialize(self) -> Any:
        return self.library.host_memory(self.plan.serialize())

    def _context(self, *, own_memory: bool) -> Any:
        if self.library.faults.get("context"):
            self.library.say("ERROR", self.library.faults["context"])
            return None
        is_dynamic = any(-1 in self.executor.declared(name) for name in self.executor.inputs)
        if self.library.version < (10,) and is_dynamic and self.profiles_in_use.count(0):
            # 8.6 without PROFILE_SHARING_0806: the second context starts without a profile.
            return self.library.bindings.make("IExecutionContext", Context(self, own_memory=own_memory, profile=-1))
        return self.library.bindings.make("IExecutionContext", Context(self, own_memory=own_memory, profile=0))


class Context:
    def __init__(self, engine: Engine, *, own_memory: bool, profile: int) -> None:
        self.engine = engine
        self.library = engine.library
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.allocators: dict[str, Any] = {}
        self.own_memory = own_memory
        self.scratch = (0, 0)
        self.active_optimization_profile = profile
        if profile >= 0:
            engine.profiles_in_use.append(profile)
        self.revision = 0
        self.is_warm = False
        self.pending = 0
        self.is_alive = True
        self.name = ""
        self.profiler = None
        self.debug_sync = self.enqueue_emits_profile = False
        self._nvtx_verbosity = engine.profiling_verbosity
        for name in engine.executor.inputs:
            if -1 not in engine.executor.declared(name):
                self.shapes[name] = engine.executor.declared(name)

    def released(self) -> None:
        self.is_alive = False
        if self.active_optimization_profile in self.engine.profiles_in_use:
            self.engine.profiles_in_use.remove(self.active_optimization_profile)
        if self.pending:
            self.library.machine.violation("an execution context was destroyed while its work was still in a stream")

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        if profile_index >= self.engine.num_optimization_profiles:
            # The bindings raise this without holding Python's lock, which ends the process.
            self.library.machine.violation(f"profile {profile_index} does not exist")
            raise RuntimeError("Bad Profile Index")
        is_taken = self.library.version < (10,) and profile_index in self.engine.profiles_in_use
        if is_taken and self.active_optimization_profile != profile_index:
            return self._fail(f"profile {profile_index} is used by another context")
        self._change()
        if self.active_optimization_profile in self.engine.profiles_in_use:
            self.engine.profiles_in_use.remove(self.active_optimization_profile)
        self.engine.profiles_in_use.append(profile_index)
        self.active_optimization_profile = profile_index
        for name in self.engine.executor.inputs:
            if -1 in self.engine.executor.declared(name):
                self.shapes.pop(name, None)
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        executor = self.engine.executor
        try:
            wanted = tuple(operator.index(n) for n in shape)
        except TypeError:
            raise RuntimeError("Unable to cast Python instance to C++ type") from None
        if len(wanted) > MOST_DIMS:
            raise RuntimeError(f"Input shape cannot have more than {MOST_DIMS} dimensions")
        if name not in executor.inputs:
            return self._fail(f"{name} is not an input")
        if self.active_optimization_profile < 0:
            return self._fail("no optimization profile is selected")
        declared = executor.declared(name)
        if -1 not in declared:
            return True if wanted == declared else self._fail(f"static dimension mismatch for {name}")
        least, _, most = self.engine.range_of(name, self.active_optimization_profile)
        if len(wanted) != len(declared) or not all(a <= n <= b for a, n, b in zip(least, wanted, most, strict=True)):
            return self._fail(
                "Error Code 3: API Usage Error (Parameter check failed, condition: satisfyProfile. Set dimension "
                f"{list(wanted)} for tensor {name} does not satisfy any optimization profiles. Valid range for profile "
                f"{self.active_optimization_profile}: {least}..{most}.)"
            )
        if self.shapes.get(name) != wanted:
            self._change()
        self.shapes[name] = wanted
        return True

    def get_tensor_shape(self, name: str) -> Any:
        executor = self.engine.executor
        if name in executor.inputs:
            return self.library.dims(self.shapes.get(name, executor.declared(name)))
        if set(self.shapes) != set(executor.inputs):
            return self.library.dims(executor.declared(name))
        return self.library.dims(executor.output_shapes(self.shapes)[name])

    def infer_shapes(self) -> list[str]:
        return [name for name in self.engine.executor.inputs if name not in self.shapes]

    @property
    def nvtx_verbosity(self) -> Any:
        return self._nvtx_verbosity

    @nvtx_verbosity.setter
    def nvtx_verbosity(self, verbosity: Any) -> None:
        if VERBOSITIES.index(int(verbosity)) > VERBOSITIES.index(int(self.engine.profiling_verbosity)):
            self._fail("the NVTX verbosity is higher than that of the engine")
        else:
            self._nvtx_verbosity = verbosity

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self.engine.names:
            return self._fail(f"Given invalid tensor name: {name}. Get valid tensor names with getIOTensorName()")
        if int(memory) % ALIGNMENT:
            return self._fail(f"the address of {name} is not aligned to {ALIGNMENT} bytes")
        if self.addresses.get(name) != memory:
            self._change()
        self.addresses[name] = int(memory)
        return True

    def get_tensor_address(self, name: str) -> int:
        return self.addresses.get(name, 0)

    def set_output_allocator(self, name: str, output_allocator: Any) -> bool:
        if name not in self.engine.executor.outputs:
            return self._fail(f"{name} is not an output")
        self._change()
        if output_allocator is None:
            self.allocators.pop(name, None)
        else:
            self.allocators[name] = output_allocator
        return True

    def get_output_allocator(self, name: str) -> Any:
        return self.allocators.get(name)

    def set_device_memory(self, memory: int, size: int) -> None:
        if size < self.engine.plan.device_memory:
            self.library.say("ERROR", f"IExecutionContext::setDeviceMemoryV2: {size} bytes are too few")
            return
        self._change()
        self.scratch = (int(memory), int(size))

    @property
    def device_memory(self) -> int:
        return self.scratch[0]

    @device_memory.setter
    def device_memory(self, memory: int) -> None:
        self._change()
        self.scratch = (int(memory), self.engine.plan.device_memory)

    def execute_async_v3(self, stream_handle: int) -> bool:
        machine, executor = self.library.machine, self.engine.executor
        if self.library.faults.get("enqueue"):
            return self._fail(self.library.faults["enqueue"])
        for name in executor.inputs:
            if name not in self.shapes:
                return self._fail(f"Neither shape nor profile is set for input tensor {name}")
        for name in self.engine.names:
            if not self.addresses.get(name) and name not in self.allocators and not self._is_empty(name):
                return self._fail(
                    f"Neither address or allocator is set for output tensor {name}. Call setTensorAddress"
                )
        if not self.own_memory and self.engine.plan.device_memory and not self.scratch[0]:
            return self._fail("Device memory of the context is not set")
        if self.scratch[0] % ALIGNMENT:
            return self._fail("Device memory of the context is not aligned")
        is_capturing = machine.is_capturing(stream_handle)
        if is_capturing and (self.allocators or not self.is_warm or self.library.faults.get("capture")):
            machine.spoil(stream_handle)
            return self._fail(
                "Error Code 1: Cuda Runtime (operation would make the legacy stream depend on a capturing)"
            )
        if self.allocators:
            return self._run_data_dependent(stream_handle)
        return self._enqueue(stream_handle, is_capturing)

    def _enqueue(self, stream: int, is_capturing: bool) -> bool:
        executor, addresses, revision = self.engine.executor, dict(self.addresses), self.revision
        inputs = {name: (addresses[name], self.shapes[name]) for name in executor.inputs}
        shapes = executor.output_shapes(self.shapes)
        outputs = {name: (addresses[name], shapes[name]) for name in executor.outputs}
        scratch, machine = self.scratch, self.library.machine

        def operation() -> None:
            if not is_capturing:
                self.pending -= 1
            elif not self.is_alive or self.revision != revision:
                machine.violation("a graph was launched after its execution context was changed")
            if scratch[0]:
                view(scratch[0], (scratch[1],), np.dtype(np.uint8))[:] = 0xA5
            executor.run(inputs, outputs)
            if self.profiler is not None and not is_capturing:
                for facts in self.engine.plan.layers:
                    self.profiler.report_layer_time(facts["Name"], 0.001)

        uses = [(address, self._bytes(name, shape)) for name, (address, shape) in (inputs | outputs).items()]
        failed = machine.enqueue(stream, operation, [*uses, scratch] if scratch[0] else uses)
        if failed:
            return self._fail(f"Error Code 1: Cuda Runtime (cudaLaunchKernel failed with {failed})")
        self.pending += not is_capturing
        self.is_warm = self.is_warm or not is_capturing
        return True

    def _run_data_dependent(self, stream: int) -> bool:
        executor, machine = self.engine.executor, self.library.machine
        reads = [(self.addresses[name], self._bytes(name, shape)) for name, shape in self.shapes.items()]
        if machine.enqueue(stream, lambda: None, reads):
            return self._fail("Error Code 1: Cuda Runtime")
        machine.wait(stream)
        feeds = {name: view(self.addresses[name], s, executor.dtype(name)) for name, s in self.shapes.items()}
        for name, result in executor.results(feeds).items():
            address = self.addresses.get(name, 0)
            if name in self.allocators:
                address = self._allocate(name, result.nbytes, stream)
                if not address:
                    return self._fail(f"Error Code 2: OutOfMemory (no memory for output {name})")
            if result.nbytes:
                write = partial(_write, address, result)
                machine.enqueue(stream, write, [(address, result.nbytes)])
            if name in self.allocators:
                self.allocators[name].notify_shape(name, self.library.dims(result.shape))
        self.is_warm = True
        return True

    def _allocate(self, name: str, size: int, stream: int) -> int:
        allocator, present = self.allocators[name], self.addresses.get(name, 0)
        if self.library.version >= (10,) and hasattr(allocator, "reallocate_output_async"):
            address = allocator.reallocate_output_async(name, present, size, ALIGNMENT, stream)
        else:
            address = allocator.reallocate_output(name, present, size, ALIGNMENT)
        assert isinstance(address, int), "an output allocator must return an address"
        return address

    def _bytes(self, name: str, shape: tuple[int, ...]) -> int:
        return math.prod(shape) * self.engine.executor.dtype(name).itemsize

    def _is_empty(self, name: str) -> bool:
        return name in self.engine.executor.outputs and 0 in tuple(self.get_tensor_shape(name))

    def _change(self) -> None:
        self.revision += 1

    def _fail(self, message: str) -> bool:
        self.library.say("ERROR", f"IExecutionContext: {message}")
        return False


def _write(address: int, result: np.ndarray) -> None:
    np.copyto(view(address, result.shape, result.dtype), result)


class Inspector:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.execution_context = None

    def get_engine_information(self, format: Any) -> str:
        return self.engine.library.inspection(self.engine.plan, self.engine.executor, format.name)

    def get_layer_information(self, layer_index: int, format: Any) -> str:
        return self.engine.library.inspection(self.engine.plan, self.engine.executor, format.name, layer_index)
