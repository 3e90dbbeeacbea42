"""Restoration packages on TensorRT: the network compiled for all sizes up to the tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesr.compile.compiler import Compiler, Source
from edgesr.compile.shapes import Profile, ShapeRange
from edgesr.engines.base import Backend
from edgesr.engines.trt import TrtBackend
from edgesr.errors import BackendError, BuildError, ModelError, StaleEngineError
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.onnx_file import read_graph
from edgesr.model.package import ModelPackage
from edgesr.pipelines.network import NETWORK
from edgesr.pipelines.restore import Restorer
from edgesr.pipelines.tilesize import static_tile, tile_range


def load_compiled(
    package: ModelPackage,
    backend: Backend,
    *,
    tile: int | None = None,
    note: Callable[[str], None] = lambda text: None,
    tick: Callable[[str, float | None], None] = lambda phase, last: None,
    **options: Any,
) -> Restorer:
    """Compile the network for pictures up to one tile, or take it from the cache, and make a Restorer that runs it.

    Closes ``backend`` when that fails; ``options`` are Restorer's, ``note`` and ``tick`` Compiler's.
    """
    try:
        if not isinstance(backend, TrtBackend):
            raise BackendError(f"backend {backend.name} cannot run TensorRT engines; open one with device tensorrt")
        if package.descriptor.embedded_io == "uint16":
            raise BuildError(
                f"model {package.descriptor.name} takes pictures of uint16, which TensorRT does not have; build it "
                "without --embed-io"
            )
        compiler = Compiler(backend.tensorrt, backend.device, note=note, tick=tick)
        side = tile if package.descriptor.size.fixed else static_tile(package.descriptor, tile)[0]
        plan = compile_package(package, compiler, tile=tile)
        try:
            return Restorer(package, backend, tile=side, network=plan, **options)
        except StaleEngineError as error:
            note(f"the cached engine of {package.descriptor.name} does not load and is built again: {error}")
            compiler.cache.forget(plan)
        plan = compile_package(package, compiler, tile=tile)
        return Restorer(package, backend, tile=side, network=plan, **options)
    except BaseException:
        backend.close()
        raise


def compile_package(package: ModelPackage, compiler: Compiler, *, tile: int | None = None) -> Path:
    """Return the engine for pictures of up to one tile; larger ones are run in tiles."""
    source = Source(package.part_path(NETWORK), package.part_digest(NETWORK), package.descriptor.name)
    return compiler.compile(source, compiler.options(tile_profile(package, tile)), any_tuning=True)


def tile_profile(package: ModelPackage, tile: int | None = None) -> Profile:
    """Return the shapes for pictures up to one tile side, None for the package's own; other dynamic dimensions are 1.

    Smaller pictures run at their own size, since a network's result near borders that were added is another one.
    TensorRT tunes for the whole tile.
    """
    descriptor = package.descriptor
    image = descriptor.parts[NETWORK].inputs["image"]
    profile = {}
    for tensor in read_graph(package.part_path(NETWORK)).inputs:
        if tensor.shape is None:
            raise ModelError(f"{descriptor.name}: input {tensor.name!r} has no known rank; export the network again")
        if all(n > 0 for n in tensor.shape):
            continue
        least = most = tuple(max(n, 1) for n in tensor.shape)
        if tensor.name == image:
            least, most = (_image_shape(descriptor, *size) for size in tile_range(descriptor, tile))
        profile[tensor.name] = ShapeRange(least, most, most)
    return profile


def for_profile(package: ModelPackage, profile: Profile) -> tuple[ModelPackage, int | None]:
    """Return the package and the tile side that run on an engine of this profile.

    An engine for every size up to its tile takes pictures as they are; any other is run in tiles of its usual size.
    """
    descriptor = package.descriptor
    shapes = profile.get(descriptor.parts[NETWORK].inputs["image"])
    if shapes is None:
        return package, None
    first = 2 if descriptor.input.layout == "NCHW" else 1
    least, best, most = (shape[first : first + 2] for shape in (shapes.least, shapes.best, shapes.most))
    if best == most and most[0] == most[1] and least == tile_range(descriptor, most[0])[0]:
        return package, most[0]
    size = replace(descriptor.size, fixed=(best[0], best[1]))
    return replace(package, descriptor=replace(descriptor, size=size)), None


def _image_shape(descriptor: ModelDescriptor, h: int, w: int) -> tuple[int, ...]:
    c = descriptor.input_channels
    return (1, c, h, w) if descriptor.input.layout == "NCHW" else (1, h, w, c)
