"""Time of every layer of the TensorRT engines of a model, in one picture."""

from __future__ import annotations

from typing import Any

from edgesr.bench.subject import Subject
from edgesr.compile.engine_cache import EngineCache
from edgesr.engines.cuda_timing import RunTimer
from edgesr.engines.trt import TrtBackend
from edgesr.engines.trt_engine import TrtEngine
from edgesr.engines.trt_profile import layer_times
from edgesr.errors import BackendError, BuildError
from edgesr.types import Array


def engine_layers(subject: Subject, picture: Array, rounds: int) -> list[dict[str, Any]]:
    """Return the layers of every engine that a picture runs, milliseconds in all runs of one picture.

    Each engine is profiled by itself, with the shapes that it was tuned for; where a model has several, layers are
    called by theirs.
    """
    backends = [backend for backend in subject.backends if isinstance(backend, TrtBackend)]
    runs = _runs(subject, picture, backends)
    if not runs:
        raise BackendError("no engine ran")
    return [
        {"name": f"{'' if len(runs) == 1 else f'{_name(engine)}: '}{layer}", "type": "", "ms": ms * count}
        for backend in backends
        for engine, count in runs.items()
        if engine in backend.engines
        for layer, ms in layer_times(backend, engine, rounds).items()
    ]


def _runs(subject: Subject, picture: Array, backends: list[TrtBackend]) -> dict[TrtEngine, int]:
    """Return how often each engine runs for one picture."""
    subject.pipeline(picture)  # loads what is loaded when it is first needed
    before = {engine: engine.timer for backend in backends for engine in backend.engines}
    timers = {engine: RunTimer() for engine in before}
    for engine, timer in timers.items():
        engine.timer = timer
    try:
        subject.pipeline(picture)
        runs = {engine: timer.runs for engine, timer in timers.items()}
    finally:
        for engine, timer in timers.items():
            timer.take()
            engine.timer = before[engine]
    return {engine: count for engine, count in runs.items() if count}


def _name(engine: TrtEngine) -> str:
    """Return what the cache knows an engine as, such as ``MODEL (decoder)``."""
    try:
        return str(EngineCache(engine.path.parent).record(engine.path)["model"])
    except BuildError:
        return engine.path.stem[:8]
