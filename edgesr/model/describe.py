"""Describe an ONNX file that somebody else made: what it does not say is inferred, measured or asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesr.errors import EdgesrError, ModelError, UsageError
from edgesr.model.cache import combined_sha256
from edgesr.model.content import file_sha256
from edgesr.model.descriptor import Color, Control, Layout, ModelDescriptor, Part, Preprocessing, SizeRequirements
from edgesr.model.face import Face, find_face, name_of
from edgesr.model.measure import OpenProbe, measure, memory_key, recall, remember
from edgesr.model.onnx_file import OnnxGraph, TensorInfo, inferred_output, read_graph
from edgesr.model.package import ModelPackage
from edgesr.model.rules import NETWORK
from edgesr.model.schema import matches, show
from edgesr.model.storage import FileStorage

_FILE = "network.onnx"
_DIVISIBLE = 6720
"""A side in pixels, for shapes alone, that networks with strides and windows of 2 to 64 take."""


def describe_onnx(
    path: str | Path,
    *,
    range: tuple[float, float] | None = None,
    color: Color | None = None,
    scale: int | None = None,
    layout: Layout | None = None,
    name: str | None = None,
    probe: OpenProbe | None = None,
) -> ModelPackage:
    """Describe a bare super-resolution or restoration network; ``notes`` says what was inferred.

    Keywords override what would be inferred. ``probe`` runs the network to measure scale, size requirements, value
    range and receptive field, once per network and user; without it these come from the graph's shapes, and the range
    is taken as [0, 1].
    """
    path = Path(path)
    _check_arguments(range, color, scale, layout, name)
    graph = read_graph(path)
    data = _data_names(graph)
    storage = FileStorage({_FILE: path, **{file: path.parent / place for file, place in data.items()}})
    hashes = {file: file_sha256(place) for file, place in storage.paths.items()}
    digest = combined_sha256(hashes)
    key = memory_key(digest, range, color, scale, layout, name, path.stem)
    known = _known(key) if probe is not None else None
    if known is not None:
        return ModelPackage(known[0], path, digest, storage, known[1])
    notes = [f"{operator} runs in ONNX Runtime only" for operator in graph.foreign]
    face = find_face(graph, layout, color, notes)
    values = _from_shapes(face, path, scale, notes)
    if probe is not None:
        try:
            values.update(measure(face, probe, path, scale=scale, given=range, notes=notes))
        except EdgesrError as error:
            prefix = "" if str(error).startswith(str(path)) else f"{path}: "
            raise type(error)(f"{prefix}{error}") from None
    if "scale" not in values:
        raise ModelError(f"{path}: its shapes do not tell the scale; give it, e.g. --scale 4")
    limits = (0.0, 255.0) if face.image.dtype == "uint8" else (0.0, 1.0)
    given = (float(range[0]), float(range[1])) if range is not None else limits
    if "range" not in values:
        notes.append(f"the value range {given[0]:g} .. {given[1]:g} is {'given' if range else 'assumed'}")
    default_color: Color = "y" if face.channels == 1 else "rgb"
    if color is None:
        notes.append(f"the colour order is taken as {default_color}")
    inputs = {"image": face.image.name, **{role: tensor.name for role, tensor in face.others.items()}}
    descriptor = ModelDescriptor(
        name=name or name_of(path.stem, "model"),
        version="0",
        task="restore",
        parts={NETWORK: Part(_FILE, hashes[_FILE], inputs, {"image": face.output.name})},
        scale=values["scale"],
        input_channels=face.channels,
        output_channels=values.get("output_channels", face.channels),
        input=Preprocessing(
            color=color or default_color, layout=face.layout, dtype=face.image.dtype, range=values.get("range", given)
        ),
        output_range=values.get("output_range", (0.0, 255.0) if face.output.dtype == "uint8" else given),
        size=values["size"],
        receptive_field=values.get("receptive_field"),
        controls={role: Control((0.0,) * _length(t)) for role, t in face.others.items() if role != "quantum"},
        files={file: hashes[file] for file in data},
        description=f"described from {path.name}" if path.name.isprintable() else "",
    )
    descriptor = ModelDescriptor.from_json(descriptor.to_json(), source=str(path))
    if probe is not None:
        remember(key, {"descriptor": descriptor.to_json(), "notes": notes})
    return ModelPackage(descriptor, path, digest, storage, tuple(notes))


def _known(key: str) -> tuple[ModelDescriptor, tuple[str, ...]] | None:
    """Return what an earlier process measured."""
    found = recall(key)
    try:
        return (
            None
            if found is None
            else (
                ModelDescriptor.from_json(found["descriptor"], source="cache"),
                tuple(str(note) for note in found["notes"]),
            )
        )
    except (KeyError, TypeError, ModelError):
        return None


def _check_arguments(
    values: tuple[float, float] | None, color: str | None, scale: int | None, layout: str | None, name: str | None
) -> None:
    if values is not None and not _is_range(values):
        raise UsageError(f"range must be two numbers, low before high, e.g. 0 255, got {show(values)}")
    if color not in (None, "grey", "y", "rgb", "bgr"):
        raise UsageError(f"color must be one of grey, y, rgb, bgr, got {show(color)}")
    if scale is not None and not (isinstance(scale, int) and 1 <= scale <= 64):
        raise UsageError(f"scale must be a whole number from 1 to 64, got {show(scale)}")
    if layout not in (None, "NCHW", "NHWC"):
        raise UsageError(f"layout must be NCHW or NHWC, got {show(layout)}")
    if name is not None and not matches("name", name):
        raise UsageError(f"name must be 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit, got {show(name)}")


def _is_range(values: tuple[float, float]) -> bool:
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        return False
    return -1e9 <= low < high <= 1e9


def _from_shapes(face: Face, path: Path, scale: int | None, notes: list[str]) -> dict[str, Any]:
    """Return scale, output channels and size requirements as far as shapes tell them."""
    values: dict[str, Any] = {"size": SizeRequirements(fixed=face.fixed)}
    h, w = face.fixed or (_DIVISIBLE, _DIVISIBLE)
    shape = face.output.shape
    if shape is None or any(n == -1 for n in shape[1:]):
        shape = inferred_output(path, face.shapes(h, w), face.output.name)
    if shape is not None and len(shape) == 4:
        from edgesr.model.probing import whole_scale

        try:
            values["scale"] = whole_scale((h, w), face.size(shape))
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        values["output_channels"] = shape[1] if face.layout == "NCHW" else shape[3]
        if scale not in (None, values["scale"]):
            raise ModelError(f"{path}: its shapes give scale {values['scale']}, not {scale}; leave out --scale")
        notes.append(f"the scale {values['scale']} comes from the graph's shapes")
    elif scale is not None:
        values["scale"] = scale
    return values


def _data_names(graph: OnnxGraph) -> dict[str, str]:
    """Give every external data file a name that a descriptor may hold."""
    return {
        name if matches("file", name) and name != _FILE else f"network-{index}.data": name
        for index, name in enumerate(graph.data_files)
    }


def _length(tensor: TensorInfo) -> int:
    return (tensor.shape or (1,))[0]
