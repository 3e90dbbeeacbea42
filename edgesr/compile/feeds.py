"""What a network is fed when pictures run through a pipeline, caught at the seam between pipeline and engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.engines import Backend, Buffer, Engine, TensorSpec
from edgesr.types import Array

Feed = Mapping[str, Array]
"""One run: every input tensor by name."""


class FeedRecorder:
    """A backend that keeps a copy of the inputs of every run; give it to a pipeline and run pictures.

    ``with_results`` keeps the outputs too. Of several networks those with the input ``tensor`` are recorded.
    """

    def __init__(self, backend: Backend, *, with_results: bool = False, tensor: str | None = None) -> None:
        self.feeds: list[Feed] = []
        """In the order of the runs; owned by the caller."""
        self.results: list[Feed] | None = [] if with_results else None
        """Outputs by name in the same order, where they are kept."""
        self._backend = backend
        self._tensor = tensor

    @property
    def name(self) -> str:
        """Name of the backend behind it."""
        return self._backend.name

    @property
    def is_asynchronous(self) -> bool:
        """False: feeds are kept in the order of the tiles."""
        return False

    def load(self, path: Path) -> Engine:
        """Load a network; its runs are recorded."""
        engine = self._backend.load(path)
        if self._tensor is not None and self._tensor not in engine.inputs:
            return engine
        return _RecordedEngine(engine, self.feeds, self.results)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate a buffer of the backend behind it."""
        return self._backend.empty(shape, dtype)

    def synchronize(self) -> None:
        """Wait for the backend behind it."""
        self._backend.synchronize()

    def close(self) -> None:
        """Close the backend behind it; the feeds stay."""
        self._backend.close()


class _RecordedEngine:
    def __init__(self, engine: Engine, feeds: list[Feed], results: list[Feed] | None) -> None:
        self._engine = engine
        self._feeds = feeds
        self._results = results

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        return self._engine.inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        return self._engine.outputs

    def run(self, inputs: Mapping[str, Buffer], outputs: Mapping[str, Buffer] | None = None) -> Mapping[str, Buffer]:
        self._feeds.append({name: np.array(buffer.numpy()) for name, buffer in inputs.items()})
        found = self._engine.run(inputs, outputs)
        if self._results is not None:
            self._results.append({name: np.array(buffer.numpy()) for name, buffer in found.items()})
        return found

    def close(self) -> None:
        self._engine.close()


def run_network(backend: Backend, content: bytes, feeds: Sequence[Feed], folder: Path) -> Iterable[Mapping[str, Array]]:
    """Run an ONNX file, given by content, on every feed and yield its outputs by name, each valid until the next."""
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.onnx"
    path.write_bytes(content)
    engine = backend.load(path)
    try:
        yield from run_engine(backend, engine, feeds)
    finally:
        engine.close()
        path.unlink()


def run_engine(backend: Backend, engine: Engine, feeds: Sequence[Feed]) -> Iterable[Mapping[str, Array]]:
    """Run a loaded network on every feed and yield its outputs by name, each valid until the next."""
    for feed in feeds:
        buffers = {}
        for name, spec in engine.inputs.items():
            array = np.asarray(feed[name], spec.dtype, order="C")
            buffers[name] = backend.empty(array.shape, array.dtype)
            buffers[name].copy_from(array)
        yield {name: buffer.numpy() for name, buffer in engine.run(buffers).items()}


def run_copies(backend: Backend, content: bytes, feeds: Sequence[Feed], folder: Path) -> list[dict[str, Array]]:
    """Run an ONNX file on every feed and return copies of all outputs."""
    return [{k: np.array(v) for k, v in run.items()} for run in run_network(backend, content, feeds, folder)]


def feeds_digest(feeds: Sequence[Feed]) -> str:
    """Return the sha256 of names, shapes, types and values."""
    digest = hashlib.sha256()
    for feed in feeds:
        for name in sorted(feed):
            digest.update(f"{name} {feed[name].shape} {feed[name].dtype}\n".encode())
            digest.update(np.ascontiguousarray(feed[name]).tobytes())
    return digest.hexdigest()
