"""CUDA graphs: work recorded once from a stream and launched again in one call.

The order of calls is trtexec's (TrtCudaGraph in NVIDIA/TensorRT): run once, wait, begin the capture in thread-local
mode, enqueue, end, instantiate. Thread-local, because a capture in global mode breaks other threads' allocations.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from ctypes import byref, c_void_p
from functools import partial

from edgesr.engines.cuda import Stream
from edgesr.engines.cudart import CudaRuntime
from edgesr.errors import BackendError

_THREAD_LOCAL = 1


class Graph:
    """Recorded work; made by ``capture``.

    It uses the addresses and shapes of the time of capture: after any change of them capture anew. Whoever launches
    it keeps those buffers and the engine's context alive.
    """

    def __init__(self, stream: Stream, executable: int) -> None:
        self.runtime = stream.runtime
        self._executable: int | None = executable
        # Destroying must wait for the launches, whose streams are remembered here for the finalizer.
        self._launched: list[Stream] = []
        free = partial(_destroy_graph, self.runtime, executable, self._launched)
        self._free = weakref.finalize(self, self.runtime.release, free)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._executable is None

    def launch(self, stream: Stream) -> None:
        """Enqueue the recorded work on ``stream``."""
        if self._executable is None:
            raise BackendError("the CUDA graph is closed; capture a new one")
        stream.device.activate()
        if stream not in self._launched:
            self._launched.append(stream)
        self.runtime.call("cudaGraphLaunch", self._executable, stream.handle)

    def close(self) -> None:
        """Wait for the launches and destroy the graph; closing twice is allowed."""
        self._executable = None
        self._free()


def capture(stream: Stream, enqueue: Callable[[], bool], *, has_run: bool = False) -> Graph | str:
    """Record what ``enqueue`` puts on ``stream``, or say in one line why that is not possible.

    ``enqueue`` returns whether it succeeded, as ``execute_async_v3`` does. It is called twice: first for real,
    because the first run loads kernels, which a capture forbids, then recorded, which runs nothing. With
    ``has_run`` the caller has run the same work already. A failure of the first call is the work's own and raises
    BackendError; a failure afterwards leaves the stream as it was, ready for plain runs. Whatever another thread
    puts on ``stream`` meanwhile would be recorded in place of run: where threads share a stream, capture on one of
    your own and launch on the shared one.
    """
    if stream.is_default:
        return "the default stream cannot be captured"
    if stream.is_capturing:
        return "the stream is being captured by its owner already"
    stream.device.activate()
    if not has_run and not enqueue():
        raise BackendError("the run before the capture failed")
    stream.synchronize()
    runtime = stream.runtime
    with runtime.capturing():
        recorded = _record(stream, enqueue)
    if isinstance(recorded, str):
        return recorded
    executable = c_void_p()
    try:
        runtime.call("cudaGraphInstantiateWithFlags", byref(executable), recorded, 0)
    except BackendError as error:
        return str(error)
    finally:
        runtime.attempt("cudaGraphDestroy", recorded)
    return Graph(stream, executable.value or 0)


def _record(stream: Stream, enqueue: Callable[[], bool]) -> int | str:
    """Return the handle of the recorded graph, or the reason why there is none."""
    runtime = stream.runtime
    try:
        runtime.call("cudaStreamBeginCapture", stream.handle, _THREAD_LOCAL)
    except BackendError as error:
        return str(error)
    graph = c_void_p()
    try:
        reason = "" if enqueue() else "the work refused to be enqueued during the capture"
    except BackendError as error:
        reason = str(error)
    except BaseException:
        _discard(runtime, stream, graph)
        raise
    # The capture must end whatever happened, or the stream stays unusable.
    try:
        runtime.call("cudaStreamEndCapture", stream.handle, byref(graph))
    except BackendError as error:
        reason = reason or str(error)
    if not reason and not graph.value:
        reason = "nothing was recorded"
    if reason:
        runtime.attempt("cudaGetLastError")
        _destroy(runtime, graph)
        return reason
    return graph.value or 0


def _discard(runtime: CudaRuntime, stream: Stream, graph: c_void_p) -> None:
    runtime.attempt("cudaStreamEndCapture", stream.handle, byref(graph))
    _destroy(runtime, graph)


def _destroy(runtime: CudaRuntime, graph: c_void_p) -> None:
    if graph.value:
        runtime.attempt("cudaGraphDestroy", graph.value)


def _destroy_graph(runtime: CudaRuntime, executable: int, launched: list[Stream]) -> None:
    for stream in launched:
        stream.drain()
    runtime.attempt("cudaGraphExecDestroy", executable)
