"""The model that ``edgesr build`` is given, and what of it cannot be lowered in precision."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgesr.cli.run import expectations
from edgesr.compile.graph import Graph
from edgesr.errors import ModelError, UsageError
from edgesr.model import ModelPackage
from edgesr.model.label_rules import LABEL_TASKS
from edgesr.pipelines.load import open_model


def open_source(arguments: argparse.Namespace) -> tuple[ModelPackage | None, str]:
    """Open the model; an ONNX file that is no picture-to-picture model has no package, and the reason is said."""
    if (arguments.model is None) == (arguments.onnx is None):
        raise UsageError("name one model: a package or name as MODEL, or an ONNX file with --onnx")
    try:
        package = open_model(arguments.onnx or arguments.model, expects=expectations(arguments))
    except ModelError as error:
        if arguments.onnx is None:
            raise
        Graph.read(Path(arguments.onnx))
        return None, f"compared tensor by tensor, as it is no picture-to-picture model ({error})"
    if package.descriptor.task not in ("restore", "chain", "latent-diffusion", *LABEL_TASKS):
        raise ModelError(
            f"model {package.descriptor.name} has task {package.descriptor.task!r}; give its ONNX file with --onnx"
        )
    return package, ""


def check_source(package: ModelPackage, arguments: argparse.Namespace) -> None:
    """Raise UsageError where another precision is asked of a model that was lowered or has pictures at its ends."""
    descriptor = package.descriptor
    if arguments.unroll is not None and descriptor.task != "latent-diffusion":
        raise UsageError("--unroll merges the steps of a latent diffusion; give a package of one")
    if not (arguments.fp16 or arguments.int8 or arguments.auto):
        return
    asked = next(f"--{name}" for name in ("auto", "int8", "fp16") if getattr(arguments, name))
    kind = (descriptor.precision or {}).get("kind", "fp32")
    if kind != "fp32":
        raise UsageError(
            f"model {descriptor.name} is in {kind} already; give {asked} the FP32 model that it was made of"
        )
    if descriptor.embedded_io is not None:
        raise UsageError(
            f"model {descriptor.name} has its pictures in the graph; build the model that it was made of with {asked} "
            f"and --embed-io {descriptor.embedded_io} together"
        )
