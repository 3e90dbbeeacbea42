"""IMDN: checkpoints of information multi-distillation networks in the layout of the NTIRE 2022 baseline."""

import argparse
import functools

from export.exporting.weights import State, count, load_into, tensor
from export.families.restoration import Built, add_common_arguments
from export.families.restoration import execute as execute_restoration
from export.models.imdn import Imdn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose sizes the weights tell; the last layer of the body is the convolution behind it."""
    what = "an IMDN"
    read = functools.partial(tensor, state, source=source, what=what)
    channels = read("model.0.weight").shape[0]
    blocks = count(state, r"model\.1\.sub\.(\d+)\.") - 1
    scale = round((read("model.2.weight").shape[0] / 3) ** 0.5)
    network = Imdn(channels, max(blocks, 1), scale)
    load_into(network, state, source=source, what=f"{what} x{scale} with {blocks} blocks")
    return Built(network, f"IMDN x{scale}, {blocks} blocks of {channels} channels")
