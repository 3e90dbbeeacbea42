"""Networks that are no picture-to-picture models: fed with recorded or random tensors, compared tensor by tensor."""

from __future__ import annotations

import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgesr.compile.feeds import Feed, run_copies, run_engine, run_network
from edgesr.compile.gate import Verdict
from edgesr.compile.graph import BOOL, FLOAT, HALF, INT32, INT64, UINT8, Graph
from edgesr.compile.quality import Difference
from edgesr.engines import Backend, open_backend
from edgesr.errors import EdgesrError, InputError, ModelError
from edgesr.image.source import open_source
from edgesr.types import Array

_KINDS = {FLOAT: np.float32, HALF: np.float16, INT32: np.int32, INT64: np.int64, UINT8: np.uint8, BOOL: np.bool_}
_SIDES = (64, 96, 224, 16, 8, 1)
"""Sizes of dynamic dimensions that are tried; the first dimension is a batch of 1."""


class TensorProof:
    """Feeds of a network and its FP32 outputs on them."""

    def __init__(self, graph: Graph, feeds: Sequence[Feed]) -> None:
        self.feeds = list(feeds)
        self.results = {name: f"output {name!r}" for name in graph.outputs}
        """What its outputs are, as a reader is told."""
        self._graph = graph
        self._expected = self._run(graph)

    def compare(self, graph: Graph) -> Verdict:
        """Compare another form of the network with FP32: PSNR against each output's largest value; SSIM is NaN."""
        return self._verdict(self._run(graph))

    def compare_engine(self, backend: Backend, plan: Path) -> Verdict:
        """Compare an engine on ``backend`` with FP32, on the same feeds."""
        engine = backend.load(plan)
        try:
            runs = [{name: np.array(v) for name, v in run.items()} for run in run_engine(backend, engine, self.feeds)]
            return self._verdict(runs)
        finally:
            engine.close()

    def _verdict(self, runs: Sequence[Mapping[str, Array]]) -> Verdict:
        results = []
        for index, (found, expected) in enumerate(zip(runs, self._expected, strict=True)):
            for name, values in expected.items():
                if values.dtype.kind == "f":
                    results.append((f"{name!r} of feed {index}", difference(found[name], values)))
        if not results:
            raise ModelError(f"{self._graph.source}: has no float output to compare")
        return Verdict(tuple(results))

    def feed(self, name: str) -> Feed:
        """Return the feed of an entry of a verdict."""
        return self.feeds[int(name.rsplit(" ", 1)[1])]

    def _run(self, graph: Graph) -> list[dict[str, Array]]:
        with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
            return run_copies(open_backend("cpu"), graph.bytes(), self.feeds, Path(folder))


def tensor_feeds(
    graph: Graph,
    folder: str | os.PathLike[str] | None,
    count: int,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[list[Feed], str]:
    """Return the feeds in the ``.npz`` files of a folder, or random ones; and a sentence that says which.

    Random ones have ``shapes`` where they are given, else the first sizes that the network takes.
    """
    if folder is None:
        return _random_feeds(graph, shapes or {}), "random tensors, as none were given with --calib"
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise InputError(f"{os.fspath(folder)}: holds no .npz files; save one for each run, an array for each input")
    return [
        _read_feed(graph, path) for path in paths[:count]
    ], f"{min(count, len(paths))} of {len(paths)} feeds in {Path(folder).name}"


def _read_feed(graph: Graph, path: Path) -> Feed:
    with open_source(path) as stream:
        try:
            arrays = np.load(stream, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            feed = {name: np.array(arrays[name]) for name in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            reason = " ".join(str(error).split())[:100]
            raise InputError(f"{path}: is no readable .npz file: {reason}; save it with numpy.savez") from None
    missing = [name for name in graph.inputs if name not in feed]
    if missing:
        raise InputError(f"{path}: has no array {missing[0]!r}; it needs {', '.join(graph.inputs)}")
    return {name: feed[name] for name in graph.inputs}


def _random_feeds(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> list[Feed]:
    """Draw normal floats and small whole numbers, in the first size of dynamic dimensions that the network takes."""
    problem: EdgesrError | None = None
    for side in _SIDES:
        random = np.random.default_rng(0)
        feeds = [{n: _random(graph, n, side, random, shapes.get(n)) for n in graph.inputs} for _ in range(3)]
        try:
            with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
                for _ in run_network(open_backend("cpu"), graph.bytes(), feeds[:1], Path(folder)):
                    return list(feeds)
        except EdgesrError as error:
            problem = error
    raise ModelError(f"{graph.source}: runs on no random tensors; give feeds as .npz files with --calib ({problem})")


def _random(graph: Graph, name: str, side: int, random: np.random.Generator, given: tuple[int, ...] | None) -> Array:
    kind = graph.types.get(name)
    if kind not in _KINDS or name not in graph.shapes:
        raise ModelError(f"{graph.source}: the input {name!r} has no known type and shape; export it with them")
    shape = given or [n if n > 0 else 1 if axis == 0 else side for axis, n in enumerate(graph.shapes[name])]
    if kind in (FLOAT, HALF):
        return random.standard_normal(shape).astype(_KINDS[kind])
    return random.integers(0, 2, shape).astype(_KINDS[kind])


def difference(found: Array, expected: Array) -> Difference:
    """Compare two tensors of one shape: PSNR and largest difference against the largest value; SSIM is NaN."""
    peak = max(float(np.abs(expected).max(initial=0.0)), 1e-30)
    difference = (found.astype(np.float64) - expected) / peak
    error = float(np.mean(np.square(difference)))
    psnr = math.inf if error == 0.0 else -10.0 * math.log10(error) if math.isfinite(error) else -math.inf
    return Difference(psnr, math.nan, float(np.max(np.abs(difference))))
