"""Prior-guided face super-resolution: checkpoints of ``export.models.prior_fsr``."""

import argparse
import functools

from export.exporting.weights import State, count, load_into, tensor
from export.families.restoration import Built, add_common_arguments, add_tile_argument, tile_of
from export.families.restoration import execute as execute_restoration
from export.models.prior_fsr import PARTS, PriorFsr

FACE = 16
"""Side in pixels of the faces of the paper."""
_STEP = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)
    add_tile_argument(parser, str(FACE))


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose sizes the weights tell."""
    what = "a prior-guided face network"
    read = functools.partial(tensor, state, source=source, what=what)
    channels, prior = read("conv_first.weight").shape[0], read("parsing.maps.weight").shape[1]
    network = PriorFsr(
        channels,
        count(state, r"body\.(\d+)\."),
        prior,
        count(state, r"refine\.(\d+)\."),
        2 ** count(state, r"upsample\.(\d+)\.weight"),
    )
    load_into(network, state, source=source, what=what)
    title = f"Prior-guided face super-resolution x{network.scale}, {len(network.body)} attention blocks, {PARTS} maps"
    return Built(
        network, title, outputs=("image", "parsing"), size=tile_of(arguments, str(FACE), _STEP), multiple=_STEP
    )
