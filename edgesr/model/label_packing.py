"""Make a package of a bare ONNX network that labels pictures: what it does not say is taken as usual, and said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.errors import ModelError, UsageError
from edgesr.model.label_rules import NETWORK
from edgesr.model.measure import OpenProbe
from edgesr.model.onnx_file import OnnxGraph, TensorInfo, read_graph
from edgesr.model.schema import show
from edgesr.types import Array

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_FALLBACK_SIDE = 224
_BACKGROUNDS = ("background", "__background__", "bg")


@dataclass(frozen=True)
class Look:
    """A network's face, and what it gave for one picture of random pixels."""

    graph: OnnxGraph
    image: TensorInfo
    layout: str
    channels: int
    sides: tuple[int, int] | None
    """``(height, width)`` where they are fixed."""
    outputs: Mapping[str, Array]


def describe_labels(
    onnx: Path, task: str, labels: list[str] | None, asked: Mapping[str, Any], probe: OpenProbe
) -> tuple[dict[str, Any], list[str]]:
    """Return fields of model.json for a network of ``task``, and a sentence for everything that was assumed.

    ``asked`` holds the fields that the maker gives; they are not assumed again, but checked against the network.
    """
    look = _look(onnx, asked, probe)
    notes: list[str] = []
    expects = asked.get("input", {})
    document: dict[str, Any] = {
        "input_channels": look.channels,
        "input": {"layout": look.layout, "dtype": look.image.dtype, **_colors(look, expects, notes)},
    }
    if look.sides:
        document["size"] = {"fixed": list(look.sides)}
    if "resize" not in expects:
        document["input"].update(_resizing(task, look, notes))
    roles = asked.get("parts", {}).get(NETWORK, {}).get("outputs") or _roles(task, look, onnx)
    for role, tensor in roles.items():
        if tensor not in look.outputs:
            raise ModelError(f"{onnx}: has no output {show(tensor)} for {role}; it has {', '.join(look.outputs)}")
    document["parts"] = {NETWORK: {"inputs": {"image": look.image.name}, "outputs": roles}}
    outputs = {role: look.outputs[tensor] for role, tensor in roles.items()}
    document["prediction"] = {**_prediction(task, outputs, labels, look, notes), **asked.get("prediction", {})}
    if labels:
        has_objectness = bool(document["prediction"].get("objectness"))
        found = _class_counts(task, outputs, look.layout, 5 if has_objectness else 4)
        if found and len(labels) not in found:
            raise UsageError(
                f"{onnx}: has {max(min(found), 0)} classes, --labels names {len(labels)}; give one line for each class"
                + (", the background too" if task != "classify" else "")
            )
        document["labels"] = labels
    else:
        notes.append("no --labels given: classes are shown by their numbers")
    return document, notes


def _look(onnx: Path, asked: Mapping[str, Any], probe: OpenProbe) -> Look:
    graph = read_graph(onnx)
    if len(graph.inputs) != 1:
        names = ", ".join(tensor.name for tensor in graph.inputs)
        raise ModelError(f"{onnx}: has {len(graph.inputs)} inputs ({names}); a network that labels pictures has one")
    image = graph.inputs[0]
    shape = image.shape or ()
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[0] not in (1, -1)):
        raise ModelError(
            f"{onnx}: input {show(image.name)} has shape {list(shape)}; it must be one picture (1, C, H, W)"
        )
    shape = shape[-3:]
    layout = asked.get("input", {}).get("layout") or (
        "NHWC" if shape[2] in (1, 3) and shape[0] not in (1, 3) else "NCHW"
    )
    channels, h, w = shape if layout == "NCHW" else (shape[2], shape[0], shape[1])
    if channels not in (1, 3):
        raise ModelError(
            f"{onnx}: input {show(image.name)} has {channels if channels > 0 else 'unknown'} channels; edgesr labels "
            "pictures with networks of 1 or 3, check --layout"
        )
    sides = (h, w) if h > 0 and w > 0 else None
    wanted = sides or _asked_sides(asked) or (_FALLBACK_SIDE, _FALLBACK_SIDE)
    full = (channels, *wanted) if layout == "NCHW" else (*wanted, channels)
    dtype = np.dtype(image.dtype)
    pixels = np.random.default_rng(0).random(full, np.float32)
    array = (pixels * 255).astype(dtype) if dtype.kind == "u" else pixels.astype(dtype)
    outputs = probe(onnx)({image.name: array[np.newaxis] if len(image.shape or ()) == 4 else array})
    return Look(graph, image, layout, channels, sides, outputs)


def _asked_sides(asked: Mapping[str, Any]) -> tuple[int, int] | None:
    expects = asked.get("input", {})
    sides = expects.get("crop") or (expects.get("resize") or {}).get("size")
    return (int(sides[0]), int(sides[-1])) if sides else None


