"""The fused step of a diffusion package: made once, and found again in the user's cache."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from edgesr.errors import ModelError
from edgesr.model.atomic import replacing
from edgesr.model.cache import cache_folder
from edgesr.model.diffusion_rules import UNET
from edgesr.model.package import ModelPackage
from edgesr.schedule import Schedule

_REVISION = 1
"""Raise when the fused graph changes, so that no old one is taken."""


def step_key(package: ModelPackage, network: str, schedule: Schedule) -> str:
    """Return what a fused step depends on: the network, and what of the schedule stands in the graph.

    ``network`` is the package's ``part_digest`` of the U-Net.
    """
    part = package.descriptor.parts[UNET]
    kind = (
        schedule.uses_history,
        bool(schedule.noisy_steps),
        bool((schedule.rows[:, 1] != 1.0).any()),
        schedule.clip,
        schedule.thresholding,
    )
    facts = (_REVISION, network, sorted(part.inputs.items()), sorted(part.outputs.items()), kind)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def fused_step(package: ModelPackage, key: str, schedule: Schedule) -> Path:
    """Return an ONNX file whose call is one reverse step of any schedule of this kind; see ``FusedStep``.

    ``key`` is the schedule's ``step_key``.
    """
    name = f"{key}.onnx"
    path = cache_folder() / "steps" / name
    if path.is_file():
        return path
    content = _fused(package, schedule)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            stream.write(content)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="edgesr-step-")) / name
        path.write_bytes(content)
    return path


def _fused(package: ModelPackage, schedule: Schedule) -> bytes:
    from edgesr.compile.fuse_step import fuse_step
    from edgesr.compile.graph import Graph

    descriptor = package.descriptor
    part = descriptor.parts[UNET]
    roles = {role: part.inputs[role] for role in ("state", "timestep") if role in part.inputs}
    network = Graph.read(package.part_path(UNET), source=f"{descriptor.name}: {part.file}")
    fused = fuse_step(network, schedule, roles={**roles, "output": part.outputs["prediction"]})
    around = descriptor.diffusion
    if around is None or fused.roles.channels != around.latent_channels:
        raise ModelError(
            f"model {descriptor.name}: model.json says {around.latent_channels if around else 0} latent channels, "
            f"the network predicts {fused.roles.channels}"
        )
    if (around.conditioning == "joined") != bool(fused.roles.joined) or len(fused.roles.conditions) > 1:
        taken = f"{fused.roles.joined} joined channels and the inputs {', '.join(fused.roles.conditions) or 'none'}"
        raise ModelError(f"model {descriptor.name}: conditioning is {around.conditioning!r}, the network takes {taken}")
    return fused.graph.bytes()
