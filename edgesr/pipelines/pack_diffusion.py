"""Make a package of the ONNX files of a latent diffusion: roles found, sizes and ranges measured, all of it told."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.compile.graph import Graph
from edgesr.compile.roles import StepRoles, find_roles
from edgesr.engines import open_backend
from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelDescriptor, ModelPackage, open_package, verify, write_package
from edgesr.model.descriptor import SCHEMA_VERSION
from edgesr.model.diffusion_rules import DECODER, ENCODER, UNET
from edgesr.model.onnx_file import with_weights_inside
from edgesr.pipelines.diffusion import LatentDiffusion
from edgesr.pipelines.probe_diffusion import Ends, find_ends, find_multiple
from edgesr.schedule import ScheduleConfig


@dataclass(frozen=True)
class DiffusionFiles:
    """The ONNX files and the ``scheduler_config.json``; the encoder may be missing where nothing needs it."""

    unet: Path
    decoder: Path
    schedule: Path
    encoder: Path | None = None


@dataclass(frozen=True)
class Said:
    """What the maker knows and the files do not say; None is measured, or left at its default."""

    scale: int | None = None
    range: tuple[float, float] | None = None
    color: str | None = None
    steps: int | None = None
    start_timestep: int | None = None
    latent_scale: float | None = None
    latent_shift: float | None = None
    trained_size: int | None = None
    degradation: str | None = None
    roles: Mapping[str, str] | None = None


def pack_diffusion(
    files: DiffusionFiles, out: Path, *, name: str, version: str, said: Said, overrides: Mapping[str, Any]
) -> ModelPackage:
    """Write a package, verify it, run a small picture through it and open it; ``notes`` say what was found.

    ``overrides`` holds fields of model.json, which replace or are merged with what was found.
    """
    notes: list[str] = []
    scale = overrides.get("scale", said.scale)
    if not isinstance(scale, int):
        raise UsageError("the files do not tell how many times the model enlarges; give it, e.g. --scale 4")
    config = _schedule(files.schedule, said)
    unet = Graph.read(files.unet)
    roles, condition = _roles(unet, said.roles or {})
    multiple, fixed = find_multiple(unet, roles)
    ends = find_ends(files.encoder, files.decoder, channels=roles.channels, scale=scale, given=said.range, notes=notes)
    notes.insert(0, _told(roles, condition))
    document = {
        "schema": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "task": "latent-diffusion",
        "parts": _parts(files, roles, condition, ends),
        "scale": scale,
        "input_channels": ends.picture_channels,
        "output_channels": ends.picture_channels,
        "input": {"color": said.color or ("grey" if ends.picture_channels == 1 else "rgb"), "range": list(ends.range)},
        "output_range": list(ends.range),
        "size": _size(multiple, fixed, ends.factor, scale),
        "schedule": config.to_json(),
        "diffusion": {
            "latent_channels": roles.channels,
            "latent_factor": ends.factor,
            "scaling_factor": 1.0 if said.latent_scale is None else said.latent_scale,
            "shift_factor": 0.0 if said.latent_shift is None else said.latent_shift,
            "upsampling": ends.upsampling,
            **_conditioning(unet, roles, condition, ends, notes),
        },
    }
    trained = said.trained_size or (fixed[0] * ends.factor // scale if fixed else None)
    if trained is not None:
        document["tile"] = trained
    else:
        notes.append("the size of training is not said: larger pictures are cut into tiles of 64 pixels")
    if said.degradation is not None:
        document["degradation"] = {"kernel": said.degradation}
    elif "degradation" not in overrides:
        notes.append("the downscaler of training is not said, so results cannot be made consistent with their input")
    if said.latent_scale is None and "scaling_factor" not in overrides.get("diffusion", {}):
        notes.append("latents are taken as the encoder makes them; say scaling_factor with --latent-scale")
    return _written(out, _merged(document, overrides), files, notes)


def _written(out: Path, document: Mapping[str, Any], files: DiffusionFiles, notes: list[str]) -> ModelPackage:
    sources = {UNET: files.unet, DECODER: files.decoder, ENCODER: files.encoder}
    contents = {f"{part}.onnx": with_weights_inside(path) for part, path in sources.items() if path is not None}
    try:
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the descriptor fields are not plain JSON data: {error}") from None
    descriptor = ModelDescriptor.from_json(text, source=str(out))
    h, w = descriptor.size.fixed or (max(descriptor.size.minimum, 5 * descriptor.size.multiple),) * 2
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        candidate = open_package(write_package(Path(folder) / "candidate", descriptor, contents))
        verify(candidate)
        with LatentDiffusion(candidate, open_backend("cpu")) as pipeline:
            pipeline(np.full((h, w), 0.5, np.float32), steps=1)
    return replace(open_package(write_package(out, descriptor, contents)), notes=tuple(notes))


def _schedule(path: Path, said: Said) -> ScheduleConfig:
    changes = {"num_inference_steps": said.steps, "start_timestep": said.start_timestep}
    document = ScheduleConfig.read(path).to_json() | {k: v for k, v in changes.items() if v is not None}
    config = ScheduleConfig.from_json(document, source=str(path))
    if config.num_inference_steps is None:
        raise UsageError(f"{path}: does not say how many steps to take; give them, e.g. --steps 4")
    return config


def _roles(unet: Graph, given: Mapping[str, str]) -> tuple[StepRoles, str | None]:
    """Return the roles of the network, and the input that takes the condition, if it is one of its own."""
    roles = find_roles(unet, {role: name for role, name in given.items() if role != "condition"})
    named = given.get("condition")
    if named is not None and named not in roles.conditions:
        known = ", ".join(roles.conditions) or "none"
        raise ModelError(f"{unet.source}: has no input {named!r} for the condition; left are {known}")
    if len(roles.conditions) > 1:
        raise ModelError(
            f"{unet.source}: takes {', '.join(roles.conditions)} beside state and timestep; a package holds one "
            "condition: export the network without the others"
        )
    if roles.conditions and roles.joined:
        raise ModelError(f"{unet.source}: takes a condition joined to the state and another, {roles.conditions[0]!r}")
    return roles, roles.conditions[0] if roles.conditions else None


def _told(roles: StepRoles, condition: str | None) -> str:
    extra = f", condition {condition!r}" if condition else f", {roles.joined} channels joined" if roles.joined else ""
    timestep = "no timestep" if roles.timestep is None else f"timestep {roles.timestep!r}"
    return (
        f"the U-Net's state is {roles.state!r} ({roles.channels} channels{extra}), {timestep}, output {roles.output!r}"
    )


def _parts(files: DiffusionFiles, roles: StepRoles, condition: str | None, ends: Ends) -> dict[str, Any]:
    inputs = {"state": roles.state, "timestep": roles.timestep, "condition": condition}
    parts = {
        UNET: ({role: tensor for role, tensor in inputs.items() if tensor}, {"prediction": roles.output}),
        DECODER: ({"latent": ends.decoder[0]}, {"image": ends.decoder[1]}),
    }
    if ends.encoder is not None:
        parts[ENCODER] = ({"image": ends.encoder[0]}, {"latent": ends.encoder[1]})
    return {
        name: {"file": f"{name}.onnx", "sha256": "0" * 64, "inputs": taken, "outputs": made}
        for name, (taken, made) in parts.items()
    }


def _conditioning(unet: Graph, roles: StepRoles, condition: str | None, ends: Ends, notes: list[str]) -> dict[str, str]:
    if condition is None and not roles.joined:
        return {"conditioning": "none"}
    channels = roles.joined or unet.shapes[condition or ""][1]
    offered = {"latent": roles.channels if ends.encoder else 0, "image": ends.picture_channels}
    fitting = [source for source, count in offered.items() if count == channels]
    if not fitting and ends.encoder is None and channels == roles.channels:
        raise ModelError(f"{unet.source}: its condition is a latent, which an encoder makes; give it with --encoder")
    if not fitting:
        raise ModelError(
            f"{unet.source}: its condition has {channels} channels, neither those of the latent ({roles.channels}) "
            f"nor of the picture ({ends.picture_channels})"
        )
    notes.append(f"the condition is the {'encoded input' if fitting[0] == 'latent' else 'input'}")
    return {"conditioning": "separate" if condition else "joined", "condition": fitting[0]}


def _size(multiple: int, fixed: tuple[int, int] | None, factor: int, scale: int) -> dict[str, Any]:
    """Return size requirements in pixels of the small picture of those in latents."""
    if fixed is not None:
        sides = [side * factor for side in fixed]
        if any(side % scale for side in sides):
            raise ModelError(f"latents of {fixed[0]} x {fixed[1]} are no whole pictures before enlargement by {scale}")
        return {"fixed": [side // scale for side in sides]}
    whole = np.lcm(multiple * factor, scale)
    return {"multiple": int(whole // scale)}


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
