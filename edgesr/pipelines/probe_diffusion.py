"""Measure what the ONNX files of a latent diffusion do not say: factors, sizes, value range."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesr.compile.graph import Graph
from edgesr.compile.reference import Runner
from edgesr.compile.roles import StepRoles
from edgesr.compile.trial import random_inputs
from edgesr.errors import EdgesrError, ModelError
from edgesr.model.probing import smooth_picture
from edgesr.types import Array

Range = tuple[float, float]
RANGES: tuple[Range, ...] = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
"""The first, of diffusers' AutoencoderKL, is taken unless another fits clearly better."""
_CLEARLY = 0.8
_FOLLOWS = 0.15
"""Largest mean error, as a fraction of the range, of a picture that still follows the one that was encoded."""
_LATENT_SIDES = (16, 32, 64, 8)
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
EACH_ITS_OWN = "see that --encoder, --unet and --decoder each name their own file"


@dataclass(frozen=True)
class Ends:
    """Encoder and decoder as measured; each is named by its input and output tensor."""

    encoder: tuple[str, str] | None
    decoder: tuple[str, str]
    factor: int
    """How many times the latent is smaller than the output picture."""
    picture_channels: int
    upsampling: str
    range: Range


def find_ends(
    encoder: Path | None, decoder: Path, *, channels: int, scale: int, given: Range | None, notes: list[str]
) -> Ends:
    """Run the decoder and the encoder on small pictures; ``channels`` are the latent's."""
    with ExitStack() as stack:
        graph = Graph.read(decoder)
        names = _only(graph, "decoder")
        decode = stack.enter_context(Runner(graph))
        latent, picture = _first_run(graph, decode, names, channels, _LATENT_SIDES, what="decoder")
        factor = _whole(graph.source, picture[2], latent[2])
        made = picture[1]
        if made not in (1, 3):
            raise ModelError(f"{graph.source}: makes {made} channels; a picture has 1 or 3")
        notes.append(f"latents are {factor} times smaller than pictures of {made} channel{'s' if made > 1 else ''}")
        if encoder is None:
            notes.append(
                f"without an encoder the range {_shown(given or RANGES[0])} is {'given' if given else 'taken'}"
            )
            return Ends(None, names, factor, made, "bicubic", given or RANGES[0])
        first = Graph.read(encoder)
        ends = _only(first, "encoder")
        encode = stack.enter_context(Runner(first))
        sides = tuple(side * factor for side in _LATENT_SIDES)
        taken, encoded = _first_run(first, encode, ends, made, sides, what="encoder")
        if encoded[1] not in (channels, 2 * channels):
            raise ModelError(f"{first.source}: makes {encoded[1]} channels, the U-Net's state has {channels}")
        upsampling = _upsampling(first.source, taken[2] / encoded[2], factor, scale)
        how = "the encoder takes the input " + ("enlarged bicubically" if upsampling == "bicubic" else "as it is")
        notes.append(how)
        if given is not None or upsampling == "none":
            return Ends(ends, names, factor, made, upsampling, given or RANGES[0])
        smooth = np.repeat(smooth_picture(taken[2], taken[3])[None, None], made, axis=1)
        errors = {}
        for low, high in RANGES:
            values = smooth * (high - low) + low
            latents = encode({ends[0]: values})[ends[1]][:, :channels]
            errors[low, high] = float(np.abs(decode({names[0]: latents})[names[1]] - values).mean() / (high - low))
        best = min(errors, key=lambda bounds: errors[bounds])
        found = best if errors[best] < _CLEARLY * errors[RANGES[0]] else RANGES[0]
        if not errors[found] <= _FOLLOWS:
            raise ModelError(
                f"{first.source}: decoding what it encodes gives another picture for every range that was tried; "
                "give the range of the values that it takes, e.g. --range -1,1"
            )
        notes.append(f"the range {_shown(found)} follows from pictures that were encoded and decoded")
    return Ends(ends, names, factor, made, upsampling, found)


def find_multiple(unet: Graph, roles: StepRoles) -> tuple[int, tuple[int, int] | None]:
    """Return of what number a side of the latents must be a multiple, and the sides where they are fixed."""
    height, width = unet.shapes[roles.state][2:]
    if height > 0 and width > 0:
        return 1, (height, width)
    with Runner(unet) as run:
        for multiple in _MULTIPLES:
            if all(_works(unet, run, roles, multiple * odd) for odd in (5, 7)):
                return multiple, None
    raise ModelError(
        f"{unet.source}: predicts nothing of its state's size at any size that was tried, so it is no U-Net of "
        f"latents; {EACH_ITS_OWN}"
    )


def _works(unet: Graph, run: Runner, roles: StepRoles, side: int) -> bool:
    shapes = {}
    for name in unet.inputs:
        rank = len(unet.shapes[name])
        wanted = (1,) if rank == 1 else (1, *[side] * (rank - 1))
        shapes[name] = tuple(size if size > 0 else wanted[axis] for axis, size in enumerate(unet.shapes[name]))
    try:
        made = run(random_inputs(unet, shapes))[roles.output]
    except EdgesrError:
        return False
    return made.shape[2:] == (side, side)


def _first_run(
    graph: Graph, run: Runner, names: tuple[str, str], channels: int, sides: tuple[int, ...], *, what: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of input and output at the first size that the network takes."""
    declared = graph.shapes[names[0]]
    if declared[1] not in (channels, -1):
        raise ModelError(
            f"{graph.source}: takes {declared[1]} channels, and the {what} is given {channels}; {EACH_ITS_OWN}"
        )
    problem: EdgesrError | None = None
    for side in sides:
        shape = tuple(size if size > 0 else (1, channels, side, side)[axis] for axis, size in enumerate(declared))
        try:
            made: Array = run({names[0]: np.full(shape, 0.1)})[names[1]]
        except EdgesrError as error:
            problem = error
            continue
        if made.ndim == 4:
            return shape, made.shape
    raise ModelError(f"{graph.source}: runs at no size that was tried ({problem})")


def _only(graph: Graph, what: str) -> tuple[str, str]:
    if len(graph.inputs) != 1 or len(graph.shapes.get(graph.inputs[0], ())) != 4:
        raise ModelError(f"{graph.source}: the {what} must have one input, a picture; it has {', '.join(graph.inputs)}")
    return graph.inputs[0], graph.outputs[0]


def _whole(source: str, large: int, small: int) -> int:
    if large < small or large % small:
        raise ModelError(f"{source}: makes {large} pixels of {small} latents, which is no whole factor")
    return large // small


def _upsampling(source: str, shrinks: float, factor: int, scale: int) -> str:
    if shrinks == factor:
        return "bicubic"
    if shrinks * scale == factor:
        return "none"
    raise ModelError(
        f"{source}: makes latents {shrinks:g} times smaller; the decoder enlarges {factor} times and the model {scale} "
        f"times, so it must be {factor} or {factor / scale:g}"
    )


def _shown(bounds: Range) -> str:
    return f"{bounds[0]:g} .. {bounds[1]:g}"
