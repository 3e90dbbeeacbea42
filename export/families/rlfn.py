"""RLFN: the authors' checkpoints of residual local feature networks, any number of blocks, x2 to x4."""

import argparse
import functools

from export.exporting.weights import State, count, load_into, tensor
from export.families.restoration import Built, add_common_arguments
from export.families.restoration import execute as execute_restoration
from export.models.rlfn import Rlfn

_RANGE = {"input": {"range": [0, 255]}}
"""The authors train on grey levels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose sizes the weights tell."""
    what = "an RLFN"
    read = functools.partial(tensor, state, source=source, what=what)
    channels, inner = read("conv_1.weight").shape[0], read("block_1.c1_r.weight").shape[0]
    scale = round((read("upsampler.0.weight").shape[0] / 3) ** 0.5)
    blocks = count(state, r"block_(\d+)\.") - ("block_0.c1_r.weight" in state)
    network = Rlfn(channels, inner, blocks, scale)
    load_into(network, state, source=source, what=f"{what} x{scale} with {blocks} blocks")
    return Built(network, f"RLFN x{scale}, {blocks} blocks of {channels} channels", _RANGE)
