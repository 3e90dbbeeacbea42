"""A diffusion package with encoder, steps and decoder merged into one graph beside them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgesr.compile.ends import Latents
from edgesr.compile.graph import Graph
from edgesr.compile.unroll import Unrolled, unroll
from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelDescriptor, ModelPackage, Part, open_package, write_package
from edgesr.model.cache import cache_folder
from edgesr.model.diffusion_rules import DECODER, ENCODER, UNET, UNROLLED
from edgesr.model.rules import DESCRIPTOR_FILE
from edgesr.pipelines.latent_tiles import around_of
from edgesr.schedule import ScheduleConfig, make_schedule

FILE = "unrolled.onnx"
MOST_STEPS = 64
"""Steps are copied into the graph; a compiler takes minutes for a few of them."""
MOST_BY_ITSELF = 8
"""More are put into one graph only when that is asked for."""
_REVISION = 1
"""Raise when the graph changes, so that no old one is taken."""


def unrolled(package: ModelPackage, steps: int) -> tuple[ModelDescriptor, Unrolled]:
    """Return a descriptor whose schedule takes ``steps``, with the part for them, and the graph to put there.

    The graph is compared with the numpy loop around the package's networks before this returns.
    """
    source, around = package.descriptor, around_of(package.descriptor)
    if ENCODER not in source.parts:
        raise UsageError(f"model {source.name} has no encoder, so there is no graph from picture to picture")
    if not 1 <= steps <= MOST_STEPS:
        raise UsageError(f"--unroll must be 1 to {MOST_STEPS}, got {steps}: every step is copied into the graph")
    config = ScheduleConfig.from_json(source.schedule, source=f"model {source.name}")
    schedule = make_schedule(config, steps)
    unet = source.parts[UNET]
    roles = {role: unet.inputs[role] for role in ("state", "timestep") if role in unet.inputs}
    condition = unet.inputs.get("condition", "condition") if around.conditioning != "none" else None
    made = unroll(
        _graph(package, UNET),
        schedule,
        encoder=_graph(package, ENCODER),
        decoder=_graph(package, DECODER),
        roles={**roles, "output": unet.outputs["prediction"]},
        conditions={condition: "latent" if around.condition == "latent" else "input"} if condition else {},
        latents=Latents(around.scaling_factor, around.shift_factor),
    )
    known = {"image": "image", **{name: name for name in made.graph.inputs if name.startswith("noise_")}}
    others = [name for name in made.graph.inputs if name not in known]
    if len(others) > 1 or (others and around.condition == "latent"):
        raise ModelError(f"model {source.name}: the unrolled graph would take {', '.join(others)} from nowhere")
    inputs = known | ({"condition": others[0]} if others else {})
    part = Part(FILE, "", inputs, {"image": made.graph.outputs[0]})
    descriptor = replace(
        source,
        parts={**source.parts, UNROLLED: part},
        schedule={**config.to_json(), "num_inference_steps": steps},
        diffusion=replace(around, unrolled=schedule.digest),
    )
    return descriptor, made


def with_unrolled(package: ModelPackage, note: Callable[[str], None]) -> ModelPackage:
    """Return a package with its own steps in one graph, made once and found again in the user's cache.

    One that has such a graph, or more than ``MOST_BY_ITSELF`` steps, or cannot be unrolled, is returned as it is;
    ``note`` is told of the last.
    """
    source = package.descriptor
    if UNROLLED in source.parts or ENCODER not in source.parts or around_of(source).consistency == "every-step":
        return package
    steps = make_schedule(ScheduleConfig.from_json(source.schedule, source=f"model {source.name}")).steps
    if steps > MOST_BY_ITSELF:
        return package
    key = hashlib.sha256(f"{_REVISION} {package.digest} {steps}".encode()).hexdigest()
    place = cache_folder() / "unrolled" / key
    if (place / DESCRIPTOR_FILE).is_file():
        return open_package(place)
    try:
        descriptor, made = unrolled(package, steps)
    except (ModelError, UsageError) as error:
        note(f"the steps of {source.name} stay apart: {error}")
        return package
    descriptor, files = replace(descriptor, golden=None), {**part_files(package), FILE: made.graph.bytes()}
    try:
        return open_package(write_package(place, descriptor, files))
    except ModelError:
        return open_package(write_package(Path(tempfile.mkdtemp(prefix="edgesr-unrolled-")) / key, descriptor, files))


def without_unrolled(package: ModelPackage) -> ModelPackage:
    """Return a package that walks step by step."""
    source = package.descriptor
    parts = {name: part for name, part in source.parts.items() if name != UNROLLED}
    return replace(
        package, descriptor=replace(source, parts=parts, diffusion=replace(around_of(source), unrolled=None))
    )


def part_files(package: ModelPackage) -> dict[str, Path | bytes]:
    """Return the content of every file that a copy of a package keeps."""
    descriptor = package.descriptor
    golden = set((descriptor.golden or {}).values())
    names = [*(part.file for part in descriptor.parts.values()), *descriptor.files]
    return {name: package.read(name) for name in dict.fromkeys(names) if name not in golden}


def _graph(package: ModelPackage, name: str) -> Graph:
    return Graph.read(package.part_path(name), source=f"{package.descriptor.name}: {name}")
