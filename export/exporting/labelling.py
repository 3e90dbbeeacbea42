"""A checked model package of a network that classifies or segments pictures, in one call."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from edgesr.compile.checks import check_network
from edgesr.compile.graph import Graph
from edgesr.errors import ModelError, UsageError
from edgesr.model.descriptor import SCHEMA_VERSION, ModelDescriptor
from edgesr.model.label_packing import IMAGENET_MEAN, IMAGENET_STD
from edgesr.model.label_rules import NETWORK
from edgesr.model.package import ModelPackage, open_package, verify
from edgesr.model.writer import write_package
from export.exporting.deriving import check_evaluation_mode
from export.exporting.onnx_graph import INPUT, export_onnx
from export.exporting.parity import Parity, measure_parity
from export.exporting.targets import TARGETS, check_operators

Fields = dict[str, Any]
_SIDES = (1, 2, 4, 8, 16, 32, 64)
_TRACED, _COMPARED = (3, 5), ((4, 7), (7, 4))
"""Sides of dynamic graphs, in multiples of 32 pixels or of the network's own step."""
_STEP = 32


def package_labels(
    module: nn.Module,
    out: str | Path,
    task: str,
    descriptor: Mapping[str, Any] | None = None,
    *,
    classes: int | None = None,
    target: str = "any",
    say: Callable[[str], None] = lambda text: None,
) -> ModelPackage:
    """Export a network that gives the ``logits`` of a picture, prove it equal to PyTorch, and write its package.

    ``module`` takes float32 ``(N, C, H, W)`` and returns ``(N, classes)`` for ``task`` classify, ``(N, classes, h, w)``
    of any size for segment. ``descriptor`` holds fields of model.json: ``labels``, and under ``input`` what is done to
    pictures; values are in [0, 1] with ImageNet's mean and standard deviation unless it says otherwise. A crop, and the
    rules exact and letterbox, make a graph of that fixed size, everything else one of dynamic sides. ``classes``, where
    given, must be what the network has.

    Raise UsageError for a network in training mode or labels of another number, BuildError for one that cannot be
    exported, AccuracyError where the graph differs from PyTorch.
    """
    if target not in TARGETS:
        raise UsageError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
    check_evaluation_mode(module)
    out, given = Path(out), dict(descriptor or {})
    expects = expectations(given.get("input", {}))
    fixed = fixed_sides(expects)
    channels = 1 if expects["color"] in ("grey", "y") else 3
    found = _classes(module, channels, fixed or (_STEP * 3, _STEP * 3), task)
    check_classes(found, classes, given.get("labels"))
    traced, parities = export_part(module, ("logits",), expects, channels=channels, target=target, say=say)
    say(told(parities))
    minimum = 1 if fixed else _minimum(module, channels)
    document = {
        **base(out, task, expects, channels, fixed, minimum=minimum),
        "parts": {NETWORK: part(NETWORK, {"image": INPUT}, ("logits",))},
        "prediction": {"activation": "softmax" if found > 1 else "sigmoid", **given.pop("prediction", {})},
        **{key: value for key, value in given.items() if key != "input"},
    }
    document["quality"] = [*given.get("quality", ()), *(parity.row() for parity in parities)]
    return write(out, document, {NETWORK: traced})


def export_part(
    module: nn.Module,
    outputs: Sequence[str],
    expects: Fields,
    *,
    channels: int,
    target: str,
    say: Callable[[str], None],
    multiple: int = 1,
) -> tuple[onnx.ModelProto, list[Parity]]:
    """Export what sees the picture, and compare every output with PyTorch on real pictures, at two sizes if it can."""
    fixed = fixed_sides(expects)
    step = max(_STEP, multiple)
    sizes = [fixed] if fixed else [(h * step, w * step) for h, w in _COMPARED]
    if not fixed and multiple == 1:
        sizes[1] = (sizes[1][0] - 5, sizes[1][1] + 3)
    h, w = fixed or (_TRACED[0] * step, _TRACED[1] * step)
    traced = export_onnx(
        module,
        torch.rand(1, channels, h, w),
        outputs,
        opset=TARGETS[target].opset,
        scale=None,
        multiple=multiple,
        is_dynamic=fixed is None,
    )
    checked(traced.model, traced.exporter, target, say)
    parities = measure_parity(
        module,
        traced.model,
        outputs,
        sizes=sizes,
        channels=channels,
        limits=(float(expects["range"][0]), float(expects["range"][1])),
        mean=expects.get("mean", ()),
        std=expects.get("std", ()),
    )
    return traced.model, parities


