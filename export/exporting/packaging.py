"""A checked model package of a trained restoration network, in one call."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from edgesr.compile.checks import check_network
from edgesr.compile.graph import Graph
from edgesr.errors import UsageError
from edgesr.model.descriptor import SCHEMA_VERSION, ModelDescriptor
from edgesr.model.package import ModelPackage, open_package, verify
from edgesr.model.rules import NETWORK
from edgesr.model.writer import check_target, write_package
from export.exporting.deriving import Derived, check_evaluation_mode, derive, input_channels
from export.exporting.modules import check_results, plain
from export.exporting.onnx_graph import INPUT, export_onnx
from export.exporting.parity import measure_parity
from export.exporting.targets import TARGETS, check_operators
from export.say import reminding

_FILE = f"{NETWORK}.onnx"
PICTURE = "image"
"""The role of the picture among the inputs and outputs."""
_OUTPUT = "upscaled"
_FAR = 70, 133
"""Least sides, in pixels, of the picture that shows more than one window of 64 pixels."""


def package(
    module: nn.Module,
    out: str | Path,
    descriptor: Mapping[str, Any] | None = None,
    *,
    outputs: Sequence[str] = (PICTURE,),
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    multiple: int | None = None,
    target: str = "any",
    say: Callable[[str], None] = lambda text: None,
) -> ModelPackage:
    """Export a network in evaluation mode, prove it equal to PyTorch on real pictures, and write its package.

    ``module`` takes float32 ``(N, C, H, W)`` and returns the picture ``(N, C', H * scale, W * scale)``, or a tuple that
    begins with it; ``outputs`` names them all, the picture is ``image``. ``descriptor`` holds fields of model.json that
    the network cannot tell, e.g. ``{"name": "my-x4", "input": {"range": [0, 255]}, "licence": "MIT"}``; values lie in
    [0, 1] unless ``input.range`` and ``output_range`` say otherwise. Scale, channels, sizes and receptive field are
    measured. ``size`` makes a graph of one fixed ``(height, width)`` where dynamic sides do not export or TensorRT
    prefers fixed ones; ``multiple`` says what sides have to be multiples of, where it is more than runs need.
    ``target`` is one of trt8.6, trt10, trt11 and any. ``say`` is told what was measured.

    Raise UsageError for a network in training mode, BuildError for one that cannot be exported or has operators that
    the target does not take, AccuracyError where the graph differs from PyTorch.
    """
    if target not in TARGETS:
        raise UsageError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    if not outputs or outputs[0] != PICTURE or len(set(outputs)) < len(outputs):
        raise UsageError(f"outputs must begin with {PICTURE!r} and differ, got {list(outputs)}")
    out, given = Path(out), dict(descriptor or {})
    check_target(out)
    module = plain(module)
    check_evaluation_mode(module)
    limits = _range(given)
    with reminding(say, "measuring scale, sizes and receptive field"):
        facts = derive(module, channels or input_channels(module, size), size, multiple=multiple)
    say(_derived_text(facts, size))
    tensors = [_OUTPUT if role == PICTURE else role for role in outputs]
    traced_size, *sizes = _sizes(facts, size)
    example = torch.rand(1, facts.input_channels, *traced_size) * (limits[1] - limits[0]) + limits[0]
    check_results(module, example, outputs)
    with reminding(say, "exporting"):
        traced = export_onnx(
            module,
            example,
            tensors,
            opset=TARGETS[target].opset,
            scale=facts.scale,
            multiple=facts.multiple,
            is_dynamic=size is None,
        )
    say(f"{len(traced.model.graph.node)} nodes, opset {traced.model.opset_import[0].version}, {traced.exporter}")
    graph = Graph(traced.model, out.name)
    for note in check_operators(graph, target):
        say(note)
    check_network(graph)
    if sizes:  # reshaping may hide that a number of windows was fixed, which only sizes far from the traced one show
        sizes = [sizes[0], sizes[2] if _reshapes(traced.model) else sizes[1]]
    with reminding(say, "comparing with PyTorch"):
        parities = measure_parity(
            module, traced.model, outputs, sizes=sizes or [traced_size], channels=facts.input_channels, limits=limits
        )
    worst = max(parities, key=lambda parity: parity.relative)
    say(f"equals PyTorch within {worst.relative:.1e} of the largest value, on {len(parities)} outputs")
    document = _document(given, facts, dict(zip(outputs, tensors, strict=True)), size, out)
    document["quality"] = [*document.get("quality", ()), *(parity.row() for parity in parities)]
    return _write(out, document, traced.model)


def _range(given: Mapping[str, Any]) -> tuple[float, float]:
    expects = given.get("input", {})
    if not isinstance(expects, Mapping):
        raise UsageError(f"input must be an object such as {{'range': [0, 255]}}, got {expects!r}")
    limits = expects.get("range", (0.0, 1.0))
    try:
        low, high = map(float, limits)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not low < high:
        raise UsageError(f"input.range must be two numbers, low before high, got {limits}")
    return low, high


def _sizes(facts: Derived, fixed: tuple[int, int] | None) -> list[tuple[int, int]]:
    """Return the size to trace at and, for dynamic sides, three others to compare at, all of unequal sides."""
    if fixed is not None:
        return [fixed]
    unit = facts.multiple
    low = -(-max(facts.minimum, 24) // unit)
    near = [((low + a) * unit, (low + b) * unit) for a, b in ((0, 1), (2, 1), (5, 9))]
    return [*near, (max(-(-_FAR[0] // unit), low + 5) * unit, max(-(-_FAR[1] // unit), low + 9) * unit)]


def _reshapes(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "Reshape" for node in model.graph.node)


def _document(
    given: Mapping[str, Any], facts: Derived, roles: Mapping[str, str], fixed: tuple[int, int] | None, out: Path
) -> dict[str, Any]:
    """Return model.json: what was measured, then what the maker says, which may add but not contradict."""
    measured: dict[str, Any] = {
        "scale": facts.scale,
        "input_channels": facts.input_channels,
        "output_channels": facts.output_channels,
        "receptive_field": facts.receptive_field,
        "size": {"fixed": list(fixed)} if fixed else {"multiple": facts.multiple, "minimum": facts.minimum},
    }
    for field in ("scale", "input_channels", "output_channels"):
        if given.get(field, measured[field]) != measured[field]:
            raise UsageError(f"{field} is {measured[field]} as measured, not {given[field]}; leave it out")
    color = given.get("input", {}).get("color", "rgb" if facts.input_channels >= 3 else "grey")
    limits = list(_range(given))
    return {
        "schema": SCHEMA_VERSION,
        "name": out.stem.lower(),
        "version": "1.0.0",
        "task": "restore",
        "parts": {NETWORK: {"file": _FILE, "sha256": "0" * 64, "inputs": {PICTURE: INPUT}, "outputs": dict(roles)}},
        "output_range": limits,
        **measured,
        **given,
        "input": {**given.get("input", {}), "color": color, "range": limits},
    }


def _write(out: Path, document: dict[str, Any], model: onnx.ModelProto) -> ModelPackage:
    described = ModelDescriptor.from_json(document, source=str(out))
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        file = Path(folder) / _FILE
        onnx.save(model, file)
        written = open_package(write_package(out, described, {_FILE: file}))
    verify(written)
    return written


def _derived_text(facts: Derived, fixed: tuple[int, int] | None) -> str:
    reach = "unknown or unbounded" if facts.receptive_field is None else f"{facts.receptive_field} pixels"
    sides = f"fixed at {fixed[0]} x {fixed[1]}" if fixed else f"multiples of {facts.multiple}, at least {facts.minimum}"
    return (
        f"scale {facts.scale}, {facts.input_channels} to {facts.output_channels} channels, sides {sides}, "
        f"receptive field {reach}"
    )
