"""Agreements between the fields of descriptors whose networks label pictures, and of chains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesr.model.descriptor import ModelDescriptor

LABEL_TASKS = ("classify", "segment", "detect")
NETWORK = "network"
"""Name of the one part of a package with one network."""
OUTPUT_ROLES: dict[str, tuple[frozenset[str], ...]] = {
    "classify": (frozenset({"logits"}),),
    "segment": (frozenset({"logits"}), frozenset({"mask"})),
    "detect": (frozenset({"boxes", "scores", "labels"}), frozenset({"boxes", "scores"}), frozenset({"predictions"})),
}
REGIONS = "regions"
"""Name of the second network of a two-stage detector."""
REGION_ROLES = frozenset({"features", "objectness", "deltas"})
"""Outputs of its first network."""
_CHANNELS = {"grey": 1, "y": 1, "rgb": 3, "bgr": 3}


def label_disagreements(descriptor: ModelDescriptor) -> Iterator[str]:
    """Yield ``path: what is wrong`` for what a network that labels pictures needs and does not have."""
    task, color = descriptor.task, descriptor.input.color
    if descriptor.input_channels != _CHANNELS[color]:
        yield f"input.color: {color!r} needs input_channels {_CHANNELS[color]}, got {descriptor.input_channels}"
    if descriptor.controls:
        yield f"controls: task {task} has none, got {', '.join(descriptor.controls)}"
    two_stages = descriptor.prediction.proposals is not None
    if two_stages and task != "detect":
        yield f"prediction.proposals: are for task detect, got {task}"
        return
    if set(descriptor.parts) != ({NETWORK, REGIONS} if two_stages else {NETWORK}):
        needed = f"the parts {NETWORK!r} and {REGIONS!r}" if two_stages else f"one part named {NETWORK!r}"
        yield f"parts: task {task} needs {needed}, got {', '.join(sorted(descriptor.parts)[:5])}"
        return
    part = descriptor.parts[NETWORK]
    if set(part.inputs) != {"image"}:
        yield f"parts.{NETWORK}.inputs: must name the tensor of role 'image' and no other"
    if two_stages:
        yield from _two_stages(descriptor)
    elif set(part.outputs) not in OUTPUT_ROLES[task]:
        allowed = "; or ".join(" and ".join(sorted(roles)) for roles in OUTPUT_ROLES[task])
        yield f"parts.{NETWORK}.outputs: task {task} needs the roles {allowed}; got {', '.join(part.outputs) or 'none'}"
    background, labels = descriptor.prediction.background, descriptor.labels
    if background is not None and labels is not None and background >= len(labels):
        yield f"prediction.background: must be below the number of labels {len(labels)}, got {background}"
    yield from _sizes(descriptor)


def _two_stages(descriptor: ModelDescriptor) -> Iterator[str]:
    first, second, between = descriptor.parts[NETWORK], descriptor.parts[REGIONS], descriptor.prediction.proposals
    for path, roles, needed in (
        (f"parts.{NETWORK}.outputs", first.outputs, REGION_ROLES),
        (f"parts.{REGIONS}.inputs", second.inputs, {"crops"}),
        (f"parts.{REGIONS}.outputs", second.outputs, {"logits", "deltas"}),
    ):
        if set(roles) != needed:
            yield f"{path}: proposals need the roles {', '.join(sorted(needed))}; got {', '.join(roles) or 'none'}"
    if between is not None and len(between.anchors) != len(between.strides):
        yield (
            f"prediction.proposals.strides: must have one entry for each of the {len(between.anchors)} levels of "
            f"anchors, got {len(between.strides)}"
        )
    if descriptor.input.layout != "NCHW":
        yield "input.layout: proposals need NCHW"


def chain_disagreements(descriptor: ModelDescriptor) -> Iterator[str]:
    """Yield what is wrong with the list of stages of a chain."""
    stages = descriptor.stages
    if len(stages) != 2:
        yield f"stages: task chain needs two folders, of a restoration and of a task, got {len(stages)}"
    for stage in stages:
        if f"{stage}/model.json" not in descriptor.files:
            yield f"stages: {stage!r} needs the file {stage}/model.json"


def _sizes(descriptor: ModelDescriptor) -> Iterator[str]:
    resize, crop, fixed = descriptor.input.resize, descriptor.input.crop, descriptor.size.fixed
    whole: tuple[int, ...] | None = None
    if resize is not None:
        sides = 2 if resize.rule in ("exact", "letterbox") else 1
        if len(resize.size) != sides:
            yield f"input.resize.size: rule {resize.rule} needs {sides} entries, got {len(resize.size)}"
            return
        if (resize.rule == "fit") != (resize.longest is not None):
            yield "input.resize.longest: goes with the rule fit, and only with it"
        whole = resize.size if sides == 2 else None
        least = resize.size * (2 // sides)
        if crop is not None and resize.rule != "fit" and any(a > b for a, b in zip(crop, least, strict=True)):
            yield f"input.crop: {_pair(crop)} is larger than the resized picture, {_pair(least)}"
    if crop is not None:
        whole = crop
        if descriptor.task != "classify":
            yield f"input.crop: task {descriptor.task} must see the whole picture; leave it out"
    if fixed is not None and whole != fixed:
        got = _pair(whole) if whole else "any size"
        yield f"input.resize: the network takes {_pair(fixed)}, resizing and cropping give {got}"


def _pair(sides: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in sides)