def _colors(look: Look, expects: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "color" not in expects:
        found["color"] = "rgb" if look.channels == 3 else "grey"
        notes.append(f"the colour order is taken as {found['color']}")
    if look.image.dtype == "uint8":
        found["range"] = [0, 255]
    elif not {"range", "mean", "std"} & expects.keys():
        if look.channels == 3:
            found["mean"], found["std"] = IMAGENET_MEAN, IMAGENET_STD
        notes.append(
            "pixels are taken as [0, 1]"
            + (" with ImageNet's mean and standard deviation" if look.channels == 3 else "")
            + "; say otherwise with --range, --mean and --std"
        )
    return found


def _resizing(task: str, look: Look, notes: list[str]) -> dict[str, Any]:
    if task == "detect" and look.sides is None:
        notes.append("pictures are taken at their own size; say otherwise with --resize")
        return {}
    h, w = look.sides or (_FALLBACK_SIDE, _FALLBACK_SIDE)
    if task == "classify":
        if h != w:
            found: dict[str, Any] = {"resize": {"rule": "exact", "size": [h, w]}}
            told = f"pictures are resized to {w} x {h}"
        else:
            side = round(h * 256 / 224)
            found = {"resize": {"rule": "short-side", "size": [side]}, "crop": [h, w]}
            told = f"pictures are resized to {side} pixels on their shorter side and cropped to {w} x {h}"
    elif task == "detect" and len(look.outputs) == 1:
        found = {"resize": {"rule": "letterbox", "size": [h, w], "antialias": False}, "fill": 114 / 255}
        told = f"pictures are letterboxed into {w} x {h} on grey"
    elif look.sides is None:
        notes.append("pictures are taken at their own size; say otherwise with --resize")
        return {}
    else:
        found = {"resize": {"rule": "exact", "size": [h, w], "antialias": False}}
        told = f"pictures are resized to {w} x {h}"
    notes.append(f"{told}; say otherwise with --resize and --crop")
    return found


def _roles(task: str, look: Look, onnx: Path) -> dict[str, str]:
    """Tell the outputs apart by their shapes and types."""
    outputs = look.outputs
    shown = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    remedy = f"name the roles in --descriptor, as parts.{NETWORK}.outputs"
    if task in ("classify", "segment"):
        if len(outputs) != 1:
            raise ModelError(f"{onnx}: has several outputs ({shown}); {remedy}")
        ((name, array),) = outputs.items()
        is_mask = task == "segment" and array.dtype.kind in "iu"
        if task == "classify" and array.size != max(array.shape, default=0):
            raise ModelError(f"{onnx}: the output {shown} is not one score for each class")
        if task == "segment" and not is_mask and array.ndim not in (3, 4):
            raise ModelError(f"{onnx}: the output {shown} is not one plane for each class")
        return {"mask" if is_mask else "logits": name}
    boxes = [name for name, a in outputs.items() if a.dtype.kind == "f" and a.ndim >= 2 and a.shape[-1] == 4]
    whole = [name for name, a in outputs.items() if a.dtype.kind in "iu" and a.ndim <= 2]
    rest = [name for name in outputs if name not in boxes + whole]
    if len(outputs) == 1 and next(iter(outputs.values())).ndim in (2, 3):
        return {"predictions": next(iter(outputs))}
    if len(boxes) == 1 and len(rest) == 1 and len(whole) <= 1:
        roles = {"boxes": boxes[0], "scores": rest[0]}
        return {**roles, "labels": whole[0]} if whole else roles
    raise ModelError(f"{onnx}: cannot tell boxes, scores and labels apart in {shown}; {remedy}")


def _prediction(
    task: str, outputs: Mapping[str, Array], labels: list[str] | None, look: Look, notes: list[str]
) -> dict[str, Any]:
    if task == "classify" or (task == "segment" and "logits" in outputs):
        logits = outputs["logits"]
        axis = -1 if task == "classify" or look.layout == "NHWC" else -3
        if task == "segment" and logits.shape[axis] == 1:
            return {"activation": "none" if _are_shares(logits) else "sigmoid"}
        return {"activation": "none" if _sum_to_one(logits, axis) else "softmax"}
    if task == "segment" or "labels" in outputs:
        return {}
    found: dict[str, Any] = {"nms": 0.45}
    if "predictions" in outputs:
        height, width = outputs["predictions"].shape[-2:]
        rows = outputs["predictions"].reshape(height, width)
        rows = rows if height > width else rows.T
        found |= {"boxes": "cxcywh", "score": 0.25}
        if labels and rows.shape[1] == 5 + len(labels):
            found["objectness"] = True
        found["activation"] = "none" if _are_shares(rows[:, 4:]) else "sigmoid"
    else:
        if labels and labels[0].lower() in _BACKGROUNDS:
            found["background"] = 0
        scores = outputs["scores"]
        several = scores.ndim > 1 and scores.shape[-1] > 1
        told = "softmax" if several and not _are_shares(scores) else "sigmoid"
        found["activation"] = "none" if _are_shares(scores) else told
        if float(np.abs(outputs["boxes"]).max()) <= 3:
            found["unit"] = "relative"
        notes.append(
            f"boxes are taken as x1, y1, x2, y2 in {'fractions' if 'unit' in found else 'pixels'} of the input"
        )
    return found


def _class_counts(task: str, outputs: Mapping[str, Array], layout: str, extra: int) -> set[int]:
    """Return how many classes the outputs can hold; nothing where they do not show it."""
    if "mask" in outputs or "labels" in outputs:
        return set()
    if task == "classify":
        return {outputs["logits"].size}
    if task == "segment":
        return {max(2, outputs["logits"].shape[-1 if layout == "NHWC" else -3])}
    if "predictions" in outputs:
        return {n - extra for n in outputs["predictions"].shape[-2:]}
    return {outputs["scores"].size // max(1, outputs["boxes"].size // 4)}


def _are_shares(values: Array) -> bool:
    return bool(values.size and values.min() >= 0 and values.max() <= 1)


def _sum_to_one(values: Array, axis: int) -> bool:
    return _are_shares(values) and bool(np.allclose(values.sum(axis=axis, dtype=np.float64), 1, atol=1e-3))
