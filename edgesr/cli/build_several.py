"""Which packages ``edgesr build`` converts as several networks, each kind in its own file."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from edgesr.compile.typed import Precision
from edgesr.model import ModelPackage

Build = Callable[[ModelPackage, Precision, argparse.Namespace, str], int]
"""Builds a package in a precision; the text says why no engine can be built, if so. Returns the exit code."""


def build_several(package: ModelPackage) -> Build | None:
    """Return what builds a package of several networks, None for one network."""
    if package.descriptor.task == "chain":
        from edgesr.cli.build_chain import build_chain

        return build_chain
    if package.descriptor.task == "latent-diffusion":
        from edgesr.cli.build_diffusion import build_diffusion

        return build_diffusion
    if package.descriptor.prediction.proposals is not None:
        from edgesr.cli.build_regions import build_regions

        return build_regions
    return None
