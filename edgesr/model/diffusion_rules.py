"""Agreements between the fields of a latent diffusion's descriptor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesr.model.descriptor import ModelDescriptor

ENCODER, UNET, DECODER = "encoder", "unet", "decoder"
"""The parts of a latent diffusion; the encoder may be missing where nothing needs the encoded input."""
UNROLLED = "unrolled"
"""All of them with the steps of the package's own schedule in one graph, beside them; its noise has the roles
``noise_start`` and ``noise_N``."""
_ROLES = {
    ENCODER: (("image",), ("latent",)),
    UNET: (("state", "timestep", "condition"), ("prediction",)),
    DECODER: (("latent",), ("image",)),
    UNROLLED: (("image", "condition"), ("image",)),
}


def diffusion_disagreements(descriptor: ModelDescriptor) -> Iterator[str]:
    """Yield ``path: what is wrong`` for what a latent diffusion needs and does not have."""
    around = descriptor.diffusion
    if around is None:
        yield "diffusion: task latent-diffusion needs it"
        return
    if descriptor.schedule is None:
        yield "schedule: task latent-diffusion needs a scheduler_config.json"
    for name in (UNET, DECODER):
        if name not in descriptor.parts:
            known = ", ".join(sorted(descriptor.parts)[:5])
            yield f"parts: task latent-diffusion needs a part named {name!r}, got {known}"
    if ENCODER not in descriptor.parts and around.conditioning != "none" and around.condition == "latent":
        yield f"diffusion.condition: 'latent' needs a part named {ENCODER!r}"
    if (descriptor.input_channels, descriptor.output_channels) not in ((1, 1), (3, 3)):
        yield (
            "input_channels: a latent diffusion maps 1 channel to 1 or 3 to 3, got "
            f"{descriptor.input_channels} and {descriptor.output_channels}"
        )
    if descriptor.input.layout != "NCHW":
        yield "input.layout: a latent diffusion takes NCHW"
    if around.fidelity is not None and around.samples < 2:
        yield "diffusion.fidelity: needs samples of 2 or more"
    link = descriptor.uncertainty.link if descriptor.uncertainty else None
    if link is not None and link.window % 2 == 0:
        yield f"uncertainty.link.window: must be odd, so that it has a middle, got {link.window}"
    yield from _sizes(descriptor)
    yield from _roles(descriptor)


def _sizes(descriptor: ModelDescriptor) -> Iterator[str]:
    """Sizes that cannot be padded must have whole latents."""
    around, scale = descriptor.diffusion, descriptor.scale
    if around is None:
        return
    for value in descriptor.size.fixed or ():
        if value * scale % around.latent_factor:
            yield f"size.fixed: {value} x scale {scale} is not divisible by latent_factor {around.latent_factor}"
    if around.condition == "image" and around.conditioning != "none" and scale % around.latent_factor:
        yield f"diffusion.condition: 'image': latent_factor {around.latent_factor} must divide the scale {scale}"


def _roles(descriptor: ModelDescriptor) -> Iterator[str]:
    for name, part in descriptor.parts.items():
        if name not in _ROLES:
            yield f"parts.{name}: a latent diffusion has {', '.join(_ROLES)}"
            continue
        for side, roles, known in (
            ("inputs", part.inputs, _ROLES[name][0]),
            ("outputs", part.outputs, _ROLES[name][1]),
        ):
            for role in roles:
                is_noise = name == UNROLLED and side == "inputs" and role.startswith("noise_")
                if role not in known and not is_noise:
                    yield f"parts.{name}.{side}.{role}: must be {' or '.join(known)}"
            optional = ("timestep", "condition")
            for role in known:
                if role not in roles and role not in optional:
                    yield f"parts.{name}.{side}: must name the tensor of role {role!r}"
            if len(set(roles.values())) < len(roles):
                yield f"parts.{name}.{side}: two roles name the same tensor"
    around = descriptor.diffusion
    if around is not None and (UNROLLED in descriptor.parts) != (around.unrolled is not None):
        yield f"diffusion.unrolled: goes with a part {UNROLLED!r}, and only with it"
    if around is not None and UNET in descriptor.parts:
        is_separate = "condition" in descriptor.parts[UNET].inputs
        if is_separate != (around.conditioning == "separate"):
            yield f"diffusion.conditioning: 'separate' goes with the role 'condition' of {UNET}, and only with it"
