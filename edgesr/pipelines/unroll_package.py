"""A diffusion package with encoder, steps and decoder merged into one graph beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgesr.compile.ends import Latents
from edgesr.compile.graph import Graph
from edgesr.compile.unroll import Unrolled, unroll
from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelDescriptor, ModelPackage, Part
from edgesr.model.diffusion_rules import DECODER, ENCODER, UNET, UNROLLED
from edgesr.pipelines.latent_tiles import around_of
from edgesr.schedule import ScheduleConfig, make_schedule

FILE = "unrolled.onnx"
MOST_STEPS = 64
"""Steps are copied into the graph; a compiler takes minutes for a few of them."""


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
