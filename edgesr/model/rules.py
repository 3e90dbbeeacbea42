"""Agreements between the fields of a descriptor: what a JSON Schema cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgesr.model.diffusion_rules import diffusion_disagreements
from edgesr.model.label_rules import LABEL_TASKS, NETWORK, chain_disagreements, label_disagreements

if TYPE_CHECKING:
    from edgesr.model.descriptor import Control, ModelDescriptor

__all__ = ["AUTOMATIC", "DESCRIPTOR_FILE", "NETWORK", "disagreements"]

DESCRIPTOR_FILE = "model.json"

AUTOMATIC = "auto"
"""What a user gives for an estimated control to have it estimated."""

_CHANNELS = {"grey": (1, 2), "y": (1,), "rgb": (3, 4), "bgr": (3, 4)}


def disagreements(descriptor: ModelDescriptor) -> Iterator[str]:
    """Yield ``path: what is wrong`` for every pair of fields that contradict each other."""
    yield from _numbers(descriptor)
    yield from _files(descriptor)
    for name, control in descriptor.controls.items():
        yield from _control(f"controls.{name}", control)
    yield from _estimator(descriptor)
    yield from _noise(descriptor)
    if descriptor.task == "restore":
        yield from _restore(descriptor)
    elif descriptor.task in LABEL_TASKS:
        yield from label_disagreements(descriptor)
    elif descriptor.task == "chain":
        yield from chain_disagreements(descriptor)
    elif descriptor.task == "latent-diffusion":
        yield from diffusion_disagreements(descriptor)


def _numbers(descriptor: ModelDescriptor) -> Iterator[str]:
    for path, (low, high) in (("input.range", descriptor.input.range), ("output_range", descriptor.output_range)):
        if not low < high:
            yield f"{path}: must be [low, high] with low below high, got [{low:g}, {high:g}]"
    for path, values in (("input.mean", descriptor.input.mean), ("input.std", descriptor.input.std)):
        if len(values) not in (0, 1, descriptor.input_channels):
            yield f"{path}: must have 1 or input_channels = {descriptor.input_channels} values, got {len(values)}"
    if descriptor.size.fixed is not None:
        for side, value in zip(("height", "width"), descriptor.size.fixed, strict=True):
            if value % descriptor.size.multiple or value < descriptor.size.minimum:
                yield (
                    f"size.fixed: the {side} {value} must be a multiple of size.multiple = {descriptor.size.multiple} "
                    f"and at least size.minimum = {descriptor.size.minimum}"
                )


def _files(descriptor: ModelDescriptor) -> Iterator[str]:
    spelled: dict[str, tuple[str, str]] = {DESCRIPTOR_FILE: (DESCRIPTOR_FILE, "")}
    declared = [(f"parts.{name}.file", part.file, part.sha256) for name, part in descriptor.parts.items()]
    declared += [(f"files.{file}", file, sha256) for file, sha256 in descriptor.files.items()]
    for path, file, sha256 in declared:
        if spelled.setdefault(file.casefold(), (file, sha256)) != (file, sha256):
            yield f"{path}: {file!r} is declared twice, with other capitals, another sha256 or as {DESCRIPTOR_FILE}"
    for role, file in (descriptor.golden or {}).items():
        if file not in descriptor.files:
            yield f"golden.{role}: {file!r} is not declared in files"


def _control(path: str, control: Control) -> Iterator[str]:
    low = -float("inf") if control.minimum is None else control.minimum
    high = float("inf") if control.maximum is None else control.maximum
    if low > high:
        yield f"{path}.minimum: must not be above the maximum {high:g}, got {low:g}"
    settings = {f"{path}.default": control.default}
    settings.update({f"{path}.choices.{name}": values for name, values in (control.choices or {}).items()})
    for where, values in settings.items():
        if len(values) != len(control.default):
            yield f"{where}: must have {len(control.default)} values as the default has, got {len(values)}"
        outside = [value for value in values if not low <= value <= high]
        if outside:
            yield f"{where}: must lie in {low:g} .. {high:g}, got {outside[0]:g}"


def _estimator(descriptor: ModelDescriptor) -> Iterator[str]:
    estimator = (descriptor.degradation or {}).get("estimator")
    if estimator is not None:
        for name in ("weights", "bias"):
            if len(estimator[name]) != len(estimator["kernels"]):
                yield (
                    f"degradation.estimator.{name}: must have one entry for each of the {len(estimator['kernels'])} "
                    f"kernels, got {len(estimator[name])}"
                )
    for name, control in descriptor.controls.items():
        if not control.estimated:
            continue
        if estimator is None:
            yield f"controls.{name}.estimated: needs degradation.estimator"
        elif len(control.default) != len(estimator["kernels"]):
            yield (
                f"controls.{name}.estimated: the default must have {len(estimator['kernels'])} values as the "
                f"estimator has kernels, got {len(control.default)}"
            )
        if AUTOMATIC in (control.choices or {}):
            yield f"controls.{name}.choices: {AUTOMATIC!r} already means the estimate"


def _noise(descriptor: ModelDescriptor) -> Iterator[str]:
    rules = descriptor.uncertainty.noise if descriptor.uncertainty else {}
    declared = descriptor.degradation or {}
    known = [name for name in (declared.get("kernel"), *declared.get("also", ())) if name]
    for kernel in rules:
        if kernel not in known:
            yield (
                f"uncertainty.noise.{kernel}: must be a downscaler that degradation names "
                f"({', '.join(known) or 'it names none'})"
            )
    if rules and known and known[0] not in rules:
        yield f"uncertainty.noise: must have a rule for degradation.kernel {known[0]!r}"


def _restore(descriptor: ModelDescriptor) -> Iterator[str]:
    color, channels = descriptor.input.color, descriptor.input_channels
    for field in ("resize", "crop"):
        if getattr(descriptor.input, field) is not None:
            yield f"input.{field}: task restore takes pictures as they are; leave it out"
    if channels not in _CHANNELS[color]:
        wanted = " or ".join(str(n) for n in _CHANNELS[color])
        yield f"input.color: {color!r} needs input_channels {wanted}, got {channels}"
    if NETWORK not in descriptor.parts:
        yield f"parts: task restore needs a part named {NETWORK!r}, got {', '.join(sorted(descriptor.parts)[:5])}"
        return
    part = descriptor.parts[NETWORK]
    for side, roles in (("inputs", part.inputs), ("outputs", part.outputs)):
        if "image" not in roles:
            yield f"parts.{NETWORK}.{side}: must name the tensor of role 'image'"
        if len(set(roles.values())) < len(roles):
            yield f"parts.{NETWORK}.{side}: two roles name the same tensor"
    for role in part.inputs:
        if role not in ("image", "quantum") and role not in descriptor.controls:
            yield f"parts.{NETWORK}.inputs.{role}: must be image, quantum or a name in controls"
    for name in descriptor.controls:
        if name not in part.inputs:
            yield f"controls.{name}: parts.{NETWORK}.inputs has no tensor for it"
    if descriptor.uncertainty is not None and "scale" not in part.outputs:
        yield f"uncertainty: parts.{NETWORK}.outputs must name the tensor of role 'scale'"
    if descriptor.uncertainty is not None and descriptor.uncertainty.link is not None:
        yield "uncertainty.link: belongs to the samples of a latent diffusion; leave it out"
