"""A strict double of NVIDIA's `tensorrt` module for each version that edgesr supports.

    fake = FakeCudart()
    double = Tensorrt("10.3.0", fake)
    double.module            # what `import tensorrt` gives; put it into sys.modules or wrap it in TensorRt(module)
    double.faults["build"] = "text"       # the next builds fail with this in the log

Names, arguments and enum numbers come from the bindings' own (tests/data/tensorrt_api); engines run on ONNX Runtime on
the fake GPU's memory, when its stream runs. Proven by it: the calls and their order. Not proven: tactics, precision,
memory use and speed of the real library.

Faults: build (text, or a function that gives one), deserialize, context, enqueue, capture, runtime (texts),
precision ("Float": reduced precision is ignored), least_workspace, device_memory (bytes), seconds_per_layer, dla_cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from tests.fakes import trt_inspection
from tests.fakes.cudart import FakeCudart
from tests.fakes.pybind import MOST_DIMS, Bindings
from tests.fakes.trt_builder import Builder
from tests.fakes.trt_network import UNSUPPORTED, Parser, narrowed
from tests.fakes.trt_plan import library_version
from tests.fakes.trt_runtime import Runtime

VERSIONS = ("8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}
ALIASES = {"float32": "FLOAT", "float16": "HALF", "int8": "INT8", "uint8": "UINT8", "int32": "INT32", "int64": "INT64"}


class Machine:
    """The fake GPU as the double's kernels see it."""

    def __init__(self, fake: FakeCudart) -> None:
        self.fake = fake
        gpu = fake.gpus[0]
        self.compute_capability = ".".join(map(str, gpu.compute_capability))
        self.total_memory = gpu.total_memory

    def enqueue(self, stream: int, run: Callable[[], None], uses: list[tuple[int, int]]) -> int:
        return self.fake.enqueue(stream, run, label="TensorRT", uses=[(a, n) for a, n in uses if n])

    def wait(self, stream: int) -> None:
        self.fake.guarded("TensorRT waits", lambda: self.fake.stream(stream).run())

    def is_capturing(self, stream: int) -> bool:
        return self.fake.is_capturing(stream)

    def spoil(self, stream: int) -> None:
        """Do inside a capture what it forbids."""
        self.fake.guarded("TensorRT waits", self.fake.forbid_while_capturing)

    def violation(self, text: str) -> None:
        self.fake.violations.append(text)


class IHostMemory(bytearray):
    """The buffer protocol, ``nbytes`` and ``dtype``; nothing else that bytes have."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__") and name not in ("nbytes", "dtype"):
            raise AttributeError(f"'tensorrt.IHostMemory' object has no attribute {name!r}")
        return super().__getattribute__(name)

    nbytes = property(lambda self: memoryview(self).nbytes)

    def __len__(self) -> int:
        raise TypeError("object of type 'tensorrt.IHostMemory' has no len()")

    def __getitem__(self, index: object) -> Any:
        raise TypeError("'tensorrt.IHostMemory' object is not subscriptable")

    def __iter__(self) -> Any:
        raise TypeError("'tensorrt.IHostMemory' object is not iterable")

    def __bool__(self) -> bool:
        return True


class Dims(list[int]):
    """What a bound Dims holds; equal to the same tuple or list."""

    @classmethod
    def of(cls, shape: Any) -> Dims:
        if len(shape) > MOST_DIMS:
            raise ValueError(f"Input length {len(shape)}. Max expected length is {MOST_DIMS}")
        return cls(int(n) for n in shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | tuple) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class Tensorrt:
    """One version of the library in this process; ``module`` is its Python module."""

    def __init__(self, version: str, fake: FakeCudart | None = None) -> None:
        self.machine = Machine(fake or FakeCudart())
        self.version = library_version(version)
        self.faults: dict[str, Any] = {}
        self.tactics_timed = 0
        self.loaded_on: list[int] = []
        self.unsupported = UNSUPPORTED[self.version[0]]
        self.logger: Any = None
        constructors: dict[str, Callable[..., Any]] = {
            "Builder": lambda logger: self._made("builder", lambda: Builder(self, logger)),
            "Runtime": lambda logger: self._made("runtime", lambda: Runtime(self, logger)),
            "OnnxParser": Parser,
            "Dims": lambda shape=(): Dims.of(shape),
            "Logger": _PrintingLogger,
        }
        for name in ("ILogger", "IOutputAllocator", "IProgressMonitor", "IProfiler", "IGpuAllocator"):
            constructors[name] = object
        self.bindings = Bindings(version, constructors)
        self.made_for = [version, self.machine.compute_capability]
        self.module = self._module(version)

    def take_logger(self, logger: Any) -> None:
        """Keep the first logger of the process, as TensorRT does."""
        if self.logger is None:
            self.logger = logger
        elif logger is not self.logger:
            self.say("WARNING", "The logger passed into createInferBuilder differs from one already registered")

    def say(self, severity: str, text: str) -> None:
        self.logger.log(self.bindings.enums["Severity"].__members__[severity], text)

    def dims(self, shape: Any) -> Any:
        return self.bindings.classes["Dims"](list(shape))

    def data_type(self, dtype: Any) -> Any:
        members = self.bindings.enums["DataType"].__members__
        return next(members[name] for name, kind in DTYPES.items() if np.dtype(kind) == dtype)

    def border_type(self, elem_type: int) -> np.dtype[Any]:
        return narrowed(elem_type, narrow=self.version < (10,))

    def host_memory(self, content: bytes) -> Any:
        return IHostMemory(content)

    def layer_facts(self, network: Any, node: Any, flags: set[str]) -> dict[str, Any]:
        return trt_inspection.layer_facts(network, node, flags, self.faults.get("precision"))

    def inspection(self, plan: Any, executor: Any, form: str, layer: int | None = None) -> str:
        return trt_inspection.inspection(plan, executor, self.version, form, layer)

    def _made(self, kind: str, make: Callable[[], Any]) -> Any:
        return None if self.faults.get(kind) else make()

    def _module(self, version: str) -> ModuleType:
        module = ModuleType("tensorrt")
        names = {name: enum for name, enum in self.bindings.enums.items() if "." not in name and name != "Severity"}
        data_type = names["DataType"]
        for name, thing in {
            "__version__": version,
            **self.bindings.classes,
            **names,
            **{alias: getattr(data_type, member) for alias, member in ALIASES.items() if hasattr(data_type, member)},
            "volume": math.prod,
            "nptype": self._nptype,
            "init_libnvinfer_plugins": lambda logger, namespace: True,
            "get_nv_onnx_parser_version": lambda: self.version[0] * 10000,
        }.items():
            setattr(module, name, thing)
        return module

    def _nptype(self, kind: Any) -> Any:
        if kind.name not in DTYPES:
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return DTYPES[kind.name]


class _PrintingLogger:
    def __init__(self, min_severity: Any) -> None:
        self.min_severity = min_severity

    def log(self, severity: Any, msg: str) -> None:
        if int(severity) <= int(self.min_severity):
            print(f"[TRT] [{severity.name}] {msg}")  # noqa: T201