def checked(model: onnx.ModelProto, exporter: str, target: str, say: Callable[[str], None]) -> None:
    """Say what came out and raise BuildError for operators that the target does not take."""
    say(f"{len(model.graph.node)} nodes, opset {model.opset_import[0].version}, {exporter}")
    graph = Graph(model, "the exported network")
    for note in check_operators(graph, target):
        say(note)
    check_network(graph)


def expectations(given: Mapping[str, Any]) -> Fields:
    """Return ``input`` of model.json: ImageNet's normalisation unless the maker says what pixels become."""
    expects = {"color": "rgb", "range": [0.0, 1.0], **given}
    if expects["color"] in ("rgb", "bgr") and not {"range", "mean", "std"} & given.keys():
        expects["mean"], expects["std"] = IMAGENET_MEAN, IMAGENET_STD
        if expects["color"] == "bgr":
            expects["mean"], expects["std"] = IMAGENET_MEAN[::-1], IMAGENET_STD[::-1]
    return expects


def fixed_sides(expects: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the ``(height, width)`` that every picture is brought to, None where pictures differ."""
    resize = expects.get("resize") or {}
    sides = expects.get("crop") or (resize.get("size") if resize.get("rule") in ("exact", "letterbox") else None)
    return (int(sides[0]), int(sides[1])) if sides else None


def check_classes(found: int, said: int | None, labels: Sequence[str] | None) -> None:
    """Raise UsageError where the maker counts other classes than the network has."""
    if said is not None and said != found:
        raise UsageError(f"--classes {said}: the weights have {found} classes")
    if labels is not None and len(labels) != max(found, 2):
        raise UsageError(f"--labels names {len(labels)} classes, the weights have {found}; one line for each, in order")


def base(
    out: Path,
    task: str,
    expects: Fields,
    channels: int,
    fixed: tuple[int, int] | None,
    *,
    minimum: int,
    multiple: int = 1,
) -> Fields:
    """Return the fields of model.json that all tasks have."""
    return {
        "schema": SCHEMA_VERSION,
        "name": out.stem.lower(),
        "version": "1.0.0",
        "task": task,
        "input_channels": channels,
        "input": {key: value for key, value in expects.items() if value is not None},
        "size": {"fixed": list(fixed)} if fixed else {"multiple": multiple, "minimum": minimum},
    }


def part(name: str, inputs: Mapping[str, str], outputs: Sequence[str]) -> Fields:
    """Return the entry of one network in ``parts``; tensors are called as their roles."""
    return {"file": f"{name}.onnx", "sha256": "0" * 64, "inputs": dict(inputs), "outputs": {o: o for o in outputs}}


def write(out: Path, document: Fields, models: Mapping[str, onnx.ModelProto]) -> ModelPackage:
    """Write, open and verify the package."""
    described = ModelDescriptor.from_json(document, source=str(out))
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        files = {}
        for name, model in models.items():
            files[f"{name}.onnx"] = Path(folder) / f"{name}.onnx"
            onnx.save(model, files[f"{name}.onnx"])
        written = open_package(write_package(out, described, files))
    verify(written)
    return written


def told(parities: Sequence[Parity]) -> str:
    """Return the sentence on the worst of all comparisons."""
    worst = max(parities, key=lambda parity: parity.relative)
    return f"equals PyTorch within {worst.relative:.1e} of the largest value, on {len(parities)} outputs"


def _classes(module: nn.Module, channels: int, size: tuple[int, int], task: str) -> int:
    with torch.inference_mode():
        logits = module(torch.rand(1, channels, *size))
    ranks = {"classify": 2, "segment": 4}
    if not isinstance(logits, torch.Tensor) or logits.ndim != ranks[task]:
        shape = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        wanted = "(N, classes)" if task == "classify" else "(N, classes, h, w)"
        raise ModelError(f"a network for task {task} must give {wanted}, got {shape}")
    return int(logits.shape[1])


def _minimum(module: nn.Module, channels: int) -> int:
    """Return the smallest side that the network takes."""
    for side in _SIDES:
        try:
            with torch.inference_mode():
                module(torch.rand(1, channels, side, side))
        except Exception:  # whatever the network raises, it does not take this size
            continue
        return side
    return _SIDES[-1]
