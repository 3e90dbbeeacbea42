"""EDSR: the layouts of BasicSR, and of the authors' repository, which SR4IR follows."""

import argparse
import functools

import torch

from edgesr.errors import ModelError
from export.exporting.weights import State, count, load_into, renamed, tensor
from export.families.restoration import Built, add_common_arguments
from export.families.restoration import execute as execute_restoration
from export.models.edsr import MEAN, RANGE, Edsr

_IGNORED = r"^(sub_mean|add_mean)\.(weight|bias)$"
_LARGE = 128
"""Channels from which the paper scales residuals by 0.1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this family."""
    add_common_arguments(parser)
    parser.add_argument(
        "--residual-scale",
        type=float,
        metavar="FACTOR",
        help="factor on every residual, which no checkpoint tells (default: 1, for 128 channels and more 0.1)",
    )


def execute(arguments: argparse.Namespace) -> None:
    """Write the package."""
    execute_restoration(arguments, build)


def build(state: State, arguments: argparse.Namespace | None, source: str) -> Built:
    """Build the network whose sizes the weights tell."""
    what = "an EDSR"
    _check_means(state, source, what)
    state = _authors(state)
    read = functools.partial(tensor, state, source=source, what=what)
    channels = read("conv_first.weight").shape[0]
    blocks = count(state, r"body\.(\d+)\.")
    ratios = [
        tensor.shape[0] // channels
        for name, tensor in state.items()
        if name.startswith("upsample.") and tensor.ndim > 1
    ]
    scale = 3 if ratios == [9] else 2 ** len(ratios)
    given = getattr(arguments, "residual_scale", None)
    residual = given if given is not None else 0.1 if channels >= _LARGE else 1.0
    network = Edsr(scale, blocks, channels, residual)
    load_into(network, state, source=source, what=f"{what} x{scale}", ignored=_IGNORED)
    network.bring_to_one()
    return Built(network, f"EDSR x{scale}, {blocks} blocks of {channels} channels, residuals times {residual:g}")


def _authors(state: State) -> State:
    """Rename the authors' keys; the last layer of their body is the convolution behind it."""
    if "head.0.weight" not in state:
        return state
    last = max(int(name.split(".")[1]) for name in state if name.startswith("body."))
    rules = (
        (r"^head\.0\.", "conv_first."),
        (r"^body\.(\d+)\.body\.0\.", r"body.\1.conv1."),
        (r"^body\.(\d+)\.body\.2\.", r"body.\1.conv2."),
        (rf"^body\.{last}\.(weight|bias)$", r"conv_after_body.\1"),
        (r"^tail\.0\.", "upsample."),
        (r"^tail\.1\.", "conv_last."),
    )
    return renamed(state, rules)


def _check_means(state: State, source: str, what: str) -> None:
    """Refuse checkpoints that were trained with another mean colour than the network subtracts."""
    bias = state.get("sub_mean.bias")
    if bias is not None and not torch.allclose(bias, -torch.tensor(MEAN) * RANGE, atol=0.5):
        raise ModelError(
            f"{source}: {what} with the mean {[round(float(-v), 2) for v in bias]}; "
            f"{[round(v * RANGE, 2) for v in MEAN]} is supported"
        )
