"""A libcudart without a GPU: same functions and calling convention, on host memory, stricter than the real one.

    fake = FakeCudart()
    runtime = CudaRuntime(fake, "fake")
    ...
    fake.check()          # no violation, no leak, no error left behind

Work is deferred until something waits for it, so that a missing wait shows as NaN or old data. Streams never wait for
each other except through events. Not modelled: managed memory, the default stream's implicit order with blocking
streams, time of real hardware (only the fake clock, see ``bandwidth``).
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.fakes import cuda_entries
from tests.fakes.cuda_memory import Memory, ViolationError
from tests.fakes.cuda_queue import (
    IMPLICIT,
    INVALID_HANDLE,
    NOT_PERMITTED,
    RELAXED,
    CudaFailureError,
    FakeEvent,
    FakeStream,
    Operation,
    pending,
)

_ALWAYS = {"cudaGetLastError", "cudaDriverGetVersion", "cudaRuntimeGetVersion"}
_WITHOUT_DRIVER = {"cudaDriverGetVersion", "cudaRuntimeGetVersion", "cudaGetLastError"}


@dataclass(frozen=True)
class Gpu:
    """What one fake GPU says about itself."""

    name: str = "Fake Orin"
    compute_capability: tuple[int, int] = (8, 7)
    sm_count: int = 16
    is_integrated: bool = True
    can_map: bool = True
    total_memory: int = 8 << 30


class FakeCudart:
    """The library object that ``CudaRuntime`` takes in place of ``ctypes.CDLL``'s.

    ``driver`` is the CUDA version that the driver runs, None without a driver.
    """

    def __init__(
        self, *gpus: Gpu, version: tuple[int, int] = (12, 6), driver: tuple[int, int] | None = (12, 6)
    ) -> None:
        self.gpus = gpus or (Gpu(),)
        self.version = version
        self.driver = driver
        self.memory = Memory()
        self.violations: list[str] = []
        self.calls: Counter[str] = Counter()
        self.history: deque[str] = deque(maxlen=2000)
        self.bandwidth = {"to_device": 1e6, "to_host": 1e6, "on_device": 1e7, "mapped": 5e6}
        """Bytes per fake millisecond, by what a copy does; ``mapped`` when device code reaches into host memory."""
        self._lock = threading.RLock()
        self._thread = threading.local()
        self._handles = itertools.count(0x5000, 0x10)
        self._injected: dict[str, list[int]] = {}
        self._sticky = 0
        self._errors: dict[int, int] = {}
        self.objects: dict[int, Any] = {}
        self._dead: set[int] = set()
        self.default_streams = {0: self._default(), 2: self._default()}
        self._functions = {name: _Function(self, name, *entry) for name, entry in cuda_entries.ENTRIES.items()}

    def __getattr__(self, name: str) -> Any:
        functions = self.__dict__.get("_functions", {})
        if name in functions:
            return functions[name]
        raise AttributeError(name)

    # For tests and for fakes built on this one.

    def enqueue(
        self,
        stream: int,
        run: Callable[[], None],
        *,
        label: str,
        uses: Iterable[tuple[int, int]] = (),
        milliseconds: float = 0.01,
    ) -> int:
        """Launch a kernel that uses device ranges ``(address, bytes)``; return a cudaError_t."""
        ranges = tuple(("device", address, size) for address, size in uses)

        def launch() -> None:
            found = self.stream(stream)
            if found.gpu != self.current_gpu:
                raise ViolationError(f"{label} on a stream of GPU {found.gpu} with GPU {self.current_gpu} current")
            self.push(found, Operation(label, run, ranges, milliseconds))

        return self.guarded(label, launch)

    def array(self, address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Show device memory as an array, for kernels; raise ViolationError outside live memory."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self.memory.require("device", address, max(size, 1))
        data = (ctypes.c_uint8 * size).from_address(address)
        return np.frombuffer(data, np.uint8).view(dtype).reshape(shape)

    def fail(self, name: str, *codes: int) -> None:
        """Let the next calls of ``name`` (a function or a kernel's label) return ``codes``; 0 lets one through."""
        self._injected.setdefault(name, []).extend(codes)

    def lose_context(self, code: int = 700) -> None:
        """Let every call fail from now on, as after a kernel's crash."""
        self._sticky = code

    def forget_errors(self) -> None:
        """Clear cudaGetLastError of every thread."""
        self._errors.clear()

    def is_capturing(self, stream: int) -> bool:
        """Tell whether a stream is being captured, for fakes that must behave differently then."""
        return self.stream(stream).capture is not None

    def check(self) -> None:
        """Fail on violations, leaks and errors that nobody took with cudaGetLastError."""
        problems = list(self.violations)
        problems += [f"leak: {allocation}" for allocation in self.memory.live]
        problems += [f"leak: {type(thing).__name__} {handle:#x}" for handle, thing in self.objects.items()]
        problems += [f"error {code} was left in cudaGetLastError" for code in self._errors.values() if code]
        assert not problems, "\n".join(problems)

    # For the entry points.

    @property
    def current_gpu(self) -> int:
        return getattr(self._thread, "gpu", 0)

    @current_gpu.setter
    def current_gpu(self, index: int) -> None:
        self._thread.gpu = index

    @property
    def streams(self) -> list[FakeStream]:
        return [
            *(thing for thing in list(self.objects.values()) if isinstance(thing, FakeStream)),
            *self.default_streams.values(),
        ]

    def guarded(self, name: str, body: Callable[[], int | None]) -> int:
        """Run a call with everything that can go wrong turned into a cudaError_t."""
        with self._lock:
            self.calls[name] += 1
            self.history.append(name)
            try:
                code = self._run(name, body)
            except CudaFailureError as failure:
                code = failure.code
            except ViolationError as violation:
                self.violations.append(f"{name}: {violation}")
                code = violation.code
            except Exception:
                self.violations.append(f"{name}: {traceback.format_exc()}")
                code = 999
            if code and name != "cudaGetLastError":
                self._errors[threading.get_ident()] = code
            return code

    def take_error(self) -> int:
        return self._errors.pop(threading.get_ident(), 0)

    def add(self, thing: Callable[[int], Any]) -> int:
        handle = next(self._handles)
        self.objects[handle] = thing(handle)
        return handle

    def get(self, handle: int | None, kind: type) -> Any:
        thing = self.objects.get(handle or 0)
        if isinstance(thing, kind):
            return thing
        state = "was destroyed" if handle in self._dead else "does not exist"
        raise ViolationError(f"{kind.__name__} {handle or 0:#x} {state}", INVALID_HANDLE)

    def remove(self, handle: int | None, kind: type) -> Any:
        thing = self.get(handle, kind)
        del self.objects[handle or 0]
        self._dead.add(handle or 0)
        return thing

    def stream(self, handle: int | None) -> FakeStream:
        if handle in (None, 0, 1, 2):
            return self.default_streams[2 if handle == 2 else 0]
        found: FakeStream = self.get(handle, FakeStream)
        return found

    def event(self, handle: int | None) -> FakeEvent:
        found: FakeEvent = self.get(handle, FakeEvent)
        return found

    def push(self, stream: FakeStream, operation: Operation) -> None:
        if stream in self.default_streams.values():
            self.forbid_while_capturing(IMPLICIT)
        for space, address, size in operation.uses:
            self.memory.require(space, address, size)
        stream.enqueue(operation)

    def forbid_while_capturing(self, code: int = NOT_PERMITTED) -> None:
        """Spoil the captures that forbid this thread an unsafe call (cudaThreadExchangeStreamCaptureMode)."""
        for stream in self.streams:
            capture = stream.capture
            if capture and capture.mode != RELAXED and (capture.mode == 0 or capture.thread == threading.get_ident()):
                capture.is_invalid = True
                raise CudaFailureError(code)

    def forbid_pending(self, space: str, address: int, size: int, what: str) -> None:
        operation = pending(self.streams, space, address, size)
        if operation is not None:
            raise ViolationError(f"{what} was freed while {operation.label} was pending on it")

    def _run(self, name: str, body: Callable[[], int | None]) -> int:
        if self.driver is None and name not in _WITHOUT_DRIVER:
            return 35
        if self._injected.get(name):
            code = self._injected[name].pop(0)
            if code:
                return code
        if self._sticky and name not in _ALWAYS:
            return self._sticky
        return body() or 0

    def _default(self) -> FakeStream:
        return FakeStream(0, 0, self.memory)


class _Function:
    """One exported function: a C callback, so that ctypes converts arguments as for the real library."""

    def __init__(self, fake: FakeCudart, name: str, arguments: tuple[Any, ...], body: Callable[..., Any]) -> None:
        self._name = name
        self._arguments = arguments
        self.restype: Any = ctypes.c_int

        def call(*args: Any) -> int:
            return fake.guarded(name, lambda: body(fake, *args))

        self._body = body
        self._entry = ctypes.CFUNCTYPE(ctypes.c_int, *arguments)(call)

    @property
    def argtypes(self) -> tuple[Any, ...]:
        return self._arguments

    @argtypes.setter
    def argtypes(self, declared: tuple[Any, ...]) -> None:
        assert tuple(declared) == self._arguments, f"{self._name} is declared with {declared}, takes {self._arguments}"

    def __call__(self, *args: Any) -> Any:
        if self.restype is ctypes.c_char_p:
            return self._body(None, *args)
        assert self.restype is ctypes.c_int
        return self._entry(*args)
