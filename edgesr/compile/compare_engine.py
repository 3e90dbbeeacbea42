"""The layers of a TensorRT engine against FP32: an engine is built whose outputs are all of the network's tensors."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgesr.compile.build_process import build_in_process
from edgesr.compile.compare import THRESHOLD, Comparison, comparable, compare_runs
from edgesr.compile.exchange import BuildRequest
from edgesr.compile.feeds import Feed, run_engine
from edgesr.compile.graph import Graph, expose
from edgesr.compile.recipe import BuildOptions, BuiltPlan
from edgesr.compile.shapes import fixed
from edgesr.engines.trt import TrtBackend

Build = Callable[[BuildRequest], BuiltPlan]


def compare_engine(
    reference: Graph,
    typed: Graph,
    feeds: Sequence[Feed],
    backend: TrtBackend,
    *,
    precisions: Mapping[str, str],
    threshold: float = THRESHOLD,
    build: Build = build_in_process,
) -> Comparison:
    """Build the network with every tensor as an output, run it on the GPU and compare with FP32 on the CPU.

    Marking tensors keeps TensorRT from fusing the layers between them, so that it may choose other kernels than those
    of the engine that is shipped. All feeds have the shapes of the first.
    """
    names = comparable(reference, typed)
    alike = [feed for feed in feeds if _shapes(feed) == _shapes(feeds[0])]
    with tempfile.TemporaryDirectory(prefix="edgesr-layers-") as folder:
        onnx, plan = Path(folder) / "layers.onnx", Path(folder) / "layers.engine"
        onnx.write_bytes(expose(typed, names))
        dynamic = {name: shape for name, shape in _shapes(feeds[0]).items() if -1 in typed.shapes.get(name, (-1,))}
        plan.write_bytes(build(BuildRequest(onnx, BuildOptions(fixed(dynamic)), backend.device.index)).plan)
        engine = backend.load(plan)
        try:
            found = run_engine(backend, engine, alike)
            return compare_runs(reference, names, alike, found, precisions=precisions, threshold=threshold)
        finally:
            engine.close()


def _shapes(feed: Feed) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in feed.items()}
