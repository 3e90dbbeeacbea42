"""An ONNX file as an engine for one GPU: from the cache, or built in a child process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edgesr.compile.build_process import BuildRequest, build_in_process
from edgesr.compile.engine_cache import EngineCache, engine_facts, machine_facts
from edgesr.compile.recipe import BuildOptions, BuiltPlan
from edgesr.compile.shapes import Profile, Shape, fixed, show_shapes
from edgesr.engines.cuda import Device
from edgesr.engines.trt_api import TensorRt
from edgesr.errors import ModelError
from edgesr.model.onnx_file import read_graph

Build: TypeAlias = Callable[[BuildRequest, bytes], BuiltPlan]

_SHARED_WORKSPACE = 512 << 20
_SMALL_BOARD = 9 << 30
"""Bytes of memory up to which a board counts as one of 8 GB or less."""
_STEP = 256 << 20


@dataclass(frozen=True)
class Source:
    """A network to compile; ``digest`` covers its external data, ``name`` is for messages."""

    onnx: Path
    digest: str
    name: str


def compile_network(
    source: Source,
    api: TensorRt,
    device: Device,
    options: BuildOptions,
    *,
    cache: EngineCache | None = None,
    build: Build | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Path:
    """Return the engine, built where the cache has none; ``note`` is told that it takes long, and what was odd."""

    def begin(timing_cache: bytes) -> BuiltPlan:
        shapes = show_shapes({name: shapes.best for name, shapes in options.profile.items()}) or "its own sizes"
        note(f"builds the TensorRT engine of {source.name} for {shapes}, once for this machine; this can take minutes")
        built = (build or build_in_process)(BuildRequest(source.onnx, options, device.index), timing_cache)
        for text in built.notes:
            note(text)
        return built

    facts = engine_facts(source.digest, machine_facts(api, device), options)
    return (cache or EngineCache()).take(facts, begin, model=source.name, note=note)


def default_options(device: Device, profile: Profile) -> BuildOptions:
    """Return the settings for a GPU: where it shares the machine's memory, a build leaves the rest of it alone."""
    if not device.is_integrated:
        return BuildOptions(profile)
    total = device.total_memory
    return BuildOptions(
        profile,
        workspace=min(_SHARED_WORKSPACE, total // 4),
        tactic_dram=max(total // 2 // _STEP, 1) * _STEP,
        max_aux_streams=0 if total < _SMALL_BOARD else None,
    )


def static_profile(onnx: Path, image: str, shape: Shape) -> Profile:
    """Return the profile that takes the picture ``image`` in one shape, and every other dynamic dimension as 1."""
    shapes = {}
    for tensor in read_graph(onnx).inputs:
        if tensor.shape is None:
            raise ModelError(f"{onnx.name}: input {tensor.name!r} has no known rank; export the network again")
        if any(n < 1 for n in tensor.shape):
            shapes[tensor.name] = shape if tensor.name == image else tuple(max(n, 1) for n in tensor.shape)
    return fixed(shapes)
