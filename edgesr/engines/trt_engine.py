"""One TensorRT engine: named tensors, profiles, and execution contexts that are replayed as CUDA graphs."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from edgesr.engines.base import Buffer, TensorSpec
from edgesr.engines.checks import check_tensors
from edgesr.engines.cuda import Stream
from edgesr.engines.cuda_graph import Graph, capture
from edgesr.engines.cuda_timing import RunTimer
from edgesr.engines.messages import explain
from edgesr.engines.trt_api import TensorRt
from edgesr.engines.trt_context import Context, activation_bytes, new_context
from edgesr.engines.trt_loop import TrtLoop
from edgesr.engines.trt_memory import ActivationMemory
from edgesr.engines.trt_tensors import Profile, choose_profile, read_profiles, read_tensors
from edgesr.errors import BackendError, OutOfMemoryError

Work: TypeAlias = Callable[[Context, Stream], bool]
"""Enqueues work on a stream and returns whether that succeeded."""

# Contexts are cheap once they share activation memory; more than these many sets of buffers take turns.
_CONTEXTS = 4


class TrtEngine:
    """An engine on its backend's stream; made by ``TrtBackend.load``.

    A run with the shapes and addresses of an earlier one is captured and from then on replayed as a CUDA graph; each
    graph has a context of its own, because changing a context spoils its graph. ``graph_refusal`` says why runs are
    not replayed, None where nothing speaks against it. ``timer`` times every run on the device,
    ``path`` is the file it was loaded from.
    """

    def __init__(
        self,
        api: TensorRt,
        engine: Any,
        *,
        path: Path,
        stream: Stream,
        activations: ActivationMemory,
        lock: threading.RLock,
        graphs: bool = True,
    ) -> None:
        self._api = api
        self.path = path
        self._file_name = path.name
        self._stream = stream
        self._activations = activations
        self._lock = lock
        self._inputs, self._outputs = read_tensors(api, engine, path.name)
        self._profiles = read_profiles(engine, self._inputs)
        # Up to 8.6 two contexts may not share a profile, and the first one takes it.
        self._limit = _CONTEXTS if api.version >= (10,) else 1
        self._is_closed = False
        self._resources = _Resources(stream, engine)
        self._free = weakref.finalize(self, _free, self._resources)
        self._capture_stream: Stream | None = None
        self.timer: RunTimer | None = None
        self.graph_refusal: str | None = None if graphs else "graphs are switched off"
        self._resources.contexts.append(self._new_context(first=True))

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Input tensors by name."""
        return self._inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Output tensors by name."""
        return self._outputs

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The shapes that the engine was built for: by input (least, best, greatest), one mapping for each profile."""
        return self._profiles

    def run(
        self,
        inputs: Mapping[str, Buffer],
        outputs: Mapping[str, Buffer] | None = None,
        *,
        work: Work = Context.enqueue,
        runs: int = 1,
    ) -> Mapping[str, Buffer]:
        """Enqueue one run; see Engine.run. Safe from any thread.

        ``work`` enqueues so many ``runs`` of the context and what goes between them, always the same on the same
        buffers.
        """
        with self._lock:
            if self._is_closed:
                raise BackendError(f"{self._file_name} is closed")
            check_tensors("input", inputs, self._inputs, complete=True)
            if outputs is not None:
                check_tensors("output", outputs, self._outputs, complete=False)
            self._stream.device.activate()
            key = (_places(inputs), None if outputs is None else _places(outputs), work)
            context = self._context_for(key)
            if context.key != key or context.generation != self._activations.generation:
                self._set_up(context, inputs, outputs)
                context.key = key if outputs is not None else None
            with nullcontext() if self.timer is None else self.timer.around(self._stream, runs):
                self._execute(context, work)
            written = context.take_outputs() if outputs is None else outputs
            context.mark(inputs, written, self._stream)
            return written

    def loop(
        self,
        inputs: Mapping[str, tuple[int, ...]],
        outputs: Mapping[str, tuple[int, ...]],
        *,
        runs: int,
        tables: Collection[str],
        carried: Mapping[str, str],
    ) -> TrtLoop:
        """Prepare many runs as one CUDA graph; see LoopingEngine.loop."""
        return TrtLoop(self, self._stream, inputs, outputs, runs=runs, tables=tables, carried=carried)

    def close(self) -> None:
        """Wait for the runs, then free graphs, contexts and the engine in this order."""
        with self._lock:
            self._is_closed = True
            self._free()
            if self._capture_stream is not None:
                self._capture_stream.close()

    def _context_for(self, key: Any) -> Context:
        contexts = self._resources.contexts
        for context in contexts:
            if context.key == key:
                contexts.remove(context)
                contexts.append(context)
                return context
        unused = next((context for context in contexts if context.key is None), None)
        if unused is None and len(contexts) < self._limit:
            try:
                unused = self._new_context(first=False)
                contexts.append(unused)
            except BackendError:
                self._limit = len(contexts)
        context = unused or contexts[0]
        contexts.remove(context)
        contexts.append(context)
        return context

    def _new_context(self, *, first: bool) -> Context:
        with self._api.log.collect() as lines:
            native, needed = new_context(self._api, self._resources.engine, is_shared=True)
            if native is None and first:
                native, needed = new_context(self._api, self._resources.engine, is_shared=False)
        if native is None:
            raise self._failure("cannot make an execution context", lines.reason())
        if not needed and activation_bytes(self._resources.engine):
            # This one has memory of its own; more of them would each hold as much.
            self._limit = 1
        return Context(self._api, native, needed, self._stream, self._outputs)

    def _set_up(self, context: Context, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None) -> None:
        context.reset()
        shapes = {name: buffer.shape for name, buffer in inputs.items()}
        profile = choose_profile(self._profiles, shapes, context.profile, self._file_name)
        with self._api.log.collect() as lines:
            problem = (
                context.use_activations(self._activations)
                or context.use_profile(profile)
                or context.bind_inputs(inputs, self._profiles[profile])
                or context.bind_outputs(outputs)
            )
        if problem:
            raise self._failure(problem, lines.reason() if lines else "")

    def _execute(self, context: Context, work: Work) -> None:
        if context.graph is None and self._may_capture(context):
            self._capture(context, work)
        if context.graph is not None:
            context.graph.launch(self._stream)
            return
        context.begin()
        with self._api.log.collect() as lines:
            is_enqueued = work(context, self._stream)
        if not is_enqueued:
            context.key = None
            raise context.failure or self._failure("failed", lines.reason())
        context.runs += 1

    def _may_capture(self, context: Context) -> bool:
        return (
            self.graph_refusal is None
            and context.key is not None
            and context.runs > 0
            and not context.is_data_dependent
        )

    def _capture(self, context: Context, work: Work) -> None:
        # On a stream of its own: what other threads enqueue on the shared one meanwhile must not be recorded.
        if self._capture_stream is None:
            self._capture_stream = Stream(self._stream.runtime, self._stream.device)
        self._stream.synchronize()
        captured = capture(self._capture_stream, partial(work, context, self._capture_stream), has_run=True)
        if isinstance(captured, Graph):
            context.graph = captured
        else:
            self.graph_refusal = captured

    def _failure(self, what: str, reason: str) -> BackendError:
        text = f"{self._file_name}: {what}" + (f": {explain(reason)}" if reason else "")
        if "out of memory" in reason.lower():
            return OutOfMemoryError(f"{text}; use a smaller --tile")
        return BackendError(text)


class _Resources:
    """What must be freed in order when an engine is closed or forgotten."""

    def __init__(self, stream: Stream, engine: Any) -> None:
        self.stream = stream
        self.engine = engine
        self.contexts: list[Context] = []


def _free(resources: _Resources) -> None:
    for context in resources.contexts:
        context.drop_graph()
    resources.stream.runtime.release(partial(_free_contexts, resources))


def _free_contexts(resources: _Resources) -> None:
    resources.stream.drain()
    while resources.contexts:
        resources.contexts.pop().close()
    resources.engine = None


def _places(buffers: Mapping[str, Buffer]) -> tuple[tuple[str, int, tuple[int, ...]], ...]:
    return tuple(sorted((name, buffer.ptr, buffer.shape) for name, buffer in buffers.items()))
