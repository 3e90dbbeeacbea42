"""Restoration packages on TensorRT: the network compiled for the tile that is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesr.compile.compiler import Source, compile_network, default_options, static_profile
from edgesr.engines.base import Backend
from edgesr.engines.trt import TrtBackend
from edgesr.errors import BackendError
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.package import ModelPackage
from edgesr.pipelines.network import NETWORK
from edgesr.pipelines.restore import Restorer
from edgesr.pipelines.tilesize import static_tile


def load_compiled(
    package: ModelPackage,
    backend: Backend,
    *,
    tile: int | None = None,
    note: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> Restorer:
    """Compile the network for one tile size, or take it from the cache, and make a Restorer that runs such tiles.

    Closes ``backend`` when that fails; ``options`` are Restorer's.
    """
    try:
        if not isinstance(backend, TrtBackend):
            raise BackendError(f"backend {backend.name} cannot run TensorRT engines; open one with device tensorrt")
        static, plan = compile_package(package, backend, tile=tile, note=note)
        side = None if tile is None else static_tile(package.descriptor, tile)[0]
        return Restorer(static, backend, tile=side, network=plan, **options)
    except BaseException:
        backend.close()
        raise


def compile_package(
    package: ModelPackage,
    backend: TrtBackend,
    *,
    tile: int | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> tuple[ModelPackage, Path]:
    """Return the package with its size fixed to the tile that is compiled for, and the engine."""
    descriptor = package.descriptor
    h, w = static_tile(descriptor, tile)
    onnx = package.part_path(NETWORK)
    profile = static_profile(onnx, descriptor.parts[NETWORK].inputs["image"], _image_shape(descriptor, h, w))
    plan = compile_network(
        Source(onnx, package.part_digest(NETWORK), descriptor.name),
        backend.tensorrt,
        backend.device,
        default_options(backend.device, profile),
        note=note,
    )
    static = replace(descriptor, size=replace(descriptor.size, fixed=(h, w)))
    return replace(package, descriptor=static), plan


def _image_shape(descriptor: ModelDescriptor, h: int, w: int) -> tuple[int, ...]:
    c = descriptor.input_channels
    return (1, c, h, w) if descriptor.input.layout == "NCHW" else (1, h, w, c)
