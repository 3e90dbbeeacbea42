"""What ``edgesr build`` refuses to lower in precision: models that are no plain FP32 ones."""

from __future__ import annotations

import argparse

from edgesr.errors import UsageError
from edgesr.model import ModelPackage


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
