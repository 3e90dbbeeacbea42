"""One execution context: shapes, addresses and memory set for one set of buffers, and the graph captured from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgesr.engines.base import Buffer, TensorSpec
from edgesr.engines.cuda import Stream
from edgesr.engines.cuda_graph import Graph
from edgesr.engines.cuda_memory import DeviceBuffer, MappedBuffer
from edgesr.engines.trt_api import TensorRt
from edgesr.engines.trt_memory import ActivationMemory, OutputAllocator
from edgesr.engines.trt_tensors import Profile
from edgesr.errors import BackendError

ALIGNMENT = 256
"""Bytes of which every tensor's address must be a multiple (IExecutionContext::setTensorAddress, NvInferRuntime.h)."""


class Context:
    """A ``trt.IExecutionContext`` with what was set on it; the engine's file owns it.

    ``key`` names the buffers it is set up for, None when it is free. Setting methods return what went wrong, or "".
    """

    def __init__(
        self, api: TensorRt, native: Any, needed: int, stream: Stream, outputs: Mapping[str, TensorSpec]
    ) -> None:
        self.key: Any = None
        self.graph: Graph | None = None
        self.generation = 0
        self.runs = 0
        self.outputs: dict[str, Buffer] = {}
        self.profile = max(0, native.active_optimization_profile)
        self._api = api
        self._native = native
        self._needed = needed
        self._stream = stream
        self._specs = outputs
        self._spares: dict[str, Buffer] = {}
        self._allocators: dict[str, OutputAllocator] = {}

    @property
    def is_data_dependent(self) -> bool:
        """Whether an output's size comes from the data, which forbids a capture."""
        return bool(self._allocators)

    @property
    def failure(self) -> BackendError | None:
        """Why an output got no memory in the last run."""
        return next((a.failure for a in self._allocators.values() if a.failure), None)

    def reset(self) -> None:
        """Forget the buffers and the graph, which any change of the context would spoil."""
        self.drop_graph()
        self.key = None
        self.runs = 0
        self.outputs = {}

    def drop_graph(self) -> None:
        """Destroy the graph, if any, after its last launch."""
        if self.graph is not None:
            self.graph.close()
            self.graph = None

    def use_activations(self, memory: ActivationMemory) -> str:
        """Work in ``memory``, grown where it is too small; does nothing for a context with memory of its own."""
        self.generation = memory.generation
        if not self._needed:
            return ""
        memory.reserve(self._needed)
        if hasattr(self._native, "set_device_memory"):
            self._native.set_device_memory(memory.ptr, memory.size)
        else:
            self._native.device_memory = memory.ptr
        self.generation = memory.generation
        return ""

    def use_profile(self, profile: int) -> str:
        """Choose the optimization profile."""
        if profile == self.profile:
            return ""
        if not self._native.set_optimization_profile_async(profile, self._stream.handle):
            return f"cannot choose profile {profile}"
        self.profile = profile
        return ""

    def bind_inputs(self, inputs: Mapping[str, Buffer], profile: Profile) -> str:
        """Set shapes, where they are dynamic, and addresses."""
        for name, buffer in inputs.items():
            if buffer.ptr % ALIGNMENT:
                return _unaligned("input", name, buffer)
            if name in profile and not self._native.set_input_shape(name, tuple(int(n) for n in buffer.shape)):
                return f"refuses shape {buffer.shape} for input {name!r}"
            if not self._native.set_tensor_address(name, buffer.ptr):
                return f"refuses the address of input {name!r}"
        return ""

    def bind_outputs(self, outputs: Mapping[str, Buffer] | None) -> str:
        """Set the addresses of ``outputs``, and memory of our own for those that nobody asked for.

        None allocates all: in buffers where the shape is known beforehand, else through an output allocator.
        """
        for name, spec in self._specs.items():
            shape = tuple(int(size) for size in self._native.get_tensor_shape(name))
            given = None if outputs is None else outputs.get(name)
            if -1 in shape:
                if given is not None:
                    return f"the size of output {name!r} depends on the data; run without output buffers"
                if not self._allocate(name, spec):
                    return f"refuses an allocator for output {name!r}"
                continue
            if given is not None and given.shape != shape:
                return f"output {name!r} has shape {shape} for these inputs, got a buffer of {given.shape}"
            if given is not None and given.ptr % ALIGNMENT:
                return _unaligned("output", name, given)
            buffer = given or self._spare(name, shape, is_taken=outputs is None)
            if outputs is None:
                self.outputs[name] = buffer
            if not self._native.set_tensor_address(name, buffer.ptr):
                return f"refuses the address of output {name!r}"
        return ""

    def begin(self) -> None:
        """Get ready for a run."""
        for allocator in self._allocators.values():
            allocator.begin()

    def enqueue(self, stream: Stream) -> bool:
        """Enqueue one run, or record it where ``stream`` is being captured."""
        return bool(self._native.execute_async_v3(stream.handle))

    def mark(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer], stream: Stream) -> None:
        """Tell the buffers of the run that was just enqueued which run it is."""
        used = [b for b in (*outputs.values(), *inputs.values()) if isinstance(b, DeviceBuffer | MappedBuffer)]
        if not used:
            return
        # The event is the first output's, recorded anew: other sets of buffers then have events of their own.
        ran = stream.record(used[0].ran)
        for buffer in used:
            buffer.ran = ran

    def take_outputs(self) -> dict[str, Buffer]:
        """Hand the outputs of the last run, allocated for it, to the caller."""
        outputs = {
            name: self._allocators[name].take(name) if name in self._allocators else self.outputs[name]
            for name in self._specs
        }
        self.reset()
        return outputs

    def close(self) -> None:
        """Destroy the context; the caller has dropped the graph and waited for the stream."""
        self._native = None
        self._spares.clear()
        self._allocators.clear()
        self.outputs = {}

    def _spare(self, name: str, shape: tuple[int, ...], *, is_taken: bool) -> Buffer:
        """Return memory for an output without a buffer; that of the last set-up where the caller does not take it."""
        kept = self._spares.get(name)
        if kept is not None and kept.shape == shape and not is_taken:
            return kept
        buffer = DeviceBuffer(self._stream.runtime, self._stream, shape, self._specs[name].dtype)
        if not is_taken:
            self._spares[name] = buffer
        return buffer

    def _allocate(self, name: str, spec: TensorSpec) -> bool:
        if name in self._allocators:
            return True
        allocator = OutputAllocator(self._api, self._stream.runtime, self._stream, spec.dtype)
        if not self._native.set_output_allocator(name, allocator.bound):
            return False
        self._allocators[name] = allocator
        return True


