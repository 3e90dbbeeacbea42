"""The graph that a server runs against the package's own pipeline, on one picture and on two at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesr.compile.embed_io import Kind
from edgesr.engines import open_backend
from edgesr.errors import AccuracyError, EdgesrError
from edgesr.model.descriptor import ModelDescriptor
from edgesr.model.package import ModelPackage
from edgesr.pipelines.label_network import LabelNetwork
from edgesr.pipelines.label_profile import canvas
from edgesr.pipelines.network import NETWORK
from edgesr.pipelines.prepare import prepare
from edgesr.pipelines.restore import Restorer
from edgesr.pipelines.tiling import round_up
from edgesr.pipelines.timings import Timings
from edgesr.types import Array

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""From input arrays to output arrays, by name."""
_SIDES = (40, 56)
_CLOSE = 1e-4
"""Of the largest value of an output; a runtime sums in another order where a graph differs."""


@dataclass(frozen=True)
class ServeProof:
    """What a graph did with the pictures."""

    is_exact: bool
    """Whether it gave the bits of the pipeline."""
    is_batched: bool
    """Whether two pictures at once give what they give alone, but for one grey level in single values."""


def prove_served(
    package: ModelPackage, run: Run, kind: Kind, controls: Mapping[str, Any], names: tuple[str, Mapping[str, str]]
) -> ServeProof:
    """Compare ``run`` with the pipeline; ``names`` are the picture's tensor and those of the outputs by role.

    Raise AccuracyError where a picture departs by more than a grey level, or another output by more than 1e-4 of its
    largest value.
    """
    descriptor = package.descriptor
    image, outputs = names
    pictures = [_picture(descriptor, kind, seed) for seed in (0, 1)]
    swap = slice(None, None, -1) if descriptor.input.color == "bgr" else slice(None)
    expected = _expected(package, pictures[0], controls, swap)
    given = [np.ascontiguousarray(picture[None, ..., swap]) for picture in pictures]
    alone = [run({image: one}) for one in given]
    for role, value in expected.items():
        found = alone[0][outputs[role]]
        if found.shape != value.shape or not _is_close(found, value):
            raise AccuracyError(
                f"model {descriptor.name}: its output {role!r} in the graph of a server is not that of edgesr run; "
                "nothing was written"
            )
    is_exact = all(np.array_equal(alone[0][outputs[role]], value) for role, value in expected.items())
    return ServeProof(is_exact, _is_batched(run, image, given, alone))


def served_size(descriptor: ModelDescriptor) -> tuple[int, int]:
    """Return the ``(height, width)`` of a first request: the network's own size or tile, else 256 x 256."""
    size, fixed = descriptor.size, canvas(descriptor)
    side = round_up(max(descriptor.tile or 256, size.minimum), size.multiple)
    return fixed or (side, side)


def _picture(descriptor: ModelDescriptor, kind: Kind, seed: int) -> Array:
    size = descriptor.size
    h, w = canvas(descriptor) or (round_up(max(side, size.minimum), size.multiple) for side in _SIDES)
    rng = np.random.default_rng(seed)
    smooth = np.add.outer(np.linspace(0, 0.5, h), np.linspace(0, 0.4, w))[..., None]
    values = smooth + rng.random((h, w, descriptor.input_channels)) * 0.1
    return np.asarray(np.rint(values * np.iinfo(kind).max), kind)


def _expected(package: ModelPackage, picture: Array, controls: Mapping[str, Any], swap: slice) -> dict[str, Array]:
    """Return what the pipeline gives for a picture, by role of the output and in its batch of one."""
    descriptor, backend = package.descriptor, open_backend("cpu")
    if descriptor.task == "restore":
        with Restorer(package, backend, **controls) as restorer:
            return {"image": np.asarray(restorer(picture))[None, ..., swap]}
    network = LabelNetwork(package, backend)
    try:
        return network.label(prepare(descriptor, picture)[0], Timings())
    finally:
        network.close()
        backend.close()


def _is_batched(run: Run, image: str, given: list[Array], alone: list[Mapping[str, Array]]) -> bool:
    try:
        both = run({image: np.concatenate(given)})
    except EdgesrError:  # its batch is fixed at one, or something inside counts on one
        return False
    return all(
        value.shape == (2, *alone[0][name].shape[1:])
        and all(_is_close(value[index : index + 1], alone[index][name]) for index in (0, 1))
        for name, value in both.items()
    )


def _is_close(found: Array, value: Array) -> bool:
    difference = np.abs(found.astype(np.float64) - value)
    limit = 1.0 if value.dtype.kind == "u" else _CLOSE * max(1e-6, float(np.abs(value).max(initial=0)))
    return bool(difference.max(initial=0) <= limit)


def served_names(descriptor: ModelDescriptor, inputs: tuple[str, ...], suffix: str) -> tuple[str, dict[str, str]]:
    """Return the picture's tensor of a served graph, and its outputs by role."""
    outputs = descriptor.parts[NETWORK].outputs
    ending = suffix if descriptor.task == "restore" else ""
    return inputs[0], {role: f"{tensor}{ending}" for role, tensor in outputs.items()}
