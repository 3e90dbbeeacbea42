"""Find the picture among the inputs and outputs of an ONNX graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgesr.errors import ModelError
from edgesr.model.descriptor import Color, Layout
from edgesr.model.onnx_file import OnnxGraph, TensorInfo
from edgesr.model.schema import matches, show

DTYPES = ("float32", "float16", "uint8")


@dataclass(frozen=True)
class Face:
    """What the graph alone tells."""

    image: TensorInfo
    output: TensorInfo
    layout: Layout
    channels: int
    fixed: tuple[int, int] | None
    others: Mapping[str, TensorInfo] = field(default_factory=dict)
    """Role to tensor of the small vector inputs."""

    def shapes(self, h: int, w: int) -> dict[str, tuple[int, ...]]:
        """Return every input's shape for one picture of ``h`` x ``w`` pixels."""
        image = (1, self.channels, h, w) if self.layout == "NCHW" else (1, h, w, self.channels)
        return {self.image.name: image, **{tensor.name: tensor.shape or () for tensor in self.others.values()}}

    def size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of an image shape."""
        return (shape[2], shape[3]) if self.layout == "NCHW" else (shape[1], shape[2])


def find_face(graph: OnnxGraph, layout: Layout | None, color: Color | None, notes: list[str]) -> Face:
    """Find the picture among the inputs and outputs, its layout, channels and fixed size."""
    path = graph.path
    images = [tensor for tensor in graph.inputs if tensor.shape is not None and len(tensor.shape) == 4]
    if len(images) != 1:
        listed = ", ".join(f"{show(t.name)} {list(t.shape or ())}" for t in graph.inputs[:6])
        raise ModelError(f"{path}: needs one input with 4 dimensions, the picture, got {listed}; write a model.json")
    image = images[0]
    shape = image.shape or ()
    if image.dtype not in DTYPES:
        raise ModelError(f"{path}: the input {show(image.name)} is {image.dtype}; edgesr feeds {', '.join(DTYPES)}")
    if shape[0] not in (-1, 1):
        raise ModelError(f"{path}: takes {shape[0]} pictures at a time; export it with batch 1 or a dynamic batch")
    found = layout or _layout(path, image)
    if layout is None:
        notes.append(f"the layout is {found}")
    channels = shape[1] if found == "NCHW" else shape[3]
    if channels == -1 and color is not None:
        channels = 1 if color in ("grey", "y") else 3
    if channels not in (1, 3):
        many = "a dynamic number of" if channels == -1 else str(channels)
        hint = (
            "give the colour order, e.g. --channel-order rgb"
            if channels == -1
            else "edgesr runs 1 or 3, or give --layout"
        )
        raise ModelError(f"{path}: the input {show(image.name)} has {many} channels; {hint}")
    h, w = (shape[2], shape[3]) if found == "NCHW" else (shape[1], shape[2])
    if (h == -1) != (w == -1):
        raise ModelError(
            f"{path}: only one of height {h} and width {w} is dynamic; export it with both dynamic or both fixed"
        )
    others = _vectors(path, [tensor for tensor in graph.inputs if tensor is not image], notes)
    output = _output(graph, channels, 1 if found == "NCHW" else 3, notes)
    return Face(image, output, found, channels, None if h == -1 else (h, w), others)


def _layout(path: Path, image: TensorInfo) -> Layout:
    _, second, _, last = image.shape or (0, 0, 0, 0)
    first_like, last_like = second in (1, 3, 4), last in (1, 3, 4)
    if first_like == last_like:
        raise ModelError(
            f"{path}: the shape {list(image.shape or ())} does not tell where the channels are; give --layout"
        )
    return "NCHW" if first_like else "NHWC"


def _vectors(path: Path, tensors: list[TensorInfo], notes: list[str]) -> dict[str, TensorInfo]:
    """Give every further input, a small vector of floats, a role."""
    found: dict[str, TensorInfo] = {}
    for tensor in tensors:
        static = tensor.shape is not None and len(tensor.shape) <= 1 and all(1 <= n <= 1024 for n in tensor.shape)
        if not static or tensor.dtype not in ("float32", "float16"):
            shape = "of unknown shape" if tensor.shape is None else list(tensor.shape)
            raise ModelError(
                f"{path}: the input {show(tensor.name)} {tensor.dtype} {shape} is neither a picture nor a short vector "
                "of floats; fold it into the network as a constant"
            )
        role = name_of(tensor.name, f"control-{len(found) + 1}")
        role = role if role not in found and role != "image" else f"control-{len(found) + 1}"
        found[role] = tensor
        notes.append(
            f"the input {show(tensor.name)} gets the grey-level step of the picture"
            if role == "quantum"
            else f"the input {show(tensor.name)} becomes the control {role!r} with default 0"
        )
    return found


def _output(graph: OnnxGraph, channels: int, axis: int, notes: list[str]) -> TensorInfo:
    """Return the first output that may be a picture of as many channels; features may stand before it."""
    images = [tensor for tensor in graph.outputs if tensor.shape is None or len(tensor.shape) == 4]
    images.sort(key=lambda tensor: tensor.shape is not None and tensor.shape[axis] not in (-1, channels))
    if not images or images[0].dtype not in DTYPES:
        listed = ", ".join(f"{show(t.name)} {t.dtype} {list(t.shape or ())}" for t in graph.outputs[:6])
        raise ModelError(f"{graph.path}: has no output that is a picture (4 dimensions, float or uint8): {listed}")
    if len(graph.outputs) > 1:
        place = graph.outputs.index(images[0]) + 1
        notes.append(f"the picture is the output {show(images[0].name)}, number {place} of {len(graph.outputs)}")
    return images[0]


def name_of(text: str, otherwise: str) -> str:
    """Turn any text into a valid model or control name."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:64]
    return name if matches("name", name) else otherwise