def new_context(api: TensorRt, engine: Any, *, is_shared: bool) -> tuple[Any, int]:
    """Make an ``IExecutionContext`` and say how many bytes of activation memory it must be given.

    Shared memory is asked for in the way of each version: by strategy since 10.0, by a method of its own before. The
    context is None when TensorRT refuses.
    """
    native, needed = _create_context(api, engine, is_shared=is_shared)
    verbosity = api.trt.ProfilingVerbosity
    if native is not None and engine.profiling_verbosity == verbosity.DETAILED:
        # The layers' details are for the inspector; as NVTX marks they make every enqueue slower.
        native.nvtx_verbosity = verbosity.LAYER_NAMES_ONLY
    return native, needed


def activation_bytes(engine: Any) -> int:
    """Return the bytes that any profile of ``engine`` works in."""
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size) if hasattr(engine, "device_memory_size") else 0


def _create_context(api: TensorRt, engine: Any, *, is_shared: bool) -> tuple[Any, int]:
    needed = activation_bytes(engine) if is_shared else 0
    if needed:
        strategy = api.flag("ExecutionContextAllocationStrategy", "USER_MANAGED")
        if strategy is not None:
            return engine.create_execution_context(strategy), needed
        if hasattr(engine, "create_execution_context_without_device_memory"):
            return engine.create_execution_context_without_device_memory(), needed
    return engine.create_execution_context(), 0


def _unaligned(kind: str, name: str, buffer: Buffer) -> str:
    return (
        f"{kind} {name!r} begins at {buffer.ptr:#x}, which is no multiple of {ALIGNMENT} bytes as TensorRT needs it; "
        "pass a whole array, or copy this part into a buffer with copy_from_device"
    )
