"""Latent diffusions on TensorRT: encoder, fused step and decoder compiled for every size up to a tile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgesr.compile.compiler import Compiler, Source
from edgesr.compile.shapes import Profile, ShapeRange
from edgesr.engines.base import Backend
from edgesr.engines.trt import TrtBackend
from edgesr.errors import BackendError, ModelError
from edgesr.model.content import file_sha256
from edgesr.model.onnx_file import read_graph
from edgesr.model.package import ModelPackage
from edgesr.pipelines.diffusion import BATCH, LatentDiffusion
from edgesr.pipelines.diffusion_network import Sides
from edgesr.pipelines.unroll_package import with_unrolled


def load_compiled_diffusion(
    package: ModelPackage,
    backend: Backend,
    *,
    note: Callable[[str], None] = lambda text: None,
    tick: Callable[[str, float | None], None] = lambda phase, last: None,
    batch: int = BATCH,
    **options: Any,
) -> LatentDiffusion:
    """Make a LatentDiffusion whose networks are compiled, or taken from the cache, when they are first needed.

    A package of few steps gets them in one graph, which is replayed as one CUDA graph: see ``with_unrolled``.
    Closes ``backend`` when that fails; ``options`` are LatentDiffusion's, ``note`` and ``tick`` Compiler's.
    """
    try:
        if not isinstance(backend, TrtBackend):
            raise BackendError(f"backend {backend.name} cannot run TensorRT engines; open one with device tensorrt")
        compiler = Compiler(backend.tensorrt, backend.device, note=note, tick=tick)
        name = package.descriptor.name

        def prepare(path: Path, sides: Sides) -> Path:
            source = Source(path, file_sha256(path), f"{name} ({sides.part})")
            return compiler.compile(source, compiler.options(_profile(path, sides)), any_tuning=True)

        return LatentDiffusion(with_unrolled(package, note), backend, batch=batch, prepare=prepare, **options)
    except BaseException:
        backend.close()
        raise


def _profile(path: Path, sides: Sides) -> Profile:
    """Return the shapes of a network whose inputs are pictures of ``sides``, and small vectors of fixed size."""
    profile = {}
    for tensor in read_graph(path).inputs:
        if tensor.shape is None or len(tensor.shape) not in (1, 4):
            raise ModelError(f"{path}: input {tensor.name!r} has no known form; export the network again")
        if all(n > 0 for n in tensor.shape):
            continue
        ends = []
        least, most = sides.latents if sides.latents and tensor.name != "image" else (sides.least, sides.most)
        for batch, side in ((1, least), (sides.batch, most)):
            wanted = (batch, 1, *side)[: len(tensor.shape)]
            ends.append(tuple(own if own > 0 else free for own, free in zip(tensor.shape, wanted, strict=True)))
        profile[tensor.name] = ShapeRange(ends[0], ends[1], ends[1])
    return profile
