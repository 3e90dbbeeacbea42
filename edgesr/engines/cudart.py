"""The CUDA runtime library by ctypes: found, declared and called, with every failure explained.

Works with libcudart 11.8, 12 and 13, which export every function below with the same arguments. Structures whose
layout differs between them (cudaDeviceProp) are read at their first, common field alone.
"""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any

from edgesr.engines.cuda_errors import INSUFFICIENT_DRIVER, cuda_error
from edgesr.engines.cudart_files import candidates
from edgesr.errors import BackendError

_HANDLE = c_void_p
_NEW_HANDLE = POINTER(c_void_p)

# Arguments by function (cuda_runtime_api.h); each returns a cudaError_t, the two of TEXTS a string.
PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "cudaDriverGetVersion": (POINTER(c_int),),
    "cudaRuntimeGetVersion": (POINTER(c_int),),
    "cudaGetLastError": (),
    "cudaGetErrorName": (c_int,),
    "cudaGetErrorString": (c_int,),
    "cudaGetDeviceCount": (POINTER(c_int),),
    "cudaGetDevice": (POINTER(c_int),),
    "cudaSetDevice": (c_int,),
    "cudaDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cudaGetDeviceProperties": (c_void_p, c_int),
    "cudaPointerGetAttributes": (c_void_p, c_void_p),
    "cudaMemGetInfo": (POINTER(c_size_t), POINTER(c_size_t)),
    "cudaMalloc": (_NEW_HANDLE, c_size_t),
    "cudaFree": (c_void_p,),
    "cudaHostAlloc": (_NEW_HANDLE, c_size_t, c_uint),
    "cudaFreeHost": (c_void_p,),
    "cudaHostGetDevicePointer": (_NEW_HANDLE, c_void_p, c_uint),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, _HANDLE),
    "cudaStreamCreateWithFlags": (_NEW_HANDLE, c_uint),
    "cudaStreamDestroy": (_HANDLE,),
    "cudaStreamSynchronize": (_HANDLE,),
    "cudaStreamWaitEvent": (_HANDLE, _HANDLE, c_uint),
    "cudaStreamIsCapturing": (_HANDLE, POINTER(c_int)),
    "cudaStreamBeginCapture": (_HANDLE, c_int),
    "cudaStreamEndCapture": (_HANDLE, _NEW_HANDLE),
    "cudaEventCreateWithFlags": (_NEW_HANDLE, c_uint),
    "cudaEventDestroy": (_HANDLE,),
    "cudaEventRecord": (_HANDLE, _HANDLE),
    "cudaEventSynchronize": (_HANDLE,),
    "cudaEventQuery": (_HANDLE,),
    "cudaEventElapsedTime": (POINTER(c_float), _HANDLE, _HANDLE),
    "cudaGraphInstantiateWithFlags": (_NEW_HANDLE, _HANDLE, c_ulonglong),
    "cudaGraphLaunch": (_HANDLE, _HANDLE),
    "cudaGraphExecDestroy": (_HANDLE,),
    "cudaGraphDestroy": (_HANDLE,),
}
TEXTS = {"cudaGetErrorName", "cudaGetErrorString"}


class CudaRuntime:
    """A loaded libcudart; safe to use from any thread.

    ``library`` is what ``ctypes.CDLL`` returns, ``path`` its file or soname, for messages.
    """

    def __init__(self, library: Any, path: str) -> None:
        self.path = path
        self._functions: dict[str, Callable[..., Any]] = {}
        for name, arguments in PROTOTYPES.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise BackendError(f"{path} has no function {name}; edgesr needs libcudart 11.4 or newer") from None
            function.argtypes = arguments
            function.restype = c_char_p if name in TEXTS else c_int
            self._functions[name] = function
        self._guard = threading.Lock()
        self._captures = 0
        self._releases: deque[Callable[[], object]] = deque()

    @classmethod
    def load(cls, path: str | Path | None = None) -> CudaRuntime:
        """Load the library at ``path``, or the first one found that the installed driver can run.

        Looks at EDGESR_CUDART, the nvidia wheels, /usr/local/cuda and the system's linker cache, in this order; on a
        Jetson at /usr/local/cuda before the wheels. Without a driver the first library found is taken, and Device says
        what is missing.
        """
        if path is not None:
            return cls._open(str(path))
        failures: list[str] = []
        without_driver: list[CudaRuntime] = []
        for candidate in candidates():
            try:
                runtime = cls._open(candidate)
            except BackendError as error:
                failures.append(str(error))
                continue
            if runtime.attempt("cudaGetDeviceCount", byref(c_int())) != INSUFFICIENT_DRIVER:
                return runtime
            without_driver.append(runtime)
        if without_driver:
            return without_driver[0]
        reason = f" ({failures[0]})" if failures else ""
        raise BackendError(
            f"no CUDA runtime library (libcudart.so.11.0, .12 or .13) could be loaded{reason}; install CUDA or the "
            "wheel nvidia-cuda-runtime, or set EDGESR_CUDART to the file"
        )

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version of the library."""
        return self._version("cudaRuntimeGetVersion")

    @property
    def driver_version(self) -> tuple[int, int]:
        """The newest CUDA that the installed driver runs, major and minor; (0, 0) without a driver."""
        return self._version("cudaDriverGetVersion")

    def call(self, name: str, *args: Any) -> None:
        """Call a function of the library; raise BackendError, or OutOfMemoryError, when it returns an error."""
        code = self.attempt(name, *args)
        if code:
            raise self.error(name, code)

    def attempt(self, name: str, *args: Any) -> int:
        """Call a function and return its error code, 0 for success.

        The library's own memory of the error is cleared, so that other libraries do not find it and fail.
        """
        code: int = self._functions[name](*args)
        if code:
            self._functions["cudaGetLastError"]()
        return code

    def error(self, name: str, code: int) -> BackendError:
        """Make the error for ``code``, returned by the function ``name``."""
        return cuda_error(name, code, self._text("cudaGetErrorName", code), self._text("cudaGetErrorString", code))

    def release(self, free: Callable[[], object]) -> None:
        """Call ``free``, which gives resources back; during a capture wait until its end.

        Freeing memory or waiting for a stream spoils a capture, and the garbage collector asks nobody.
        ``free`` uses ``attempt``: errors of earlier work show up again here and have been told already.
        """
        self._releases.append(free)
        self._run_releases()

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Hold releases back while a stream is being captured."""
        with self._guard:
            self._captures += 1
        try:
            yield
        finally:
            with self._guard:
                self._captures -= 1
            self._run_releases()

    @classmethod
    def _open(cls, path: str) -> CudaRuntime:
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            raise BackendError(f"cannot load the CUDA runtime library {path}: {error}") from None
        return cls(library, path)

    def _run_releases(self) -> None:
        # Never waits for the lock: the collector may call this inside any other call, of this or another thread.
        # Whoever holds the lock looks again after letting go, so that nothing is left behind.
        while self._releases and self._guard.acquire(blocking=False):
            try:
                if self._captures:
                    return
                self._releases.popleft()()
            finally:
                self._guard.release()

    def _text(self, function: str, code: int) -> str:
        text: bytes | None = self._functions[function](code)
        return (text or b"unknown error").decode(errors="replace")

    def _version(self, function: str) -> tuple[int, int]:
        version = c_int()
        self.call(function, byref(version))
        return version.value // 1000, version.value % 1000 // 10
