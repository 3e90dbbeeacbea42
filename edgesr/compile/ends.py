"""What stands before and behind the steps of a latent diffusion: encoder and decoder."""

from __future__ import annotations

from dataclasses import dataclass

from edgesr.compile.graph import FLOAT, Graph
from edgesr.compile.join import Assembly, Dimensions, dimensions_of
from edgesr.compile.roles import StepRoles
from edgesr.errors import ModelError


@dataclass(frozen=True)
class Latents:
    """How the encoder's output becomes a latent: ``(encoded - shift) * factor``; the decoder gets the reverse."""

    factor: float = 1.0
    """``scaling_factor`` of diffusers' AutoencoderKL, e.g. 0.18215."""
    shift: float = 0.0
    """Its ``shift_factor``."""


@dataclass(frozen=True)
class Ends:
    """Encoder and decoder, either of which may be missing, and the channels around them."""

    encoder: Graph | None
    decoder: Graph | None
    latents: Latents
    channels: int
    """Of the latent; those of the state without an encoder."""
    image_channels: int
    has_variance: bool
    """Whether the encoder gives mean and log variance, of which the mean is taken."""


def find_ends(network: Graph, roles: StepRoles, encoder: Graph | None, decoder: Graph | None, latents: Latents) -> Ends:
    """Check that encoder and decoder fit the state; raise ModelError where they do not.

    An encoder that gives twice the state's channels gives mean and log variance, as diffusers' AutoencoderKL does.
    """
    channels = image_channels = roles.channels
    if encoder is not None:
        image_channels = encoder.shapes[_only(encoder, "encoder", "input", encoder.inputs)][1]
        channels = encoder.shapes[encoder.outputs[0]][1]
        if channels < 1:
            raise ModelError(f"{encoder.source}: the channels of the encoder's output are not known; export them fixed")
    has_variance = channels == 2 * roles.channels
    if decoder is not None:
        taken = decoder.shapes[_only(decoder, "decoder", "input", decoder.inputs)][1]
        if taken not in (roles.channels, -1):
            raise ModelError(
                f"{decoder.source}: the decoder takes {taken} channels, and {network.source} gives {roles.channels}"
            )
    return Ends(encoder, decoder, latents, channels // 2 if has_variance else channels, image_channels, has_variance)


def encode(add: Assembly, ends: Ends, size: Dimensions) -> tuple[str, str]:
    """Add the input ``image`` and the encoder, and return image and latent, float32; ``size`` is the state's."""
    encoder, latents = ends.encoder, ends.latents
    if encoder is None:
        image = add.input("image", size)
        return image, image
    kind = encoder.types[encoder.inputs[0]]
    image = add.input("image", dimensions_of(encoder, encoder.inputs[0]), kind)
    latent = add.add(encoder, {encoder.inputs[0]: image}, weights="encoder/", copy="encoder/")[encoder.outputs[0]]
    if encoder.types[encoder.outputs[0]] != FLOAT:
        latent = add.cast(latent, FLOAT, "ends/latent_float")
    if ends.has_variance:
        limits = {"start": 0, "end": ends.channels, "axis": 1}
        latent = add.node("Slice", [latent, *(add.constant(f"ends/{k}", [v]) for k, v in limits.items())], "ends/mean")
    if latents.shift:
        latent = add.node("Sub", [latent, add.constant("ends/shift", latents.shift)], "ends/shifted")
    if latents.factor != 1.0:
        latent = add.node("Mul", [latent, add.constant("ends/factor", latents.factor)], "ends/latent")
    return (image if kind == FLOAT else add.cast(image, FLOAT, "ends/image_float")), latent


def decode(add: Assembly, ends: Ends, state: str, size: Dimensions) -> None:
    """Add the decoder and the output ``result``."""
    decoder, latents = ends.decoder, ends.latents
    if decoder is None:
        add.output("result", state, size)
        return
    if latents.factor != 1.0:
        state = add.node("Mul", [state, add.constant("ends/divisor", 1.0 / latents.factor)], "ends/unscaled")
    if latents.shift:
        state = add.node("Add", [state, add.constant("ends/shift_back", latents.shift)], "ends/unshifted")
    kind = decoder.types[decoder.inputs[0]]
    state = state if kind == FLOAT else add.cast(state, kind, "ends/decoder_in")
    result = add.add(decoder, {decoder.inputs[0]: state}, weights="decoder/", copy="decoder/")[decoder.outputs[0]]
    if decoder.types[decoder.outputs[0]] != FLOAT:
        result = add.cast(result, FLOAT, "ends/decoder_out")
    wide = dimensions_of(decoder, decoder.outputs[0])
    add.output("result", result, [side if isinstance(side, int) else f"result_{i}" for i, side in enumerate(wide)])


def _only(graph: Graph, what: str, side: str, names: tuple[str, ...]) -> str:
    if len(names) != 1 or len(graph.shapes.get(names[0], ())) < 3:
        raise ModelError(f"{graph.source}: the {what} must have one {side}, a picture; it has {', '.join(names)}")
    return names[0]
